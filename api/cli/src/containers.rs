//! How a node runs images: the flags of `serve` that are about them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use wasmbatch_container::cdi::Registry;
use wasmbatch_container::{CONTAINER_UID_BASE, Options, find_runtime, image};

use crate::output;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options for images")]
pub(crate) struct ContainerArguments {
    /// Program that runs containers, with the command line of runc
    #[arg(long, value_name = "PROGRAM", default_value = "runc")]
    container_runtime: PathBuf,
    /// Processes and threads of one container
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 22))]
    container_processes: u32,
    /// First of the user ids that containers get, 65,536 each, on a node that runs as root; no account
    /// of this machine may have one of the 134,217,728 from there
    #[arg(long, value_name = "N", default_value_t = CONTAINER_UID_BASE,
          value_parser = clap::value_parser!(u32).range(65_536..=4_000_000_000))]
    container_uid_base: u32,
    /// First of the 65,536 user ids that own the files of images, on a node that runs as root
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(65_536..=4_200_000_000))]
    image_uid_base: Option<u32>,
    /// Let jobs of images ask for `privileged`, which is root on this machine
    #[arg(long)]
    allow_privileged: bool,
    /// Device that jobs of images may ask for, such as /dev/fuse; repeatable
    #[arg(long, value_name = "PATH")]
    allow_device: Vec<PathBuf>,
    /// Refuse images where this machine can't bound what a container takes of it
    #[arg(long)]
    require_limits: bool,
    /// Registry that images may come from: a host, or a host and a port; repeatable [default: any]
    #[arg(long, value_name = "HOST")]
    allow_registry: Vec<String>,
    /// Registry that is spoken to without TLS: a host, or a host and a port; repeatable
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    /// File with the credentials for registries: Docker's config.json, of which `auths` is read
    #[arg(long, value_name = "FILE")]
    registry_auth: Option<PathBuf>,
    /// Certificates in PEM of registries that the usual authorities don't vouch for
    #[arg(long, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// What pulled images may take on disk before those that nobody has used for longest go, MiB
    #[arg(long, value_name = "MIB", default_value_t = 20 << 10, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    image_store: u64,
    /// What one image may take on disk, MiB
    #[arg(long, value_name = "MIB", default_value_t = 16 << 10, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    image_size: u64,
    /// Seconds that pulling an image may take
    #[arg(long, value_name = "N", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pull_seconds: u64,
    /// Folder with CDI specifications of devices; repeatable
    #[arg(long, value_name = "DIR", default_values = ["/etc/cdi", "/var/run/cdi"])]
    cdi_dir: Vec<PathBuf>,
}

impl ContainerArguments {
    /// What holds where nobody says anything.
    pub(crate) fn defaults() -> Self {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            arguments: ContainerArguments,
        }
        <Alone as clap::Parser>::parse_from(["wasmbatch"]).arguments
    }

    /// The executor's options, and what is missing said.
    pub(crate) fn options(&self, data_dir: &Path, allowed_mounts: &[PathBuf]) -> anyhow::Result<Options> {
        let own = std::env::current_exe().context("can't find this program's own file")?;
        let command = |name: &str| vec![own.clone().into_os_string(), name.into()];
        let runtime = find_runtime(&self.container_runtime);
        match &runtime {
            Ok(runtime) => {
                if let Some(warning) = &runtime.warning {
                    tracing::warn!("{}", output::visible(warning));
                }
            }
            Err(why) => tracing::info!("images can't be run: {}", output::visible(why)),
        }
        let devices = Registry::scan(&self.cdi_dir);
        for failure in devices.failures() {
            tracing::warn!(file = %failure.path.display(), "a CDI specification is not usable: {}", output::visible(&failure.reason.to_string()));
        }
        let mut images = image::Options::new(data_dir.to_owned(), command("unpack"));
        images.allowed_registries.clone_from(&self.allow_registry);
        images.plain_http_registries.clone_from(&self.insecure_registry);
        images.registry_auth.clone_from(&self.registry_auth);
        images.registry_ca.clone_from(&self.registry_ca);
        images.most_store_bytes = self.image_store << 20;
        images.most_image_bytes = self.image_size << 20;
        images.pull_timeout = Duration::from_secs(self.pull_seconds);
        if let Some(base) = self.image_uid_base {
            images.image_uid_base = base;
        }
        Ok(Options {
            data_dir: data_dir.to_owned(),
            shim_command: command("shim"),
            runtime,
            allowed_mounts: allowed_mounts.to_vec(),
            allowed_devices: self.allow_device.clone(),
            allow_privileged: self.allow_privileged,
            require_limits: self.require_limits,
            most_processes: self.container_processes,
            container_uid_base: self.container_uid_base,
            device_folders: self.cdi_dir.clone(),
            gpus: devices.gpus().into_iter().map(|gpu| gpu.name).collect(),
            images,
        })
    }
}
