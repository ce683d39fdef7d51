//! One CDI specification as it lies on disk, versions 0.3.0 to 1.0.0, JSON or YAML. It is the owner's of
//! the node, but nothing of it is taken for granted: sizes and counts are bounded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use serde::Deserialize;

/// Bytes of a file.
const MOST_BYTES: u64 = 4 << 20;
/// Devices of a file, and entries of each list in it.
const MOST_ENTRIES: usize = 4096;
const VERSIONS: [&str; 7] = ["0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0"];

/// Members that don't change a container, such as annotations, are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Specification {
    cdi_version: String,
    /// `vendor/class`.
    pub(super) kind: String,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    /// For every device of the file.
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerEdits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) hooks: Vec<Hook>,
    pub(super) mounts: Vec<Mount>,
    pub(super) additional_gids: Vec<u32>,
}

/// Its type and numbers are not read: they are those of the host's node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceNode {
    pub(super) path: String,
    pub(super) host_path: Option<String>,
    pub(super) file_mode: Option<u32>,
    pub(super) permissions: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hook {
    pub(super) hook_name: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    pub(super) timeout: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// Why a file isn't used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is no specification in JSON.
    #[error("it is no CDI specification: {0}")]
    Json(#[from] serde_json::Error),
    /// It is no specification in YAML.
    #[error("it is no CDI specification: {0}")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// It says something that can't be.
    #[error("{0}")]
    Invalid(String),
}

impl Specification {
    /// Reads and checks a file.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let text = read(path)?;
        let specification: Self = if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(&text)?
        } else {
            let options = serde_saphyr::options! { with_snippet: false };
            serde_saphyr::from_str_with_options(&text, options).map_err(Box::new)?
        };
        specification.check()?;
        Ok(specification)
    }

    /// The kind's part before the slash and the one behind it.
    pub(super) fn vendor_and_class(&self) -> (&str, &str) {
        self.kind.split_once('/').unwrap_or((&self.kind, ""))
    }

    fn check(&self) -> Result<(), FileError> {
        let invalid = |what: String| Err(FileError::Invalid(what));
        if !VERSIONS.contains(&self.cdi_version.trim_start_matches('v')) {
            return invalid(format!("its version {:?} is not known", self.cdi_version));
        }
        let (vendor, class) = self.vendor_and_class();
        if !name(vendor, "_.-") || !name(class, "_-") {
            return invalid(format!("its kind {:?} is none", self.kind));
        }
        if self.devices.len() > MOST_ENTRIES {
            return invalid("it has too many devices".to_owned());
        }
        if let Some(device) = self.devices.iter().find(|device| !device_name(&device.name)) {
            return invalid(format!("it has a device with the name {:?}", device.name));
        }
        let all = self.devices.iter().map(|device| &device.container_edits).chain([&self.container_edits]);
        if all.into_iter().any(|edits| edits.most() > MOST_ENTRIES) {
            return invalid("it has too long a list".to_owned());
        }
        Ok(())
    }
}

impl ContainerEdits {
    fn most(&self) -> usize {
        let lists = [self.env.len(), self.device_nodes.len(), self.hooks.len(), self.mounts.len()];
        lists.into_iter().chain([self.additional_gids.len()]).max().unwrap_or(0)
    }
}

/// A letter, then letters, digits and these, but none of these at its end.
fn name(text: &str, others: &str) -> bool {
    text.len() <= 256
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.chars().all(|inner| inner.is_ascii_alphanumeric() || others.contains(inner))
}

/// As above, but it may begin with a digit.
fn device_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && name(&format!("x{text}"), "_.:-") || name(text, "_.:-")
}

fn read(path: &Path) -> Result<String, io::Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    let read = File::from(file).take(MOST_BYTES.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(io::Error::other(format!("it is longer than {MOST_BYTES} bytes")));
    }
    Ok(text)
}
