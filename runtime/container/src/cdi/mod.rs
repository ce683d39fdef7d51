//! Devices as CDI specifications on the host describe them, GPUs above all.

mod edits;
mod file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use edits::{EditError, EditMount, Edits, Hook, Moment};
pub use file::FileError;

use file::{ContainerEdits, Specification};

/// Where specifications lie; the later folder is asked first.
pub const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Files of a folder that are looked at.
const MOST_FILES: usize = 256;
/// The device class that the scheduler counts.
const GPU: &str = "gpu";
/// What vendors call all of their devices together.
const ALL: &str = "all";

/// The devices of a host, as they were when it was scanned.
#[derive(Debug, Default)]
pub struct Registry {
    devices: BTreeMap<String, Device>,
    failures: Vec<Failure>,
}

#[derive(Debug)]
struct Device {
    class: String,
    name: String,
    edits: ContainerEdits,
    /// Of its file, for all of its devices.
    common: Arc<ContainerEdits>,
    folder: usize,
}

/// A file or folder that was passed over.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Failure {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub reason: FileError,
}

/// A GPU of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its qualified name, such as `nvidia.com/gpu=0`.
    pub name: String,
}

impl Registry {
    /// Reads all specifications of these folders, those that aren't there left out. What is wrong with a
    /// file is told by [`failures`](Self::failures) and costs its devices alone. A device that two folders
    /// have is the later one's; one that two files of a folder have is nobody's.
    pub fn scan<P: AsRef<Path>>(folders: &[P]) -> Self {
        let mut registry = Self::default();
        for (index, folder) in folders.iter().enumerate() {
            match files(folder.as_ref()) {
                Ok(files) => registry.add_folder(index, &files),
                Err(error) => registry.failed(folder.as_ref(), error.into()),
            }
        }
        registry
    }

    /// What was passed over.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The qualified names of all devices.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.devices.keys().map(String::as_str)
    }

    /// The GPUs, each once however many names it has, in the order of their numbers.
    pub fn gpus(&self) -> Vec<Gpu> {
        let named = self.devices.iter().filter(|(_, device)| device.class == GPU && device.name != ALL);
        let mut named: Vec<(&String, &Device)> = named.collect();
        let number = |device: &Device| device.name.parse::<u64>().unwrap_or(u64::MAX);
        named.sort_by_key(|(name, device)| (vendor(name), number(device), *name));
        let mut found: Vec<(&String, &Device)> = Vec::new();
        for (name, device) in named {
            let same =
                |(other, known): &(&String, &Device)| vendor(other) == vendor(name) && known.edits == device.edits;
            if !found.iter().any(same) {
                found.push((name, device));
            }
        }
        found.into_iter().map(|(name, _)| Gpu { name: name.clone() }).collect()
    }

    /// What a container needs for these devices, given by their qualified names. Their nodes are looked
    /// up now.
    ///
    /// # Errors
    /// There is no such device or none of its nodes, or its specification makes no sense.
    pub fn edits<S: AsRef<str>>(&self, names: &[S]) -> Result<Edits, EditError> {
        let mut edits = Edits::default();
        let mut common: Vec<&Arc<ContainerEdits>> = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names.iter().map(AsRef::as_ref) {
            let device = self.devices.get(name).ok_or_else(|| EditError::Unknown(name.to_owned()))?;
            if !seen.insert(name) {
                continue;
            }
            edits.add(name, &device.edits)?;
            if !common.iter().any(|known| Arc::ptr_eq(known, &device.common)) {
                common.push(&device.common);
                edits.add(name, &device.common)?;
            }
        }
        Ok(edits)
    }

    fn add_folder(&mut self, folder: usize, files: &[PathBuf]) {
        let mut conflicts = BTreeSet::new();
        for path in files {
            match Specification::read(path) {
                Ok(specification) => self.add_file(folder, specification, path, &mut conflicts),
                Err(error) => self.failed(path, error),
            }
        }
        for name in conflicts {
            self.devices.remove(&name);
        }
    }

    fn add_file(&mut self, folder: usize, specification: Specification, path: &Path, conflicts: &mut BTreeSet<String>) {
        let class = specification.vendor_and_class().1.to_owned();
        let common = Arc::new(specification.container_edits);
        for device in specification.devices {
            let qualified = format!("{}={}", specification.kind, device.name);
            if self.devices.get(&qualified).is_some_and(|known| known.folder == folder) {
                let reason = format!("device {qualified:?} is there twice");
                self.failed(path, FileError::Invalid(reason));
                conflicts.insert(qualified);
                continue;
            }
            let (class, common) = (class.clone(), Arc::clone(&common));
            let device = Device { class, name: device.name, edits: device.container_edits, common, folder };
            self.devices.insert(qualified, device);
        }
    }

    fn failed(&mut self, path: &Path, reason: FileError) {
        self.failures.push(Failure { path: path.to_owned(), reason });
    }
}

fn vendor(qualified: &str) -> &str {
    qualified.split('/').next().unwrap_or_default()
}

/// The specifications of a folder by their names, in order; none where there is no folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json" || extension == "yaml") {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(io::Error::other(format!("it has more than {MOST_FILES} files")));
        }
    }
    files.sort();
    Ok(files)
}
