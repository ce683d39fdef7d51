//! What a node's owner decides about images.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What a node's owner decides about images.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that has `images/` below it.
    pub data_dir: PathBuf,
    /// A program and arguments that call [`unpack_main`](crate::unpack_main).
    pub unpack_command: Vec<OsString>,
    /// Registries that may be asked: `host` or `host:port`; any where there are none.
    pub allowed_registries: Vec<String>,
    /// Registries that speak plain HTTP: `host` or `host:port`.
    pub plain_http_registries: Vec<String>,
    /// Credentials, as Docker's `config.json` has them in `auths`.
    pub registry_auth: Option<PathBuf>,
    /// Certificates in PEM to trust beside those that are built in.
    pub registry_ca: Option<PathBuf>,
    /// What pulled images may take on disk before those not used for longest go, bytes.
    pub most_store_bytes: u64,
    /// What one image may take, unpacked, bytes.
    pub most_image_bytes: u64,
    /// Layers of one image.
    pub most_layers: usize,
    /// Files, folders and links of one layer.
    pub most_layer_entries: u64,
    /// How long all of a pull may take.
    pub pull_timeout: Duration,
    /// How long a connection may take to come to be.
    pub connect_timeout: Duration,
    /// How long a registry may stay silent.
    pub stall_timeout: Duration,
    /// How long to wait after the first failure of a request; twice that after the second, and so on.
    pub retry_delay: Duration,
    /// First of the 65,536 users of this host that own the files of images.
    pub image_uid_base: u32,
}

impl Options {
    /// With what holds where nobody decides.
    pub fn new(data_dir: PathBuf, unpack_command: Vec<OsString>) -> Self {
        Self {
            data_dir,
            unpack_command,
            allowed_registries: Vec::new(),
            plain_http_registries: Vec::new(),
            registry_auth: None,
            registry_ca: None,
            most_store_bytes: 20 << 30,
            most_image_bytes: 16 << 30,
            most_layers: 127,
            most_layer_entries: 1_000_000,
            pull_timeout: Duration::from_secs(30 * 60),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            retry_delay: Duration::from_secs(1),
            image_uid_base: 1_900_065_536,
        }
    }
}
