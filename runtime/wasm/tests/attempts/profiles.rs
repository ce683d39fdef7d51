//! Fuel, and runs that come out the same.

use wasmbatch_executor::EngineProfile::{Deterministic, Fuel, Plain};
use wasmbatch_executor::frame::Purpose;
use wasmbatch_executor::{EngineProfile, NetworkAccess};

use crate::Test;
use crate::direct::{Ask, End, Ran, Workers};
use crate::guests::{ENDLESS, NO_OP, command, exit_with, guest};
use crate::node::WORKER_FLAG;

pub(crate) const TESTS: &[Test] = &[
    ("each_profile_has_an_engine_of_its_own", each_profile_has_an_engine_of_its_own),
    ("fuel_is_counted_and_the_same_each_time", fuel_is_counted_and_the_same_each_time),
    ("whoever_runs_out_of_fuel_is_ended", whoever_runs_out_of_fuel_is_ended),
    ("a_deterministic_module_sees_the_same_world_each_time", a_deterministic_module_sees_the_same_world_each_time),
    (
        "a_deterministic_component_sees_the_same_world_each_time",
        a_deterministic_component_sees_the_same_world_each_time,
    ),
    ("virtual_time_passes_while_nobody_waits", virtual_time_passes_while_nobody_waits),
    ("nans_are_canonical_where_results_must_be", nans_are_canonical_where_results_must_be),
];

fn each_profile_has_an_engine_of_its_own() {
    let workers = Workers::new();
    let key = |profile| workers.begin(Purpose::Run, profile, NetworkAccess::None, WORKER_FLAG).engine;
    let keys = EngineProfile::ALL.map(key);
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    assert_eq!(keys, EngineProfile::ALL.map(key));
}

fn with_fuel(fuel: u64) -> Ask {
    Ask { fuel: Some(fuel), ..Ask::default() }
}

fn fuel_is_counted_and_the_same_each_time() {
    let workers = Workers::new();
    let counting = guest(
        "",
        "(loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000)))) (call $exit (i32.const 3))",
    );
    let used = |profile| {
        let Ran { ending, usage, .. } = workers.run_wat(profile, &counting, &with_fuel(1_000_000));
        assert_eq!(ending, End::Exited(3));
        usage.fuel
    };
    let first = used(Fuel).unwrap();
    assert!((5_000..20_000).contains(&first), "{first}");
    assert_eq!(used(Fuel), Some(first));
    assert_eq!(used(Deterministic), Some(first));
    assert_eq!(used(Plain), None);
    assert_eq!(workers.run_wat(Fuel, NO_OP, &Ask::default()).ending, End::Exited(0));
}

fn whoever_runs_out_of_fuel_is_ended() {
    let workers = Workers::new();
    let calls = guest("", "(loop (drop (call $fd_close (i32.const 77))) (br 0))");
    let fills = r#"(module (memory (export "memory") 100) (func (export "_start")
        (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 6500000)) (br 0))))"#;
    let recursion = r#"(module (memory (export "memory") 1) (func $f (export "_start") (return_call $f)))"#;
    let start = r#"(module (memory (export "memory") 1) (func $f (loop (br 0))) (start $f) (func (export "_start")))"#;
    for wat in [ENDLESS, &calls, fills, recursion, start] {
        let Ran { ending, usage, .. } = workers.run_wat(Fuel, wat, &with_fuel(20_000_000));
        assert_eq!(ending, End::Failed(134, "FuelExhausted: 20000000 of 20000000".to_owned()));
        assert_eq!(usage.fuel, Some(20_000_000));
    }
    // One that has just enough ends by itself.
    let enough = workers.run_wat(Fuel, &exit_with(0), &with_fuel(1000)).usage.fuel.unwrap();
    assert_eq!(workers.run_wat(Fuel, &exit_with(0), &with_fuel(enough + 1)).ending, End::Exited(0));
    let ending = workers.run_wat(Fuel, &exit_with(0), &with_fuel(1)).ending;
    assert_eq!(ending, End::Failed(134, "FuelExhausted: 1 of 1".to_owned()));
}

/// Prints both clocks, waits an hour, prints them again, and 64 random bytes.
const CURIOUS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 1024)))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 1032)))
    ;; two clocks, the second of which is over first
    (i64.store (i32.const 100) (i64.const 7))
    (i32.store (i32.const 116) (i32.const 1))
    (i64.store (i32.const 124) (i64.const 7200000000000))
    (i64.store (i32.const 148) (i64.const 8))
    (i32.store (i32.const 164) (i32.const 1))
    (i64.store (i32.const 172) (i64.const 3600000000000))
    (if (call $poll (i32.const 100) (i32.const 300) (i32.const 2) (i32.const 400)) (then unreachable))
    (if (i32.ne (i32.load (i32.const 400)) (i32.const 1)) (then unreachable))
    (if (i64.ne (i64.load (i32.const 300)) (i64.const 8)) (then unreachable))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 1040)))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 1048)))
    (drop (call $random (i32.const 1056) (i32.const 64)))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 96))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn a_deterministic_module_sees_the_same_world_each_time() {
    let workers = Workers::new();
    let ask = with_fuel(100_000);
    let begun = std::time::Instant::now();
    let first = workers.run_wat(Deterministic, CURIOUS, &ask);
    assert_eq!(first.ending, End::Exited(0));
    assert_eq!(workers.run_wat(Deterministic, CURIOUS, &ask), first);
    assert!(begun.elapsed().as_secs() < 3600);
    let seen = numbers(&first.stdout);
    assert_eq!(seen[..2], [1_577_836_800_000_000_000, 1_000]);
    // Each reading is a step of a microsecond.
    assert_eq!(seen[3] - seen[1], 3_600_000_000_000 + 2 * 1_000);
    let others = Ask { arguments: vec!["program", "other"], ..ask };
    let other = workers.run_wat(Deterministic, CURIOUS, &others);
    assert_eq!(other.usage, first.usage);
    assert_eq!(numbers(&other.stdout)[..4], seen[..4]);
    assert_ne!(numbers(&other.stdout)[4..], seen[4..]);
}

/// A component that exits with a byte made of random numbers and the time after an hour's wait.
fn curious_component() -> String {
    let before = r#"
      (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
      (import "wasi:random/insecure@0.2.0" (instance $insecure (export "get-insecure-random-u64" (func (result u64)))))
      (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $p))))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $p (eq $outer)))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
      (import "wasi:cli/exit@0.2.6" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
      (core func $get (canon lower (func $random "get-random-u64")))
      (core func $get-insecure (canon lower (func $insecure "get-insecure-random-u64")))
      (core func $block (canon lower (func $poll "[method]pollable.block")))
      (core func $now (canon lower (func $clock "now")))
      (core func $wait (canon lower (func $clock "subscribe-duration")))
      (core func $leave (canon lower (func $exit "exit-with-code")))
      (core instance $host (export "random" (func $get)) (export "insecure" (func $get-insecure))
        (export "block" (func $block)) (export "now" (func $now)) (export "wait" (func $wait))
        (export "exit" (func $leave)))"#;
    let module = r#"
      (import "host" "random" (func $random (result i64)))
      (import "host" "insecure" (func $insecure (result i64)))
      (import "host" "block" (func $block (param i32)))
      (import "host" "now" (func $now (result i64)))
      (import "host" "wait" (func $wait (param i64) (result i32)))
      (import "host" "exit" (func $exit (param i32)))
      (func (export "run") (result i32)
        (call $block (call $wait (i64.const 3600000000000)))
        (if (i64.lt_u (call $now) (i64.const 3600000000000)) (then unreachable))
        (call $exit (i32.wrap_i64 (i64.and (i64.const 255)
          (i64.xor (i64.xor (call $random) (call $insecure)) (i64.div_u (call $now) (i64.const 1000))))))
        (i32.const 0))"#;
    command("wasi:cli/run@0.2.6", before, module, r#"(with "host" (instance $host))"#)
}

fn a_deterministic_component_sees_the_same_world_each_time() {
    let workers = Workers::new();
    let compiled = workers.compile(Deterministic, &wat::parse_str(curious_component()).unwrap());
    let run = |arguments: Vec<&'static str>| {
        let ask = Ask { arguments, ..with_fuel(100_000) };
        workers.begin(Purpose::Run, Deterministic, NetworkAccess::None, WORKER_FLAG).run(&compiled, &ask)
    };
    let first = run(vec!["program"]);
    assert!(matches!(first.ending, End::Exited(_)), "{first:?}");
    assert_eq!(run(vec!["program"]), first);
    // Of a few others one has another last byte.
    let others = [vec!["a"], vec!["b"], vec!["a", "b"], vec!["ab"]].map(|arguments| run(arguments).ending);
    assert!(others.iter().any(|other| *other != first.ending), "{others:?}");
}

fn virtual_time_passes_while_nobody_waits() {
    let workers = Workers::new();
    // As long as can be said; then until a moment that is over; then for nothing; then for nothing
    // that there is, which is an error of number 28.
    let sleeper = r#"(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func $poll (param i32) (result i32)
        (call $poll_oneoff (i32.const 100) (i32.const 300) (local.get 0) (i32.const 400)))
      (func (export "_start")
        (i32.store (i32.const 116) (i32.const 1))
        (i64.store (i32.const 124) (i64.const -1))
        (if (call $poll (i32.const 1)) (then unreachable))
        (i64.store (i32.const 124) (i64.const 5))
        (i32.store16 (i32.const 140) (i32.const 1))
        (if (call $poll (i32.const 1)) (then unreachable))
        (if (i32.ne (call $poll (i32.const 0)) (i32.const 28)) (then unreachable))
        (i32.store8 (i32.const 108) (i32.const 9))
        (call $exit (call $poll (i32.const 1)))))"#;
    assert_eq!(workers.run_wat(Deterministic, sleeper, &with_fuel(100_000)).ending, End::Exited(28));
}

fn nans_are_canonical_where_results_must_be() {
    let workers = Workers::new();
    // 0/0 has its sign bit set on x86-64; the canonical one hasn't.
    let wat = guest(
        "",
        "(call $exit (i32.shr_u (i32.reinterpret_f32
        (f32.div (f32.convert_i32_u (local.get $n)) (f32.convert_i32_u (local.get $n)))) (i32.const 31)))",
    );
    assert_eq!(workers.run_wat(Deterministic, &wat, &with_fuel(1000)).ending, End::Exited(0));
}
