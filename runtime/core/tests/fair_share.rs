//! Fair share as a whole: what shares get over hours, and whose turn it is after any history.
//! `cargo test -p wasmbatch-core --test fair_share -- --nocapture` prints what they got.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that shows a table")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wasmbatch_core::command::{DefinitionReference, Submission};
use wasmbatch_core::definition::{
    ContainerOverrides, ContainerProperties, DefinitionSpec, JobShape, Overrides, ResourceKind, ResourceRequirement,
};
use wasmbatch_core::environment::{ComputeEnvironment, Enablement, EnvironmentKind, Lifecycle, Platform};
use wasmbatch_core::policy::{FairSharePolicy, SchedulingPolicy, ShareWeight};
use wasmbatch_core::queue::{EnvironmentOrder, NewQueue};
use wasmbatch_core::*;

#[path = "sim/rows.rs"]
mod rows;

use rows::Rows;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// One queue with a policy, alone on a node.
struct Arena {
    machine: StateMachine,
    rows: Rows,
    now: i64,
    jobs: u32,
    /// Attempts under way, with the share they are of and when they began.
    running: BTreeMap<AttemptId, (String, i64)>,
    /// Starts in their order.
    starts: Vec<AttemptId>,
    /// vCPU milliseconds that each share has held, in quarters.
    held: BTreeMap<String, i64>,
}

impl Arena {
    fn new(vcpus: u32, window_seconds: u32, weights: &[(&str, &str)]) -> Self {
        let node = Node { instance: "i-1".to_owned(), vcpus: Vcpus::whole(vcpus), memory_mib: 1_000_000, gpus: 0 };
        let mut arena = Self {
            machine: StateMachine::new(node),
            rows: Rows::default(),
            now: 1_000_000_000,
            jobs: 0,
            running: BTreeMap::new(),
            starts: Vec::new(),
            held: BTreeMap::new(),
        };
        let environment = ComputeEnvironment {
            name: name("e"),
            uuid: String::new(),
            state: Enablement::Enabled,
            lifecycle: Lifecycle::Valid,
            kind: EnvironmentKind::Managed {
                platform: Platform::Ec2,
                max_vcpus: vcpus,
                resources: Document::default(),
            },
            rest: Document::default(),
        };
        let weight = |(share, weight): &(&str, &str)| ShareWeight {
            identifier: (*share).to_owned(),
            weight: Some(weight.parse().unwrap()),
        };
        let fair_share = FairSharePolicy {
            decay_seconds: window_seconds,
            compute_reservation: 0,
            distribution: weights.iter().map(weight).collect(),
        };
        let policy = SchedulingPolicy { name: name("p"), fair_share: Some(fair_share), rest: Document::default() };
        let order = EnvironmentOrder { order: 1, environment: name("e") };
        let mut queue = NewQueue::new(name("q"), 1, vec![order]);
        queue.policy = Some(name("p"));
        let container = ContainerProperties { vcpus: Some(1), memory: Some(4), ..ContainerProperties::default() };
        let spec = DefinitionSpec::of(JobShape::Container(Box::new(container)));
        let tags = Tags::default;
        arena.run(vec![
            Command::CreateComputeEnvironment { environment: Box::new(environment), tags: tags() },
            Command::CreateSchedulingPolicy { policy: Box::new(policy), tags: tags() },
            Command::CreateJobQueue { queue: Box::new(queue), tags: tags() },
            Command::RegisterJobDefinition { name: name("d"), spec: Box::new(spec), tags: tags() },
        ]);
        arena
    }

    fn run(&mut self, commands: Vec<Command>) {
        let now = Timestamp::from_millis(self.now);
        let mut effects = Vec::new();
        for command in commands {
            let mut out = Outputs::default();
            self.machine.apply(&self.rows, command, now, &mut out).unwrap();
            out.changes.iter().for_each(|change| self.rows.write(change));
            effects.extend(out.effects);
        }
        let mut out = Outputs::default();
        self.machine.schedule(now, &mut out);
        out.changes.iter().for_each(|change| self.rows.write(change));
        effects.extend(out.effects);
        for effect in effects {
            if let Effect::StartAttempt { attempt, .. } = effect {
                let share = self.rows.jobs[&attempt.job].share.clone().unwrap();
                self.running.insert(attempt, (share, self.now));
                self.starts.push(attempt);
            }
        }
    }

    fn submission(&mut self, share: &str, priority: u32, quarters: u32) -> Command {
        self.jobs += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.jobs.to_be_bytes());
        let value = Vcpus::from_quarters(quarters).to_string();
        let container = ContainerOverrides {
            resource_requirements: vec![ResourceRequirement { kind: ResourceKind::Vcpu, value }],
            ..ContainerOverrides::default()
        };
        Command::SubmitJob(Box::new(Submission {
            id: JobId::from_bytes(id),
            name: JobName::parse("j").unwrap(),
            queue: name("q"),
            definition: DefinitionReference { name: name("d"), revision: None },
            parameters: BTreeMap::new(),
            depends_on: Vec::new(),
            array_size: None,
            share: Some(share.to_owned()),
            scheduling_priority: Some(priority),
            overrides: Overrides { container, ..Overrides::default() },
            fingerprint: [0; 32],
            retry: None,
            timeout_seconds: None,
            propagate_tags: None,
            tags: Tags::default(),
            rest: Document::default(),
        }))
    }

    fn end(&mut self, attempt: AttemptId) -> Command {
        let (share, since) = self.running.remove(&attempt).expect("it runs");
        let quarters = self.rows.jobs[&attempt.job].resources.vcpus.quarters();
        *self.held.entry(share).or_default() += i64::from(quarters) * (self.now - since);
        Command::Report(Report { attempt, event: AttemptEvent::ended(Ending::Exited { exit_code: 0, reason: None }) })
    }

    /// vCPU seconds that each share has held up to now, what runs included.
    fn usage(&self) -> BTreeMap<String, f64> {
        let mut held = self.held.clone();
        for (attempt, (share, since)) in &self.running {
            let quarters = i64::from(self.rows.jobs[&attempt.job].resources.vcpus.quarters());
            *held.entry(share.clone()).or_default() += quarters * (self.now - since);
        }
        #[expect(clippy::cast_precision_loss, reason = "hours of milliseconds")]
        held.into_iter().map(|(share, used)| (share, used as f64 / 4000.0)).collect()
    }
}

/// Jobs of 1 vCPU that run for 1 to 10 seconds, of every share more than can start.
struct Backlog {
    arena: Arena,
    shares: Vec<&'static str>,
    /// When what runs ends.
    ends: BTreeSet<(i64, AttemptId)>,
    known: usize,
    random: u64,
}

impl Backlog {
    fn new(vcpus: u32, window_seconds: u32, weights: &[(&'static str, &str)]) -> Self {
        let arena = Arena::new(vcpus, window_seconds, weights);
        let mut backlog = Self { arena, shares: Vec::new(), ends: BTreeSet::new(), known: 0, random: 7 };
        weights.iter().for_each(|(share, _)| backlog.join(share));
        backlog
    }

    fn join(&mut self, share: &'static str) {
        self.shares.push(share);
        let jobs = (0..20).map(|_| self.arena.submission(share, 0, 4)).collect();
        self.arena.run(jobs);
        self.note_starts();
    }

    fn note_starts(&mut self) {
        for attempt in &self.arena.starts[self.known..] {
            // The constants of Knuth's MMIX generator.
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lasts = 1_000 + i64::try_from((self.random >> 33) % 9_000).unwrap();
            self.ends.insert((self.arena.now + lasts, *attempt));
        }
        self.known = self.arena.starts.len();
    }

    fn run_for(&mut self, seconds: i64) {
        let until = self.arena.now + seconds * 1000;
        while let Some((at, attempt)) = self.ends.first().copied().filter(|(at, _)| *at <= until) {
            self.ends.pop_first();
            self.arena.now = at;
            let share = self.arena.rows.jobs[&attempt.job].share.clone().unwrap();
            let next = self.arena.submission(&share, 0, 4);
            let ended = self.arena.end(attempt);
            self.arena.run(vec![next, ended]);
            self.note_starts();
        }
        self.arena.now = until;
    }

    /// What each share has held while so many seconds passed, in vCPU seconds.
    fn measure(&mut self, seconds: i64) -> Vec<f64> {
        let before = self.arena.usage();
        self.run_for(seconds);
        let after = self.arena.usage();
        let used = |usage: &BTreeMap<String, f64>, share: &str| usage.get(share).copied().unwrap_or(0.0);
        self.shares.iter().map(|share| used(&after, share) - used(&before, share)).collect()
    }
}

fn row(title: &str, values: &[f64]) {
    let cells: Vec<String> = values.iter().map(|value| format!("{value:>10.2}")).collect();
    println!("{title:>24}{}", cells.concat());
}

/// Within so much of what its weight stands for.
fn assert_proportions(held: &[f64], proportions: &[f64], tolerance: f64) {
    let (all, sum): (f64, f64) = (held.iter().sum(), proportions.iter().sum());
    for (held, proportion) in held.iter().zip(proportions) {
        let wanted = all * proportion / sum;
        let off = (held - wanted).abs() / wanted;
        assert!(off <= tolerance, "{held:.1} vCPU s instead of {wanted:.1}, {:.1} % off", off * 100.0);
    }
}

/// A start goes to the share behind all others, so that at every moment their weighted use differs
/// by what one job counts: 1 vCPU for a part of the window (60 s) times 10. The share that gets
/// least, a seventh of 8 vCPUs, has counted up 8/7 * 60 s * (10 + 9 + ... + 1) in a window: one job
/// is 16 % of that. What is off in one window is made up for in the next, so that after 12 windows
/// 16 % / 12 = 1.3 % are left; and as much where the measurement began.
const TWELVE_WINDOWS: f64 = 0.027;

#[test]
fn shares_get_what_their_weights_stand_for() {
    let mut backlog = Backlog::new(8, 600, &[("one", "1"), ("half", "0.5"), ("quarter", "0.25")]);
    println!("\nvCPU seconds held in ten minutes, 8 vCPUs, window 600 s");
    println!("{:>24}{:>10}{:>10}{:>10}", "minutes", "1", "0.5", "0.25");
    let mut sum = vec![0.0; 3];
    for part in 1..=13 {
        let held = backlog.measure(600);
        row(&format!("{}", part * 10), &held);
        if part > 1 {
            sum.iter_mut().zip(&held).for_each(|(sum, held)| *sum += held);
        }
    }
    row("in proportion", &sum.iter().map(|held| held / sum[0]).collect::<Vec<_>>());
    assert_proportions(&sum, &[1.0, 2.0, 4.0], TWELVE_WINDOWS);
    let restored = StateMachine::restore(
        Node { instance: "i-1".to_owned(), vcpus: Vcpus::whole(8), memory_mib: 1_000_000, gpus: 0 },
        backlog.arena.rows.live(),
    );
    assert!(restored.unwrap() == backlog.arena.machine, "all of it stands in the rows");
}

#[test]
fn a_latecomer_catches_up_and_then_gets_its_part() {
    let mut backlog = Backlog::new(8, 600, &[("one", "1"), ("half", "0.5")]);
    println!("\na share of weight 1 joins after half an hour; vCPU seconds in each minute");
    println!("{:>24}{:>10}{:>10}{:>10}", "minute", "1", "0.5", "late 1");
    backlog.run_for(1800);
    backlog.join("late");
    let first = backlog.arena.starts.len();
    for minute in 1..=10 {
        let held = backlog.measure(60);
        row(&format!("{minute}"), &held);
        if minute == 2 {
            assert!(held[2] > held[0] && held[2] > held[1], "it has used nothing yet, so it comes first");
        }
    }
    let next = backlog.arena.starts[first].job;
    assert_eq!(backlog.arena.rows.jobs[&next].share.as_deref(), Some("late"), "the next room is its");
    // Once all that was used before it came is forgotten, nothing tells it from the others.
    backlog.run_for(600);
    let held = backlog.measure(12 * 600);
    row("two hours later", &held.iter().map(|used| used / held[0]).collect::<Vec<_>>());
    assert_proportions(&held, &[1.0, 2.0, 1.0], TWELVE_WINDOWS);
}

#[test]
fn a_share_that_was_idle_has_no_claim_on_more_than_its_window() {
    let mut backlog = Backlog::new(8, 60, &[("one", "1"), ("other", "1")]);
    backlog.shares.pop();
    backlog.run_for(3600);
    // The other one's 20 jobs have long run; an hour alone is not to be paid back.
    backlog.join("other");
    backlog.run_for(60);
    let held = backlog.measure(600);
    assert_proportions(&held, &[1.0, 1.0], 0.05);
}

#[test]
fn a_burst_at_one_instant_is_divided_by_the_weights() {
    let mut arena = Arena::new(70, 600, &[("one", "1"), ("half", "0.5"), ("quarter", "0.25")]);
    let mut burst = Vec::new();
    for share in ["one", "half", "quarter"] {
        burst.extend((0..70).map(|_| arena.submission(share, 0, 4)));
    }
    arena.run(burst);
    let count = |wanted: &str| arena.running.values().filter(|(share, _)| share == wanted).count();
    println!("\na burst of 70 jobs each on 70 vCPUs: {} {} {}", count("one"), count("half"), count("quarter"));
    assert_eq!((count("one"), count("half"), count("quarter")), (10, 20, 40));
}

/// What AWS says, `[UG23]` "Job scheduling": the share with the lowest use first, use being vCPU
/// over time times weight; inside a share higher priority first. And what it leaves open, as
/// `share.rs` has it: each tenth of the window counts a tenth less, what is held counts for a tenth
/// of the window ahead; at a tie the job that its own share would start and that came first.
struct Plainly {
    free_quarters: u32,
    window_seconds: i64,
    weights: BTreeMap<String, u128>,
    /// Share, quarters, from, to.
    holds: Vec<(String, u32, i64, Option<i64>)>,
    /// Share, priority, number of the job, quarters.
    waiting: Vec<(String, u32, u32, u32)>,
}

impl Plainly {
    fn weighted_use(&self, share: &str, now: i64) -> u128 {
        let part = self.window_seconds * 100;
        let mut sum = 0;
        for (_, quarters, from, to) in self.holds.iter().filter(|(other, ..)| other == share) {
            for age in 0..10 {
                let begin = (now.div_euclid(part) - age) * part;
                let overlap = to.unwrap_or(now).min(begin + part) - (*from).max(begin);
                sum += i128::from(*quarters) * i128::from(overlap.max(0) * (10 - age));
            }
            if to.is_none() {
                sum += i128::from(*quarters) * i128::from(part * 10);
            }
        }
        u128::try_from(sum).unwrap() * self.weights.get(share).copied().unwrap_or(10_000)
    }

    /// The numbers of the jobs that start now, in order.
    fn start(&mut self, now: i64) -> Vec<u32> {
        let mut started = Vec::new();
        loop {
            let first_of_share = |share: &str| {
                let mine = self.waiting.iter().filter(|(other, ..)| other == share);
                mine.min_by_key(|(_, priority, number, _)| (std::cmp::Reverse(*priority), *number)).cloned()
            };
            let shares: BTreeSet<&String> = self.waiting.iter().map(|(share, ..)| share).collect();
            let firsts = shares.into_iter().filter_map(|share| first_of_share(share));
            let head = firsts.min_by_key(|(share, priority, number, _)| {
                (self.weighted_use(share, now), std::cmp::Reverse(*priority), *number)
            });
            let Some((share, _, number, quarters)) = head.filter(|head| head.3 <= self.free_quarters) else {
                return started;
            };
            self.free_quarters -= quarters;
            self.waiting.retain(|(_, _, other, _)| *other != number);
            self.holds.push((share, quarters, now, None));
            started.push(number);
        }
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Submit {
        share: u32,
        priority: u32,
        quarters: u32,
    },
    /// One of those that run.
    End(prop::sample::Index),
    Wait {
        millis: i64,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => (0_u32..4, 0_u32..3, 1_u32..9)
            .prop_map(|(share, priority, quarters)| Happening::Submit { share, priority, quarters }),
        3 => any::<prop::sample::Index>().prop_map(Happening::End),
        2 => prop_oneof![0_i64..3_000, 0_i64..70_000].prop_map(|millis| Happening::Wait { millis }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_turn_is_taken_as_the_rules_written_plainly_say(
        history in prop::collection::vec(happening(), 1..80),
        window_seconds in prop_oneof![Just(10_u32), Just(60)],
    ) {
        let weights = [("share0", "1", 10_000), ("share1", "0.25", 2_500), ("share2", "3.5", 35_000)];
        let mut arena = Arena::new(4, window_seconds, &weights.map(|(share, text, _)| (share, text)));
        let mut plainly = Plainly {
            free_quarters: 16,
            window_seconds: i64::from(window_seconds),
            weights: weights.iter().map(|(share, _, weight)| ((*share).to_owned(), *weight)).collect(),
            holds: Vec::new(),
            waiting: Vec::new(),
        };
        // Attempts with their place among the holds.
        let mut running: Vec<(AttemptId, usize)> = Vec::new();
        for happening in history {
            let command = match happening {
                Happening::Submit { share, priority, quarters } => {
                    let share = format!("share{share}");
                    let command = arena.submission(&share, priority, quarters);
                    plainly.waiting.push((share, priority, arena.jobs, quarters));
                    command
                }
                Happening::End(_) if running.is_empty() => Command::Tick,
                Happening::End(which) => {
                    let (attempt, hold) = running.remove(which.index(running.len()));
                    let now = arena.now;
                    plainly.holds[hold].3 = Some(now);
                    plainly.free_quarters += plainly.holds[hold].1;
                    arena.end(attempt)
                }
                Happening::Wait { millis } => {
                    arena.now += millis;
                    Command::Tick
                }
            };
            let known = arena.starts.len();
            let first_hold = plainly.holds.len();
            arena.run(vec![command]);
            let expected = plainly.start(arena.now);
            let started = &arena.starts[known..];
            let numbers: Vec<u32> = started.iter().map(|attempt| number_of(attempt.job)).collect();
            prop_assert_eq!(numbers, expected);
            running.extend(started.iter().zip(first_hold..).map(|(attempt, hold)| (*attempt, hold)));
        }
    }
}

fn number_of(job: JobId) -> u32 {
    let bytes = job.to_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
