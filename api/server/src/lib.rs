//! The API server: AWS Batch on `/v1/`, the read half of CloudWatch Logs on `POST /`, our own API
//! below `/wasmbatch/v1/`.
//!
//! The crate deliberately knows no rule of the domain and no store: it parses (`body`,
//! `shape`), converts (`convert`), calls the controller's handle (`ops`, `logs`, `own`)
//! and writes answers and errors as AWS does (`error`, `arn`, `page`).
//!
//! Invariants: every input is bounded in size, time and number; a mistake of a client is answered
//! as one, never with a 5xx and never with a cut connection; only this machine and only pages of
//! this server are listened to (`guard`); no inside knowledge leaves in an error.

mod arn;
mod body;
mod convert;
mod error;
mod guard;
mod logs;
mod ops;
mod options;
mod own;
mod page;
mod router;
mod serve;
mod shape;
mod state;

pub use options::{Limits, NotLoopback, Options, check_listen};
pub use router::router;
pub use serve::{ServeError, serve};
pub use state::ServerState;
