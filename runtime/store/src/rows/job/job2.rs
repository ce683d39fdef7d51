//! Version 2 of a job's row, from before tags asked for determinism and for CPU time: read, never
//! written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DependencyRow, ExtensionsRow, JobRow, LayoutRow, ResourcesRow};
use crate::rows::definition::{ConsumableRow, RetryRow};
use crate::rows::overrides::OverridesRow;
use crate::rows::{DocumentRow, RowError};

pub(super) const VERSION: u8 = 2;

#[derive(Deserialize)]
struct JobRow2 {
    id: [u8; 16],
    name: String,
    queue: String,
    queue_uid: u64,
    order: u64,
    definition: String,
    revision: u32,
    created_at_millis: i64,
    parameters: BTreeMap<String, String>,
    depends_on: Vec<DependencyRow>,
    array_size: Option<u32>,
    share: Option<String>,
    scheduling_priority: Option<u32>,
    overrides: OverridesRow,
    layout: LayoutRow,
    resources: ResourcesRow,
    consumables: Vec<ConsumableRow>,
    extensions: ExtensionsRow2,
    retry: Option<RetryRow>,
    timeout_seconds: Option<u32>,
    propagate_tags: Option<bool>,
    rest: DocumentRow,
}

#[derive(Deserialize)]
struct ExtensionsRow2 {
    max_running: Option<u32>,
    retry_backoff_seconds: Option<u32>,
    client_token: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<JobRow, RowError> {
    let JobRow2 {
        id,
        name,
        queue,
        queue_uid,
        order,
        definition,
        revision,
        created_at_millis,
        parameters,
        depends_on,
        array_size,
        share,
        scheduling_priority,
        overrides,
        layout,
        resources,
        consumables,
        extensions: ExtensionsRow2 { max_running, retry_backoff_seconds, client_token },
        retry,
        timeout_seconds,
        propagate_tags,
        rest,
    } = postcard::from_bytes(bytes)?;
    let extensions = ExtensionsRow {
        max_running,
        retry_backoff_seconds,
        client_token,
        deterministic: false,
        cpu_limit_seconds: None,
    };
    Ok(JobRow {
        id,
        name,
        queue,
        queue_uid,
        order,
        definition,
        revision,
        created_at_millis,
        parameters,
        depends_on,
        array_size,
        share,
        scheduling_priority,
        overrides,
        layout,
        resources,
        consumables,
        extensions,
        retry,
        timeout_seconds,
        propagate_tags,
        rest,
    })
}
