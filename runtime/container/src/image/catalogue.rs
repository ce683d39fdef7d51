//! What images there are: in memory, and on disk so that a later start finds the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use wasmbatch_core::Digest;

use super::error::OpenError;
use super::unpacker::{Folder, Temporary, Unpacker};
use super::{Image, ImageConfig, Resolved};
use crate::clock::now_millis;

/// Most bytes of a row; a configuration may be in it.
const MOST_ROW: u64 = 16 << 20;
/// A partial download is of use for so long.
const PARTIAL_LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
/// Partial downloads that are kept.
const MOST_PARTIALS: usize = 32;
/// How exactly a use is remembered across starts.
const USE_STEP_MILLISECONDS: u64 = 60_000;

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRow {
    /// As jobs call it.
    pub(crate) name: String,
    /// What the registry says that the name stands for: a manifest or an index.
    pub(crate) top: String,
    /// The manifest of what runs here.
    pub(crate) image: String,
    /// Came by an archive.
    pub(crate) loaded: bool,
    pub(crate) used_at: u64,
}

/// An image or a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRow {
    /// Of its manifest.
    pub(crate) digest: String,
    pub(crate) content: Content,
    pub(crate) used_at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    Image {
        config: ImageConfig,
        /// The lowest first.
        layers: Vec<String>,
    },
    Module {
        digest: String,
        bytes: u64,
    },
}

/// An unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRow {
    /// As the registry has it.
    pub(crate) digest: String,
    /// Without compression.
    pub(crate) diff_id: String,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Folders that it has only because of what is in them.
    pub(crate) implied: Vec<String>,
}

/// All there is.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(super) folders: Folders,
    pub(crate) temporary: Temporary,
    state: Mutex<State>,
    /// Held while a layer is put in its place.
    placing: Mutex<()>,
    /// What is out of sight and still to be removed, which may take long.
    pub(super) gone: Mutex<Vec<Folder>>,
    /// Told when something may have become superfluous.
    pub(crate) released: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct Folders {
    names: PathBuf,
    records: PathBuf,
    layers: PathBuf,
    modules: PathBuf,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) names: BTreeMap<String, NameRow>,
    pub(super) images: BTreeMap<String, ImageRow>,
    pub(super) layers: BTreeMap<String, LayerRow>,
    /// Modules on disk.
    pub(super) modules: BTreeSet<String>,
    /// Layers and images that somebody is about to need.
    pub(super) pins: BTreeMap<String, usize>,
    pub(super) live: BTreeMap<String, Weak<Image>>,
}

/// Keeps a layer or an image from being collected.
#[derive(Debug)]
pub(crate) struct Pin {
    catalogue: Arc<Catalogue>,
    digest: String,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.catalogue.state();
        if let Some(count) = state.pins.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                state.pins.remove(&self.digest);
            }
        }
    }
}

/// What an image has while somebody holds it.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Notify>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Catalogue {
    /// Opens what is in a folder, making it if need be, and removes what isn't whole.
    pub(crate) fn open(home: &Path, unpacker: &Arc<Unpacker>) -> Result<Self, OpenError> {
        let at = |path: &Path| OpenError::io(path.display().to_string());
        let make = |path: PathBuf| {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(at(&path))?;
            Ok::<PathBuf, OpenError>(path)
        };
        let folders = Folders {
            names: make(home.join("names"))?,
            records: make(home.join("records"))?,
            layers: make(home.join("layers"))?,
            modules: make(home.join("modules"))?,
        };
        let tmp = make(home.join("tmp"))?;
        clear(&tmp, now_millis(), unpacker).map_err(at(&tmp))?;
        let temporary = Temporary::new(tmp, Arc::clone(unpacker));
        let state = folders.read(&temporary).map_err(at(home))?;
        Ok(Self {
            folders,
            temporary,
            state: Mutex::new(state),
            placing: Mutex::default(),
            gone: Mutex::default(),
            released: Arc::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn layer_path(&self, digest: &Digest) -> PathBuf {
        self.folders.layers.join(digest.hex())
    }

    pub(crate) fn module_path(&self, digest: &Digest) -> PathBuf {
        self.folders.modules.join(digest.hex())
    }

    /// Keeps this from going until what is returned does.
    pub(crate) fn pin(self: &Arc<Self>, digest: &Digest) -> Pin {
        let digest = digest.to_string();
        *self.state().pins.entry(digest.clone()).or_default() += 1;
        Pin { catalogue: Arc::clone(self), digest }
    }

    pub(crate) fn name(&self, name: &str) -> Option<NameRow> {
        self.state().names.get(name).cloned()
    }

    pub(crate) fn layer(&self, digest: &Digest) -> Option<LayerRow> {
        self.state().layers.get(&digest.to_string()).cloned()
    }

    /// The image that a digest stands for: its own, or that of an index it came by.
    pub(crate) fn image_of(&self, digest: &Digest) -> Option<Digest> {
        let text = digest.to_string();
        let state = self.state();
        if state.images.contains_key(&text) {
            return Some(*digest);
        }
        let row = state.names.values().find(|row| row.top == text && state.images.contains_key(&row.image))?;
        row.image.parse().ok()
    }

    /// Hands out an image or module that is there.
    pub(crate) fn lease(&self, digest: &Digest) -> Option<Resolved> {
        let mut state = self.state();
        let text = digest.to_string();
        let row = state.images.get_mut(&text)?;
        let now = now_millis();
        let write = now.saturating_sub(row.used_at) > USE_STEP_MILLISECONDS;
        row.used_at = now;
        let row = row.clone();
        if write {
            self.folders.write_image(&row);
        }
        let (config, layers) = match &row.content {
            Content::Module { digest, .. } => return Some(Resolved::Module(digest.parse().ok()?)),
            Content::Image { config, layers } => (config, layers),
        };
        if let Some(image) = state.live.get(&text).and_then(Weak::upgrade) {
            return Some(Resolved::Image(image));
        }
        // No folder can be in a stack twice. Of a layer that is, the topmost alone comes to the same:
        // whatever it has or hides is so, whatever is below.
        let mut seen = BTreeSet::new();
        let layers = layers.iter().rev().filter(|layer| seen.insert(layer.as_str()));
        let layers = layers.map(|layer| Some(self.layer_path(&layer.parse().ok()?)));
        let image = Arc::new(Image {
            digest: *digest,
            config: config.clone(),
            layers: layers.collect::<Option<_>>()?,
            lease: Some(Lease(Arc::clone(&self.released))),
        });
        state.live.retain(|_, image| image.strong_count() > 0);
        state.live.insert(text, Arc::downgrade(&image));
        Some(Resolved::Image(image))
    }

    /// Remembers what a name stands for.
    pub(crate) fn set_name(&self, name: &str, top: &Digest, image: &Digest, loaded: bool) -> io::Result<()> {
        let row = NameRow {
            name: name.to_owned(),
            top: top.to_string(),
            image: image.to_string(),
            loaded,
            used_at: now_millis(),
        };
        let mut state = self.state();
        let before = state.names.get(name);
        // What the owner loads meanwhile isn't replaced by what a registry has.
        if !loaded && before.is_some_and(|before| before.loaded) {
            return Ok(());
        }
        let same = before.is_some_and(|before| NameRow { used_at: before.used_at, ..row.clone() } == *before);
        if !same || before.is_some_and(|before| row.used_at - before.used_at.min(row.used_at) > USE_STEP_MILLISECONDS) {
            write_row(&self.temporary, &self.folders.name_file(name), &row)?;
        }
        state.names.insert(name.to_owned(), row);
        Ok(())
    }

    /// Takes in an unpacked layer. One that came meanwhile stays.
    pub(crate) fn add_layer(&self, digest: &Digest, row: LayerRow, folder: Folder) -> io::Result<()> {
        let _placing = self.placing.lock().expect("no holder of this lock panics");
        if self.layer(digest).is_some() {
            return Ok(());
        }
        let path = self.layer_path(digest);
        // What has no row is no layer, only in the way.
        drop(self.temporary.take(&path)?);
        folder.become_part(&path)?;
        write_row(&self.temporary, &self.folders.layer_file(digest), &row)?;
        self.state().layers.insert(digest.to_string(), row);
        // Who wanted it may have given up meanwhile.
        self.released.notify_one();
        Ok(())
    }

    /// Takes in an image whose layers are there.
    pub(crate) fn add_image(&self, digest: &Digest, content: Content) -> io::Result<()> {
        let row = ImageRow { digest: digest.to_string(), content, used_at: now_millis() };
        write_row(&self.temporary, &self.folders.record_file(digest), &row)?;
        let mut state = self.state();
        if let Content::Module { digest, .. } = &row.content {
            state.modules.insert(digest.clone());
        }
        state.images.insert(digest.to_string(), row);
        Ok(())
    }
}

impl Folders {
    pub(super) fn name_file(&self, name: &str) -> PathBuf {
        let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        self.names.join(Digest::from_bytes(hash).hex())
    }

    pub(super) fn record_file(&self, digest: &Digest) -> PathBuf {
        self.records.join(digest.hex())
    }

    pub(super) fn layer_file(&self, digest: &Digest) -> PathBuf {
        self.layers.join(format!("{}.json", digest.hex()))
    }

    fn write_image(&self, row: &ImageRow) {
        let Ok(digest) = row.digest.parse::<Digest>() else { return };
        let file = self.record_file(&digest);
        // When it was used last is worth no failure.
        let written = serde_json::to_vec(row).map_err(io::Error::other).and_then(|text| {
            let beside = file.with_extension("used");
            fs::write(&beside, text)?;
            fs::rename(&beside, &file)
        });
        if let Err(error) = written {
            tracing::debug!(error = %error, "the use of an image is not recorded");
        }
    }

    /// Reads all rows, and removes what lacks a part.
    fn read(&self, temporary: &Temporary) -> io::Result<State> {
        let mut state = State::default();
        let layer_rows = rows::<LayerRow>(&self.layers, |row| {
            row.digest.parse::<Digest>().ok().map(|d| format!("{}.json", d.hex()))
        })?;
        for row in layer_rows {
            let Ok(digest) = row.digest.parse::<Digest>() else { continue };
            if self.layers.join(digest.hex()).is_dir() {
                state.layers.insert(row.digest.clone(), row);
            }
        }
        for row in rows::<ImageRow>(&self.records, |row| row.digest.parse::<Digest>().ok().map(|d| d.hex()))? {
            let there = match &row.content {
                Content::Image { layers, .. } => layers.iter().all(|layer| state.layers.contains_key(layer)),
                Content::Module { digest, bytes } => digest.parse::<Digest>().is_ok_and(|digest| {
                    fs::metadata(self.modules.join(digest.hex())).is_ok_and(|file| file.len() == *bytes)
                }),
            };
            if there {
                if let Content::Module { digest, .. } = &row.content {
                    state.modules.insert(digest.clone());
                }
                state.images.insert(row.digest.clone(), row);
            }
        }
        let name_of = |row: &NameRow| Some(self.name_file(&row.name).file_name()?.to_str()?.to_owned());
        for row in rows::<NameRow>(&self.names, name_of)? {
            if state.images.contains_key(&row.image) {
                state.names.insert(row.name.clone(), row);
            }
        }
        self.sweep(&state, temporary)?;
        Ok(state)
    }

    /// Removes all files that no row stands for.
    fn sweep(&self, state: &State, temporary: &Temporary) -> io::Result<()> {
        let hex = |digest: &String| digest.parse::<Digest>().map(|digest| digest.hex()).unwrap_or_default();
        let layers = state.layers.keys().flat_map(|digest| [hex(digest), format!("{}.json", hex(digest))]);
        let records = state.images.keys().map(hex);
        let names = state.names.keys().filter_map(|name| Some(self.name_file(name).file_name()?.to_str()?.to_owned()));
        let modules = state.modules.iter().map(hex);
        sweep(&self.layers, &layers.collect(), temporary)?;
        sweep(&self.records, &records.collect(), temporary)?;
        sweep(&self.names, &names.collect(), temporary)?;
        sweep(&self.modules, &modules.collect(), temporary)
    }
}

fn sweep(folder: &Path, wanted: &BTreeSet<String>, temporary: &Temporary) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
            drop(temporary.take(&entry.path())?);
        }
    }
    Ok(())
}

/// The rows of a folder that are valid and lie in the file they should.
fn rows<R: DeserializeOwned>(folder: &Path, name_of: impl Fn(&R) -> Option<String>) -> io::Result<Vec<R>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if !metadata.is_file() || metadata.len() > MOST_ROW {
            continue;
        }
        let row = serde_json::from_slice::<R>(&fs::read(entry.path())?);
        let row = row.ok().filter(|row| name_of(row).is_some_and(|name| *name == *entry.file_name()));
        if row.is_none() {
            tracing::warn!(file = %entry.path().display(), "not a file of the image store, it goes");
        }
        rows.extend(row);
    }
    Ok(rows)
}

/// Writes a row so that it is there whole or not at all.
fn write_row(temporary: &Temporary, path: &Path, row: &impl Serialize) -> io::Result<()> {
    let beside = temporary.path("row");
    let written = serde_json::to_vec(row).map_err(io::Error::other).and_then(|text| {
        let mut file = fs::File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(path.parent().unwrap_or(path))?.sync_all()
    });
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Removes what an earlier process left half done, but for downloads that can be resumed.
fn clear(tmp: &Path, now: u64, unpacker: &Arc<Unpacker>) -> io::Result<()> {
    let mut partials = Vec::new();
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let age = modified.map(|at| Duration::from_millis(now).saturating_sub(at));
        let partial = metadata.is_file() && entry.path().extension().is_some_and(|kind| kind == "part");
        match age {
            Some(age) if partial && age < PARTIAL_LIFE => partials.push((age, entry.path())),
            _ => unpacker.remove(&entry.path())?,
        }
    }
    partials.sort();
    for (_, path) in partials.into_iter().skip(MOST_PARTIALS) {
        fs::remove_file(&path)?;
    }
    Ok(())
}
