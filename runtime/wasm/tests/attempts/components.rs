//! WASI 0.2 commands.

use wasmbatch_core::Ending;

use crate::Test;
use crate::guests::command;
use crate::node::{Node, exited, reason_of};

pub(crate) const TESTS: &[Test] = &[
    ("a_component_ends_as_its_result_says", a_component_ends_as_its_result_says),
    ("a_component_exits_with_its_code", a_component_exits_with_its_code),
    ("a_component_writes_to_stdout", a_component_writes_to_stdout),
    ("a_component_traps", a_component_traps),
    ("memories_of_all_instances_count_together", memories_of_all_instances_count_together),
    ("components_of_another_world_do_not_start", components_of_another_world_do_not_start),
];

const RUN: &str = "wasi:cli/run@0.2.6";

fn returning(value: i32) -> String {
    command(RUN, "", &format!(r#"(func (export "run") (result i32) (i32.const {value}))"#), "")
}

fn a_component_ends_as_its_result_says() {
    let node = Node::new();
    assert_eq!(node.run_wat(&returning(0)).1, exited(0));
    assert_eq!(node.run_wat(&returning(1)).1, exited(1));
}

fn exiting(version: &str, function: &str, parameter: &str, value: i32) -> String {
    let before = format!(
        r#"(import "wasi:cli/exit@{version}" (instance $exit (export "{function}" (func {parameter}))))
           (core func $lowered (canon lower (func $exit "{function}")))
           (core instance $host (export "exit" (func $lowered)))"#
    );
    let module = format!(
        r#"(import "host" "exit" (func $exit (param i32)))
           (func (export "run") (result i32) (call $exit (i32.const {value})) (i32.const 0))"#
    );
    command(RUN, &before, &module, r#"(with "host" (instance $host))"#)
}

fn a_component_exits_with_its_code() {
    let node = Node::new();
    let plain = r#"(param "status" (result))"#;
    assert_eq!(node.run_wat(&exiting("0.2.0", "exit", plain, 0)).1, exited(0));
    assert_eq!(node.run_wat(&exiting("0.2.3", "exit", plain, 1)).1, exited(1));
    let coded = r#"(param "status-code" u8)"#;
    for code in [0, 126, 255] {
        let (_, ending) = node.run_wat(&exiting("0.2.6", "exit-with-code", coded, code));
        assert_eq!(ending, exited(u8::try_from(code).unwrap()));
    }
}

fn a_component_writes_to_stdout() {
    let node = Node::new();
    let before = r#"
      (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
      (alias export $error "error" (type $error-type))
      (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $error-type (type $outer-error))
        (export "error" (type $e (eq $outer-error)))
        (export "output-stream" (type $o (sub resource)))
        (type $v (variant (case "last-operation-failed" (own $e)) (case "closed")))
        (export "stream-error" (type $se (eq $v)))
        (export "[method]output-stream.blocking-write-and-flush"
          (func (param "self" (borrow $o)) (param "contents" (list u8)) (result (result (error $se)))))))
      (alias export $streams "output-stream" (type $stream))
      (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $stream (type $outer-stream))
        (export "output-stream" (type $o (eq $outer-stream)))
        (export "get-stdout" (func (result (own $o))))))
      (core module $memory (memory (export "memory") 1) (data (i32.const 64) "from a component\n"))
      (core instance $mem (instantiate $memory))
      (alias core export $mem "memory" (core memory $shared))
      (core func $get (canon lower (func $stdout "get-stdout")))
      (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $shared)))
      (core instance $host (export "get" (func $get)) (export "write" (func $write)) (export "memory" (memory $shared)))"#;
    let module = r#"
      (import "host" "get" (func $get (result i32)))
      (import "host" "write" (func $write (param i32 i32 i32 i32)))
      (import "host" "memory" (memory 1))
      (func (export "run") (result i32)
        (call $write (call $get) (i32.const 64) (i32.const 17) (i32.const 0))
        (i32.load8_u (i32.const 0)))"#;
    let (story, ending) = node.run_wat(&command(RUN, before, module, r#"(with "host" (instance $host))"#));
    assert_eq!(ending, exited(0));
    assert_eq!(String::from_utf8(story.stdout).unwrap(), "from a component\n");
}

fn a_component_traps() {
    let node = Node::new();
    let wat = command(RUN, "", r#"(func (export "run") (result i32) unreachable)"#, "");
    let (_, ending) = node.run_wat(&wat);
    assert!(matches!(ending, Ending::Failed { exit_code: 134, .. }));
    assert_eq!(reason_of(ending), "WasmTrap: wasm unreachable instruction executed");
}

fn memories_of_all_instances_count_together() {
    let node = Node::new();
    let with_memories = |pages: u32| {
        let other =
            format!("(core module $other (memory (export \"m\") {pages})) (core instance (instantiate $other))");
        let own = format!(r#"(memory {pages}) (func (export "run") (result i32) (i32.const 0))"#);
        command(RUN, &other, &own, "")
    };
    // 64 MiB are 1,024 pages.
    assert_eq!(node.run_wat(&with_memories(512)).1, exited(0));
    assert!(matches!(node.run_wat(&with_memories(513)).1, Ending::Failed { exit_code: 137, .. }));
}

fn components_of_another_world_do_not_start() {
    let node = Node::new();
    let nothing = "(component)".to_owned();
    let world = "InvalidModule: it is a component of another world: it exports no wasi:cli run of WASI 0.2 or 0.3";
    assert_eq!(reason_of(node.run_wat(&nothing).1), world);
    let other =
        command("wasi:http/incoming-handler@0.2.0", "", r#"(func (export "run") (result i32) unreachable)"#, "");
    assert_eq!(reason_of(node.run_wat(&other).1), world);
    let candidate =
        command("wasi:cli/run@0.3.0-rc-2025-09-16", "", r#"(func (export "run") (result i32) unreachable)"#, "");
    let reason = "InvalidModule: it is a component of WASI 0.3.0 rc 2025 09 16: here are WASI 0.2 and 0.3.0";
    assert_eq!(reason_of(node.run_wat(&candidate).1), reason);
    let importing = command(
        RUN,
        r#"(import "acme:storage/keys@1.0.0" (instance (export "get" (func (result u32)))))"#,
        r#"(func (export "run") (result i32) (i32.const 0))"#,
        "",
    );
    let reason = reason_of(node.run_wat(&importing).1);
    assert!(reason.starts_with("InvalidModule: an import that nobody provides: "), "{reason}");
    assert!(reason.contains("acme:storage keys 1.0.0"), "{reason}");
}
