//! Log streams: written interleaved, read by position, read back after a crash.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use wasmbatch_core::{AttemptId, Timestamp};
use wasmbatch_store::Store;
use wasmbatch_store::logs::{InterruptedStream, LogLimits, LogStore, Output};

use crate::samples::id;

const GROUP: &str = "/aws/batch/job";

fn attempt(number: u8) -> AttemptId {
    AttemptId { job: id(number), number: 1, generation: 0, member: 0 }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

struct Bench {
    store: Store,
    logs: LogStore,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).unwrap();
        let logs = LogStore::open(&folder.path().join("logs")).unwrap();
        Self { store, logs, folder }
    }

    fn begin(&self, number: u8) {
        self.logs.begin(attempt(number), GROUP, &format!("s{number}"), LogLimits::default(), at(1));
    }

    fn write(&self, number: u8, text: &str, millis: i64) {
        self.logs.append(attempt(number), Output::Stdout, text.as_bytes(), at(millis)).unwrap();
    }

    fn seal(&self, number: u8) {
        let sealed = self.logs.seal(attempt(number), at(99)).unwrap().unwrap();
        self.store.write(|transaction| transaction.put_log_stream(&sealed)).unwrap();
        self.logs.forget(attempt(number));
    }

    fn read(&self, number: u8, from: u64, limit: usize) -> Vec<String> {
        let page = self.logs.events(&self.store, GROUP, &format!("s{number}"), from, limit, 1 << 20).unwrap().unwrap();
        for (event, position) in page.events.iter().zip(from..) {
            assert_eq!(event.position, position);
        }
        page.events.into_iter().map(|event| event.message).collect()
    }
}

#[test]
fn interleaved_streams_are_read_apart_by_position_live_and_sealed() {
    let bench = Bench::new();
    bench.begin(1);
    bench.begin(2);
    for round in 0..50 {
        bench.write(1, &format!("a{round}\nb{round}\n"), round);
        bench.write(2, &format!("c{round}\n"), round);
    }
    bench.write(1, "no end", 60);
    assert_eq!(bench.read(1, 97, 10), ["b48", "a49", "b49"]);
    bench.seal(1);
    for number in [1, 2] {
        let all = bench.read(number, 0, 1000);
        for from in 0..all.len() {
            assert_eq!(bench.read(number, from as u64, 3), all[from..all.len().min(from + 3)]);
        }
    }
    assert_eq!(bench.read(1, 100, 10), ["no end"]);
    assert_eq!(bench.read(1, 101, 10), [""; 0]);
    let streams = bench.logs.streams(&bench.store, GROUP, "s", None, 10).unwrap();
    assert_eq!(streams.iter().map(|s| (s.name.as_str(), s.events)).collect::<Vec<_>>(), [("s1", 101), ("s2", 50)]);
    assert_eq!(bench.logs.streams(&bench.store, GROUP, "s", Some("s1"), 10).unwrap().len(), 1);
    assert_eq!(bench.logs.groups(&bench.store).unwrap().len(), 1);
    assert!(bench.logs.events(&bench.store, GROUP, "s3", 0, 1, 1).unwrap().is_none());
}

#[test]
fn times_of_a_stream_never_fall_though_the_clock_steps_back() {
    let bench = Bench::new();
    bench.begin(1);
    for millis in [5, 9, 2, 10] {
        bench.write(1, "x\n", millis);
    }
    let page = bench.logs.events(&bench.store, GROUP, "s1", 0, 10, 1 << 20).unwrap().unwrap();
    assert_eq!(page.events.iter().map(|event| event.timestamp.as_millis()).collect::<Vec<_>>(), [5, 9, 9, 10]);
}

#[test]
fn a_page_is_cut_by_bytes_but_never_empty() {
    let bench = Bench::new();
    bench.begin(1);
    bench.write(1, &format!("{}\n", "x".repeat(5000)).repeat(4), 5);
    let page = |max_bytes| bench.logs.events(&bench.store, GROUP, "s1", 0, 100, max_bytes).unwrap().unwrap();
    assert_eq!(page(1).events.len(), 1);
    assert_eq!(page(10_000).events.len(), 2);
    assert_eq!(page(1 << 20).total, 4);
}

#[test]
fn a_stream_over_its_limits_says_so_once() {
    let bench = Bench::new();
    let limits = LogLimits { bytes: 1000, lines: 3 };
    bench.logs.begin(attempt(1), GROUP, "s1", limits, at(1));
    for line in 0..10 {
        bench.write(1, &format!("{line}\n"), 2);
    }
    let lines = bench.read(1, 0, 100);
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[..3], ["0", "1", "2"]);
    assert!(lines[3].contains("limit of 1000 bytes or 3 lines"));
}

fn newest_segment(folder: &Path) -> std::path::PathBuf {
    std::fs::read_dir(folder.join("logs")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn what_was_written_before_a_crash_is_read_back_and_a_torn_record_is_cut_off() {
    let mut bench = Bench::new();
    let now = at(i64::try_from(
        std::fs::metadata(bench.folder.path())
            .unwrap()
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap());
    bench.begin(1);
    bench.begin(2);
    bench.write(1, "one\n", 10);
    bench.write(2, "other\n", 11);
    bench.write(1, "two\nlost with the process", 12);
    let mut segment = OpenOptions::new().append(true).open(newest_segment(bench.folder.path())).unwrap();
    segment.write_all(&[40, 0, 0, 0, 1, 2, 3, 4, 5, 6]).unwrap();

    bench.logs = LogStore::open(&bench.folder.path().join("logs")).unwrap();
    let stream = InterruptedStream {
        attempt: attempt(1),
        group: GROUP.to_owned(),
        name: "s1".to_owned(),
        limits: LogLimits::default(),
        began_at: now,
    };
    bench.logs.recover(vec![stream]).unwrap();
    assert_eq!(bench.read(1, 0, 10), ["one", "two"]);
    bench.write(1, "three\n", 13);
    bench.seal(1);
    assert_eq!(bench.read(1, 0, 10), ["one", "two", "three"]);
    let info = bench.logs.streams(&bench.store, GROUP, "", None, 10).unwrap().remove(0);
    assert_eq!((info.events, info.stored_bytes), (3, 11));
    assert_eq!((info.first_event_at, info.last_event_at), (Some(at(10)), Some(at(13))));
}

#[test]
fn output_of_a_stream_that_was_not_begun_is_dropped() {
    let bench = Bench::new();
    bench.write(7, "nobody reads this\n", 1);
    assert!(bench.logs.seal(attempt(7), at(2)).unwrap().is_none());
}

#[test]
fn closing_syncs_a_last_time() {
    let bench = Bench::new();
    bench.begin(1);
    bench.write(1, "x\n", 1);
    bench.logs.close();
    assert!(!bench.logs.sync_next(Duration::from_secs(3600)).unwrap());
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_when_they_are_read() {
    let bench = Bench::new();
    bench.begin(1);
    bench.logs.append(attempt(1), Output::Stdout, b"a\xffb\xe2\x82\n\xc0\x80\n\x1b[31m\n", at(2)).unwrap();
    let messages = ["a\u{fffd}b\u{fffd}", "\u{fffd}\u{fffd}", "\u{1b}[31m"];
    assert_eq!(bench.read(1, 0, 10), messages);
    bench.seal(1);
    assert_eq!(bench.read(1, 0, 10), messages);
}
