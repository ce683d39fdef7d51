//! WASI 0.3 commands.

use wasmbatch_executor::EngineProfile::{Deterministic, Fuel, Plain};

use crate::Test;
use crate::direct::{Ask, End, Workers};
use crate::node::{Node, exited, reason_of};

pub(crate) const TESTS: &[Test] = &[
    ("an_asynchronous_command_ends_as_its_result_says", an_asynchronous_command_ends_as_its_result_says),
    ("an_asynchronous_command_traps_and_runs_out_of_fuel", an_asynchronous_command_traps_and_runs_out_of_fuel),
    ("an_asynchronous_command_waits", an_asynchronous_command_waits),
    ("an_asynchronous_command_writes_to_stdout", an_asynchronous_command_writes_to_stdout),
];

/// A command with a core module's function `run`, which calls `$return` with its result and ends with 0.
fn asynchronous(before: &str, imports: &str, body: &str, with: &str) -> String {
    format!(
        r#"(component {before}
  (core func $return (canon task.return (result (result))))
  (core instance $task (export "return" (func $return)))
  (core module $m
    (import "task" "return" (func $return (param i32)))
    {imports}
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
    (func (export "run") (result i32) {body} (i32.const 0)))
  (core instance $i (instantiate $m (with "task" (instance $task)) {with}))
  (func $run async (result (result)) (canon lift (core func $i "run") async (callback (core func $i "callback"))))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.3.0" (instance $exported)))"#
    )
}

fn returning(result: i32) -> String {
    asynchronous("", "", &format!("(call $return (i32.const {result}))"), "")
}

fn an_asynchronous_command_ends_as_its_result_says() {
    let node = Node::new();
    assert_eq!(node.run_wat(&returning(0)).1, exited(0));
    assert_eq!(node.run_wat(&returning(1)).1, exited(1));
    assert_eq!(node.run_wat(&returning(0)).1, exited(0));
}

fn an_asynchronous_command_traps_and_runs_out_of_fuel() {
    let node = Node::new();
    let reason = reason_of(node.run_wat(&asynchronous("", "", "unreachable", "")).1);
    assert_eq!(reason, "WasmTrap: wasm unreachable instruction executed");
    let workers = Workers::new();
    let endless = asynchronous("", "", "(loop (br 0))", "");
    let ask = Ask { fuel: Some(5000), ..Ask::default() };
    let ending = workers.run_wat(Fuel, &endless, &ask).ending;
    assert_eq!(ending, End::Failed(134, "FuelExhausted: 5000 of 5000".to_owned()));
}

/// Waits and returns an error unless that much time passed.
fn waiting(nanoseconds: u64) -> String {
    let before = r#"
      (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
        (export "now" (func (result u64)))
        (export "wait-for" (func async (param "how-long" u64)))))
      (core func $now (canon lower (func $clock "now")))
      (core func $wait (canon lower (func $clock "wait-for")))
      (core instance $host (export "now" (func $now)) (export "wait" (func $wait)))"#;
    let imports = r#"
      (import "host" "now" (func $now (result i64)))
      (import "host" "wait" (func $wait (param i64)))"#;
    let body = format!(
        "(local $before i64)
         (local.set $before (call $now))
         (call $wait (i64.const {nanoseconds}))
         (call $return (i64.lt_u (i64.sub (call $now) (local.get $before)) (i64.const {nanoseconds})))"
    );
    asynchronous(before, imports, &body, r#"(with "host" (instance $host))"#)
}

fn an_asynchronous_command_waits() {
    let node = Node::new();
    assert_eq!(node.run_wat(&waiting(10_000_000)).1, exited(0));
    let workers = Workers::new();
    let (century, ask) = (waiting(3_155_760_000_000_000_000), Ask { fuel: Some(10_000), ..Ask::default() });
    let first = workers.run_wat(Deterministic, &century, &ask);
    assert_eq!(first.ending, End::Exited(0));
    assert_eq!(workers.run_wat(Deterministic, &century, &ask), first);
}

fn an_asynchronous_command_writes_to_stdout() {
    let before = r#"
      (import "wasi:cli/types@0.3.0" (instance $types
        (type $e (enum "io" "illegal-byte-sequence" "pipe"))
        (export "error-code" (type (eq $e)))))
      (alias export $types "error-code" (type $error))
      (import "wasi:cli/stdout@0.3.0" (instance $stdout
        (alias outer 1 $error (type $outer))
        (export "error-code" (type $e (eq $outer)))
        (export "write-via-stream" (func (param "data" (stream u8)) (result (future (result (error $e))))))))
      (type $bytes (stream u8))
      (type $done (future (result (error $error))))
      (core module $memory (memory (export "memory") 1) (data (i32.const 64) "from WASI 0.3\n"))
      (core instance $mem (instantiate $memory))
      (alias core export $mem "memory" (core memory $shared))
      (core func $print (canon lower (func $stdout "write-via-stream")))
      (core func $new (canon stream.new $bytes))
      (core func $write (canon stream.write $bytes async (memory $shared)))
      (core func $close (canon stream.drop-writable $bytes))
      (core func $forget (canon future.drop-readable $done))
      (core func $set (canon waitable-set.new))
      (core func $join (canon waitable.join))
      (core func $wait (canon waitable-set.wait (memory $shared)))
      (core instance $host (export "print" (func $print)) (export "new" (func $new)) (export "write" (func $write))
        (export "close" (func $close)) (export "forget" (func $forget)) (export "set" (func $set))
        (export "join" (func $join)) (export "wait" (func $wait)))"#;
    let imports = r#"
      (import "host" "print" (func $print (param i32) (result i32)))
      (import "host" "new" (func $new (result i64)))
      (import "host" "write" (func $write (param i32 i32 i32) (result i32)))
      (import "host" "close" (func $close (param i32)))
      (import "host" "forget" (func $forget (param i32)))
      (import "host" "set" (func $set (result i32)))
      (import "host" "join" (func $join (param i32 i32)))
      (import "host" "wait" (func $wait (param i32 i32) (result i32)))"#;
    let body = r"
      (local $pair i64) (local $writer i32) (local $future i32) (local $set i32)
      (local.set $pair (call $new))
      (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
      (local.set $future (call $print (i32.wrap_i64 (local.get $pair))))
      ;; -1: it is under way
      (if (i32.eq (call $write (local.get $writer) (i32.const 64) (i32.const 14)) (i32.const -1)) (then
        (local.set $set (call $set))
        (call $join (local.get $writer) (local.get $set))
        (drop (call $wait (local.get $set) (i32.const 0)))
        (call $join (local.get $writer) (i32.const 0))))
      (call $close (local.get $writer))
      (call $forget (local.get $future))
      (call $return (i32.const 0))";
    let workers = Workers::new();
    let wat = asynchronous(before, imports, body, r#"(with "host" (instance $host))"#);
    let ran = workers.run_wat(Plain, &wat, &Ask::default());
    assert_eq!(ran.ending, End::Exited(0));
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "from WASI 0.3\n");
    assert!(ran.usage.written_bytes >= 14);
}
