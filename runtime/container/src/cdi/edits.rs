//! What CDI specifications change in a container, in terms of this crate.

use std::path::PathBuf;

use super::file::{ContainerEdits, DeviceNode};
use crate::oci::device::{self, HostDevice};

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

/// Why a device can't be given to a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No specification has it.
    #[error("there is no CDI device {0:?}")]
    Unknown(String),
    /// Its node isn't there.
    #[error("device node {path:?} of CDI device {device:?}: {reason}")]
    Node {
        /// Qualified name of the device.
        device: String,
        /// On the host.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What it asks for can't be.
    #[error("CDI device {device:?} has {what}")]
    Invalid {
        /// Qualified name of the device.
        device: String,
        /// What is wrong.
        what: String,
    },
}

impl Edits {
    /// Adds what a file says. Nodes and mounts of the same place replace what was there.
    pub(super) fn add(&mut self, device: &str, edits: &ContainerEdits) -> Result<(), EditError> {
        let invalid = |what: String| EditError::Invalid { device: device.to_owned(), what };
        for variable in &edits.env {
            let pair = variable.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) = pair.ok_or_else(|| invalid(format!("the variable {variable:?}")))?;
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        for node in &edits.device_nodes {
            let node = host_device(device, node)?;
            self.devices.retain(|given| given.container_path != node.container_path);
            self.devices.push(node);
        }
        for mount in &edits.mounts {
            let mount = edit_mount(mount).ok_or_else(|| invalid("a mount without absolute paths".to_owned()))?;
            self.mounts.retain(|given| given.container_path != mount.container_path);
            self.mounts.push(mount);
        }
        for asked in &edits.hooks {
            let hook =
                hook(asked).ok_or_else(|| invalid(format!("the hook {:?} {:?}", asked.hook_name, asked.path)))?;
            if !self.hooks.contains(&hook) {
                self.hooks.push(hook);
            }
        }
        for gid in &edits.additional_gids {
            if *gid != 0 && !self.additional_gids.contains(gid) {
                self.additional_gids.push(*gid);
            }
        }
        Ok(())
    }
}

/// What a file doesn't say of a node is as on the host.
fn host_device(device: &str, node: &DeviceNode) -> Result<HostDevice, EditError> {
    let path = node.host_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&node.path);
    let failed = |reason: String| EditError::Node { device: device.to_owned(), path: path.to_owned(), reason };
    if !absolute(path) || !absolute(&node.path) {
        return Err(failed("its path is not absolute".to_owned()));
    }
    let mut found = device::at(path).map_err(failed)?;
    let given = node.permissions.as_deref().unwrap_or_default();
    found.permissions = device::permissions(given).ok_or_else(|| failed(format!("its permissions are {given:?}")))?;
    found.container_path.clone_from(&node.path);
    found.file_mode = node.file_mode.map(|mode| mode & 0o777).or(found.file_mode);
    found.uid = node.uid;
    found.gid = node.gid;
    Ok(found)
}

fn edit_mount(mount: &super::file::Mount) -> Option<EditMount> {
    if !absolute(&mount.host_path) || !absolute(&mount.container_path) {
        return None;
    }
    let mut options = mount.options.clone();
    let kind = mount.kind.clone().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "bind".to_owned());
    if kind == "bind" && !options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind")) {
        options.push("bind".to_owned());
    }
    let (host_path, container_path) = (PathBuf::from(&mount.host_path), mount.container_path.clone());
    Some(EditMount { host_path, container_path, kind, options })
}

fn hook(hook: &super::file::Hook) -> Option<Hook> {
    let moment = match hook.hook_name.as_str() {
        "prestart" | "createRuntime" => Moment::CreateRuntime,
        "createContainer" => Moment::CreateContainer,
        "startContainer" => Moment::StartContainer,
        "poststart" => Moment::Poststart,
        "poststop" => Moment::Poststop,
        _ => return None,
    };
    let timeout_seconds = match hook.timeout {
        None => None,
        Some(timeout) => Some(u32::try_from(timeout).ok().filter(|seconds| *seconds > 0)?),
    };
    absolute(&hook.path).then(|| Hook {
        moment,
        path: PathBuf::from(&hook.path),
        arguments: hook.args.clone(),
        environment: hook.env.clone(),
        timeout_seconds,
    })
}

fn absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0')
}
