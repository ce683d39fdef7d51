//! Uploaded modules.

use serde::{Deserialize, Serialize};
use wasmbatch_core::{Digest, Module, ModuleName, Timestamp};

use super::{RowError, decode, encode};

#[derive(Serialize, Deserialize)]
struct ModuleRow {
    name: String,
    digest: [u8; 32],
    size_bytes: u64,
    uploaded_at_millis: i64,
}

pub(crate) fn encode_module(module: &Module) -> Vec<u8> {
    let Module { name, digest, size_bytes, uploaded_at } = module;
    encode(&ModuleRow {
        name: name.to_string(),
        digest: *digest.as_bytes(),
        size_bytes: *size_bytes,
        uploaded_at_millis: uploaded_at.as_millis(),
    })
}

pub(crate) fn decode_module(bytes: &[u8]) -> Result<Module, RowError> {
    let ModuleRow { name, digest, size_bytes, uploaded_at_millis } = decode(bytes)?;
    Ok(Module {
        name: ModuleName::parse(&name).map_err(|_| RowError::Invalid("module name"))?,
        digest: Digest::from_bytes(digest),
        size_bytes,
        uploaded_at: Timestamp::from_millis(uploaded_at_millis),
    })
}
