//! What the attempts of a job used.

use wasmbatch_core::id::Part;
use wasmbatch_core::layout::{Group, Layout};
use wasmbatch_core::plan::DEFAULT_CONTAINER;
use wasmbatch_core::{AttemptRecord, Job, JobDefinition, JobId, JobProgress, Usage};
use wasmbatch_model::own::{self, AttemptUsage, ContainerUsage, JobUsageResponse};

/// The answer for a job, a child or a node; of a node only its own containers.
pub(crate) fn from_job(
    id: JobId,
    job: &Job,
    definition: Option<&JobDefinition>,
    progress: &JobProgress,
) -> JobUsageResponse {
    let mut total = None;
    let mut attempts = Vec::with_capacity(progress.attempts.len());
    for (number, attempt) in (1..).zip(&progress.attempts) {
        let containers = match &job.layout {
            Layout::Single => vec![(lone_container(job, definition, attempt), attempt.usage)],
            Layout::Group(group) => members(id, group, attempt),
        };
        total = containers.iter().filter_map(|(_, usage)| *usage).chain(total).reduce(sum);
        let shown = |(container, usage): (ContainerUsage, Option<Usage>)| ContainerUsage {
            usage: usage.map(from_usage),
            ..container
        };
        attempts.push(AttemptUsage { number, containers: containers.into_iter().map(shown).collect() });
    }
    JobUsageResponse { job_id: id.to_string(), attempts, total: total.map(from_usage) }
}

fn lone_container(job: &Job, definition: Option<&JobDefinition>, attempt: &AttemptRecord) -> ContainerUsage {
    let defined = definition.and_then(|found| found.spec.defined_container(&job.overrides, 0, 0));
    let name = defined.map_or(DEFAULT_CONTAINER, |(name, _)| name).to_owned();
    let image_digest = attempt.image_digest.map(|digest| digest.to_string());
    ContainerUsage { name, image_digest, ..ContainerUsage::default() }
}

/// The containers of an attempt that are shown, each with what it used.
fn members(id: JobId, group: &Group, attempt: &AttemptRecord) -> Vec<(ContainerUsage, Option<Usage>)> {
    let shown = |node: u32| match id.part() {
        Part::Node(asked) => node == asked,
        Part::Whole | Part::Child(_) => true,
    };
    let members = group.members.iter().zip(&attempt.members).filter(|(planned, _)| shown(planned.node));
    members
        .map(|(planned, record)| {
            let node = group.main_node.map(|_| planned.node);
            let image_digest = record.image_digest.map(|digest| digest.to_string());
            (ContainerUsage { name: planned.name.clone(), node, image_digest, usage: None }, record.usage)
        })
        .collect()
}

/// What two used: the most memory of either, the sum of everything else.
fn sum(one: Usage, other: Usage) -> Usage {
    Usage {
        cpu_microseconds: one.cpu_microseconds.saturating_add(other.cpu_microseconds),
        peak_memory_bytes: one.peak_memory_bytes.max(other.peak_memory_bytes),
        fuel: match (one.fuel, other.fuel) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        },
        read_bytes: one.read_bytes.saturating_add(other.read_bytes),
        written_bytes: one.written_bytes.saturating_add(other.written_bytes),
    }
}

fn from_usage(usage: Usage) -> own::Usage {
    let Usage { cpu_microseconds, peak_memory_bytes, fuel, read_bytes, written_bytes } = usage;
    own::Usage { cpu_microseconds, peak_memory_bytes, read_bytes, written_bytes, fuel }
}
