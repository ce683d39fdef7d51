//! Images from archives: OCI layouts, and what `docker save` writes. The archive is a stranger's like
//! any layer: it is unpacked by the same processes, and nothing in it is believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use wasmbatch_core::Digest;
use wasmbatch_jail::{AllowedFolders, OpenError};

use super::catalogue::{Catalogue, Content, Pin};
use super::error::PullError;
use super::manifest::{self, Descriptor, MOST_CONFIG, MOST_MANIFEST, MOST_MODULE, Manifest, RawDescriptor};
use super::pull::{Puller, put_together, row, sha256, unpack_error};
use super::reference::Reference;
use super::unpacker::{Bounds, UnpackError};
use crate::unpack::wire::Form;

/// Images of one archive.
const MOST_IMAGES: usize = 256;
/// Names of one image.
const MOST_NAMES: usize = 256;
/// What containerd and those after it call an image in a layout.
const FULL_NAME: &str = "io.containerd.image.name";
/// What the layout's specification has for that; often only a tag.
const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawSaved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An archive, unpacked, of which only what lies in it is opened.
struct Archive<'a> {
    puller: &'a Puller,
    folder: PathBuf,
    files: AllowedFolders,
}

/// What was taken in: the image, and what it is called.
pub(crate) struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) names: Vec<String>,
}

impl Puller {
    /// Takes in every image of an archive. Blocks.
    pub(crate) fn load(&self, archive: File, name: Option<&str>) -> Result<Vec<Loaded>, PullError> {
        let name = name.map(|name| name.parse::<Reference>().map(|name| name.to_string())).transpose()?;
        let bytes = self.options.most_store_bytes.max(self.options.most_image_bytes);
        let bounds = Bounds { time: self.options.pull_timeout, bytes, entries: self.options.most_layer_entries };
        let folder = self.catalogue.temporary.folder().map_err(PullError::store("an archive"))?;
        let unpacked = self.unpacker.begin(archive, Form::Files, bounds, folder).and_then(|running| running.finish());
        let (_, folder) = unpacked.map_err(|error| match error {
            UnpackError::Refused(reason) => unsupported(format!("the archive cannot be unpacked: {reason}")),
            UnpackError::Io(error) => PullError::Store(error.to_string()),
        })?;
        let path = folder.path().to_owned();
        let files = AllowedFolders::open(std::slice::from_ref(&path));
        let files = files.map_err(|(_, error)| PullError::store("an archive")(error))?;
        let archive = Archive { puller: self, folder: path, files };
        if archive.has("index.json") {
            archive.load_layout(&archive.read("index.json", MOST_MANIFEST)?, name.as_deref())
        } else if archive.has("manifest.json") {
            archive.load_saved(&archive.read("manifest.json", MOST_MANIFEST)?, name.as_deref())
        } else {
            Err(unsupported("the archive is no image: it has neither index.json nor manifest.json"))
        }
    }
}

fn unsupported(text: impl Into<String>) -> PullError {
    PullError::Unsupported(text.into())
}

impl Archive<'_> {
    fn load_layout(&self, index: &[u8], name: Option<&str>) -> Result<Vec<Loaded>, PullError> {
        let mut groups: BTreeMap<Option<String>, Vec<RawDescriptor>> = BTreeMap::new();
        for entry in manifest::entries(index)? {
            groups.entry(name_of(&entry)).or_default().push(entry);
        }
        if groups.len() > MOST_IMAGES {
            return Err(unsupported("the archive has too many images"));
        }
        let mut loaded = Vec::new();
        for (own, entries) in groups {
            let names: Vec<String> = own.or_else(|| name.map(str::to_owned)).into_iter().collect();
            // Several of one name are one image for several platforms.
            let top = match entries.as_slice() {
                [only] => only.descriptor()?,
                several => manifest::choose_here(several)?,
            };
            // Until their image is there nothing else keeps its parts.
            let mut pins = Vec::new();
            let (digest, content) = self.import(&top, &mut pins)?;
            self.keep(&names, &top.digest, digest, content, &mut loaded)?;
        }
        Ok(loaded)
    }

    /// Takes in what a descriptor of a layout stands for.
    fn import(&self, top: &Descriptor, pins: &mut Vec<Pin>) -> Result<(Digest, Content), PullError> {
        let most_layers = self.puller.options.most_layers;
        let mut digest = top.digest;
        let mut parsed = manifest::parse(&self.blob_text(top, MOST_MANIFEST)?, most_layers)?;
        if let Manifest::Index(entry) = parsed {
            digest = entry.digest;
            parsed = manifest::parse(&self.blob_text(&entry, MOST_MANIFEST)?, most_layers)?;
        }
        let content = match parsed {
            Manifest::Index(_) => return Err(unsupported("an index within an index is not supported")),
            Manifest::Module(layer) => {
                pins.push(self.puller.catalogue.pin(&layer.digest));
                self.import_module(&layer)?
            }
            Manifest::Image { config, layers } => {
                let text = self.blob_text(&config, MOST_CONFIG)?;
                let paths = layers.iter().map(|layer| (blob_path(&layer.digest), Some(layer.clone()))).collect();
                self.import_image(&text, paths, pins)?.0
            }
        };
        Ok((digest, content))
    }

    fn load_saved(&self, saved: &[u8], name: Option<&str>) -> Result<Vec<Loaded>, PullError> {
        let saved: Vec<RawSaved> = serde_json::from_slice(saved)
            .map_err(|error| unsupported(format!("manifest.json is not valid: {error}")))?;
        if saved.len() > MOST_IMAGES {
            return Err(unsupported("the archive has too many images"));
        }
        let mut loaded = Vec::new();
        for RawSaved { config, repo_tags, layers } in saved {
            if layers.len() > self.puller.options.most_layers {
                return Err(unsupported(format!("the image has {} layers", layers.len())));
            }
            let tags = repo_tags.unwrap_or_default().into_iter().take(MOST_NAMES);
            let mut names = tags
                .map(|tag| Ok(tag.parse::<Reference>()?.to_string()))
                .collect::<Result<Vec<String>, PullError>>()?;
            if names.is_empty() {
                names.extend(name.map(str::to_owned));
            }
            let text = self.read(&config, MOST_CONFIG)?;
            let paths = layers.into_iter().map(|layer| (layer, None)).collect();
            let mut pins = Vec::new();
            let (content, layers) = self.import_image(&text, paths, &mut pins)?;
            // Such archives have no manifest; this is what one would say.
            let digest = sha256(written_manifest(&text, &layers).as_bytes());
            self.keep(&names, &digest, digest, content, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn keep(
        &self,
        names: &[String],
        top: &Digest,
        digest: Digest,
        content: Content,
        loaded: &mut Vec<Loaded>,
    ) -> Result<(), PullError> {
        if loaded.iter().any(|before: &Loaded| before.names.iter().any(|name| names.contains(name))) {
            return Err(unsupported("two images of the archive would have the same name"));
        }
        let stored = PullError::store("an image");
        let catalogue = &self.puller.catalogue;
        let _pin = catalogue.pin(&digest);
        catalogue.add_image(&digest, content).map_err(&stored)?;
        // What has no name is called by its digest, and stays for that.
        let names = if names.is_empty() { vec![digest.to_string()] } else { names.to_vec() };
        for name in &names {
            catalogue.set_name(name, top, &digest, true).map_err(&stored)?;
        }
        loaded.push(Loaded { digest, names });
        Ok(())
    }

    /// Unpacks the layers at these paths, which are what the descriptors say where there are any, and
    /// are kept for as long as the pins.
    fn import_image(
        &self,
        config: &[u8],
        paths: Vec<(String, Option<Descriptor>)>,
        pins: &mut Vec<Pin>,
    ) -> Result<(Content, Vec<Descriptor>), PullError> {
        let (config, diff_ids) = manifest::parse_config(config)?;
        if diff_ids.len() != paths.len() {
            return Err(unsupported(format!("the image has {} layers and {} diff_ids", paths.len(), diff_ids.len())));
        }
        if paths.is_empty() {
            return Err(unsupported("the image has no layers"));
        }
        let catalogue = &self.puller.catalogue;
        let mut layers = Vec::new();
        for (path, expected) in paths {
            let (file, found) = self.checked(&path, expected.as_ref())?;
            pins.push(catalogue.pin(&found.digest));
            if catalogue.layer(&found.digest).is_none() {
                let running = self.puller.begin(file, Form::Layer);
                let unpacked = running.and_then(|running| running.finish());
                let (unpacked, folder) = unpacked.map_err(|error| unpack_error(error, found.digest))?;
                let added = catalogue.add_layer(&found.digest, row(&found.digest, unpacked), folder);
                added.map_err(PullError::store("a layer"))?;
            }
            layers.push(found);
        }
        let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
        let limit = self.puller.options.most_image_bytes;
        let (content, addition) =
            put_together(catalogue, &digests, &diff_ids, limit, self.puller.unpacker.owner(), config)?;
        pins.extend(addition);
        Ok((content, layers))
    }

    fn import_module(&self, layer: &Descriptor) -> Result<Content, PullError> {
        let (file, found) = self.checked(&blob_path(&layer.digest), Some(layer))?;
        manifest::check_size("the module", found.size, MOST_MODULE)?;
        let stored = PullError::store("a module");
        copy_module(&self.puller.catalogue, file, &found.digest).map_err(stored)?;
        Ok(Content::Module { digest: found.digest.to_string(), bytes: found.size })
    }

    /// Opens a file, hashes it, and holds it against what it should be.
    fn checked(&self, path: &str, expected: Option<&Descriptor>) -> Result<(File, Descriptor), PullError> {
        let mut file = self.open(path)?;
        let mut hash = Sha256::new();
        let size = io::copy(&mut file, &mut hash).map_err(PullError::store("an archive"))?;
        let found = Descriptor { digest: Digest::from_bytes(hash.finalize().into()), size };
        file.seek(SeekFrom::Start(0)).map_err(PullError::store("an archive"))?;
        match expected {
            Some(expected) if expected.size != found.size => {
                Err(PullError::Size { what: shown(path), expected: expected.size, got: found.size })
            }
            Some(expected) if expected.digest != found.digest => {
                Err(PullError::Digest { what: shown(path), expected: expected.digest, got: found.digest })
            }
            _ => Ok((file, found)),
        }
    }

    fn has(&self, path: &str) -> bool {
        self.folder.join(path).symlink_metadata().is_ok()
    }

    fn blob_text(&self, blob: &Descriptor, most: u64) -> Result<Vec<u8>, PullError> {
        let path = blob_path(&blob.digest);
        let text = self.read(&path, most)?;
        let got = sha256(&text);
        if got != blob.digest {
            return Err(PullError::Digest { what: path, expected: blob.digest, got });
        }
        Ok(text)
    }

    fn read(&self, path: &str, most: u64) -> Result<Vec<u8>, PullError> {
        let file = self.open(path)?;
        let bytes = file.metadata().map_err(PullError::store("an archive"))?.len();
        manifest::check_size(&shown(path), bytes, most)?;
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text).map_err(PullError::store("an archive"))?;
        Ok(text)
    }

    /// Opens a regular file of the archive; links lead to others of it only.
    fn open(&self, path: &str) -> Result<File, PullError> {
        let wrong = |why: &dyn std::fmt::Display| unsupported(format!("{} of the archive: {why}", shown(path)));
        if Path::new(path).is_absolute() {
            return Err(wrong(&OpenError::Escapes));
        }
        self.files.open_file(&self.folder.join(path)).map_err(|error| wrong(&error))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn shown(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The name that a layout has for an image, if it is whole.
fn name_of(entry: &RawDescriptor) -> Option<String> {
    let annotations = entry.annotations.as_ref()?;
    let full = annotations.get(FULL_NAME);
    let name = full.or_else(|| annotations.get(REFERENCE_NAME).filter(|name| name.contains(['/', ':'])))?;
    name.parse::<Reference>().ok().map(|name| name.to_string())
}

fn written_manifest(config: &[u8], layers: &[Descriptor]) -> String {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let kind = "application/vnd.oci.image.layer.v1.tar";
            json!({"mediaType": kind, "digest": layer.digest.to_string(), "size": layer.size})
        })
        .collect();
    let kind = "application/vnd.oci.image.config.v1+json";
    let config = json!({"mediaType": kind, "digest": sha256(config).to_string(), "size": config.len()});
    json!({"schemaVersion": 2, "mediaType": manifest::OCI_MANIFEST, "config": config, "layers": layers}).to_string()
}

fn copy_module(catalogue: &Catalogue, mut from: File, digest: &Digest) -> io::Result<()> {
    let beside = catalogue.temporary.path("module");
    let mut file = File::create(&beside)?;
    let copied = io::copy(&mut from, &mut file).and_then(|_| file.flush()).and_then(|()| file.sync_all());
    let moved = copied.and_then(|()| std::fs::rename(&beside, catalogue.module_path(digest)));
    moved.inspect_err(|_| drop(std::fs::remove_file(&beside)))
}
