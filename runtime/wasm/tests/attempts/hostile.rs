//! Guests that want this process to do or to hold too much for them.

use wasmbatch_executor::EngineProfile::Plain;
use wasmbatch_executor::NetworkAccess;
use wasmbatch_executor::frame::Purpose;

use crate::Test;
use crate::direct::{Ask, End, Ran, Workers};
use crate::guests::{command, guest};
use crate::node::WORKER_FLAG;

pub(crate) const TESTS: &[Test] = &[
    ("tables_are_bounded", tables_are_bounded),
    ("many_subscriptions_are_refused", many_subscriptions_are_refused),
    ("huge_buffers_are_no_huge_copies", huge_buffers_are_no_huge_copies),
    ("a_path_of_megabytes_is_an_error", a_path_of_megabytes_is_an_error),
    ("resources_of_a_component_are_bounded", resources_of_a_component_are_bounded),
    ("what_a_component_hands_over_is_bounded", what_a_component_hands_over_is_bounded),
    ("memory_of_other_kinds_is_refused", memory_of_other_kinds_is_refused),
];

/// Runs a guest and says how much memory its worker took at most, in bytes.
fn run(wat: &str) -> (Ran, u64) {
    let workers = Workers::new();
    let compiled = workers.compile(Plain, &wat::parse_str(wat).unwrap());
    let mut worker = workers.begin(Purpose::Run, Plain, NetworkAccess::None, WORKER_FLAG);
    let ran = worker.run(&compiled, &Ask::default());
    (ran, worker.most_resident_bytes())
}

/// What a worker and a guest of 64 MiB take, and what a copy of 64 MiB takes.
const REASONABLE: u64 = 256 << 20;

fn tables_are_bounded() {
    let growing = r#"(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (table $t 0 funcref)
      (func (export "_start")
        (if (i32.ne (table.grow $t (ref.null func) (i32.const 900000)) (i32.const 0)) (then unreachable))
        (call $exit (i32.eq (table.grow $t (ref.null func) (i32.const 200000)) (i32.const -1)))))"#;
    let (ran, most) = run(growing);
    assert_eq!(ran.ending, End::Exited(1));
    assert!(most < REASONABLE, "{most}");
    let declared = r#"(module (memory (export "memory") 1) (table 3000000000 funcref) (func (export "_start")))"#;
    let refused = Workers::new().try_compile(Plain, &wat::parse_str(declared).unwrap());
    assert!(refused.is_err_and(|reason| reason.contains("exceeds the limit of 1000000")));
}

fn many_subscriptions_are_refused() {
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 900)
      (func (export "_start") (local $n i32)
        ;; a million clocks that are over in an hour
        (loop
          (i32.store (i32.add (i32.mul (local.get $n) (i32.const 48)) (i32.const 16)) (i32.const 1))
          (i64.store (i32.add (i32.mul (local.get $n) (i32.const 48)) (i32.const 24)) (i64.const 3600000000000))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000000))))
        (drop (call $poll (i32.const 0) (i32.const 0) (i32.const 1000000) (i32.const 58000000)))))"#;
    let (ran, most) = run(wat);
    assert!(matches!(ran.ending, End::Failed(134, _) | End::Exited(0)), "{ran:?}");
    assert!(most < REASONABLE, "{most}");
}

fn huge_buffers_are_no_huge_copies() {
    // A thousand times the same 60 MiB; the first of them is written.
    let writing = guest(
        "",
        "(drop (memory.grow (i32.const 960)))
         (loop
           (i32.store (i32.add (i32.const 100000) (i32.mul (local.get $n) (i32.const 8))) (i32.const 0))
           (i32.store (i32.add (i32.const 100004) (i32.mul (local.get $n) (i32.const 8))) (i32.const 62914560))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000))))
         (drop (call $fd_write (i32.const 1) (i32.const 100000) (i32.const 1000) (i32.const 8)))",
    );
    let (ran, most) = run(&writing);
    assert_eq!(ran.ending, End::Exited(0));
    assert!(ran.stdout.len() <= 62_914_560);
    assert!(most < REASONABLE, "{most}");
    let random = r#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 900)
      (func (export "_start") (drop (call $random (i32.const 0) (i32.const -16)))))"#;
    let (ran, most) = run(random);
    assert!(matches!(ran.ending, End::Failed(134, _)), "{ran:?}");
    assert!(most < REASONABLE, "{most}");
    let listing = r#"(module
      (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
      (memory (export "memory") 900)
      (func (export "_start")
        (if (call $list (i32.const 3) (i32.const 16) (i32.const 58000000) (i64.const 0) (i32.const 0)) (then unreachable))))"#;
    let (ran, most) = run(listing);
    assert_eq!(ran.ending, End::Exited(0));
    assert!(most < REASONABLE, "{most}");
}

fn a_path_of_megabytes_is_an_error() {
    let wat = guest(
        "",
        "(drop (memory.grow (i32.const 900)))
         (memory.fill (i32.const 2048) (i32.const 97) (i32.const 50000000))
         (call $exit (call $path_create_directory (i32.const 3) (i32.const 2048) (i32.const 50000000)))",
    );
    let (ran, most) = run(&wat);
    // 37 is ENAMETOOLONG.
    assert_eq!(ran.ending, End::Exited(37));
    assert!(most < REASONABLE, "{most}");
}

fn resources_of_a_component_are_bounded() {
    let before = r#"
      (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $p (eq $outer)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
      (core func $wait (canon lower (func $clock "subscribe-duration")))
      (core instance $host (export "wait" (func $wait)))"#;
    let module = r#"
      (import "host" "wait" (func $wait (param i64) (result i32)))
      (func (export "run") (result i32) (loop (drop (call $wait (i64.const 1000000000))) (br 0)) (i32.const 0))"#;
    let (ran, most) = run(&command("wasi:cli/run@0.2.6", before, module, r#"(with "host" (instance $host))"#));
    assert!(matches!(ran.ending, End::Failed(134, _)), "{ran:?}");
    assert!(most < REASONABLE, "{most}");
}

fn what_a_component_hands_over_is_bounded() {
    // Headers of 20,000 values, each the same megabyte.
    let before = r#"
      (import "wasi:http/types@0.2.0" (instance $types
        (export "fields" (type $fields (sub resource)))
        (type $h (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
        (export "header-error" (type $error (eq $h)))
        (type $key string)
        (export "field-key" (type $k (eq $key)))
        (type $value (list u8))
        (export "field-value" (type $v (eq $value)))
        (export "[static]fields.from-list" (func (param "entries" (list (tuple $k $v)))
          (result (result (own $fields) (error $error)))))))
      (core module $memory (memory (export "memory") 100))
      (core instance $mem (instantiate $memory))
      (alias core export $mem "memory" (core memory $shared))
      (core func $from (canon lower (func $types "[static]fields.from-list") (memory $shared)))
      (core instance $host (export "from" (func $from)) (export "memory" (memory $shared)))"#;
    let module = r#"
      (import "host" "from" (func $from (param i32 i32 i32)))
      (import "host" "memory" (memory 1))
      (func (export "run") (result i32) (local $n i32)
        (memory.fill (i32.const 2000000) (i32.const 97) (i32.const 1048576))
        (loop
          (i32.store (i32.add (i32.const 100) (i32.mul (local.get $n) (i32.const 16))) (i32.const 2000000))
          (i32.store (i32.add (i32.const 104) (i32.mul (local.get $n) (i32.const 16))) (i32.const 1))
          (i32.store (i32.add (i32.const 108) (i32.mul (local.get $n) (i32.const 16))) (i32.const 2000000))
          (i32.store (i32.add (i32.const 112) (i32.mul (local.get $n) (i32.const 16))) (i32.const 1048576))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $n) (i32.const 20000))))
        (call $from (i32.const 100) (i32.const 20000) (i32.const 0))
        (i32.const 0))"#;
    let (ran, most) = run(&command("wasi:cli/run@0.2.6", before, module, r#"(with "host" (instance $host))"#));
    assert!(matches!(ran.ending, End::Failed(134, _)), "{ran:?}");
    assert!(most < REASONABLE, "{most}");
}

fn memory_of_other_kinds_is_refused() {
    let workers = Workers::new();
    for memory in [
        "(memory (export \"memory\") i64 1)",
        "(memory (export \"memory\") 1 2 shared)",
        "(memory (export \"memory\") 1) (memory 1)",
        "(memory (export \"memory\") 1) (tag)",
        "(memory (export \"memory\") 1) (type (struct))",
    ] {
        let module = wat::parse_str(format!("(module {memory} (func (export \"_start\")))")).unwrap();
        let refused = workers.try_compile(Plain, &module);
        assert!(refused.is_err_and(|reason| reason.starts_with("invalid WebAssembly: ")), "{memory}");
    }
}
