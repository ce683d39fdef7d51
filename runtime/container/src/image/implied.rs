//! Folders that a layer has only because of what is in them. Its archive doesn't say what they are
//! like, the layers below do, but in a stack of folders the topmost decides. So an image that needs it
//! gets one more layer on top, of nothing but such folders as they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fgetxattr, fstat, open, openat2};
use rustix::io::Errno;
use wasmbatch_core::Digest;

use super::catalogue::{Catalogue, LayerRow, Pin};
use super::error::PullError;
use super::pull::sha256;

/// Folders that are looked after in one image.
const MOST_FOLDERS: usize = 4096;

/// What a folder is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Likeness {
    mode: u32,
    user: u32,
    group: u32,
}

/// A layer's folder, and what in it is only implied.
struct Layer {
    folder: OwnedFd,
    implied: BTreeSet<String>,
}

/// How one layer sees a folder.
enum Sight {
    /// It has it and says what it is like.
    Described(Likeness),
    /// It has it, or what is above it; `true` hides all layers below.
    Open(bool),
    /// It has something else there, or deletes it.
    Hidden,
}

/// The additional layer of an image of these, the lowest first, if it needs one; kept for as long as
/// the pin. `owner` has what no archive says an owner of. Blocks.
pub(crate) fn addition(
    catalogue: &Arc<Catalogue>,
    digests: &[Digest],
    owner: (u32, u32),
) -> Result<Option<(Digest, Pin)>, PullError> {
    let stored = PullError::store("the folders of an image");
    let mut layers = Vec::new();
    for digest in digests.iter().rev() {
        let row = catalogue.layer(digest).ok_or_else(|| PullError::Store(format!("layer {digest} is gone")))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = open(catalogue.layer_path(digest), flags, Mode::empty());
        let folder = folder.map_err(|error| stored(error.into()))?;
        layers.push(Layer { folder, implied: row.implied.into_iter().collect() });
    }
    let default = Likeness { mode: 0o755, user: owner.0, group: owner.1 };
    let folders = folders(&layers, default);
    if folders.is_empty() {
        return Ok(None);
    }
    let digest = sha256(format!("{folders:?}").as_bytes());
    let pin = catalogue.pin(&digest);
    if catalogue.layer(&digest).is_none() {
        let folder = catalogue.temporary.folder().map_err(&stored)?;
        make(folder.path(), &folders).map_err(&stored)?;
        let text = digest.to_string();
        let entries = folders.len() as u64;
        let row = LayerRow { digest: text.clone(), diff_id: text, bytes: 0, entries, implied: Vec::new() };
        catalogue.add_layer(&digest, row, folder).map_err(&stored)?;
    }
    Ok(Some((digest, pin)))
}

/// Each folder that the stack would show otherwise than it should be, and all above it.
fn folders(layers: &[Layer], default: Likeness) -> BTreeMap<String, Likeness> {
    let mut wrong = BTreeMap::new();
    let implied: BTreeSet<&String> = layers.iter().flat_map(|layer| &layer.implied).take(MOST_FOLDERS).collect();
    for path in implied {
        if let Some(likeness) = shown_wrongly(layers, path)
            && likeness != default
        {
            wrong.insert(path.clone(), likeness);
        }
    }
    for path in wrong.keys().cloned().collect::<Vec<_>>() {
        let above = Path::new(&path).ancestors().skip(1).filter_map(Path::to_str);
        for folder in above {
            let likeness = described(layers, folder).unwrap_or(default);
            wrong.entry(folder.to_owned()).or_insert(likeness);
        }
    }
    wrong
}

/// What a folder should be like whose topmost layer doesn't say, while one below does.
fn shown_wrongly(layers: &[Layer], path: &str) -> Option<Likeness> {
    let top = layers.iter().find(|layer| !matches!(layer.see(path), Sight::Open(false)) || layer.has(path))?;
    if matches!(top.see(path), Sight::Described(_)) {
        return None;
    }
    described(layers, path)
}

/// What the topmost layer says of a folder that says anything.
fn described(layers: &[Layer], path: &str) -> Option<Likeness> {
    for layer in layers {
        match layer.see(path) {
            Sight::Described(likeness) => return Some(likeness),
            Sight::Open(true) | Sight::Hidden => return None,
            Sight::Open(false) => {}
        }
    }
    None
}

impl Layer {
    fn open(&self, path: &str) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { "." } else { path };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.folder, path, flags, Mode::empty(), resolve)
    }

    fn has(&self, path: &str) -> bool {
        self.open(path).is_ok()
    }

    fn see(&self, path: &str) -> Sight {
        let mut hides = false;
        let above: Vec<&str> = Path::new(path).ancestors().filter_map(Path::to_str).collect();
        for folder in above.iter().rev() {
            let Ok(opened) = self.open(folder) else { return Sight::Open(hides) };
            let Ok(status) = fstat(&opened) else { return Sight::Open(hides) };
            if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
                return Sight::Hidden;
            }
            if *folder == path && !self.implied.contains(path) {
                let mode = status.st_mode & 0o7777;
                return Sight::Described(Likeness { mode, user: status.st_uid, group: status.st_gid });
            }
            hides |= is_opaque(&opened);
        }
        Sight::Open(hides)
    }
}

fn is_opaque(folder: &OwnedFd) -> bool {
    // A descriptor of a path has no attributes to read, its folder has.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut value = [0; 2];
    let read = rustix::fs::openat(folder, ".", flags, Mode::empty())
        .and_then(|folder| fgetxattr(folder, "user.overlay.opaque", &mut value));
    read == Ok(1) && value[0] == b'y'
}

/// Makes the folders in one that is empty and ours alone.
fn make(home: &Path, folders: &BTreeMap<String, Likeness>) -> io::Result<()> {
    // The order of the map has what is above first.
    for path in folders.keys().filter(|path| !path.is_empty()) {
        fs::create_dir(home.join(path))?;
    }
    // Modes may close a folder: from below.
    for (path, Likeness { mode, user, group }) in folders.iter().rev() {
        let folder = home.join(path);
        match chown(&folder, Some(*user), Some(*group)) {
            // An ordinary user's node doesn't keep all owners.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            owned => owned?,
        }
        fs::set_permissions(&folder, Permissions::from_mode(*mode))?;
    }
    Ok(())
}
