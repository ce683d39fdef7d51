//! What an attempt, a worker and a compilation may take.

use std::time::Duration;

use wasmbatch_core::Ending;
use wasmbatch_executor::{Executor as _, PrepareError, Program, ScratchLimits};

use crate::Test;
use crate::guests::{ENDLESS, NO_OP, guest};
use crate::node::{Node, children, exited, reason_of, spec_of};

pub(crate) const TESTS: &[Test] = &[
    ("cpu_time_is_bounded_and_told", cpu_time_is_bounded_and_told),
    ("cpu_is_shared_out_as_granted", cpu_is_shared_out_as_granted),
    ("a_worker_is_replaced_after_so_many_attempts", a_worker_is_replaced_after_so_many_attempts),
    ("large_scratch_is_a_disk_or_refused", large_scratch_is_a_disk_or_refused),
    ("a_compilation_that_takes_too_much_memory_is_refused", a_compilation_that_takes_too_much_memory_is_refused),
    ("walls_are_told", walls_are_told),
];

fn cpu_time_is_bounded_and_told() {
    let node = Node::new();
    let mut spec = node.spec(ENDLESS);
    spec.cpu_limit = Some(Duration::from_secs(1));
    let (story, ending) = node.run(spec);
    let reason = "CpuTimeExceeded: more than 1 seconds of CPU time".to_owned();
    assert_eq!(ending, Ending::Failed { exit_code: 137, reason });
    let used = story.usage.unwrap().cpu_microseconds;
    // The bound counts whole seconds of the process, of which its beginning took some.
    assert!((500_000..3_000_000).contains(&used), "{used}");
    assert!(node.pool.quarantined().is_empty());
    // The next attempt of the same kind has its time for itself.
    let mut spec = node.spec(NO_OP);
    spec.cpu_limit = Some(Duration::from_secs(1));
    assert_eq!(node.run(spec).1, exited(0));
}

fn cpu_is_shared_out_as_granted() {
    let node = Node::new();
    if node.pool.walls().iter().any(|wall| wall.name == "cpu cgroup" && wall.state.is_err()) {
        // Without a cgroup the kernel shares out as it likes, which the node says at its start.
        return;
    }
    let mut spec = node.spec(ENDLESS);
    spec.cpu_thousandths = 250;
    let begun = std::time::Instant::now();
    let attempt = node.start(spec);
    node.sink.wait_started(attempt);
    std::thread::sleep(Duration::from_millis(1000));
    node.pool.stop(attempt);
    let story = node.sink.wait_ended(attempt);
    let (used, passed) = (Duration::from_micros(story.usage.unwrap().cpu_microseconds), begun.elapsed());
    // A quarter, and one period more.
    assert!(used <= passed / 4 + Duration::from_millis(100), "{used:?} of {passed:?}");
}

fn a_worker_is_replaced_after_so_many_attempts() {
    let node = Node::with(|options| {
        options.max_workers = 1;
        options.warm_workers = 1;
        options.attempts_per_worker = 3;
    });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..9 {
        assert_eq!(node.run_wat(NO_OP).1, exited(0));
        seen.extend(children());
    }
    // Compilers are among the children, but there was one module only.
    assert!(seen.len() >= 3, "{seen:?}");
}

fn large_scratch_is_a_disk_or_refused() {
    let node = Node::new();
    // Writes a byte behind the first GiB, which memory would not have held, in a file without the rest.
    let body = r#"(local.set $n (call $open (i32.const 3) (i32.const 1024) (i32.const 1) (i32.const 1) (i64.const 64)))
                  (call $write (local.get $n) (i32.const 1024) (i32.const 1))"#;
    let mut spec = node.spec(&guest("f", body));
    spec.scratch = ScratchLimits { bytes: (1 << 30) + (1 << 20), inodes: 1000 };
    let (_, ending) = node.run(spec);
    match ending {
        Ending::CouldNotStart { reason } => {
            assert!(reason.starts_with("ResourceInitializationError: a scratch folder of 1 GiB"), "{reason}");
            let quota = node.pool.walls().into_iter().find(|wall| wall.name == "scratch quota").unwrap();
            assert!(!matches!(quota.state, Ok(what) if what.ends_with("on disk")), "{reason}");
        }
        ending => assert_eq!(ending, exited(0)),
    }
    // More than there is, wherever this runs.
    let mut spec = spec_of(Program::Stored { digest: node.put(&wat::parse_str(NO_OP).unwrap()) });
    spec.scratch = ScratchLimits::of_gib(1 << 20);
    let reason = reason_of(node.run(spec).1);
    assert!(
        reason.starts_with("ResourceInitializationError: a scratch folder of 1048576 GiB is not possible"),
        "{reason}"
    );
}

fn a_compilation_that_takes_too_much_memory_is_refused() {
    let node = Node::with(|options| options.compile_memory_bytes = 64 << 20);
    let bomb =
        format!("(module (memory (export \"memory\") 1) {} (func (export \"_start\")))", "(func)".repeat(200_000));
    let digest = node.put(&wat::parse_str(bomb).unwrap());
    let Err(PrepareError::Rejected { reason }) = node.pool.prepare(digest) else { panic!("it was compiled") };
    assert_eq!(reason, "its compilation took more than 64 MiB of memory");
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
}

fn walls_are_told() {
    let node = Node::new();
    let walls = node.pool.walls();
    let names: Vec<&str> = walls.iter().map(|wall| wall.name).collect();
    let all = [
        "namespaces",
        "root",
        "user",
        "capabilities",
        "limits",
        "landlock",
        "seccomp",
        "memory cgroup",
        "cpu cgroup",
        "pids cgroup",
        "scratch quota",
    ];
    assert_eq!(names, all);
    for wall in &walls {
        let (Ok(text) | Err(text)) = &wall.state;
        assert!(!text.is_empty(), "{}", wall.name);
    }
    // What every Linux has on which this is built.
    for name in ["capabilities", "limits", "seccomp"] {
        assert!(walls.iter().any(|wall| wall.name == name && wall.state.is_ok()), "{walls:?}");
    }
}
