//! Rows: what stands in a table's values, and the way from and to domain types. A file for each
//! entity; fields are taken apart by name, so that a new one can't be forgotten.
//!
//! A value is one version byte and the postcard form of the row. A change of a row's fields needs
//! a new version and a reader of the old one.

pub(crate) mod consumable;
pub(crate) mod definition;
pub(crate) mod environment;
pub(crate) mod job;
pub(crate) mod module;
pub(crate) mod overrides;
pub(crate) mod policy;
pub(crate) mod progress;
pub(crate) mod queue;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod shape;
pub(crate) mod share;

#[cfg(test)]
mod old;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasmbatch_core::environment::{Enablement, Lifecycle};
use wasmbatch_core::{Counters, DefinitionHead, Document, Name, Tags};

use crate::ReadError;

/// The version of every row whose layout never changed.
const VERSION: u8 = 1;

/// A value that this version can't read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error("a row of version {0}, which this version does not know")]
    Version(u8),
    #[error("an empty row")]
    Empty,
    #[error("a row that does not decode")]
    Decode(#[from] postcard::Error),
    #[error("a row whose {0} is not valid")]
    Invalid(&'static str),
}

impl From<RowError> for ReadError {
    fn from(error: RowError) -> Self {
        Self::new(error)
    }
}

pub(crate) fn encode(row: &impl Serialize) -> Vec<u8> {
    encode_as(VERSION, row)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowError> {
    match versioned(bytes)? {
        (VERSION, row) => Ok(postcard::from_bytes(row)?),
        (other, _) => Err(RowError::Version(other)),
    }
}

/// The bytes of a row with a version of its own.
pub(crate) fn encode_as(version: u8, row: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(row, vec![version]).expect("rows hold only what postcard can write")
}

/// A row's version and its postcard form.
pub(crate) fn versioned(bytes: &[u8]) -> Result<(u8, &[u8]), RowError> {
    bytes.split_first().map(|(version, row)| (*version, row)).ok_or(RowError::Empty)
}

pub(crate) fn name(text: &str) -> Result<Name, RowError> {
    Name::parse(text).map_err(|_| RowError::Invalid("name"))
}

pub(crate) type DocumentRow = BTreeMap<String, String>;

pub(crate) fn document_row(document: &Document) -> DocumentRow {
    document.members().clone()
}

pub(crate) const fn is_enabled(state: Enablement) -> bool {
    matches!(state, Enablement::Enabled)
}

pub(crate) const fn enablement(enabled: bool) -> Enablement {
    if enabled { Enablement::Enabled } else { Enablement::Disabled }
}

pub(crate) const fn is_deleting(lifecycle: Lifecycle) -> bool {
    matches!(lifecycle, Lifecycle::Deleting)
}

pub(crate) const fn lifecycle(deleting: bool) -> Lifecycle {
    if deleting { Lifecycle::Deleting } else { Lifecycle::Valid }
}

pub(crate) fn encode_tags(tags: &Tags) -> Vec<u8> {
    encode(tags.as_map())
}

pub(crate) fn decode_tags(bytes: &[u8]) -> Result<Tags, RowError> {
    Ok(Tags::restored(decode(bytes)?))
}

#[derive(Serialize, Deserialize)]
struct CountersRow {
    next_order: u64,
    next_generation: u64,
    next_queue_uid: u64,
}

pub(crate) fn encode_counters(counters: Counters) -> Vec<u8> {
    let Counters { next_order, next_generation, next_queue_uid } = counters;
    encode(&CountersRow { next_order, next_generation, next_queue_uid })
}

pub(crate) fn decode_counters(bytes: &[u8]) -> Result<Counters, RowError> {
    let CountersRow { next_order, next_generation, next_queue_uid } = decode(bytes)?;
    Ok(Counters { next_order, next_generation, next_queue_uid })
}

#[derive(Serialize, Deserialize)]
struct HeadRow {
    last_revision: u32,
    latest_active: Option<u32>,
}

pub(crate) fn encode_head(head: DefinitionHead) -> Vec<u8> {
    let DefinitionHead { last_revision, latest_active } = head;
    encode(&HeadRow { last_revision, latest_active })
}

pub(crate) fn decode_head(bytes: &[u8]) -> Result<DefinitionHead, RowError> {
    let HeadRow { last_revision, latest_active } = decode(bytes)?;
    Ok(DefinitionHead { last_revision, latest_active })
}
