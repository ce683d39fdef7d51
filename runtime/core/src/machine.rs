//! The state machine: what it keeps, how it is restored, what must always hold of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::Archive;
use crate::change::{Change, Counters};
use crate::command::{Command, Reply};
use crate::consumable::ConsumableResource;
use crate::effect::Effect;
use crate::id::{AttemptId, JobId};
use crate::live::{EnvironmentEntry, LiveArray, LiveJob, QueueEntry};
use crate::name::Name;
use crate::policy::SchedulingPolicy;
use crate::rejection::Rejection;
use crate::resource::{Pool, Resources, Vcpus};
use crate::service::{QuotaShare, ServiceEnvironment};
use crate::time::Timestamp;

/// The rows contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored rows contradict each other: {0}")]
pub struct Corrupt(pub String);

/// What a batch of commands comes to.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Rows to write, in order.
    pub changes: Vec<Change>,
    /// Acts to perform once those are durable, in order.
    pub effects: Vec<Effect>,
}

/// The one machine whose capacity is shared by all compute environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What `Host EC2 (instance <node>) terminated.` names: letters, digits and hyphens.
    pub instance: String,
    /// vCPUs that jobs may hold at once.
    pub vcpus: Vcpus,
    /// Memory that jobs may hold at once, MiB.
    pub memory_mib: u64,
    /// GPUs that jobs may hold at once.
    pub gpus: u32,
}

/// The live part of the domain. Finished jobs, definitions and tags are rows only.
#[derive(Debug)]
pub struct StateMachine {
    pub(crate) node: Node,
    pub(crate) capacity: Pool,
    pub(crate) environments: BTreeMap<Name, EnvironmentEntry>,
    pub(crate) queues: BTreeMap<Name, QueueEntry>,
    /// Queues that have a RUNNABLE job, so that a thousand idle ones cost nothing.
    pub(crate) waiting_queues: BTreeSet<Name>,
    pub(crate) policies: BTreeMap<Name, SchedulingPolicy>,
    pub(crate) consumables: BTreeMap<Name, ConsumableResource>,
    /// Jobs, and the children of arrays that have left their default state.
    pub(crate) jobs: BTreeMap<JobId, LiveJob>,
    pub(crate) arrays: BTreeMap<JobId, LiveArray>,
    /// A live job, array or child to the PENDING jobs and arrays that wait for it.
    pub(crate) dependents: BTreeMap<JobId, BTreeSet<JobId>>,
    /// A live array to the live arrays whose children wait for its children one by one.
    pub(crate) paired: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Jobs and children that have an attempt under way.
    pub(crate) under_way: BTreeSet<JobId>,
    pub(crate) deadlines: BTreeSet<(Timestamp, JobId)>,
    /// Jobs and children that wait before their next attempt.
    pub(crate) delayed: BTreeSet<(Timestamp, JobId)>,
    pub(crate) service_environments: BTreeMap<Name, ServiceEnvironment>,
    /// By queue, then by name.
    pub(crate) quota_shares: BTreeMap<(Name, Name), QuotaShare>,
    pub(crate) counters: Counters,
    /// The counters as the rows have them.
    pub(crate) written_counters: Counters,
    /// What changed since the last [`StateMachine::schedule`] and is written once for all of it.
    pub(crate) dirty: Dirty,
    /// Set while the node drains: nothing new is started.
    starts_held: bool,
    pub(crate) dropped_reports: u64,
}

impl StateMachine {
    /// An empty machine for this node.
    pub fn new(node: Node) -> Self {
        let total = Resources { vcpus: node.vcpus, memory_mib: node.memory_mib, gpus: node.gpus };
        Self {
            node,
            capacity: Pool::new(total),
            environments: BTreeMap::new(),
            queues: BTreeMap::new(),
            waiting_queues: BTreeSet::new(),
            policies: BTreeMap::new(),
            consumables: BTreeMap::new(),
            jobs: BTreeMap::new(),
            arrays: BTreeMap::new(),
            dependents: BTreeMap::new(),
            paired: BTreeMap::new(),
            under_way: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            delayed: BTreeSet::new(),
            service_environments: BTreeMap::new(),
            quota_shares: BTreeMap::new(),
            counters: Counters::default(),
            written_counters: Counters::default(),
            dirty: Dirty::default(),
            starts_held: false,
            dropped_reports: 0,
        }
    }

    /// Applies one command. A rejection changes neither the machine nor `out`.
    ///
    /// # Errors
    /// The client's mistake, or [`Rejection::Archive`] when the archive failed.
    pub fn apply(&mut self, archive: &dyn Archive, command: Command, now: Timestamp, out: &mut Outputs) -> Applied {
        match command {
            Command::CreateComputeEnvironment { environment, tags } => self.create_environment(*environment, tags, out),
            Command::UpdateComputeEnvironment(update) => self.update_environment(*update, out),
            Command::DeleteComputeEnvironment { name } => self.delete_environment(&name, out),
            Command::CreateJobQueue { queue, tags } => self.create_queue(*queue, tags, out),
            Command::UpdateJobQueue(update) => self.update_queue(*update, out),
            Command::DeleteJobQueue { name } => self.delete_queue(&name, now, out),
            Command::RegisterJobDefinition { name, spec, tags } => {
                Self::register_definition(archive, name, *spec, tags, out)
            }
            Command::DeregisterJobDefinition { name, revision } => {
                Self::deregister_definition(archive, name, revision, out)
            }
            Command::SubmitJob(submission) => self.submit(archive, *submission, now, out),
            Command::CancelJob { job, reason } => self.cancel(job, &reason, now, out),
            Command::TerminateJob { job, reason } => self.terminate(job, &reason, now, out),
            Command::TagResource { resource, tags } => self.tag(archive, resource, tags, out),
            Command::UntagResource { resource, keys } => self.untag(archive, resource, &keys, out),
            Command::CreateSchedulingPolicy { policy, tags } => self.create_policy(*policy, tags, out),
            Command::UpdateSchedulingPolicy { name, fair_share, rest } => {
                self.update_policy(&name, fair_share, rest, out)
            }
            Command::DeleteSchedulingPolicy { name } => self.delete_policy(&name, out),
            Command::CreateConsumableResource { resource, tags } => self.create_consumable(resource, tags, now, out),
            Command::UpdateConsumableResource { name, update, client_token } => {
                self.update_consumable(&name, update, client_token, now, out)
            }
            Command::DeleteConsumableResource { name } => self.delete_consumable(&name, out),
            Command::SnapshotJobQueue { queue } => self.snapshot_queue(&queue, now),
            Command::ExplainJob { job } => Ok(Reply::Explanation(self.explain_job(job, now).map(Box::new))),
            Command::Service(command) => self.service(archive, *command, now, out),
            Command::PutModule(module) => {
                out.changes.push(Change::PutModule(module));
                Ok(Reply::Done)
            }
            Command::DeleteModule { name } => Self::delete_module(archive, name, out),
            Command::Report(report) => {
                self.report(report, now, out);
                Ok(Reply::Done)
            }
            Command::Tick => Ok(Reply::Done),
        }
    }

    /// Ends what is over its time and starts what may start. Once for each batch of commands.
    pub fn schedule(&mut self, now: Timestamp, out: &mut Outputs) {
        self.expire(now, out);
        if !self.starts_held {
            self.place(now, out);
        }
        self.write_dirty(out);
        if self.counters != self.written_counters {
            self.written_counters = self.counters;
            out.changes.push(Change::PutCounters(self.counters));
        }
    }

    /// Writes, once for the whole batch, what many of its commands may have changed.
    fn write_dirty(&mut self, out: &mut Outputs) {
        let Dirty { arrays, consumables, shares } = std::mem::take(&mut self.dirty);
        for job in arrays {
            if let Some(array) = self.arrays.get(&job) {
                out.changes.push(Change::PutArraySummary { job, summary: array.summary });
            }
        }
        for name in consumables {
            if let Some(resource) = self.consumables.get(&name) {
                out.changes.push(Change::PutConsumable(Box::new(resource.clone())));
            }
        }
        for (name, share) in shares {
            let Some(queue) = self.queues.get(&name) else { continue };
            if let Some(usage) = queue.shares.get(&share).and_then(|share| share.usage) {
                out.changes.push(Change::PutShareUsage { queue_uid: queue.record.uid, share, usage });
            }
        }
    }

    /// From now on nothing is started: the node drains.
    pub fn hold_starts(&mut self) {
        self.starts_held = true;
    }

    /// When [`StateMachine::schedule`] has something to do though no command comes.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let due = |set: &BTreeSet<(Timestamp, JobId)>| set.first().map(|(at, _)| *at);
        let waiting = self.waiting_queues.iter().filter(|_| !self.starts_held);
        let heads = waiting.filter_map(|queue| self.head_wakeup(&self.queues[queue]));
        [due(&self.deadlines), due(&self.delayed)].into_iter().flatten().chain(heads).min()
    }

    /// The attempts under way, each container of them for itself.
    pub fn attempts_under_way(&self) -> impl Iterator<Item = AttemptId> {
        self.under_way.iter().flat_map(|id| self.jobs[id].progress.containers_under_way())
    }

    /// Those of them that were told to end, after a restart: whoever runs them still may not know.
    pub fn attempts_told_to_end(&self) -> impl Iterator<Item = AttemptId> {
        self.attempts_under_way().filter(|attempt| self.is_told_to_end(*attempt))
    }

    /// How many jobs have not ended, an array counting as one.
    pub fn live_jobs(&self) -> usize {
        self.queues.values().map(|queue| queue.live_jobs).sum()
    }

    /// What the attempts of each compute environment hold.
    pub fn held_vcpus(&self) -> impl Iterator<Item = (&Name, Vcpus)> {
        self.environments.iter().map(|(name, entry)| (name, entry.pool.held.vcpus))
    }

    /// What all attempts hold together.
    pub fn held(&self) -> Resources {
        self.capacity.held
    }

    /// Whether there is no compute environment and no queue: a first start.
    pub fn is_blank(&self) -> bool {
        self.environments.is_empty() && self.queues.is_empty() && self.counters == Counters::default()
    }

    /// Reports that matched no attempt under way.
    pub fn dropped_reports(&self) -> u64 {
        self.dropped_reports
    }
}

/// Equal in everything that rows carry; how many reports were dropped and whether the node drains
/// is of this process only.
impl PartialEq for StateMachine {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            node,
            capacity,
            environments,
            queues,
            waiting_queues,
            policies,
            consumables,
            jobs,
            arrays,
            dependents,
            paired,
            under_way,
            deadlines,
            delayed,
            service_environments,
            quota_shares,
            counters,
            written_counters: _,
            dirty: _,
            starts_held: _,
            dropped_reports: _,
        } = self;
        *node == other.node
            && *capacity == other.capacity
            && *environments == other.environments
            && *queues == other.queues
            && *waiting_queues == other.waiting_queues
            && *policies == other.policies
            && *consumables == other.consumables
            && *jobs == other.jobs
            && *arrays == other.arrays
            && *dependents == other.dependents
            && *paired == other.paired
            && *under_way == other.under_way
            && *deadlines == other.deadlines
            && *delayed == other.delayed
            && *service_environments == other.service_environments
            && *quota_shares == other.quota_shares
            && *counters == other.counters
    }
}

/// What is written once for each batch.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) arrays: BTreeSet<JobId>,
    pub(crate) consumables: BTreeSet<Name>,
    pub(crate) shares: BTreeSet<(Name, Box<str>)>,
}

/// What a command's handler gives.
pub(crate) type Applied = Result<Reply, Rejection>;
