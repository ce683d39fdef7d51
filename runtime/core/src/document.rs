//! Members of a request that nothing here decides about, kept to be answered as they came.

use std::collections::BTreeMap;

/// Member name to its JSON text. The core never looks inside; `api` writes and reads it. Members
/// the core does decide about are typed fields beside it, never in here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document(BTreeMap<String, String>);

impl Document {
    /// A document of these members.
    pub fn new(members: BTreeMap<String, String>) -> Self {
        Self(members)
    }

    /// The members by name.
    pub fn members(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Sets each member that `update` has, as an Update call does.
    pub fn merge(&mut self, update: Self) {
        self.0.extend(update.0);
    }
}
