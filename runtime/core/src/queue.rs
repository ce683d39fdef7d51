//! Job queues.

use crate::document::Document;
use crate::environment::{Enablement, Lifecycle};
use crate::name::Name;

/// A job queue: FIFO inside, higher priority first across queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobQueue {
    /// Unique among queues.
    pub name: Name,
    /// Tells a queue from an earlier one of the same name; the key of its jobs in the store.
    pub uid: u64,
    /// ENABLED or DISABLED.
    pub state: Enablement,
    /// VALID or DELETING.
    pub lifecycle: Lifecycle,
    /// Higher goes first; 0 and up.
    pub priority: u32,
    /// Tried in this order; 1 to 3.
    pub environments: Vec<EnvironmentOrder>,
    /// Other members, answered as they came.
    pub rest: Document,
}

/// One entry of `computeEnvironmentOrder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentOrder {
    /// As given; ascending is the order tried.
    pub order: i32,
    /// The compute environment.
    pub environment: Name,
}

/// CreateJobQueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQueue {
    /// Unique among queues.
    pub name: Name,
    /// ENABLED or DISABLED.
    pub state: Enablement,
    /// Higher goes first.
    pub priority: u32,
    /// At least one.
    pub environments: Vec<EnvironmentOrder>,
    /// Other members.
    pub rest: Document,
}

/// UpdateJobQueue: what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUpdate {
    /// Which one.
    pub name: Name,
    /// New state.
    pub state: Option<Enablement>,
    /// New priority.
    pub priority: Option<u32>,
    /// New order, whole.
    pub environments: Option<Vec<EnvironmentOrder>>,
    /// Other members to set.
    pub rest: Document,
}
