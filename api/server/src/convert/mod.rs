//! Wire types to domain types and back, a file per entity.
//!
//! Pure functions: what they build was validated here or by the constructors of `core`, and
//! nobody behind this line checks a client's input again.

pub(crate) mod consumable;
pub(crate) mod container;
pub(crate) mod definition;
pub(crate) mod environment;
pub(crate) mod explain;
pub(crate) mod job;
pub(crate) mod module;
pub(crate) mod nodes;
pub(crate) mod overrides;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod quantity;
pub(crate) mod queue;
pub(crate) mod requirement;
pub(crate) mod retry;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod snapshot;
pub(crate) mod submission;
pub(crate) mod task;
pub(crate) mod usage;

use std::collections::BTreeMap;

use serde_json::Value;
use wasmbatch_core::environment::{Enablement, Lifecycle};
use wasmbatch_core::{Document, Name, Tags};
use wasmbatch_model::{Rest, TextMap};

use crate::error::ApiError;

/// Members kept as JSON.
pub(crate) fn to_document(rest: Rest) -> Document {
    Document::new(rest.into_iter().map(|(name, value)| (name, value.to_string())).collect())
}

/// The inverse of [`to_document`].
pub(crate) fn from_document(document: &Document) -> Rest {
    let value = |text: &str| serde_json::from_str(text).expect("a document holds the JSON that was put into it");
    document.members().iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

/// A member that must be there. Required members of the service model were asked for by the shape;
/// this is for the others, and says the same.
pub(crate) fn required<T>(value: Option<T>, member: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::client(format!("{member} is required")))
}

/// A text that must be there and say something.
pub(crate) fn required_text(value: Option<String>, member: &str) -> Result<String, ApiError> {
    value
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::client(format!("'{member}' is a required field (cannot be an empty string)")))
}

/// The name of something new.
pub(crate) fn to_name(value: Option<String>, member: &str) -> Result<Name, ApiError> {
    Name::parse(&required_text(value, member)?).map_err(|invalid| ApiError::client(invalid.to_string()))
}

pub(crate) fn to_tags(tags: Option<TextMap>) -> Result<Tags, ApiError> {
    Ok(Tags::new(tags.unwrap_or_default())?)
}

/// Tags of what no job is submitted with: there a `wasmbatch:` tag would say nothing.
pub(crate) fn to_plain_tags(tags: Option<TextMap>) -> Result<Tags, ApiError> {
    match tags.iter().flatten().find(|(key, _)| key.starts_with(wasmbatch_core::extension::PREFIX)) {
        Some((key, _)) => Err(wasmbatch_core::Rejection::ExtensionTagPlace { key: key.clone() }.into()),
        None => to_tags(tags),
    }
}

pub(crate) fn from_tags(tags: &Tags) -> TextMap {
    tags.as_map().clone()
}

pub(crate) fn to_enablement(state: Option<&str>) -> Result<Option<Enablement>, ApiError> {
    match state {
        None => Ok(None),
        Some("ENABLED") => Ok(Some(Enablement::Enabled)),
        Some("DISABLED") => Ok(Some(Enablement::Disabled)),
        Some(other) => {
            let other = wasmbatch_core::name::shortened(other);
            Err(ApiError::client(format!("state {other} must be one of ENABLED | DISABLED")))
        }
    }
}

pub(crate) fn from_enablement(state: Enablement) -> String {
    let word = match state {
        Enablement::Enabled => "ENABLED",
        Enablement::Disabled => "DISABLED",
    };
    word.to_owned()
}

pub(crate) fn from_lifecycle(lifecycle: Lifecycle) -> String {
    let word = match lifecycle {
        Lifecycle::Valid => "VALID",
        Lifecycle::Deleting => "DELETING",
    };
    word.to_owned()
}

/// An integer that can't be negative.
pub(crate) fn unsigned(value: i32, member: &str) -> Result<u32, ApiError> {
    u32::try_from(value).map_err(|_| ApiError::client(format!("{member} must not be negative")))
}

/// A domain number on the wire, where an `integer` is signed.
pub(crate) fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Whether a member asks for something: neither absent nor empty all the way down.
pub(crate) fn asks(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        Value::Object(members) => members.values().any(asks),
    }
}

/// `parameters`: nothing to check beyond what their shape did.
pub(crate) fn to_parameters(parameters: Option<TextMap>) -> BTreeMap<String, String> {
    parameters.unwrap_or_default()
}
