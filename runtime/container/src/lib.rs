//! OCI images: where they come from, how they lie on disk, and how runc runs them.

pub mod cdi;
pub mod image;
pub mod init;
pub mod oci;
