//! Programs that nobody wrote: made at random, or real ones with damage.
//!
//! `WASMBATCH_FUZZ_SEEDS` says how many, `WASMBATCH_FUZZ_SEED` picks one.

use std::path::Path;

use arbitrary::Unstructured;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use wasm_smith::{Config, Module};

use wasmbatch_core::Ending;
use wasmbatch_executor::{Executor as _, Program};

use crate::Test;
use crate::guests::hello;
use crate::node::{Node, exited, spec_of};

pub(crate) const TESTS: &[Test] = &[("whatever_is_run_comes_to_an_end", whatever_is_run_comes_to_an_end)];

const SEEDS: u64 = 60;

/// What generated modules may import, a bit of everything.
const IMPORTS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_allocate" (func (param i32 i64 i64) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept" (func (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#;
const EXPORTS: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn whatever_is_run_comes_to_an_end() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (number("WASMBATCH_FUZZ_SEED"), number("WASMBATCH_FUZZ_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    };
    let node = Node::new();
    let originals = originals();
    let mut started = 0;
    for seed in seeds.clone() {
        let program = program(seed, &originals);
        let digest = node.put(&program);
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut spec = spec_of(Program::Stored { digest });
            spec.memory_limit_bytes = 16 << 20;
            spec.fuel = Some(2_000_000);
            node.run(spec).1
        }));
        match told {
            Ok(Ending::Exited { .. }) => started += 1,
            Ok(Ending::CouldNotStart { reason }) => {
                assert!(reason.starts_with("InvalidModule: "), "seed {seed}: {reason}");
            }
            Ok(Ending::Failed { reason, .. }) => {
                assert!(!reason.starts_with("WorkerCrashed"), "seed {seed}: {reason}");
                started += 1;
            }
            Ok(other) => panic!("seed {seed}: {other:?}"),
            Err(_) => panic!("seed {seed} came to no end"),
        }
    }
    assert!(node.pool.quarantined().is_empty());
    assert!(seeds.end - seeds.start < SEEDS || started > 0, "nothing of it started");
    assert_eq!(node.run_wat(&hello()).1, exited(0));
}

fn originals() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-examples/prebuilt");
    let names = ["hello.wasm", "word-count.wasm", "hello-component.wasm", "hello-c.wasm"];
    names.iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect()
}

fn program(seed: u64, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    if seed % 3 == 2 {
        let original = originals[random.random_range(0..originals.len())].clone();
        return damaged(original, &mut random);
    }
    let mut bytes = vec![0; random.random_range(500..20_000)];
    random.fill_bytes(&mut bytes);
    let config = Config {
        available_imports: Some(wat::parse_str(IMPORTS).unwrap()),
        exports: Some(wat::parse_str(EXPORTS).unwrap()),
        // What isn't offered anyway would end most of them before they begin.
        exceptions_enabled: false,
        gc_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        max_memories: 1,
        max_memory32_bytes: 32 << 20,
        max_table_elements: 10_000,
        max_tables: 4,
        max_instructions: 400,
        allow_start_export: true,
        ..Config::default()
    };
    Module::new(config, &mut Unstructured::new(&bytes)).unwrap().to_bytes()
}

/// One of the ways in which files go bad.
fn damaged(mut bytes: Vec<u8>, random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..4) {
        0 => {
            for _ in 0..random.random_range(1..20) {
                let place = random.random_range(8..bytes.len());
                bytes[place] ^= 1 << random.random_range(0..8);
            }
        }
        1 => bytes.truncate(random.random_range(0..bytes.len())),
        2 => {
            // A piece of it once more, which doubles sections where it begins with one.
            let from = random.random_range(8..bytes.len());
            let piece = bytes[from..(from + random.random_range(1..5000)).min(bytes.len())].to_vec();
            let to = random.random_range(8..bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            let first_section = bytes[8..].to_vec();
            bytes.extend(first_section);
        }
    }
    bytes
}
