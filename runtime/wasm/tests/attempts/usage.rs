//! What workers say that attempts used.

use wasmbatch_executor::EngineProfile::Plain;
use wasmbatch_executor::NetworkAccess;
use wasmbatch_executor::frame::Purpose;

use crate::Test;
use crate::direct::{Ask, End, Workers};
use crate::guests::{NO_OP, flood, guest, write_file};
use crate::node::WORKER_FLAG;

pub(crate) const TESTS: &[Test] = &[
    ("memory_and_traffic_are_counted", memory_and_traffic_are_counted),
    ("counting_starts_anew_with_each_attempt", counting_starts_anew_with_each_attempt),
];

/// Bytes by which threads may have woken each other.
const SLACK: u64 = 64;

fn memory_and_traffic_are_counted() {
    let workers = Workers::new();
    let run = |wat: &str| {
        let ran = workers.run_wat(Plain, wat, &Ask::default());
        assert_eq!(ran.ending, End::Exited(0));
        ran.usage
    };
    let growing = run(r#"(module (memory (export "memory") 3) (func (export "_start")
        (drop (memory.grow (i32.const 7))) (drop (memory.grow (i32.const 100000)))))"#);
    assert_eq!(growing.peak_memory_bytes, 10 * 65_536);
    assert!(growing.read_bytes <= SLACK && growing.written_bytes <= SLACK, "{growing:?}");
    let printing = run(&flood(100));
    assert!((409_600..409_600 + SLACK).contains(&printing.written_bytes), "{printing:?}");
    let writing = run(&write_file(3, "file", &"x".repeat(2000)));
    assert!((2000..2000 + SLACK).contains(&writing.written_bytes), "{writing:?}");
    assert!(writing.read_bytes <= SLACK, "{writing:?}");
    // Opens the same file once more and reads it.
    let path_and_text = format!("file{}", "x".repeat(3000));
    let reading = run(&guest(
        &path_and_text,
        "(call $write (call $open (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 1) (i64.const 64))
           (i32.const 1028) (i32.const 3000))
         (drop (call $read (call $open (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 2))
           (i32.const 8192) (i32.const 8192)))",
    ));
    assert!((3000..3000 + SLACK).contains(&reading.read_bytes), "{reading:?}");
}

fn counting_starts_anew_with_each_attempt() {
    let workers = Workers::new();
    let no_op = workers.compile(Plain, &wat::parse_str(NO_OP).unwrap());
    let printing = workers.compile(Plain, &wat::parse_str(flood(100)).unwrap());
    let mut worker = workers.begin(Purpose::Run, Plain, NetworkAccess::None, WORKER_FLAG);
    for _ in 0..3 {
        assert!(worker.run(&printing, &Ask::default()).usage.written_bytes >= 409_600);
        let usage = worker.run(&no_op, &Ask::default()).usage;
        assert!(usage.written_bytes <= SLACK && usage.read_bytes <= SLACK, "{usage:?}");
        assert_eq!(usage.peak_memory_bytes, 65_536);
    }
}
