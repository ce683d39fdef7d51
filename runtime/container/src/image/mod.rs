//! Images: pulled, loaded, kept, collected.

use std::path::PathBuf;
use std::sync::Arc;

use wasmbatch_core::Digest;

/// What an image's configuration says of its container. Text of somebody else: bounded, without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// In front of every command.
    pub entrypoint: Vec<String>,
    /// What runs where a job gives no command.
    pub command: Vec<String>,
    /// Name and value.
    pub environment: Vec<(String, String)>,
    /// Absolute.
    pub working_directory: Option<String>,
    /// User or uid, and group or gid behind a colon.
    pub user: Option<String>,
    /// Signal that asks its program to stop, such as `SIGINT`; SIGTERM without it.
    pub stop_signal: Option<String>,
}

/// What a reference turned out to be.
#[derive(Debug)]
pub enum Resolved {
    /// A module, at `images/modules/<hex>`.
    Module(Digest),
    /// An image, unpacked. It stays on disk for as long as this is held.
    Image(Arc<Image>),
}

/// An image on disk.
#[derive(Debug)]
pub struct Image {
    /// Of its manifest.
    pub digest: Digest,
    /// What it says of its container.
    pub config: ImageConfig,
    /// Folders of its layers, the topmost first.
    pub layers: Vec<PathBuf>,
}
