//! Why there is no image.

use std::io;
use std::time::Duration;

use wasmbatch_core::Digest;

/// Why an image can't be had. Its text is fit for people and never has credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// It is not how images are called.
    #[error("invalid reference {0}")]
    Reference(String),
    /// The owner of this node lets nobody ask that registry.
    #[error("registry {0} is not allowed on this node")]
    NotAllowed(String),
    /// Nothing answers, or not as a registry does.
    #[error("{registry} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// What went wrong.
        reason: String,
    },
    /// The registry says no.
    #[error("{what}: {said} (HTTP status {status})")]
    Refused {
        /// What it was asked for.
        what: String,
        /// Of its answer.
        status: u16,
        /// In its own words.
        said: String,
    },
    /// It isn't what its digest says.
    #[error("{what} has another digest: expected {expected}, got {got}")]
    Digest {
        /// A manifest, a configuration, a layer.
        what: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// It has another length than its manifest says.
    #[error("{what} has another size: expected {expected} bytes, got {got}")]
    Size {
        /// A configuration, a layer.
        what: String,
        /// Bytes that the manifest says.
        expected: u64,
        /// Bytes that came, or that the registry says will come.
        got: u64,
    },
    /// It is larger than this node takes.
    #[error("{what} is too large: {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// A manifest, a configuration, a layer, an image.
        what: String,
        /// How large it is, or the part of it that was seen.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// It is no image, or none that can run here.
    #[error("{0}")]
    Unsupported(String),
    /// A layer isn't what layers are.
    #[error("layer {layer} cannot be unpacked: {reason}")]
    Unpack {
        /// As the registry has it.
        layer: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// This node is at fault.
    #[error("the image store failed: {0}")]
    Store(String),
    /// It took too long.
    #[error("pulling took longer than {} seconds", .0.as_secs())]
    TimedOut(Duration),
}

impl PullError {
    pub(crate) fn store(what: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Store(format!("{what}: {error}"))
    }

    /// Whether the registry didn't answer, which is no word about the image.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut(_) => true,
            // The registry is there but can't say.
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Reference(_)
            | Self::NotAllowed(_)
            | Self::Digest { .. }
            | Self::Size { .. }
            | Self::TooLarge { .. }
            | Self::Unsupported(_)
            | Self::Unpack { .. }
            | Self::Store(_) => false,
        }
    }
}

/// Why there is no image store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder can't be used.
    #[error("image store: {what}")]
    Io {
        /// Which part.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that the node's owner named isn't what it should be.
    #[error("{path}: {reason}")]
    Settings {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
