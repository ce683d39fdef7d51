//! What clients ask for.

use std::collections::BTreeMap;

use wasmbatch_core::command::{DefinitionReference, Submission};
use wasmbatch_core::consumable::{ConsumableRequirement, ConsumableUpdate};
use wasmbatch_core::definition::{ContainerOverrides, Overrides, ResourceKind, ResourceRequirement};
use wasmbatch_core::environment::Enablement;
use wasmbatch_core::id::Part;
use wasmbatch_core::job::RetryStrategy;
use wasmbatch_core::job::retry::{ExitAction, ExitRule};
use wasmbatch_core::*;

use super::World;
use super::entities::*;

impl World {
    pub(super) fn client_call(&mut self) -> Command {
        let index = self.random.below(3);
        match self.random.below(22) {
            20 => {
                let reservation = if self.random.chance(50) { 0 } else { 30 };
                Self::policy_update(reservation, 1 + u32::try_from(self.random.below(20)).unwrap())
            }
            21 => {
                let quantity = self.random.below(5);
                let update = match self.random.below(3) {
                    0 => ConsumableUpdate::Set(quantity),
                    1 => ConsumableUpdate::Add(quantity),
                    _ => ConsumableUpdate::Remove(quantity),
                };
                Self::consumable_update(index % CONSUMABLES, update)
            }
            0 => {
                let state = self.enablement();
                let bound = u32::try_from(self.random.below(6)).unwrap();
                self.environment_update(index, state, Some(bound))
            }
            1 => {
                let state = self.enablement();
                self.queue_update(index, state)
            }
            2 => Command::DeleteJobQueue { name: queue_name(index) },
            3 => self.new_queue(index),
            4 => Command::DeleteComputeEnvironment { name: environment_name(index) },
            5 => self.new_environment(index),
            6 => Self::new_definition(index),
            7 => Command::DeregisterJobDefinition {
                name: definition_name(0),
                revision: 1 + u32::try_from(index).unwrap(),
            },
            8 | 9 => Command::CancelJob { job: self.some_job(), reason: "cancelled by a client".to_owned() },
            10 | 11 => Command::TerminateJob { job: self.some_job(), reason: "terminated by a client".to_owned() },
            _ => self.submission(),
        }
    }

    pub(super) fn enablement(&mut self) -> Enablement {
        if self.random.chance(60) { Enablement::Enabled } else { Enablement::Disabled }
    }

    pub(super) fn some_job(&mut self) -> JobId {
        if self.jobs.is_empty() || self.random.chance(5) {
            return self.new_id();
        }
        let index = usize::try_from(self.random.below(self.jobs.len() as u64)).unwrap();
        let id = self.jobs[index];
        let size = self.rows.jobs.get(&id).and_then(|job| job.array_size);
        match size.filter(|_| self.random.chance(40)) {
            // Now and then one behind the last.
            Some(size) => id.child(u32::try_from(self.random.below(u64::from(size) + 1)).unwrap()),
            None if self.random.chance(2) => id.node(0),
            None => id,
        }
    }

    /// An array that was submitted, and how many children it has.
    pub(super) fn some_array(&mut self) -> Option<(JobId, u32)> {
        let arrays: Vec<_> = self.rows.jobs.iter().filter_map(|(id, job)| Some((*id, job.array_size?))).collect();
        let index = usize::try_from(self.random.below(arrays.len().max(1) as u64)).unwrap();
        arrays.get(index).copied()
    }

    pub(super) fn array_size(&mut self) -> Option<u32> {
        let most = if self.random.chance(20) { 40 } else { 6 };
        self.random.chance(30).then(|| 2 + u32::try_from(self.random.below(most)).unwrap())
    }

    pub(super) fn dependencies(&mut self, array_size: &mut Option<u32>) -> Vec<Dependency> {
        let mut depends_on: Vec<Dependency> = Vec::new();
        if self.random.chance(30) {
            depends_on = (0..self.random.below(4)).map(|_| Dependency::On(self.some_job())).collect();
            let known = |id: JobId| match id.part() {
                Part::Whole => self.rows.jobs.contains_key(&id),
                Part::Child(index) => self.rows.jobs[&id.whole()].array_size.is_some_and(|size| index < size),
                Part::Node(_) => false,
            };
            let mut given = depends_on.clone();
            given.retain(|dependency| matches!(dependency, Dependency::On(id) if known(*id)));
            if !self.random.chance(10) {
                depends_on = given;
            }
        }
        if array_size.is_some() && self.random.chance(15) {
            depends_on.push(Dependency::Sequential);
        }
        if self.random.chance(25)
            && let Some((array, size)) = self.some_array()
        {
            depends_on.push(Dependency::NToN(array));
            if self.random.chance(95) {
                *array_size = Some(size);
            }
        }
        depends_on
    }

    pub(super) fn extension_tags(&mut self) -> Tags {
        let mut tags = BTreeMap::new();
        let mut tag = |key: &str, value: u64| tags.insert(key.to_owned(), value.to_string());
        if self.random.chance(15) {
            tag(extension::MAX_RUNNING, 1 + self.random.below(3));
        }
        if self.random.chance(15) {
            tag(extension::RETRY_BACKOFF, 1 + self.random.below(20));
        }
        if self.random.chance(5) {
            tag(extension::CLIENT_TOKEN, self.random.below(3));
        }
        if self.random.chance(10) {
            tag(extension::CPU_LIMIT, self.random.below(3));
        }
        if self.random.chance(10) {
            tags.insert(extension::DETERMINISTIC.to_owned(), self.random.chance(80).to_string());
        }
        Tags::restored(tags)
    }

    pub(super) fn new_id(&mut self) -> JobId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.random.next().to_be_bytes());
        JobId::from_bytes(bytes)
    }

    pub(super) fn submission(&mut self) -> Command {
        let id = self.new_id();
        let mut array_size = self.array_size();
        let depends_on = self.dependencies(&mut array_size);
        let tags = self.extension_tags();
        self.jobs.push(id);
        let queue = self.random.below(QUEUES);
        let fair = self.rows.queues.get(&queue_name(queue)).is_some_and(|queue| queue.policy.is_some());
        let share = (fair || self.random.chance(3)).then(|| format!("share{}", self.random.below(3)));
        let scheduling_priority = self.random.chance(30).then(|| u32::try_from(self.random.below(3)).unwrap());
        let consumables = self.random.chance(20).then(|| {
            let resource = consumable_name(self.random.below(CONSUMABLES));
            vec![ConsumableRequirement { resource, quantity: 1 + self.random.below(3) }]
        });
        let kind = if self.random.chance(80) { 0 } else { 1 + self.random.below(DEFINITIONS - 1) };
        let retry = self.random.chance(40).then(|| self.retry_strategy());
        let quarters = 1 + self.random.below(10);
        let memory = 4 + self.random.below(200);
        let fuel = self.random.chance(50).then(|| self.random.below(3).to_string());
        let requirement = |kind, value| ResourceRequirement { kind, value };
        let sized = ContainerOverrides {
            resource_requirements: vec![
                requirement(ResourceKind::Vcpu, format!("{}", quarters as f64 / 4.0)),
                requirement(ResourceKind::Memory, memory.to_string()),
            ]
            .into_iter()
            .chain(fuel.map(|fuel| requirement(ResourceKind::Fuel, fuel)))
            .collect(),
            ..ContainerOverrides::default()
        };
        Command::SubmitJob(Box::new(Submission {
            id,
            name: JobName::parse("job").unwrap(),
            queue: queue_name(queue),
            definition: DefinitionReference { name: definition_name(kind), revision: None },
            parameters: BTreeMap::new(),
            depends_on,
            array_size,
            share,
            scheduling_priority,
            overrides: Overrides {
                container: if kind > 0 { ContainerOverrides::default() } else { sized },
                consumables: consumables.filter(|_| kind < DEFINITIONS - 1),
                ..Overrides::default()
            },
            fingerprint: [u8::from(self.random.chance(50)); 32],
            retry,
            timeout_seconds: self.random.chance(30).then_some(1),
            propagate_tags: None,
            tags,
            rest: Document::default(),
        }))
    }

    pub(super) fn retry_strategy(&mut self) -> RetryStrategy {
        let rule = |pattern: &str, action| ExitRule {
            on_reason: None,
            on_status_reason: Some(pattern.to_owned()),
            on_exit_code: None,
            action,
        };
        let rules = match self.random.below(4) {
            0 => vec![rule("Host EC2*", ExitAction::Retry), rule("*", ExitAction::Exit)],
            1 => vec![rule("Host EC2*", ExitAction::Exit)],
            _ => Vec::new(),
        };
        RetryStrategy { attempts: 1 + u32::try_from(self.random.below(4)).unwrap(), rules }
    }
}
