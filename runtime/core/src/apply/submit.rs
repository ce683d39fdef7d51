//! SubmitJob.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::archive::{Archive, ClientToken};
use crate::change::Change;
use crate::command::{DefinitionReference, Reply, Submission};
use crate::definition::{DefinitionStatus, JobDefinition};
use crate::environment::{Enablement, Lifecycle};
use crate::extension::Extensions;
use crate::id::{JobId, Part};
use crate::index_set::IndexSet;
use crate::job::{Dependency, EndedBy, Job, JobProgress, JobState, JobStatus};
use crate::limits;
use crate::live::{JobFacts, LiveArray, LiveJob};
use crate::machine::{Applied, Outputs, StateMachine};
use crate::name::Name;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::resource::Resources;
use crate::tags::{ResourceKey, Tags};
use crate::time::Timestamp;

pub(crate) const DEPENDENCY_FAILED: &str = "Dependent Job failed";
/// `[API]` propagateTags: such a job is taken and goes to FAILED.
const TOO_MANY_TAGS: &str = "The job has more than 50 tags together with those propagated from its job definition";

const SHARE: &str = "shareIdentifier";
const FAIR_SHARE: &str = "fair-share";

/// What the dependencies of a new job amount to.
struct Dependencies {
    /// A job, array or child it depends on has failed.
    failed: bool,
    /// Children whose counterpart in an array of N_TO_N has failed.
    failed_children: Option<IndexSet>,
}

/// What became of something a new job depends on.
enum Past {
    Live,
    Succeeded,
    Failed,
}

impl StateMachine {
    pub(crate) fn submit(
        &mut self,
        archive: &dyn Archive,
        submission: Submission,
        now: Timestamp,
        out: &mut Outputs,
    ) -> Applied {
        let definition = resolve_definition(archive, &submission.definition);
        let extensions = match &definition {
            Ok(definition) => extensions_of(archive, definition, &submission)?,
            Err(_) => Extensions::of_tags(submission.tags.as_map())?,
        };
        if let Some(job) = Self::submitted_before(archive, &extensions, &submission, now)? {
            return Ok(Reply::Submitted { job });
        }
        let queue_uid = self.open_queue(&submission, now)?;
        let definition = definition?;
        let plan = definition.spec.plan(&submission.overrides)?;
        check_array(&submission, &plan)?;
        if extensions.deterministic && !plan.metered {
            return Err(Rejection::DeterministicWithoutFuel);
        }
        self.check_fargate(&submission.queue, &definition, &plan)?;
        self.check_consumables(&plan)?;
        let depends_on = distinct(&submission.depends_on)?;
        let dependencies = self.dependencies(archive, &depends_on, submission.array_size)?;
        let overtagged = propagates_too_many_tags(archive, &definition, &submission)?;

        let order = self.counters.next_order;
        self.counters.next_order += 1;
        let fingerprint = submission.fingerprint;
        let (job, tags) = resolved(submission, &definition, plan, depends_on, extensions, (queue_uid, order, now));
        let id = job.id;
        if let Some(token) = job.extensions.client_token.clone() {
            let submit = ClientToken { job: id, fingerprint, submitted_at: now };
            out.changes.push(Change::PutClientToken { token, submit });
        }
        self.insert(job, tags, now, out);
        if overtagged {
            self.end_waiting(id, TOO_MANY_TAGS, EndedBy::Itself, now, out);
        } else if dependencies.failed {
            self.end_waiting(id, DEPENDENCY_FAILED, EndedBy::Itself, now, out);
        } else if let Some(children) = dependencies.failed_children {
            self.drop_children(id, children, DEPENDENCY_FAILED, EndedBy::Itself, now, out);
        }
        Ok(Reply::Submitted { job: id })
    }

    fn submitted_before(
        archive: &dyn Archive,
        extensions: &Extensions,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<Option<JobId>, Rejection> {
        let Some(token) = &extensions.client_token else {
            return Ok(None);
        };
        let age = |before: &ClientToken| now.as_millis() - before.submitted_at.as_millis();
        match archive.client_token(token)?.filter(|before| age(before) < limits::CLIENT_TOKEN_MILLIS) {
            None => Ok(None),
            Some(before) if before.fingerprint == submission.fingerprint => Ok(Some(before.job)),
            Some(_) => Err(Rejection::ClientTokenReused { token: crate::name::shortened(token) }),
        }
    }

    fn open_queue(&self, submission: &Submission, now: Timestamp) -> Result<u64, Rejection> {
        let name = &submission.queue;
        let queue = self.queues.get(name).ok_or_else(|| Rejection::QueueNotFound { name: name.to_string() })?;
        if queue.record.lifecycle == Lifecycle::Deleting {
            return Err(Rejection::QueueDeleting { name: name.to_string() });
        }
        if queue.record.state == Enablement::Disabled {
            return Err(Rejection::QueueDisabled { name: name.to_string() });
        }
        if queue.record.is_for_service_jobs() {
            return Err(Rejection::ServiceJobsOnly { name: name.to_string() });
        }
        match (&submission.share, self.fair_share(queue)) {
            (None, None) => {}
            (Some(_), None) => {
                return Err(Rejection::ShareUncalledFor { member: SHARE, queue: name.to_string(), policy: FAIR_SHARE });
            }
            (None, Some(_)) => {
                return Err(Rejection::ShareMissing { member: SHARE, queue: name.to_string(), policy: FAIR_SHARE });
            }
            (Some(share), Some(policy)) => {
                let known = queue.shares.contains_key(share.as_str());
                let window = policy.window_seconds();
                if !known && queue.active_shares(window, now) >= limits::ACTIVE_SHARES {
                    return Err(Rejection::TooManyActiveShares);
                }
            }
        }
        Ok(queue.record.uid)
    }

    /// A resource that nobody made would never be given back or added to.
    fn check_consumables(&self, plan: &Plan) -> Result<(), Rejection> {
        match plan.consumables.iter().find(|needed| !self.consumables.contains_key(&needed.resource)) {
            Some(needed) => Err(Rejection::ConsumableNotFound { name: needed.resource.to_string() }),
            None => Ok(()),
        }
    }

    /// What runs on FARGATE has one of its sizes, whatever was overridden.
    fn check_fargate(&self, queue: &Name, definition: &JobDefinition, plan: &Plan) -> Result<(), Rejection> {
        let asked = definition.spec.platform_capabilities.iter().any(|platform| platform == "FARGATE");
        // A queue's environments are all of one family.
        let environment = self.queues[queue].record.environments.first();
        let placed = environment.and_then(|order| self.environments.get(&order.environment));
        let Resources { vcpus, memory_mib, gpus: _ } = plan.resources;
        if (asked || placed.is_some_and(|entry| entry.is_fargate())) && !plan.resources.is_fargate_size() {
            return Err(Rejection::FargateSize { vcpus, memory_mib });
        }
        Ok(())
    }

    fn dependencies(
        &self,
        archive: &dyn Archive,
        depends_on: &[Dependency],
        array_size: Option<u32>,
    ) -> Result<Dependencies, Rejection> {
        let mut found = Dependencies { failed: false, failed_children: None };
        for dependency in depends_on {
            match dependency {
                Dependency::Sequential => {}
                Dependency::On(id) => match self.past_of(archive, *id)? {
                    Past::Live | Past::Succeeded => {}
                    Past::Failed => found.failed = true,
                },
                Dependency::NToN(id) => {
                    let failed = self.counterparts(archive, *id, array_size)?;
                    if !failed.is_empty() {
                        let before = found.failed_children.take();
                        found.failed_children = Some(match before {
                            Some(before) => before.union(&failed),
                            None => failed,
                        });
                    }
                }
            }
        }
        Ok(found)
    }

    fn past_of(&self, archive: &dyn Archive, id: JobId) -> Result<Past, Rejection> {
        if self.is_live(id) {
            return Ok(Past::Live);
        }
        let not_found = Rejection::DependencyNotFound { id };
        match id.part() {
            Part::Node(_) => Err(not_found),
            Part::Child(index) => {
                let outcome = match self.arrays.get(&id.whole()) {
                    Some(array) => Some((array.size(), array.failed.contains(index))),
                    None => archive.array_outcome(id.whole())?.map(|past| (past.size, past.failed.contains(index))),
                };
                match outcome {
                    Some((size, failed)) if index < size => Ok(if failed { Past::Failed } else { Past::Succeeded }),
                    Some(_) | None => Err(not_found),
                }
            }
            Part::Whole => match archive.job_status(id)? {
                Some(JobStatus::Succeeded) => Ok(Past::Succeeded),
                Some(JobStatus::Failed) => Ok(Past::Failed),
                Some(
                    JobStatus::Submitted
                    | JobStatus::Pending
                    | JobStatus::Runnable
                    | JobStatus::Starting
                    | JobStatus::Running,
                )
                | None => Err(not_found),
            },
        }
    }

    /// The children of the array of that id that have failed, if it can be depended on one by one.
    fn counterparts(&self, archive: &dyn Archive, id: JobId, array_size: Option<u32>) -> Result<IndexSet, Rejection> {
        let failed = match self.arrays.get(&id) {
            Some(array) => array.failed.clone(),
            None => match archive.array_outcome(id)? {
                Some(outcome) => outcome.failed,
                None if self.is_live(id) || archive.job_status(id)?.is_some() => {
                    return Err(Rejection::PairedSizes { id });
                }
                None => return Err(Rejection::DependencyNotFound { id }),
            },
        };
        if array_size == Some(failed.size()) { Ok(failed) } else { Err(Rejection::PairedSizes { id }) }
    }

    /// Whether the job, array or child has not ended.
    pub(crate) fn is_live(&self, id: JobId) -> bool {
        match id.part() {
            Part::Whole => self.jobs.contains_key(&id) || self.arrays.contains_key(&id),
            Part::Child(index) => self.arrays.get(&id.whole()).is_some_and(|array| {
                index < array.size() && !array.succeeded.contains(index) && !array.failed.contains(index)
            }),
            Part::Node(_) => false,
        }
    }

    /// Enters a new job where it belongs: among the waiting, or in its queue.
    fn insert(&mut self, job: Job, tags: Tags, now: Timestamp, out: &mut Outputs) {
        let (id, array_size) = (job.id, job.array_size);
        let facts = Arc::new(JobFacts::new(&job));
        out.changes.push(Change::InsertJob(Box::new(job)));
        if !tags.is_empty() {
            out.changes.push(Change::PutTags(ResourceKey::Job(id), tags));
        }
        self.forget_shares(&facts.queue, now, out);
        let queue = self.queues.get_mut(&facts.queue).expect("it was open");
        queue.live_jobs += 1;
        queue.shares.entry(facts.share.clone()).or_default().live_jobs += 1;
        let unmet = self.wait_for(id, &facts);
        let mut progress = JobProgress::submitted();
        match array_size {
            Some(size) => {
                progress.state = JobState::Array { unmet };
                self.arrays.insert(id, LiveArray::new(facts, size, progress, now));
                self.dirty.arrays.insert(id);
                self.record(id, None, now, out);
                self.release_children(id, now);
            }
            None => {
                progress.state = match NonZeroU32::new(unmet) {
                    Some(unmet) => JobState::Pending { unmet },
                    None => JobState::runnable(),
                };
                self.jobs.insert(id, LiveJob { facts, progress });
                if unmet == 0 {
                    self.enter_queue(id);
                }
                self.record(id, None, now, out);
            }
        }
    }
}

/// The `wasmbatch:` tags of the definition with the submit's over them.
fn extensions_of(
    archive: &dyn Archive,
    definition: &JobDefinition,
    submission: &Submission,
) -> Result<Extensions, Rejection> {
    let key = ResourceKey::JobDefinition(definition.name.clone(), definition.revision);
    let mut tags = archive.tags(&key)?.as_map().clone();
    tags.extend(submission.tags.as_map().clone());
    Extensions::of_tags(&tags)
}

fn check_array(submission: &Submission, plan: &Plan) -> Result<(), Rejection> {
    plan.check_array(submission.array_size)?;
    match submission.array_size {
        Some(size) if !(2..=limits::ARRAY_SIZE).contains(&size) => Err(Rejection::ArraySize),
        Some(_) => Ok(()),
        None if submission.depends_on.iter().any(|dependency| !matches!(dependency, Dependency::On(_))) => {
            Err(Rejection::ArrayDependencyOfNoArray)
        }
        None => Ok(()),
    }
}

fn resolve_definition(
    archive: &dyn Archive,
    reference: &DefinitionReference,
) -> Result<std::sync::Arc<JobDefinition>, Rejection> {
    let not_active = || Rejection::DefinitionNotActive { name: reference.name.to_string() };
    let Some(head) = archive.definition_head(&reference.name)? else {
        return Err(not_active());
    };
    let revision = match reference.revision {
        Some(revision) => revision,
        None => head.latest_active.ok_or_else(not_active)?,
    };
    let definition = archive
        .definition(&reference.name, revision)?
        .ok_or_else(|| Rejection::DefinitionNotFound { reference: format!("{}:{revision}", reference.name) })?;
    match definition.status {
        DefinitionStatus::Active => Ok(definition),
        DefinitionStatus::Inactive => Err(not_active()),
    }
}

fn propagates_too_many_tags(
    archive: &dyn Archive,
    definition: &JobDefinition,
    submission: &Submission,
) -> Result<bool, Rejection> {
    if submission.propagate_tags.or(definition.spec.propagate_tags) != Some(true) {
        return Ok(false);
    }
    let key = ResourceKey::JobDefinition(definition.name.clone(), definition.revision);
    Ok(archive.tags(&key)?.merged(submission.tags.clone()) == Err(Rejection::TooManyTags))
}

/// Without repetitions, in the order given.
fn distinct(given: &[Dependency]) -> Result<Vec<Dependency>, Rejection> {
    let mut seen = BTreeSet::new();
    let depends_on: Vec<_> = given.iter().copied().filter(|dependency| seen.insert(*dependency)).collect();
    if depends_on.len() > limits::DEPENDENCIES { Err(Rejection::TooManyDependencies) } else { Ok(depends_on) }
}

fn resolved(
    submission: Submission,
    definition: &JobDefinition,
    plan: Plan,
    depends_on: Vec<Dependency>,
    extensions: Extensions,
    (queue_uid, order, now): (u64, u64, Timestamp),
) -> (Job, Tags) {
    let Submission {
        id,
        name,
        queue,
        definition: _,
        parameters,
        depends_on: _,
        array_size,
        share,
        scheduling_priority,
        overrides,
        fingerprint: _,
        retry,
        timeout_seconds,
        propagate_tags,
        tags,
        rest,
    } = submission;
    let Plan { layout, resources, consumables, metered: _ } = plan;
    let spec = &definition.spec;
    let mut all_parameters = spec.parameters.clone();
    all_parameters.extend(parameters);
    let job = Job {
        id,
        name,
        queue,
        queue_uid,
        order,
        definition: definition.name.clone(),
        revision: definition.revision,
        created_at: now,
        parameters: all_parameters,
        depends_on,
        array_size,
        share,
        scheduling_priority: scheduling_priority.or(spec.scheduling_priority),
        overrides,
        layout,
        resources,
        consumables,
        extensions,
        retry: retry.or_else(|| spec.retry.clone()),
        timeout_seconds: timeout_seconds.or(spec.timeout_seconds),
        propagate_tags: propagate_tags.or(spec.propagate_tags),
        rest,
    };
    (job, tags)
}
