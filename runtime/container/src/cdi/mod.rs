//! Devices as CDI specifications on the host describe them, GPUs above all.

use std::path::PathBuf;

use crate::oci::device::HostDevice;

/// What has to be changed in a container's specification for its devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    /// Name and value; they lie over the job's own.
    pub environment: Vec<(String, String)>,
    /// Their nodes.
    pub devices: Vec<HostDevice>,
    /// Libraries, sockets and the like.
    pub mounts: Vec<EditMount>,
    /// Programs of the host that runc runs.
    pub hooks: Vec<Hook>,
    /// Groups of the container's process.
    pub additional_gids: Vec<u32>,
}

/// A mount that a device needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditMount {
    /// On the host.
    pub host_path: PathBuf,
    /// In the container, absolute.
    pub container_path: String,
    /// `bind` or a file system.
    pub kind: String,
    /// As mount(8) spells them.
    pub options: Vec<String>,
}

/// When a [`Hook`] runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Once the namespaces are there, outside of them; `prestart` too.
    CreateRuntime,
    /// In the container's namespaces, before its root is entered.
    CreateContainer,
    /// In the container, before its program.
    StartContainer,
    /// After its program was started.
    Poststart,
    /// After the container is gone.
    Poststop,
}

/// A program of the host that runc runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// When.
    pub moment: Moment,
    /// Absolute.
    pub path: PathBuf,
    /// With the program's name.
    pub arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// After so many seconds it has failed.
    pub timeout_seconds: Option<u32>,
}
