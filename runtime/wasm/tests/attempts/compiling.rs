//! Bad modules, the compiled cache, compilations that take long.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use wasmbatch_core::{Digest, Ending};
use wasmbatch_executor::{Executor as _, ModuleKind, PrepareError, Program};

use crate::Test;
use crate::guests::{NO_OP, guest, hello};
use crate::node::{Node, exited, reason_of, spec_of, until};

pub(crate) const TESTS: &[Test] = &[
    ("bad_modules_say_what_is_wrong", bad_modules_say_what_is_wrong),
    ("prepare_compiles_once", prepare_compiles_once),
    ("a_missing_module_says_so", a_missing_module_says_so),
    ("a_damaged_compiled_module_is_made_again", a_damaged_compiled_module_is_made_again),
    ("a_program_file_is_run_from_an_allowed_folder_only", a_program_file_is_run_from_an_allowed_folder_only),
    ("an_attempt_is_stopped_while_it_compiles", an_attempt_is_stopped_while_it_compiles),
    ("a_compilation_has_a_limit", a_compilation_has_a_limit),
    ("a_long_compilation_delays_nobody", a_long_compilation_delays_nobody),
];

/// Takes seconds to compile.
fn slow() -> Vec<u8> {
    let body = "(local.set $n (i32.add (local.get $n) (i32.mul (local.get $n) (i32.const 3))))".repeat(200);
    let functions = format!("(func (param $n i32) (result i32) {body} (local.get $n))").repeat(2000);
    wat::parse_str(format!(r#"(module (memory (export "memory") 1) {functions} (func (export "_start")))"#)).unwrap()
}

fn compiled_files(node: &Node, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for engine in fs::read_dir(node.home.path().join("compiled")).unwrap() {
        found.extend(fs::read_dir(engine.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found
}

fn bad_modules_say_what_is_wrong() {
    let node = Node::new();
    let importing = r#"(module (import "env" "launch" (func)) (memory (export "memory") 1) (func (export "_start")))"#;
    let wrong = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (func (export "_start")))"#;
    let parse = |wat: &str| wat::parse_str(wat).unwrap();
    let mut broken = parse(NO_OP);
    let end = broken.len() - 1;
    broken[end] = 0xff;
    let bad: [(Vec<u8>, &str); 10] = [
        (b"#!/bin/sh\necho hello\n".to_vec(), "this is not WebAssembly"),
        (Vec::new(), "this file is empty and not WebAssembly"),
        (NO_OP.as_bytes().to_vec(), "this is WebAssembly text and not a WebAssembly binary"),
        (b"\0asm".to_vec(), "this WebAssembly file is cut short"),
        (b"\0asm\x09\0\0\0".to_vec(), "this is WebAssembly of an unknown version"),
        (broken, "invalid WebAssembly: "),
        (parse("(module)"), "it exports no function start so it is not a WASI command"),
        (parse(r#"(module (func (export "_start") (param i32)))"#), "its function start takes or returns something"),
        (parse(importing), "it imports launch from env which nobody provides"),
        (parse(wrong), "an import does not fit: "),
    ];
    for (module, expected) in bad {
        let digest = node.put(&module);
        let reason = reason_of(node.run(spec_of(Program::Stored { digest })).1);
        assert!(reason.starts_with(&format!("InvalidModule: {expected}")), "{reason}");
        assert!(matches!(node.pool.prepare(digest), Err(PrepareError::Rejected { .. })));
    }
    assert!(compiled_files(&node, "cwasm").is_empty());
    assert!(compiled_files(&node, "tmp").is_empty());
}

fn prepare_compiles_once() {
    let node = Node::new();
    let digest = node.put(&wat::parse_str(hello()).unwrap());
    let prepared: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| node.pool.prepare(digest).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(prepared.iter().all(|prepared| prepared.kind == ModuleKind::Module && prepared.compiled_bytes > 0));
    assert_eq!(node.pool.prepare(digest).unwrap().compile_duration, None);
    assert_eq!(compiled_files(&node, "cwasm").len(), 1);
    assert_eq!(node.run_wat(&hello()).1, exited(0));
}

fn a_missing_module_says_so() {
    let node = Node::new();
    let digest = Digest::from_bytes([9; 32]);
    assert_eq!(node.pool.prepare(digest), Err(PrepareError::NotFound(digest)));
    let reason = reason_of(node.run(spec_of(Program::Stored { digest })).1);
    assert_eq!(reason, format!("ResourceInitializationError: module {digest} is not stored"));
}

fn a_damaged_compiled_module_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::at(home, |_| {});
    assert_eq!(node.run_wat(&hello()).1, exited(0));
    let compiled = compiled_files(&node, "cwasm").remove(0);
    let Node { pool, home, .. } = node;
    drop(pool);
    let mut bytes = fs::read(&compiled).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&compiled, &bytes).unwrap();
    let node = Node::at(home, |_| {});
    assert_eq!(node.run_wat(&hello()).1, exited(0));
    assert!(fs::metadata(&compiled).unwrap().len() > u64::try_from(bytes.len()).unwrap());
}

fn a_program_file_is_run_from_an_allowed_folder_only() {
    let node = Node::new();
    let path = node.shared.path().join("job.wasm");
    for code in [3, 4] {
        let module = wat::parse_str(guest("", &format!("(call $exit (i32.const {code}))"))).unwrap();
        fs::write(&path, &module).unwrap();
        for _ in 0..2 {
            let (story, ending) = node.run(spec_of(Program::File { path: path.clone() }));
            assert_eq!(ending, exited(code));
            assert_eq!(story.digest, Some(node.put(&module)));
        }
    }
    fs::write(node.home.path().join("outside.wasm"), wat::parse_str(NO_OP).unwrap()).unwrap();
    let outside = node.home.path().join("outside.wasm");
    let reason = reason_of(node.run(spec_of(Program::File { path: outside })).1);
    assert!(reason.ends_with("is not below a folder that this node allows"), "{reason}");
}

fn an_attempt_is_stopped_while_it_compiles() {
    let node = Node::new();
    let digest = node.put(&slow());
    let attempt = node.start(spec_of(Program::Stored { digest }));
    until("a compilation", || !compiled_files(&node, "tmp").is_empty());
    node.pool.stop(attempt);
    assert_eq!(node.sink.wait_ended(attempt).endings, [Ending::Stopped]);
    // Nobody waits for it any more, so it ends too.
    until("the compilation's end", || compiled_files(&node, "tmp").is_empty());
    assert!(compiled_files(&node, "cwasm").is_empty());
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
    assert_eq!(node.sink.story(attempt).started, 0);
}

fn a_compilation_has_a_limit() {
    let node = Node::with(|options| options.compile_timeout = Duration::from_millis(20));
    let digest = node.put(&slow());
    let reason = reason_of(node.run(spec_of(Program::Stored { digest })).1);
    assert_eq!(reason, "InvalidModule: its compilation took longer than 0 seconds");
}

fn a_long_compilation_delays_nobody() {
    let node = Node::new();
    assert_eq!(node.run_wat(&hello()).1, exited(0));
    let digest = node.put(&slow());
    let waiting = node.start(spec_of(Program::Stored { digest }));
    until("a compilation", || !compiled_files(&node, "tmp").is_empty());
    assert_eq!(node.run_wat(&hello()).1, exited(0));
    assert!(node.sink.story(waiting).endings.is_empty());
    node.pool.stop(waiting);
    node.sink.wait_ended(waiting);
}
