//! Tar archives as they shouldn't be, too.

use sha2::{Digest as _, Sha256};

/// An archive in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

/// An entry's header.
#[derive(Debug, Clone)]
pub(crate) struct Header<'h> {
    pub(crate) name: &'h str,
    pub(crate) kind: u8,
    pub(crate) link: &'h str,
    pub(crate) mode: u32,
    pub(crate) user: u64,
    pub(crate) group: u64,
    pub(crate) size: u64,
}

impl Default for Header<'_> {
    fn default() -> Self {
        Self { name: "", kind: b'0', link: "", mode: 0o644, user: 0, group: 0, size: 0 }
    }
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.with(Header { name, ..Header::default() }, content)
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.with(Header { name, kind: b'5', mode: 0o755, ..Header::default() }, b"")
    }

    pub(crate) fn symlink(self, name: &str, link: &str) -> Self {
        self.with(Header { name, kind: b'2', link, mode: 0o777, ..Header::default() }, b"")
    }

    pub(crate) fn hard_link(self, name: &str, link: &str) -> Self {
        self.with(Header { name, kind: b'1', link, ..Header::default() }, b"")
    }

    pub(crate) fn with(mut self, header: Header<'_>, content: &[u8]) -> Self {
        for (kind, text) in [(b'L', header.name), (b'K', header.link)] {
            if text.len() > 100 {
                let long = Header { name: "././@LongLink", kind, ..Header::default() };
                self = self.raw(&long, text.as_bytes(), text.len() as u64);
            }
        }
        let size = if header.size == 0 { content.len() as u64 } else { header.size };
        self.raw(&header, content, size)
    }

    fn raw(mut self, header: &Header<'_>, content: &[u8], size: u64) -> Self {
        let mut block = [0_u8; 512];
        let put = |block: &mut [u8; 512], at: usize, most: usize, text: &[u8]| {
            let length = text.len().min(most);
            block[at..at + length].copy_from_slice(&text[..length]);
        };
        put(&mut block, 0, 100, header.name.as_bytes());
        put(&mut block, 100, 8, format!("{:07o}\0", header.mode).as_bytes());
        put(&mut block, 108, 8, format!("{:07o}\0", header.user).as_bytes());
        put(&mut block, 116, 8, format!("{:07o}\0", header.group).as_bytes());
        put(&mut block, 124, 12, format!("{size:011o}\0").as_bytes());
        put(&mut block, 136, 12, b"14000000000\0");
        block[156] = header.kind;
        put(&mut block, 157, 100, header.link.as_bytes());
        put(&mut block, 257, 8, b"ustar\x0000");
        put(&mut block, 148, 8, b"        ");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        put(&mut block, 148, 8, format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

pub(crate) fn digest(bytes: &[u8]) -> wasmbatch_core::Digest {
    wasmbatch_core::Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Bytes that nothing can compress, always the same.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut noise: Vec<u8> = std::iter::repeat_with(next).take(bytes / 8 + 1).flatten().collect();
    noise.truncate(bytes);
    noise
}
