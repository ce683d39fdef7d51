//! What goes from the disk: images by age when there is too much, parts that no image has any more.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use wasmbatch_core::Digest;
use wasmbatch_executor::ImageInfo;

use super::catalogue::{Catalogue, Content, ImageRow, State};
use super::unpacker::Folder;
use crate::clock::now_millis;

/// A module that was asked for so recently may be about to be opened.
const FRESH_MILLISECONDS: u64 = 10 * 60_000;
/// A partial download that nothing was added to for so long isn't being made.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Partial downloads that are kept, and which part of the room for images they may take.
const MOST_PARTIALS: usize = 32;
const PARTIAL_SHARE: u64 = 4;

/// What became of a wish to remove something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    Gone,
    Missing,
    InUse,
}

impl Catalogue {
    /// Removes what nothing needs, and pulled images until the rest takes no more than this.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn collect(&self, most_bytes: u64) -> io::Result<()> {
        let gone = {
            let mut state = self.state();
            while state.pulled_bytes() > most_bytes {
                let Some(digest) = state.oldest() else { break };
                tracing::info!(image = %digest, "an image goes to make room for others");
                self.forget_image(&mut state, &digest)?;
            }
            self.take_orphans(&mut state)?
        };
        // This may take long, and nobody sees it any more.
        drop(gone);
        let removed = std::mem::take(&mut *self.gone.lock().expect("no holder of this lock panics"));
        drop(removed);
        self.remove_abandoned(most_bytes)
    }

    /// Forgets a name, or an image by its digest with all its names.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn remove(&self, name: &str) -> io::Result<Removed> {
        let gone = {
            let mut state = self.state();
            let digest = match (state.names.get(name), name.parse::<Digest>()) {
                (Some(row), _) => row.image.clone(),
                (None, Ok(_)) if state.images.contains_key(name) => name.to_owned(),
                (None, _) => return Ok(Removed::Missing),
            };
            let others = state.names.values().any(|row| row.image == digest && row.name != name);
            if others && name != digest {
                self.forget_name(&mut state, name)?;
            } else if state.is_held(&digest) {
                return Ok(Removed::InUse);
            } else {
                self.forget_image(&mut state, &digest)?;
            }
            self.take_orphans(&mut state)?
        };
        // Who asked needn't wait until all of it is off the disk.
        self.gone.lock().expect("no holder of this lock panics").extend(gone);
        self.released.notify_one();
        Ok(Removed::Gone)
    }

    /// All images and modules, by name; those without a name by their digest.
    pub(crate) fn list(&self) -> Vec<ImageInfo> {
        let state = self.state();
        let info = |name: &str, row: &ImageRow, loaded: bool, used_at: u64| {
            let digest = row.digest.parse().ok()?;
            Some(ImageInfo { name: name.to_owned(), digest, loaded, size_bytes: state.bytes_of(row), used_at })
        };
        let named = state.names.values().filter_map(|name| {
            let row = state.images.get(&name.image)?;
            info(&name.name, row, name.loaded, name.used_at)
        });
        let has_name: BTreeSet<&String> = state.names.values().map(|name| &name.image).collect();
        let nameless = state.images.values().filter(|row| !has_name.contains(&row.digest));
        let nameless = nameless.filter_map(|row| info(&row.digest, row, false, row.used_at));
        named.chain(nameless).collect()
    }

    fn forget_name(&self, state: &mut State, name: &str) -> io::Result<()> {
        remove_file(&self.folders.name_file(name))?;
        state.names.remove(name);
        Ok(())
    }

    fn forget_image(&self, state: &mut State, digest: &str) -> io::Result<()> {
        let names: Vec<String> =
            state.names.values().filter(|row| row.image == digest).map(|row| row.name.clone()).collect();
        for name in names {
            self.forget_name(state, &name)?;
        }
        if let Ok(parsed) = digest.parse() {
            remove_file(&self.folders.record_file(&parsed))?;
        }
        state.images.remove(digest);
        Ok(())
    }

    /// Takes layers and modules that no image has. They are out of sight at once and gone with what
    /// is returned.
    fn take_orphans(&self, state: &mut State) -> io::Result<Vec<Folder>> {
        let mut wanted = BTreeSet::new();
        for row in state.images.values() {
            match &row.content {
                Content::Image { layers, .. } => wanted.extend(layers.iter().cloned()),
                Content::Module { digest, .. } => drop(wanted.insert(digest.clone())),
            }
        }
        let unwanted = |digest: &String| !wanted.contains(digest) && !state.pins.contains_key(digest);
        let layers: Vec<String> = state.layers.keys().filter(|digest| unwanted(digest)).cloned().collect();
        let modules: Vec<String> = state.modules.iter().filter(|digest| unwanted(digest)).cloned().collect();
        let mut gone = Vec::new();
        for layer in layers {
            if let Ok(digest) = layer.parse() {
                // Without its row it is no layer any more, whatever happens next.
                remove_file(&self.folders.layer_file(&digest))?;
                gone.extend(self.temporary.take(&self.layer_path(&digest))?);
            }
            state.layers.remove(&layer);
        }
        for module in modules {
            if let Ok(digest) = module.parse() {
                remove_file(&self.module_path(&digest))?;
            }
            state.modules.remove(&module);
        }
        Ok(gone)
    }

    /// Removes partial downloads that nobody goes on with, and the oldest where they are many.
    fn remove_abandoned(&self, most_bytes: u64) -> io::Result<()> {
        let mut partials = Vec::new();
        for entry in fs::read_dir(self.temporary.home())? {
            let entry = entry?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".part"));
            let Some(digest) = digest.map(|name| name.trim_start_matches("module-")) else { continue };
            if self.state().pins.contains_key(&format!("sha256:{digest}")) {
                continue;
            }
            // One that is whole by now is gone from here.
            let Ok(metadata) = entry.metadata() else { continue };
            let age = metadata.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
            partials.push((age, metadata.len(), entry.path()));
        }
        partials.sort();
        let mut bytes = 0_u64;
        for (number, (age, length, path)) in partials.into_iter().enumerate() {
            bytes = bytes.saturating_add(length);
            if age > ABANDONED || number >= MOST_PARTIALS || bytes > most_bytes / PARTIAL_SHARE {
                remove_file(&path)?;
            }
        }
        Ok(())
    }
}

impl State {
    /// What an image's layers take, or its module.
    fn bytes_of(&self, row: &ImageRow) -> u64 {
        match &row.content {
            Content::Module { bytes, .. } => *bytes,
            Content::Image { layers, .. } => layers.iter().filter_map(|l| self.layers.get(l)).map(|l| l.bytes).sum(),
        }
    }

    /// What the images take that weren't loaded; what they share counts once, and not at all where a
    /// loaded one has it too.
    fn pulled_bytes(&self) -> u64 {
        let loaded: BTreeSet<&String> = self.names.values().filter(|n| n.loaded).map(|n| &n.image).collect();
        let (mut counted, mut free) = (BTreeSet::new(), BTreeSet::new());
        let mut modules = 0_u64;
        for row in self.images.values() {
            let is_loaded = loaded.contains(&row.digest);
            match &row.content {
                Content::Image { layers, .. } if is_loaded => free.extend(layers),
                Content::Image { layers, .. } => counted.extend(layers),
                Content::Module { bytes, .. } if !is_loaded => modules = modules.saturating_add(*bytes),
                Content::Module { .. } => {}
            }
        }
        let layers = counted.difference(&free).filter_map(|layer| self.layers.get(*layer));
        layers.fold(modules, |sum, layer| sum.saturating_add(layer.bytes))
    }

    /// Whether somebody has or is about to get an image.
    fn is_held(&self, digest: &str) -> bool {
        let held = self.live.get(digest).is_some_and(|image| image.strong_count() > 0);
        held || self.pins.contains_key(digest)
    }

    /// The image that is missed least: without a name, then not used for longest.
    fn oldest(&self) -> Option<String> {
        let now = now_millis();
        let loaded: BTreeSet<&String> = self.names.values().filter(|n| n.loaded).map(|n| &n.image).collect();
        let named: BTreeSet<&String> = self.names.values().map(|n| &n.image).collect();
        let free = self.images.values().filter(|row| {
            let opened_soon = match row.content {
                Content::Module { .. } => now.saturating_sub(row.used_at) < FRESH_MILLISECONDS,
                Content::Image { .. } => false,
            };
            !opened_soon && !loaded.contains(&row.digest) && !self.is_held(&row.digest)
        });
        free.min_by_key(|row| (named.contains(&row.digest), row.used_at)).map(|row| row.digest.clone())
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
