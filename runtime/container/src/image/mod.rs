//! Images: pulled, loaded, kept, collected.
//!
//! Below `images/` of the data folder, each thing by a hash and never by a name that a stranger chose:
//! `names/` says which image a name stands for, `records/` what an image is made of, `layers/` has an
//! unpacked folder and a file about it for each layer, `modules/` the bytes of modules, and `tmp/` what
//! isn't whole yet. All but `tmp/` gets its entries by rename, whole and written out.
//!
//! Files of layers belong to 65,536 users of this host that nothing else belongs to. They are made by
//! the processes of [`unpack_main`](crate::unpack_main), which have no other rights. Deletions are as
//! overlayfs with `userxattr` has them.
//!
//! Layers and images are pinned while a pull needs them and leased while a container does; all else is
//! the collector's.

mod catalogue;
mod collect;
mod download;
mod error;
mod flights;
mod implied;
mod load;
mod manifest;
mod options;
mod owner;
mod pull;
mod reference;
mod registry;
mod unpacker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use wasmbatch_core::Digest;

pub use self::error::{OpenError, PullError};
pub use self::options::Options;

use self::catalogue::{Catalogue, Lease};
use self::pull::Puller;
use self::registry::Client;
use self::unpacker::Unpacker;

/// Threads that wait for registries.
const THREADS: usize = 2;
/// How long closing the store waits for what writes in it.
const CLOSING: Duration = Duration::from_secs(10);

/// What an image's configuration says of its container. Text of somebody else: bounded, without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Keeps it there.
    #[expect(dead_code, reason = "only its end matters")]
    lease: Option<Lease>,
}

impl Image {
    /// One that no store keeps.
    pub fn unmanaged(digest: Digest, config: ImageConfig, layers: Vec<PathBuf>) -> Self {
        Self { digest, config, layers, lease: None }
    }
}

/// The images of this node, in `images/` below the data folder.
#[derive(Debug)]
pub struct ImageStore {
    puller: Arc<Puller>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Somebody's interest in a pull. Dropping it gives up: `done` isn't called any more, and what
/// nobody else waits for ends.
#[derive(Debug)]
#[must_use = "dropping it gives up"]
pub struct Ticket(tokio::task::AbortHandle);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ImageStore {
    /// Opens the store, making it if need be, and removes what an earlier process left half done.
    ///
    /// # Errors
    /// The folder can't be used, or a file that the options name isn't what it should be.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let client = Client::new(&options)?;
        let home = options.data_dir.join("images");
        let unpacker = Unpacker::new(options.unpack_command.clone(), options.image_uid_base);
        let unpacker = Arc::new(unpacker.map_err(OpenError::io("processes that unpack"))?);
        let catalogue = Arc::new(Catalogue::open(&home, &unpacker)?);
        let puller = Arc::new(Puller::new(catalogue, unpacker, client, options));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("images")
            .enable_all()
            .build()
            .map_err(OpenError::io("threads for pulls"))?;
        drop(runtime.spawn(pull::collect(Arc::clone(&puller))));
        Ok(Self { puller, runtime: Some(runtime) })
    }

    /// Finds out what a reference stands for, fetching what isn't here, and calls `done` with it, on
    /// a thread of the store, which must not be kept for long. Returns at once.
    pub fn resolve(&self, reference: &str, done: Box<dyn FnOnce(Result<Resolved, PullError>) + Send>) -> Ticket {
        let (puller, reference) = (Arc::clone(&self.puller), reference.to_owned());
        let runtime = self.runtime.as_ref().expect("it is there until the drop");
        let task = runtime.spawn(async move { done(puller.resolve(&reference).await) });
        Ticket(task.abort_handle())
    }

    /// Where the bytes of a module are that a reference turned out to be.
    pub fn module_path(&self, module: &Digest) -> PathBuf {
        self.puller.catalogue.module_path(module)
    }

    /// Whether an image or an artifact of this digest is here.
    pub fn knows(&self, digest: &Digest) -> bool {
        self.puller.catalogue.image_of(digest).is_some()
    }

    /// Holds an image that is on disk, for a container that outlived the process that began it.
    pub fn lease(&self, digest: &Digest) -> Option<Arc<Image>> {
        match self.puller.catalogue.lease(digest)? {
            Resolved::Image(image) => Some(image),
            Resolved::Module(_) => None,
        }
    }
}

impl Drop for ImageStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Pulls end where they wait, and their processes with them.
            if tokio::runtime::Handle::try_current().is_ok() {
                runtime.shutdown_background();
            } else {
                runtime.shutdown_timeout(CLOSING);
            }
        }
    }
}
