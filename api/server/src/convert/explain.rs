//! Why a job waits.

use wasmbatch_core::snapshot::{self, Explanation};
use wasmbatch_core::{Resources, Timestamp, Vcpus};
use wasmbatch_model::own::{Amount, Capacity, ConsumableUse, EnvironmentUse, ExplainJobResponse};

/// The answer for a job that was asked for as `job_id`.
pub(crate) fn from_explanation(explanation: &Explanation, job_id: String) -> ExplainJobResponse {
    let Explanation {
        job: _,
        status,
        sentence,
        position,
        wanted,
        node,
        environments,
        waits_for,
        consumables,
        not_before,
    } = explanation;
    ExplainJobResponse {
        job_id,
        status: status.as_str().to_owned(),
        explanation: sentence.clone(),
        wanted: amount(*wanted),
        node: Capacity { total: amount(node.total), held: amount(node.held) },
        compute_environments: environments.iter().map(from_environment).collect(),
        waits_for: waits_for.iter().map(ToString::to_string).collect(),
        consumable_resources: consumables.iter().map(from_consumable).collect(),
        position: *position,
        not_before: not_before.map(Timestamp::as_millis),
    }
}

/// The answer for a job that has ended: it waits for nothing.
pub(crate) fn of_ended(job_id: String, status: &str, reason: Option<&str>) -> ExplainJobResponse {
    let reason = reason.map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default();
    ExplainJobResponse {
        job_id,
        status: status.to_owned(),
        explanation: format!("It has ended as {status}{reason}."),
        ..ExplainJobResponse::default()
    }
}

fn from_environment(environment: &snapshot::EnvironmentUse) -> EnvironmentUse {
    let snapshot::EnvironmentUse { name, takes_work, max_vcpus, held_vcpus } = environment;
    EnvironmentUse {
        compute_environment: name.to_string(),
        takes_work: *takes_work,
        held_vcpus: vcpus(*held_vcpus),
        max_vcpus: max_vcpus.map(vcpus),
    }
}

fn from_consumable(consumable: &snapshot::ConsumableUse) -> ConsumableUse {
    let snapshot::ConsumableUse { name, wanted, total, in_use } = consumable;
    ConsumableUse { consumable_resource: name.to_string(), wanted: *wanted, in_use: *in_use, total: *total }
}

pub(super) fn amount(resources: Resources) -> Amount {
    let Resources { vcpus: held, memory_mib, gpus } = resources;
    Amount { vcpus: vcpus(held), memory_mib, gpus }
}

fn vcpus(vcpus: Vcpus) -> f64 {
    f64::from(vcpus.quarters()) / 4.0
}
