//! OCI images: where they come from, how they lie on disk, and how runc runs them.

pub mod image;
pub mod oci;

mod unpack;

pub use unpack::unpack_main;
