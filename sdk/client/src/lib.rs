//! A typed client of a wasmbatch node: the AWS Batch operations, the log reads, and the node's own
//! API for modules and waiting.
//!
//! The crate deliberately knows no rule of Batch and signs nothing: a node listens on loopback.
//! Requests and answers are `wasmbatch-model`'s types.
//!
//! Invariants: a call that is not idempotent (SubmitJob, Register, Create) is repeated only where
//! it is certain that nothing was done; every call has a time limit, every answer a size.

mod batch;
mod error;
mod follow;
mod logs;
mod own;
mod retry;
mod transport;

pub use error::{ApiError, Error};
pub use follow::FollowedEvent;
pub use own::WaitOutcome;
pub use transport::Client;
pub use wasmbatch_model as model;
