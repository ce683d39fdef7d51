//! The imperative shell around the core: one writer thread that applies commands in batches and
//! commits each with one fsync, and what is done before and after.
//!
//! It knows the trait [`wasmbatch_executor::Executor`] and no implementation, the store and no
//! redb, and no HTTP. It decides nothing about jobs: rules are in the core.
//!
//! Invariants: no reply and no effect before the commit of its batch; a failed commit ends the
//! controller, so that memory never runs ahead of disk; every queue here is bounded.

mod attempt;
mod clock;
mod dispatch;
mod figures;
mod handle;
mod images;
mod inbox;
mod modules;
mod pace;
mod reader;
mod retention;
mod service;
mod sink;
mod writer;

pub use clock::{Clock, SystemClock};
pub use handle::{ExecuteError, Handle, NodeFacts, StatusEvent};
pub use images::{ImageUpload, ImagesError};
pub use modules::{ModuleState, ModuleUpload, UploadError};
pub use reader::{
    ConsumableJobsFilter, DefinitionFilter, JobCursor, JobFilter, JobsPage, JobsQuery, LogReader, Reader,
    ServiceJobFilter, ServiceJobsPage,
};
pub use service::{Controller, Options, StartError};
pub use wasmbatch_executor::{ImageError, ImageInfo, NetworkAccess, Quarantined, Wall};
pub use wasmbatch_store::ReadError;
pub use wasmbatch_store::logs::{EventPage, LogEvent, LogGroupInfo, LogStreamInfo};
