//! What runc is told: the specification of one container.
//!
//! [`specification`] makes it from a [`Plan`] and looks at nothing else, so that what is granted can be
//! read and tested in one place. What has to be looked up on the host before, such as the numbers of a
//! device and the users of an image, is in [`device`] and [`user`].

mod command;
pub mod device;
mod error;
mod mounts;
mod plan;
mod resources;
mod seccomp;
mod signal;
mod specification;
pub mod user;

pub use error::SpecError;
pub use plan::{BindMount, Identity, Limits, Plan, RANGE_SIZE, Starter};
pub use signal::stop_signal;
pub use specification::specification;

#[cfg(test)]
mod tests;
