//! The domain of wasmbatch and its deterministic state machine.
//!
//! Commands go in ([`Command`]); rows to write ([`Change`]) and acts to perform ([`Effect`]) come
//! out. Same inputs, same outputs: the crate deliberately knows no I/O, clock, randomness, async,
//! threads or serialization. `now` and random identifiers are arguments.
//!
//! Invariants, checked by [`StateMachine::check_invariants`] at every step of the simulation:
//! a terminal state never changes; allocations and free capacity add up; a job's count of unmet
//! dependencies is the number of its unfinished ones; a stale or repeated report changes nothing;
//! restoring from the rows gives the same machine.

pub mod archive;
pub mod change;
pub mod command;
pub mod consumable;
pub mod definition;
pub mod document;
pub mod effect;
pub mod environment;
pub mod extension;
pub mod id;
pub mod index_set;
pub mod job;
pub mod layout;
pub mod limits;
pub mod module;
pub mod name;
pub mod nodes;
pub mod plan;
pub mod policy;
pub mod queue;
pub mod rejection;
pub mod report;
pub mod resource;
pub mod service;
pub mod settings;
pub mod share;
pub mod snapshot;
pub mod tags;
pub mod time;

#[cfg(test)]
extern crate self as wasmbatch_core;

mod apply;
mod invariants;
mod live;
mod machine;
mod restore;
mod schedule;
mod task;

pub use archive::{Archive, ArchiveError, ClientToken, DefinitionHead};
pub use change::{Change, Counters, Record};
pub use command::{Command, Reply};
pub use definition::{ContainerOverrides, ContainerProperties, DefinitionSpec, JobDefinition};
pub use document::Document;
pub use effect::Effect;
pub use environment::ComputeEnvironment;
pub use id::{AttemptId, Digest, JobId};
pub use job::{AttemptRecord, Dependency, Job, JobProgress, JobState, JobStatus};
pub use machine::{Corrupt, Node, Outputs, StateMachine};
pub use module::{Module, ModuleName};
pub use name::{JobName, Name};
pub use queue::JobQueue;
pub use rejection::Rejection;
pub use report::{AttemptEvent, Ending, Report, Usage};
pub use resource::{Resources, Vcpus};
pub use tags::{ResourceKey, Tags};
pub use time::Timestamp;
