//! Compute environments.

use serde::{Deserialize, Serialize};
use wasmbatch_core::Document;
use wasmbatch_core::environment::{ComputeEnvironment, EnvironmentKind, Platform};

use super::{
    DocumentRow, RowError, decode, document_row, enablement, encode, is_deleting, is_enabled, lifecycle, name,
};

#[derive(Serialize, Deserialize)]
struct EnvironmentRow {
    name: String,
    uuid: String,
    enabled: bool,
    deleting: bool,
    kind: KindRow,
    rest: DocumentRow,
}

#[derive(Serialize, Deserialize)]
enum KindRow {
    Managed { platform: String, max_vcpus: u32, resources: DocumentRow },
    Unmanaged { unmanaged_vcpus: Option<u32> },
}

pub(crate) fn encode_environment(environment: &ComputeEnvironment) -> Vec<u8> {
    let ComputeEnvironment { name, uuid, state, lifecycle, kind, rest } = environment;
    let kind = match kind {
        EnvironmentKind::Managed { platform, max_vcpus, resources } => KindRow::Managed {
            platform: platform.as_str().to_owned(),
            max_vcpus: *max_vcpus,
            resources: document_row(resources),
        },
        EnvironmentKind::Unmanaged { unmanaged_vcpus } => KindRow::Unmanaged { unmanaged_vcpus: *unmanaged_vcpus },
    };
    encode(&EnvironmentRow {
        name: name.to_string(),
        uuid: uuid.clone(),
        enabled: is_enabled(*state),
        deleting: is_deleting(*lifecycle),
        kind,
        rest: document_row(rest),
    })
}

pub(crate) fn decode_environment(bytes: &[u8]) -> Result<ComputeEnvironment, RowError> {
    let EnvironmentRow { name: text, uuid, enabled, deleting, kind, rest } = decode(bytes)?;
    let kind = match kind {
        KindRow::Managed { platform, max_vcpus, resources } => EnvironmentKind::Managed {
            platform: Platform::parse(&platform).ok_or(RowError::Invalid("platform"))?,
            max_vcpus,
            resources: Document::new(resources),
        },
        KindRow::Unmanaged { unmanaged_vcpus } => EnvironmentKind::Unmanaged { unmanaged_vcpus },
    };
    Ok(ComputeEnvironment {
        name: name(&text)?,
        uuid,
        state: enablement(enabled),
        lifecycle: lifecycle(deleting),
        kind,
        rest: Document::new(rest),
    })
}
