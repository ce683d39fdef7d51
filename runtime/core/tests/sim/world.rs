//! Clients, executor, network, clock and disk around one machine, all drawn from one seed.

mod clients;
mod coverage;
mod entities;
mod oracles;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use wasmbatch_core::consumable::ConsumableUpdate;
use wasmbatch_core::environment::Enablement;
use wasmbatch_core::*;

use crate::rows::Rows;
pub(crate) use coverage::Sight;
use coverage::Witness;
use entities::{CONSUMABLES, DEFINITIONS, ENVIRONMENTS, QUEUES};

/// More batches than any world needs to come to rest.
const PATIENCE: usize = 20_000;

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub(crate) struct World {
    random: Random,
    node: Node,
    machine: StateMachine,
    /// What is on disk.
    rows: Rows,
    now: Timestamp,
    /// Attempts whose process lives.
    processes: BTreeSet<AttemptId>,
    /// Attempts that were told to stop.
    stopped: BTreeSet<AttemptId>,
    /// Attempts, by job and number, whose end was reported.
    ended: BTreeSet<(JobId, u32)>,
    /// What reports said that attempts used, by job, number and member.
    used: BTreeMap<(JobId, u32, u32), Vec<Option<Usage>>>,
    /// Reports on their way: the batch they come in with.
    network: Vec<(u64, Report)>,
    batch: u64,
    jobs: Vec<JobId>,
    faults: bool,
    witness: Witness,
    hash: DefaultHasher,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let node = Node {
            instance: "i-sim".to_owned(),
            vcpus: Vcpus::whole(1 + u32::try_from(random.below(4)).unwrap()),
            memory_mib: 64 * (1 + random.below(8)),
            gpus: 0,
        };
        Self {
            machine: StateMachine::new(node.clone()),
            random,
            node,
            rows: Rows::default(),
            now: Timestamp::from_millis(1_000_000),
            processes: BTreeSet::new(),
            stopped: BTreeSet::new(),
            ended: BTreeSet::new(),
            used: BTreeMap::new(),
            network: Vec::new(),
            batch: 0,
            jobs: Vec::new(),
            faults: true,
            witness: Witness::default(),
            hash: DefaultHasher::new(),
        }
    }

    pub(crate) fn outputs_hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn set_up(&mut self) {
        self.faults = false;
        for index in 0..ENVIRONMENTS {
            let command = self.new_environment(index);
            self.commit(vec![command]);
        }
        self.commit(vec![Self::new_policy()]);
        for index in 0..CONSUMABLES {
            self.commit(vec![Self::new_consumable(index)]);
        }
        for index in 0..QUEUES {
            let command = self.new_queue(index);
            self.commit(vec![command]);
        }
        for kind in 0..DEFINITIONS {
            let definition = Self::new_definition(kind);
            self.commit(vec![definition]);
        }
        self.faults = true;
    }

    /// One batch of whatever comes in, and perhaps a crash.
    pub(crate) fn step(&mut self) {
        let mut commands = self.arrivals();
        for _ in 0..self.random.below(4) {
            commands.push(self.client_call());
        }
        self.pass_time();
        self.commit(commands);
    }

    /// No more faults and no more clients: every job must end.
    pub(crate) fn calm_down(&mut self) {
        self.faults = false;
        for index in 0..ENVIRONMENTS {
            self.commit(vec![self.environment_update(index, Enablement::Enabled, Some(8))]);
        }
        for index in 0..QUEUES {
            self.commit(vec![self.queue_update(index, Enablement::Enabled)]);
        }
        // Without a reservation and with enough to consume nothing waits for ever.
        self.commit(vec![Self::policy_update(0, 10)]);
        for _ in 0..PATIENCE {
            if self.machine.live_jobs() == 0 {
                self.check_ends();
                return;
            }
            self.detect_lost_processes();
            let mut commands = self.arrivals();
            commands.extend((0..CONSUMABLES).map(|index| Self::consumable_update(index, ConsumableUpdate::Set(20))));
            self.pass_time();
            self.commit(commands);
            self.cancel_misfits();
        }
        panic!("jobs are left over: {:#?}", self.machine);
    }

    /// Applies a batch, schedules, commits, performs; crashes on the way if fate says so.
    fn commit(&mut self, commands: Vec<Command>) {
        self.batch += 1;
        let mut transaction = self.rows.clone();
        let mut effects = Vec::new();
        for command in commands {
            let mut out = Outputs::default();
            let submitted = match &command {
                Command::SubmitJob(submission) => Some(submission.id),
                _ => None,
            };
            match self.machine.apply(&transaction, command, self.now, &mut out) {
                Ok(Reply::Submitted { job }) if submitted != Some(job) => self.witness.token_repeated(),
                Ok(_) => {}
                Err(_) => assert!(out.changes.is_empty() && out.effects.is_empty(), "a rejection changes nothing"),
            }
            self.take(&mut transaction, out, &mut effects);
        }
        let mut out = Outputs::default();
        self.machine.schedule(self.now, &mut out);
        self.take(&mut transaction, out, &mut effects);
        self.machine.check_invariants();
        assert!(self.machine.next_wakeup().is_none_or(|due| due > self.now), "what was due has been done");

        if self.faults && self.random.chance(2) {
            return self.crash();
        }
        let before = std::mem::replace(&mut self.rows, transaction);
        self.check_attempts();
        // A group's later containers start within an attempt that has begun.
        let begun = |attempt: AttemptId| before.progress.get(&attempt.job).and_then(|row| row.state.attempt());
        let started = effects.iter().filter_map(|effect| match effect {
            Effect::StartAttempt { attempt, .. } if begun(*attempt) != Some(attempt.of_member(0)) => Some(attempt.job),
            Effect::StartAttempt { .. } | Effect::StopAttempt { .. } | Effect::StatusChanged { .. } => None,
        });
        self.check_order(&started.collect());
        let restored = StateMachine::restore(self.node.clone(), self.rows.live()).expect("the rows agree");
        assert!(restored == self.machine, "restoring gives the same:\n{restored:#?}\n{:#?}", self.machine);
        if self.faults && self.random.chance(2) {
            return self.crash();
        }
        for effect in effects {
            self.perform(effect);
        }
        self.check_stops();
        self.ask_why();
    }

    fn take(&mut self, transaction: &mut Rows, out: Outputs, effects: &mut Vec<Effect>) {
        format!("{out:?}").hash(&mut self.hash);
        for change in &out.changes {
            self.witness.row(transaction, change);
            transaction.write(change);
        }
        effects.extend(out.effects);
    }

    /// kill -9: memory and what was under way are gone, and most processes; the next life begins as
    /// the controller begins it, which takes over the others.
    fn crash(&mut self) {
        self.witness.crash(&self.rows);
        let surviving = if self.random.chance(50) { 60 } else { 0 };
        let processes = std::mem::take(&mut self.processes);
        self.processes = processes.into_iter().filter(|_| self.random.chance(surviving)).collect();
        if self.random.chance(50) {
            self.network.clear();
        }
        self.machine = StateMachine::restore(self.node.clone(), self.rows.live()).expect("the rows agree");
        self.machine.check_invariants();
        let under_way: BTreeSet<AttemptId> = self.machine.attempts_under_way().collect();
        self.processes.retain(|attempt| under_way.contains(attempt));
        let lost: Vec<AttemptId> = under_way.difference(&self.processes).copied().collect();
        for AttemptId { job, number, generation: _, member } in lost.iter().copied() {
            self.ended.insert((job, number));
            self.used.entry((job, number, member)).or_default().push(None);
        }
        let ended = |attempt| Command::Report(Report { attempt, event: AttemptEvent::ended(Ending::Lost) });
        let lost = lost.into_iter().map(ended).collect();
        for survivor in self.processes.clone() {
            self.plan(survivor);
        }
        let told = self.machine.attempts_told_to_end().filter(|attempt| self.processes.contains(attempt));
        for attempt in told.collect::<Vec<_>>() {
            self.perform(Effect::StopAttempt { attempt });
        }
        let faults = std::mem::replace(&mut self.faults, false);
        self.commit(lost);
        self.faults = faults;
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::StartAttempt { attempt, .. } => {
                let durable = self.rows.progress[&attempt.job].state.attempt();
                let durable = durable.map(|first| first.of_member(attempt.member));
                assert_eq!(durable, Some(attempt), "starting is durable before anything starts");
                self.check_start(attempt);
                self.witness.start(&self.rows, attempt);
                assert!(self.processes.insert(attempt), "an attempt is started once");
                self.plan(attempt);
            }
            Effect::StopAttempt { attempt } => {
                self.stopped.insert(attempt);
                // Its own end may be on its way already; then both arrive and the first counts.
                let usage = self.usage();
                self.send(Report { attempt, event: AttemptEvent::Ended { ending: Ending::Stopped, usage } });
            }
            Effect::StatusChanged { job, status } => {
                assert!(self.rows.status(job) == Some(status) || !status.is_terminal());
            }
        }
    }

    fn plan(&mut self, attempt: AttemptId) {
        if self.random.chance(8) {
            let reason = "ResourceInitializationError: no".to_owned();
            return self.send(Report { attempt, event: AttemptEvent::ended(Ending::CouldNotStart { reason }) });
        }
        self.send(Report { attempt, event: AttemptEvent::Started { image_digest: None } });
        let ending = match self.random.below(10) {
            0..5 => Ending::Exited { exit_code: 0, reason: None },
            5 => Ending::Exited { exit_code: 3, reason: None },
            6 => Ending::Failed { exit_code: 134, reason: "WasmTrap: unreachable".to_owned() },
            7 => Ending::Lost,
            // Runs until somebody ends it: its time, a client, or the watch for lost processes.
            _ => return,
        };
        let at = self.batch + 1 + self.random.below(8);
        let usage = self.usage();
        self.network.push((at, Report { attempt, event: AttemptEvent::Ended { ending, usage } }));
    }

    /// What an attempt may have used, each end something else.
    fn usage(&mut self) -> Option<Usage> {
        self.random.chance(80).then(|| Usage {
            cpu_microseconds: self.random.next(),
            peak_memory_bytes: self.random.below(1 << 40),
            fuel: self.random.chance(50).then(|| self.random.next()),
            read_bytes: self.random.below(1000),
            written_bytes: self.random.below(1000),
        })
    }

    fn send(&mut self, report: Report) {
        let late = if self.random.chance(20) { self.random.below(12) } else { 0 };
        if self.faults && self.random.chance(10) {
            self.network.push((self.batch + 1 + late * 2, report.clone()));
        }
        if self.faults && self.random.chance(5) {
            return;
        }
        self.network.push((self.batch + 1 + late, report));
    }

    fn arrivals(&mut self) -> Vec<Command> {
        let batch = self.batch;
        let due: Vec<Report> = self.network.extract_if(.., |(at, _)| *at <= batch).map(|(_, report)| report).collect();
        for report in &due {
            if let AttemptEvent::Ended { usage, .. } = report.event {
                let AttemptId { job, number, generation: _, member } = report.attempt;
                self.used.entry((job, number, member)).or_default().push(usage);
                self.processes.remove(&report.attempt);
                self.ended.insert((report.attempt.job, report.attempt.number));
            }
        }
        due.into_iter().map(Command::Report).collect()
    }

    /// What a watch over the executor would say of attempts nobody hears of any more.
    fn detect_lost_processes(&mut self) {
        let on_the_way: Vec<AttemptId> = self.network.iter().map(|(_, report)| report.attempt).collect();
        let silent: Vec<AttemptId> =
            self.machine.attempts_under_way().filter(|attempt| !on_the_way.contains(attempt)).collect();
        for attempt in silent {
            self.network.push((self.batch, Report { attempt, event: AttemptEvent::ended(Ending::Lost) }));
        }
    }

    fn cancel_misfits(&mut self) {
        let misfits: Vec<Command> = self
            .rows
            .progress
            .iter()
            .filter(|(_, p)| {
                let never = |reason: &str| reason.starts_with("MISCONFIGURATION") || reason.starts_with("UNDETERMINED");
                p.state.status() == JobStatus::Runnable && p.status_reason.as_deref().is_some_and(never)
            })
            .map(|(id, _)| Command::CancelJob { job: *id, reason: "never fits".to_owned() })
            .collect();
        if !misfits.is_empty() {
            self.commit(misfits);
        }
    }

    fn pass_time(&mut self) {
        let millis = match self.random.below(20) {
            0 if self.faults => -i64::try_from(self.random.below(5_000)).unwrap(),
            2 => i64::try_from(self.random.below(20_000)).unwrap(),
            1 if self.faults => {
                // Now and then beyond what queues let a head be blocked for.
                let most = if self.random.chance(20) { 900_000 } else { 100_000 };
                i64::try_from(self.random.below(most)).unwrap()
            }
            _ => i64::try_from(self.random.below(500)).unwrap(),
        };
        self.now = Timestamp::from_millis(self.now.as_millis() + millis);
    }
}
