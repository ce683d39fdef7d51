//! How attempts end: the plan's table.

use wasmbatch_core::Ending;
use wasmbatch_executor::Executor as _;

use crate::Test;
use crate::guests::{ENDLESS, NO_OP, exit_with, flood, grow_then, guest, hello};
use crate::node::{Node, exited, reason_of};

pub(crate) const TESTS: &[Test] = &[
    ("hello_goes_to_stdout_and_ends_with_zero", hello_goes_to_stdout_and_ends_with_zero),
    (
        "arguments_and_environment_are_those_given_and_no_others",
        arguments_and_environment_are_those_given_and_no_others,
    ),
    ("exit_codes_are_kept", exit_codes_are_kept),
    ("stdin_is_empty", stdin_is_empty),
    ("traps_are_named", traps_are_named),
    ("memory_beyond_the_limit_is_refused", memory_beyond_the_limit_is_refused),
    ("output_is_complete_and_held_back", output_is_complete_and_held_back),
    ("output_of_a_running_attempt_is_seen", output_of_a_running_attempt_is_seen),
    ("a_loop_is_stopped", a_loop_is_stopped),
    ("a_memory_fill_is_stopped", a_memory_fill_is_stopped),
    ("a_flood_is_stopped", a_flood_is_stopped),
];

fn hello_goes_to_stdout_and_ends_with_zero() {
    let node = Node::new();
    for _ in 0..3 {
        let (story, ending) = node.run_wat(&hello());
        assert_eq!(ending, exited(0));
        assert_eq!(story.stdout, b"hello\n");
        assert!(story.digest.is_some());
    }
}

fn arguments_and_environment_are_those_given_and_no_others() {
    let node = Node::new();
    let mut spec = node.spec(&guest(
        "",
        "
        (drop (call $args_sizes_get (i32.const 32) (i32.const 36)))
        (drop (call $args_get (i32.const 2048) (i32.const 4096)))
        (call $print (i32.const 4096) (i32.load (i32.const 36)))
        (drop (call $environ_sizes_get (i32.const 32) (i32.const 36)))
        (drop (call $environ_get (i32.const 2048) (i32.const 4096)))
        (call $write (i32.const 2) (i32.const 4096) (i32.load (i32.const 36)))",
    ));
    spec.arguments = ["render", "", "--größe", "a b"].map(str::to_owned).to_vec();
    spec.environment = vec![("A".to_owned(), "1=2".to_owned()), ("B".to_owned(), String::new())];
    let (story, ending) = node.run(spec);
    assert_eq!(ending, exited(0));
    assert_eq!(String::from_utf8(story.stdout).unwrap(), "render\0\0--größe\0a b\0");
    assert_eq!(String::from_utf8(story.stderr).unwrap(), "A=1=2\0B=\0");
}

fn exit_codes_are_kept() {
    let node = Node::new();
    for code in [0, 1, 125, 126, 255] {
        assert_eq!(node.run_wat(&exit_with(code)).1, exited(u8::try_from(code).unwrap()));
    }
    for (code, reason) in [(256, "ExitStatus: 256"), (-1, "ExitStatus: minus 1")] {
        let expected = Ending::Exited { exit_code: 255, reason: Some(reason.to_owned()) };
        assert_eq!(node.run_wat(&exit_with(code)).1, expected);
    }
}

fn stdin_is_empty() {
    let node = Node::new();
    let wat = guest("", "(call $exit (call $read (i32.const 0) (i32.const 4096) (i32.const 100)))");
    assert_eq!(node.run_wat(&wat).1, exited(0));
}

fn traps_are_named() {
    let node = Node::new();
    let traps = [
        ("unreachable", "WasmTrap: wasm unreachable instruction executed"),
        ("(drop (i32.load (i32.const 0x7ffffff0)))", "WasmTrap: out of bounds memory access"),
        ("(drop (i32.div_u (i32.const 1) (local.get $n)))", "WasmTrap: integer divide by zero"),
    ];
    for (body, expected) in traps {
        let (_, ending) = node.run_wat(&guest("", body));
        assert!(matches!(ending, Ending::Failed { exit_code: 134, .. }));
        assert_eq!(reason_of(ending), expected);
    }
    let endless = r#"(module (memory (export "memory") 1) (func $f (export "_start") (call $f) (call $f)))"#;
    assert_eq!(reason_of(node.run_wat(endless).1), "WasmTrap: call stack exhausted");
    // The worker is none the worse for it.
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
}

fn memory_beyond_the_limit_is_refused() {
    let node = Node::new();
    let (_, ending) = node.run_wat(&grow_then("unreachable"));
    let reason = "OutOfMemoryError: Container killed due to memory usage".to_owned();
    let out_of_memory = Ending::Failed { exit_code: 137, reason };
    assert_eq!(ending, out_of_memory);
    // A guest that copes with a refusal ended by itself.
    assert_eq!(node.run_wat(&grow_then("")).1, exited(0));
    let large = r#"(module (memory (export "memory") 2000) (func (export "_start")))"#;
    assert_eq!(node.run_wat(large).1, out_of_memory);
    let mut spec = node.spec(large);
    spec.memory_limit_bytes = 2000 * 65_536;
    assert_eq!(node.run(spec).1, exited(0));
}

fn output_is_complete_and_held_back() {
    let node = Node::new();
    node.sink.close_gate(true);
    let attempt = node.start(node.spec(&flood(5000)));
    let story = node.sink.wait_for(attempt, "output", |story| !story.stdout.is_empty());
    assert!(story.stdout.len() <= 64 * 1024);
    node.sink.close_gate(false);
    let story = node.sink.wait_ended(attempt);
    assert_eq!(story.endings, [exited(0)]);
    assert_eq!(story.stdout.len(), 5000 * 4096);
}

fn output_of_a_running_attempt_is_seen() {
    let node = Node::new();
    let wat = guest("ready", "(call $print (i32.const 1024) (i32.const 5)) (loop (br 0))");
    let attempt = node.start(node.spec(&wat));
    let story = node.sink.wait_for(attempt, "output", |story| story.stdout == b"ready");
    assert_eq!((story.started, story.endings.len()), (1, 0));
    node.pool.stop(attempt);
    assert_eq!(node.sink.wait_ended(attempt).endings, [Ending::Stopped]);
}

fn stopped(wat: &str) {
    let node = Node::new();
    let attempt = node.start(node.spec(wat));
    node.sink.wait_started(attempt);
    node.pool.stop(attempt);
    node.pool.stop(attempt);
    assert_eq!(node.sink.wait_ended(attempt).endings, [Ending::Stopped]);
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
    assert_eq!(node.sink.story(attempt).endings, [Ending::Stopped]);
}

fn a_loop_is_stopped() {
    stopped(ENDLESS);
}

fn a_memory_fill_is_stopped() {
    stopped(
        r#"(module (memory (export "memory") 1000) (func (export "_start")
        (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65000000)) (br 0))))"#,
    );
}

fn a_flood_is_stopped() {
    stopped(&flood(0));
}
