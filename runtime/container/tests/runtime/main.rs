//! Specifications given to the real runc, as root: what a container can and can't do. Without root or
//! without runc these tests say that they show nothing, and fail in continuous integration.

#![expect(clippy::unwrap_used, reason = "all of this binary is tests")]

mod bundle;
mod first;
mod granted;
mod ordinary;
mod refused;
