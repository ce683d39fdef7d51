//! Devices of the host that a job may use.

use oci_spec::runtime::LinuxDeviceType;
use rustix::fs::{FileType, Stat};
use wasmbatch_executor::Device;

use super::command::parts;
use super::error::SpecError;

/// A device as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Absolute path on the host.
    pub host_path: String,
    /// Absolute path in the container.
    pub container_path: String,
    /// Block or character.
    pub kind: LinuxDeviceType,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// What the container may do with it: some of `r`, `w` and `m`.
    pub permissions: String,
    /// Permissions of its node. It and the owners are the host's where there is a user namespace, in
    /// which no node can be made.
    pub file_mode: Option<u32>,
    /// Owner of its node in the container.
    pub uid: Option<u32>,
    /// Group of its node in the container.
    pub gid: Option<u32>,
}

/// Looks a device up that a job asks for. Whether the job may have it is for the caller to say.
///
/// # Errors
/// Its paths or permissions are none, or there is no device.
pub fn look_up(asked: &Device) -> Result<HostDevice, SpecError> {
    let failed = |reason: &str| SpecError::Device { path: asked.host_path.clone(), reason: reason.to_owned() };
    if parts(&asked.host_path).is_none_or(|parts| parts.is_empty()) {
        return Err(failed("its path has to be absolute and without .."));
    }
    let inner = if asked.container_path.is_empty() { &asked.host_path } else { &asked.container_path };
    let inner_parts = parts(inner).unwrap_or_default();
    if inner_parts.len() < 2 || inner_parts.first() != Some(&"dev") {
        return Err(failed("in the container it has to be below /dev"));
    }
    let mut device = at(&asked.host_path).map_err(|reason| failed(&reason))?;
    device.container_path = format!("/{}", inner_parts.join("/"));
    device.permissions =
        permissions(&asked.permissions).ok_or_else(|| failed("its permissions are not of r, w and m"))?;
    Ok(device)
}

/// The device that a path of the host leads to, with every permission and in the same place.
///
/// # Errors
/// Says why there is none.
pub(crate) fn at(path: &str) -> Result<HostDevice, String> {
    let stat = rustix::fs::stat(path).map_err(|error| format!("it can't be looked at: {error}"))?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => LinuxDeviceType::C,
        FileType::BlockDevice => LinuxDeviceType::B,
        _ => return Err("it is no device".to_owned()),
    };
    let (major, minor) = numbers(&stat);
    Ok(HostDevice {
        host_path: path.to_owned(),
        container_path: path.to_owned(),
        kind,
        major,
        minor,
        permissions: "rwm".to_owned(),
        file_mode: Some(stat.st_mode & 0o777),
        uid: None,
        gid: None,
    })
}

fn numbers(stat: &Stat) -> (i64, i64) {
    (i64::from(rustix::fs::major(stat.st_rdev)), i64::from(rustix::fs::minor(stat.st_rdev)))
}

/// Each letter once, in the usual order; all of them where none is given.
pub(crate) fn permissions(asked: &str) -> Option<String> {
    if asked.chars().any(|letter| !"rwm".contains(letter)) {
        return None;
    }
    let given = if asked.is_empty() { "rwm" } else { asked };
    Some("rwm".chars().filter(|letter| given.contains(*letter)).collect())
}
