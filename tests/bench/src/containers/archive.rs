//! Images made here: a small one of busybox, and a large one of many files.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUSYBOX: &str = "/bin/busybox";
/// What the containers of the measurements call.
const APPLETS: [&str; 3] = ["true", "sh", "sleep"];
/// Of the large image: files, and folders that they are in.
const FILES: u32 = 4_600;
const FOLDERS: u32 = 230;
/// Bytes of each of its files.
const FILE_BYTES: usize = 22_000;
/// Bytes of all of its files.
pub(crate) const LARGE_BYTES: u64 = FILES as u64 * FILE_BYTES as u64;

/// An image of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

/// As it is written in descriptors.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Made {
    /// Busybox and nothing else, not compressed.
    pub(crate) fn of_busybox() -> Result<Self> {
        let program = std::fs::read(BUSYBOX).with_context(|| format!("{BUSYBOX}: busybox-static must be installed"))?;
        let mut tar = tar::Builder::new(Vec::new());
        for folder in ["bin/", "dev/", "proc/", "sys/", "etc/", "tmp/"] {
            add(&mut tar, folder, tar::EntryType::Directory, 0o755, &[])?;
        }
        add(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, &program)?;
        for applet in APPLETS {
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
        }
        let layer = tar.into_inner()?;
        let content = digest(&layer);
        Ok(Self::new(layer, &content, "application/vnd.oci.image.layer.v1.tar"))
    }

    /// [`LARGE_BYTES`] in many files, compressed by gzip to about a third.
    pub(crate) fn of_many_files() -> Result<Self> {
        let mut tar = tar::Builder::new(Vec::new());
        for folder in 0..FOLDERS {
            add(&mut tar, &format!("folder-{folder}/"), tar::EntryType::Directory, 0o755, &[])?;
        }
        let mut words = Words(0x9e37_79b9_7f4a_7c15);
        for file in 0..FILES {
            let name = format!("folder-{}/file-{file}", file % FOLDERS);
            add(&mut tar, &name, tar::EntryType::Regular, 0o644, &words.text(FILE_BYTES))?;
        }
        let plain = tar.into_inner()?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&plain)?;
        Ok(Self::new(gzip.finish()?, &digest(&plain), "application/vnd.oci.image.layer.v1.tar+gzip"))
    }

    fn new(layer: Vec<u8>, content: &str, kind: &str) -> Self {
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [content]},
        });
        let config = config.to_string().into_bytes();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config), "size": config.len(),
            },
            "layers": [{"mediaType": kind, "digest": digest(&layer), "size": layer.len()}],
        });
        Self { layer, config, manifest: manifest.to_string().into_bytes() }
    }

    /// A tar of an OCI layout.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let descriptor = serde_json::json!({
            "mediaType": MANIFEST, "digest": digest(&self.manifest), "size": self.manifest.len(),
        });
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string();
        add(&mut tar, "oci-layout", tar::EntryType::Regular, 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add(&mut tar, "index.json", tar::EntryType::Regular, 0o644, index.as_bytes())?;
        for blob in [&self.layer, &self.config, &self.manifest] {
            let name = format!("blobs/{}", digest(blob).replace(':', "/"));
            add(&mut tar, &name, tar::EntryType::Regular, 0o644, blob)?;
        }
        Ok(tar.into_inner()?)
    }

    /// What a registry has of it: paths, kinds and contents.
    pub(crate) fn pages(&self, repository: &str) -> Vec<(String, &'static str, Vec<u8>)> {
        let blob = |bytes: &Vec<u8>| {
            (format!("/v2/{repository}/blobs/{}", digest(bytes)), "application/octet-stream", bytes.clone())
        };
        let manifest =
            |version: &str| (format!("/v2/{repository}/manifests/{version}"), MANIFEST, self.manifest.clone());
        vec![blob(&self.layer), blob(&self.config), manifest("latest"), manifest(&digest(&self.manifest))]
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header
}

fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = header(kind, mode, content.len() as u64);
    Ok(tar.append_data(&mut header, name, content)?)
}

/// Text that compresses about as programs do, always the same.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, bytes: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes + 16);
        while text.len() < bytes {
            let word = self.next();
            // Often one of few words, sometimes eight bytes that nothing can compress.
            if word.is_multiple_of(4) {
                text.extend_from_slice(&word.to_le_bytes());
            } else {
                text.extend_from_slice(format!("word-{:03x} ", word >> 54).as_bytes());
            }
        }
        text.truncate(bytes);
        text
    }
}
