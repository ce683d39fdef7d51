//! Worker processes: how many, which, and what becomes of them.

use std::collections::BTreeSet;

use wasmbatch_core::Ending;
use wasmbatch_executor::{Executor as _, Program};
use wasmbatch_jail::{Namespaces, Spawner, WorkerCommand};

use crate::Test;
use crate::guests::{ENDLESS, NO_OP, guest, hello};
use crate::node::{Node, children, exited, mount, spec_of, until};

pub(crate) const TESTS: &[Test] = &[
    ("a_warm_worker_is_used_again", a_warm_worker_is_used_again),
    ("more_programs_than_a_worker_keeps", more_programs_than_a_worker_keeps),
    ("two_attempts_run_at_once", two_attempts_run_at_once),
    ("attempts_beyond_the_workers_wait", attempts_beyond_the_workers_wait),
    ("a_waiting_attempt_is_stopped", a_waiting_attempt_is_stopped),
    ("idle_workers_are_bounded", idle_workers_are_bounded),
    ("no_worker_serves_two_domains_or_a_folder_and_another", no_worker_serves_two_domains_or_a_folder_and_another),
    ("a_killed_worker_takes_its_attempt_and_nothing_else", a_killed_worker_takes_its_attempt_and_nothing_else),
    ("an_idle_worker_that_died_is_replaced", an_idle_worker_that_died_is_replaced),
    ("shutdown_ends_everything", shutdown_ends_everything),
    ("many_attempts_end_once_each", many_attempts_end_once_each),
];

fn a_warm_worker_is_used_again() {
    let mut most = 0;
    let node = Node::with(|options| {
        options.max_workers = 1.max(options.warm_workers);
        most = options.max_workers;
    });
    node.run_wat(&hello());
    let before = children();
    for _ in 0..20 {
        node.run_wat(&hello());
    }
    // A second one may have been started while the first was still tidying up, none for each attempt.
    let after = children();
    assert!(before.iter().all(|worker| after.contains(worker)), "{before:?} and then {after:?}");
    assert!(after.len() <= most.max(before.len()), "{before:?} and then {after:?}");
}

fn more_programs_than_a_worker_keeps() {
    let node = Node::new();
    for _ in 0..2 {
        for code in 0..40 {
            let (_, ending) = node.run_wat(&guest("", &format!("(call $exit (i32.const {code}))")));
            assert_eq!(ending, exited(code));
        }
    }
}

fn two_attempts_run_at_once() {
    let node = Node::new();
    let attempts = [ENDLESS, ENDLESS].map(|wat| node.start(node.spec(wat)));
    for attempt in attempts {
        node.sink.wait_started(attempt);
    }
    for attempt in attempts {
        assert!(node.sink.story(attempt).endings.is_empty());
        node.pool.stop(attempt);
        assert_eq!(node.sink.wait_ended(attempt).endings, [Ending::Stopped]);
    }
}

fn attempts_beyond_the_workers_wait() {
    let node = Node::with(|options| (options.max_workers, options.warm_workers) = (1, 1));
    let first = node.start(node.spec(ENDLESS));
    node.sink.wait_started(first);
    let second = node.start(node.spec(NO_OP));
    let mut other = node.spec(NO_OP);
    other.trust_domain = "another".to_owned();
    let third = node.start(other);
    assert!(children().len() <= 2);
    assert_eq!(node.sink.story(second).started, 0);
    node.pool.stop(first);
    for attempt in [second, third] {
        assert_eq!(node.sink.wait_ended(attempt).endings, [exited(0)]);
    }
}

fn a_waiting_attempt_is_stopped() {
    let node = Node::with(|options| (options.max_workers, options.warm_workers) = (1, 1));
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
    let first = node.start(node.spec(ENDLESS));
    node.sink.wait_started(first);
    let second = node.start(node.spec(NO_OP));
    node.pool.stop(second);
    assert_eq!(node.sink.wait_ended(second).endings, [Ending::Stopped]);
    node.pool.stop(first);
    node.sink.wait_ended(first);
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
    assert_eq!(node.sink.story(second).started, 0);
}

fn idle_workers_are_bounded() {
    let node = Node::with(|options| (options.max_workers, options.warm_workers) = (4, 1));
    let gates: Vec<_> = (0..4).map(|_| node.start(node.spec(ENDLESS))).collect();
    for attempt in &gates {
        node.sink.wait_started(*attempt);
    }
    assert_eq!(children().len(), 4);
    for attempt in gates {
        node.pool.stop(attempt);
        node.sink.wait_ended(attempt);
    }
    let ended: Vec<_> = (0..4).map(|_| node.start(node.spec(NO_OP))).collect();
    for attempt in ended {
        assert_eq!(node.sink.wait_ended(attempt).endings, [exited(0)]);
    }
    until("one idle worker", || children().len() <= 1);
}

fn no_worker_serves_two_domains_or_a_folder_and_another() {
    let node = Node::with(|options| (options.max_workers, options.warm_workers) = (1, 1));
    let mut seen = BTreeSet::new();
    let mut run = |domain: &str, with_folder: bool| {
        let mut spec = node.spec(ENDLESS);
        spec.trust_domain = domain.to_owned();
        if with_folder {
            spec.mounts.push(mount(node.shared.path(), "/data", true));
        }
        let attempt = node.start(spec);
        node.sink.wait_started(attempt);
        // Exactly one, however the one before it is reaped.
        until("one worker", || children().len() == 1);
        let fresh = seen.insert(children()[0]);
        node.pool.stop(attempt);
        node.sink.wait_ended(attempt);
        fresh
    };
    assert!(run("one", false));
    assert!(run("two", false));
    assert!(run("two", true));
    assert!(run("two", false));
    let quick = |domain: &str, with_folder: bool| {
        let mut spec = node.spec(NO_OP);
        spec.trust_domain = domain.to_owned();
        if with_folder {
            spec.mounts.push(mount(node.shared.path(), "/data", true));
        }
        assert_eq!(node.run(spec).1, exited(0));
    };
    quick("two", false);
    let warm = children();
    quick("two", false);
    assert_eq!(children(), warm);
    quick("three", false);
    assert_ne!(children(), warm);
    let warm = children();
    quick("three", true);
    until("the folder's worker is gone", || children().iter().all(|child| !warm.contains(child)));
}

fn kill(pid: u32) {
    let spawner = Spawner::start().unwrap();
    let command = ["/bin/sh", "-c", &format!("kill -9 {pid}")].map(Into::into).to_vec();
    spawner
        .spawn(WorkerCommand { command, descriptors: Vec::new(), namespaces: Namespaces::default(), cgroup: None })
        .unwrap()
        .wait()
        .unwrap();
}

fn a_killed_worker_takes_its_attempt_and_nothing_else() {
    let node = Node::new();
    node.run_wat(NO_OP);
    until("one worker", || children().len() == 1);
    let first = node.start(node.spec(ENDLESS));
    node.sink.wait_started(first);
    let victim = children()[0];
    let second = node.start(node.spec(ENDLESS));
    node.sink.wait_started(second);
    kill(victim);
    let reason = "WorkerCrashed: signal 9".to_owned();
    assert_eq!(node.sink.wait_ended(first).endings, [Ending::Failed { exit_code: 137, reason }]);
    assert!(node.sink.story(second).endings.is_empty());
    assert_eq!(node.run_wat(&hello()).0.stdout, b"hello\n");
    node.pool.stop(second);
    assert_eq!(node.sink.wait_ended(second).endings, [Ending::Stopped]);
}

fn an_idle_worker_that_died_is_replaced() {
    let node = Node::new();
    node.run_wat(NO_OP);
    until("one worker", || children().len() == 1);
    let victim = children()[0];
    kill(victim);
    // Killed and not reaped: its socket is closed by the time all its threads are gone but the first,
    // which is a zombie.
    until("a zombie", || {
        let zombie = std::fs::read_to_string(format!("/proc/{victim}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        zombie && std::fs::read_dir(format!("/proc/{victim}/task")).is_ok_and(|threads| threads.count() <= 1)
    });
    assert_eq!(node.run_wat(NO_OP).1, exited(0));
    assert!(!children().contains(&victim));
}

fn shutdown_ends_everything() {
    let node = Node::with(|options| (options.max_workers, options.warm_workers) = (1, 1));
    let running = node.start(node.spec(ENDLESS));
    node.sink.wait_started(running);
    let waiting = node.start(node.spec(NO_OP));
    node.pool.shutdown();
    assert!(children().is_empty());
    for attempt in [running, waiting] {
        assert_eq!(node.sink.story(attempt).endings, [Ending::Lost]);
    }
    let late = node.start(spec_of(Program::Stored { digest: node.put(b"late") }));
    assert_eq!(node.sink.story(late).endings, [Ending::Lost]);
    node.pool.shutdown();
}

fn many_attempts_end_once_each() {
    let node = Node::new();
    let digest = node.put(&wat::parse_str(hello()).unwrap());
    let attempts: Vec<_> = (0..2000).map(|_| node.start(spec_of(Program::Stored { digest }))).collect();
    for attempt in attempts.iter().step_by(3) {
        node.pool.stop(*attempt);
    }
    for attempt in attempts {
        let story = node.sink.wait_ended(attempt);
        assert_eq!(story.endings.len(), 1);
        match &story.endings[0] {
            Ending::Stopped => {}
            ending => {
                assert_eq!((ending, &*story.stdout), (&exited(0), &b"hello\n"[..]));
                assert_eq!(story.started, 1);
            }
        }
    }
}
