//! Job definitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmbatch_core::Document;
use wasmbatch_core::consumable::ConsumableRequirement;
use wasmbatch_core::definition::{DefinitionSpec, DefinitionStatus, JobDefinition};
use wasmbatch_core::job::retry::{ExitAction, ExitRule, RetryStrategy};

use super::shape::{ContainerRow, ContainerRow2, ContainerRow3, ShapeRow, shape_of, shape_row};
use super::{DocumentRow, RowError, document_row, encode_as, name, versioned};

/// Version 2 is version 1 with the consumables behind it, and with more shapes; versions 3 and 4 have
/// more of each container.
const DEFINITION_VERSION: u8 = 4;

#[derive(Serialize, Deserialize)]
struct DefinitionRow<C> {
    first: DefinitionRow1<C>,
    consumables: Vec<ConsumableRow>,
}

#[derive(Serialize, Deserialize)]
struct DefinitionRow1<C> {
    name: String,
    revision: u32,
    active: bool,
    shape: ShapeRow<C>,
    parameters: BTreeMap<String, String>,
    retry: Option<RetryRow>,
    timeout_seconds: Option<u32>,
    propagate_tags: Option<bool>,
    scheduling_priority: Option<u32>,
    platform_capabilities: Vec<String>,
    rest: DocumentRow,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RetryRow {
    attempts: u32,
    rules: Vec<RuleRow>,
}

#[derive(Serialize, Deserialize)]
struct RuleRow {
    on_reason: Option<String>,
    on_status_reason: Option<String>,
    on_exit_code: Option<String>,
    retry: bool,
}

pub(crate) fn encode_definition(definition: &JobDefinition) -> Vec<u8> {
    let JobDefinition { name, revision, status, spec } = definition;
    let DefinitionSpec {
        shape,
        consumables,
        parameters,
        retry,
        timeout_seconds,
        propagate_tags,
        scheduling_priority,
        platform_capabilities,
        rest,
    } = spec;
    let first = DefinitionRow1 {
        name: name.to_string(),
        revision: *revision,
        active: matches!(status, DefinitionStatus::Active),
        shape: shape_row(shape),
        parameters: parameters.clone(),
        retry: retry.as_ref().map(retry_row),
        timeout_seconds: *timeout_seconds,
        propagate_tags: *propagate_tags,
        scheduling_priority: *scheduling_priority,
        platform_capabilities: platform_capabilities.clone(),
        rest: document_row(rest),
    };
    encode_as(DEFINITION_VERSION, &DefinitionRow { first, consumables: consumable_rows(consumables) })
}

pub(crate) fn decode_definition(bytes: &[u8]) -> Result<JobDefinition, RowError> {
    match versioned(bytes)? {
        (DEFINITION_VERSION, row) => definition_of(postcard::from_bytes::<DefinitionRow<ContainerRow>>(row)?),
        (3, row) => definition_of(postcard::from_bytes::<DefinitionRow<ContainerRow3>>(row)?),
        (2, row) => definition_of(postcard::from_bytes::<DefinitionRow<ContainerRow2>>(row)?),
        (1, row) => {
            let first: DefinitionRow1<ContainerRow2> = postcard::from_bytes(row)?;
            definition_of(DefinitionRow { first, consumables: Vec::new() })
        }
        (other, _) => Err(RowError::Version(other)),
    }
}

fn definition_of<C: Into<ContainerRow>>(row: DefinitionRow<C>) -> Result<JobDefinition, RowError> {
    let DefinitionRow { first, consumables } = row;
    let DefinitionRow1 {
        name: text,
        revision,
        active,
        shape,
        parameters,
        retry,
        timeout_seconds,
        propagate_tags,
        scheduling_priority,
        platform_capabilities,
        rest,
    } = first;
    let status = if active { DefinitionStatus::Active } else { DefinitionStatus::Inactive };
    let spec = DefinitionSpec {
        shape: shape_of(shape)?,
        consumables: consumables_of(consumables)?,
        parameters,
        retry: retry.map(retry_of),
        timeout_seconds,
        propagate_tags,
        scheduling_priority,
        platform_capabilities,
        rest: Document::new(rest),
    };
    Ok(JobDefinition { name: name(&text)?, revision, status, spec })
}

/// A consumable resource's name and how much of it is needed.
pub(crate) type ConsumableRow = (String, u64);

pub(crate) fn consumable_rows(requirements: &[ConsumableRequirement]) -> Vec<ConsumableRow> {
    requirements.iter().map(|ConsumableRequirement { resource, quantity }| (resource.to_string(), *quantity)).collect()
}

pub(crate) fn consumables_of(rows: Vec<ConsumableRow>) -> Result<Vec<ConsumableRequirement>, RowError> {
    rows.into_iter()
        .map(|(resource, quantity)| Ok(ConsumableRequirement { resource: name(&resource)?, quantity }))
        .collect()
}

pub(crate) fn retry_row(retry: &RetryStrategy) -> RetryRow {
    let RetryStrategy { attempts, rules } = retry;
    let rules = rules
        .iter()
        .map(|ExitRule { on_reason, on_status_reason, on_exit_code, action }| RuleRow {
            on_reason: on_reason.clone(),
            on_status_reason: on_status_reason.clone(),
            on_exit_code: on_exit_code.clone(),
            retry: matches!(action, ExitAction::Retry),
        })
        .collect();
    RetryRow { attempts: *attempts, rules }
}

pub(crate) fn retry_of(row: RetryRow) -> RetryStrategy {
    let RetryRow { attempts, rules } = row;
    let rules = rules
        .into_iter()
        .map(|RuleRow { on_reason, on_status_reason, on_exit_code, retry }| ExitRule {
            on_reason,
            on_status_reason,
            on_exit_code,
            action: if retry { ExitAction::Retry } else { ExitAction::Exit },
        })
        .collect();
    RetryStrategy { attempts, rules }
}
