//! Tar archives, read as a stream: ustar, the GNU extensions, PAX. Nothing that an archive claims is
//! believed before it is bounded.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Most bytes of one PAX header.
const MOST_PAX: u64 = 1024 * 1024;
/// Most bytes of a name that stands in an entry of its own.
const MOST_LONG_NAME: u64 = 64 * 1024;
/// Most pieces of a file with holes.
const MOST_PIECES: usize = 65_536;
/// Headers that only describe the next entry, in a row.
const MOST_PREFIXES: u32 = 16;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Folder,
    /// A device or a pipe.
    Special,
    /// Something that only some programs know.
    Unknown,
}

/// One entry, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    /// Length of the file, with its holes.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) user: u64,
    pub(crate) group: u64,
    /// Seconds of Unix time.
    pub(crate) modified: i64,
    /// Offset and length of what the archive has of a file with holes; `None` of a file without.
    pub(crate) pieces: Option<Vec<(u64, u64)>>,
}

/// Why an archive can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    Read(#[from] io::Error),
}

/// Reads one archive from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Tar<R> {
    source: R,
    /// Bytes of the current entry that were not read yet.
    content: u64,
    /// Zero bytes that follow them.
    padding: u64,
}

/// What headers in front of an entry say about it.
#[derive(Debug, Default)]
struct Prefixes {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    user: Option<u64>,
    group: Option<u64>,
    modified: Option<i64>,
    sparse: Sparse,
}

#[derive(Debug, Default)]
struct Sparse {
    version: Option<(u64, u64)>,
    name: Option<Vec<u8>>,
    size: Option<u64>,
    map: Vec<(u64, u64)>,
    offset: Option<u64>,
}

impl<R: Read> Tar<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, content: 0, padding: 0 }
    }

    /// The next entry; what is left of the one before is passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let mut prefixes = Prefixes::default();
        for _ in 0..MOST_PREFIXES {
            self.pass_over()?;
            let Some(block) = self.header()? else { return Ok(None) };
            let size = number(&block[124..136]).ok_or(TarError::Malformed("a header has no valid size"))?;
            let kind = block[156];
            if !matches!(kind, b'L' | b'K' | b'x' | b'g') {
                return self.entry(&block, size, prefixes).map(Some);
            }
            self.begin_content(size);
            match kind {
                b'L' => prefixes.path = Some(self.long_name()?),
                b'K' => prefixes.link = Some(self.long_name()?),
                b'x' => self.pax(&mut prefixes)?,
                // A comment of git's, or times for all: nothing of it is needed.
                _ => {}
            }
        }
        Err(TarError::Malformed("too many extension headers in a row"))
    }

    /// Reads from the current entry's content; 0 is its end.
    pub(crate) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let wanted = usize::try_from(self.content).map_or(buffer.len(), |content| content.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = read_some(&mut self.source, &mut buffer[..wanted])?;
        if read == 0 {
            return Err(TarError::Malformed("the archive ends within an entry"));
        }
        self.content -= read as u64;
        Ok(read)
    }

    /// Reads what follows the last entry.
    pub(crate) fn finish(mut self) -> Result<R, TarError> {
        let mut buffer = [0; 8192];
        while read_some(&mut self.source, &mut buffer)? != 0 {}
        Ok(self.source)
    }

    fn begin_content(&mut self, size: u64) {
        self.content = size;
        let over = size % BLOCK as u64;
        self.padding = if over == 0 { 0 } else { BLOCK as u64 - over };
    }

    fn pass_over(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 8192];
        while self.read_content(&mut buffer)? != 0 {}
        self.content = std::mem::take(&mut self.padding);
        while self.read_content(&mut buffer)? != 0 {}
        Ok(())
    }

    /// The next header; `None` at the end, which is a block of zeros or no block at all.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match read_some(&mut self.source, &mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(TarError::Malformed("the archive ends within a header")),
                read => filled += read,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let stated = number(&block[148..156]);
        let sum = |byte: fn(u8) -> i64| -> i64 {
            let without = block.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { b' ' } else { *b });
            without.map(byte).sum()
        };
        let fits = |sum: i64| stated.and_then(|stated| i64::try_from(stated).ok()) == Some(sum);
        // Old programs add signed bytes.
        if fits(sum(i64::from)) || fits(sum(|byte| i64::from(byte.cast_signed()))) {
            Ok(Some(block))
        } else {
            Err(TarError::Malformed("not a tar archive: a header's checksum is wrong"))
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], size: u64, prefixes: Prefixes) -> Result<Entry, TarError> {
        let Prefixes { path, link, size: pax_size, user, group, modified, sparse } = prefixes;
        let kind = match block[156] {
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Folder,
            _ => Kind::Unknown,
        };
        let stored = pax_size.unwrap_or(size);
        // Links have no content, whatever their size says.
        let has_content = matches!(kind, Kind::File | Kind::Unknown);
        self.begin_content(if has_content { stored } else { 0 });
        let path = path.unwrap_or_else(|| header_path(block));
        // In the oldest archives a folder is a file whose name ends in a slash.
        let kind = if kind == Kind::File && path.ends_with(b"/") { Kind::Folder } else { kind };
        let mut entry = Entry {
            kind,
            path,
            link: link.unwrap_or_else(|| until_zero(&block[157..257]).to_vec()),
            size: stored,
            mode: number(&block[100..108]).and_then(|mode| u32::try_from(mode & 0o7777).ok()).unwrap_or(0),
            user: user.or_else(|| number(&block[108..116])).unwrap_or(0),
            group: group.or_else(|| number(&block[116..124])).unwrap_or(0),
            modified: modified.or_else(|| i64::try_from(number(&block[136..148])?).ok()).unwrap_or(0),
            pieces: None,
        };
        if block[156] == b'S' {
            self.old_sparse(block, &mut entry)?;
        } else if kind == Kind::File && (sparse.version.is_some() || !sparse.map.is_empty()) {
            self.pax_sparse(sparse, &mut entry)?;
        }
        Ok(entry)
    }

    fn long_name(&mut self) -> Result<Vec<u8>, TarError> {
        let content = self.all_content(MOST_LONG_NAME, "a name is longer than 64 KiB")?;
        Ok(until_zero(&content).to_vec())
    }

    fn all_content(&mut self, most: u64, too_long: &'static str) -> Result<Vec<u8>, TarError> {
        if self.content > most {
            return Err(TarError::Malformed(too_long));
        }
        let mut content = vec![0; usize::try_from(self.content).map_err(|_| TarError::Malformed(too_long))?];
        let mut filled = 0;
        while filled < content.len() {
            filled += self.read_content(&mut content[filled..])?;
        }
        Ok(content)
    }

    fn pax(&mut self, prefixes: &mut Prefixes) -> Result<(), TarError> {
        let content = self.all_content(MOST_PAX, "a PAX header is longer than 1 MiB")?;
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let (key, value, after) = pax_record(rest).ok_or(TarError::Malformed("a PAX header is not valid"))?;
            rest = after;
            let number = || decimal(value).ok_or(TarError::Malformed("a PAX header has no valid number"));
            match key {
                b"path" => prefixes.path = Some(value.to_vec()),
                b"linkpath" => prefixes.link = Some(value.to_vec()),
                b"size" => prefixes.size = Some(number()?),
                b"uid" => prefixes.user = Some(number()?),
                b"gid" => prefixes.group = Some(number()?),
                b"mtime" => prefixes.modified = seconds(value),
                b"GNU.sparse.major" => prefixes.sparse.version.get_or_insert((0, 0)).0 = number()?,
                b"GNU.sparse.minor" => prefixes.sparse.version.get_or_insert((0, 0)).1 = number()?,
                b"GNU.sparse.name" => prefixes.sparse.name = Some(value.to_vec()),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => prefixes.sparse.size = Some(number()?),
                b"GNU.sparse.offset" => prefixes.sparse.offset = Some(number()?),
                b"GNU.sparse.numbytes" => {
                    let offset = prefixes.sparse.offset.take();
                    let offset = offset.ok_or(TarError::Malformed("a map of holes is not valid"))?;
                    push_piece(&mut prefixes.sparse.map, (offset, number()?))?;
                }
                b"GNU.sparse.map" => {
                    let numbers: Option<Vec<u64>> = value.split(|byte| *byte == b',').map(decimal).collect();
                    let numbers = numbers.ok_or(TarError::Malformed("a map of holes is not valid"))?;
                    for pair in numbers.chunks_exact(2) {
                        push_piece(&mut prefixes.sparse.map, (pair[0], pair[1]))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The GNU extension of before PAX: the map stands in the header, and in blocks behind it.
    fn old_sparse(&mut self, block: &[u8; BLOCK], entry: &mut Entry) -> Result<(), TarError> {
        const INVALID: TarError = TarError::Malformed("a map of holes is not valid");
        let mut pieces = Vec::new();
        let mut add = |descriptors: &[u8]| {
            for descriptor in descriptors.chunks_exact(24).filter(|descriptor| descriptor[0] != 0) {
                let offset = number(&descriptor[..12]).ok_or(INVALID)?;
                push_piece(&mut pieces, (offset, number(&descriptor[12..]).ok_or(INVALID)?))?;
            }
            Ok::<(), TarError>(())
        };
        add(&block[386..482])?;
        let mut extended = block[482] != 0;
        while extended {
            let mut more = [0; BLOCK];
            self.source.read_exact(&mut more)?;
            add(&more[..504])?;
            extended = more[504] != 0;
        }
        entry.size = number(&block[483..495]).ok_or(INVALID)?;
        self.set_pieces(pieces, entry)
    }

    fn pax_sparse(&mut self, sparse: Sparse, entry: &mut Entry) -> Result<(), TarError> {
        const INVALID: TarError = TarError::Malformed("a map of holes is not valid");
        let Sparse { version, name, size, mut map, offset: _ } = sparse;
        if version == Some((1, 0)) {
            // The map stands in front of the content: a count, then pairs, a line each, up to a block's end.
            let mut text = Vec::new();
            let mut lines = 0;
            let mut wanted = 1;
            while lines < wanted {
                let mut block = [0; BLOCK];
                let mut filled = 0;
                while filled < BLOCK {
                    match self.read_content(&mut block[filled..])? {
                        0 => return Err(INVALID),
                        read => filled += read,
                    }
                }
                text.extend_from_slice(&block);
                lines = text.iter().filter(|byte| **byte == b'\n').count();
                let first = text.split(|byte| *byte == b'\n').next().filter(|_| lines > 0);
                if let Some(first) = first {
                    let count = decimal(first).and_then(|count| usize::try_from(count).ok());
                    let count = count.filter(|count| *count <= MOST_PIECES).ok_or(INVALID)?;
                    wanted = 1 + 2 * count;
                }
                if text.len() > MOST_PIECES * 48 {
                    return Err(INVALID);
                }
            }
            let numbers = text.split(|byte| *byte == b'\n').take(wanted).skip(1).map(decimal);
            let numbers = numbers.collect::<Option<Vec<u64>>>().ok_or(INVALID)?;
            for pair in numbers.chunks_exact(2) {
                push_piece(&mut map, (pair[0], pair[1]))?;
            }
        } else if version.is_some_and(|version| version.0 != 0) {
            return Err(TarError::Malformed("a file with holes is in a form that is not known"));
        }
        entry.size = size.ok_or(INVALID)?;
        if let Some(name) = name {
            entry.path = name;
        }
        self.set_pieces(map, entry)
    }

    fn set_pieces(&self, pieces: Vec<(u64, u64)>, entry: &mut Entry) -> Result<(), TarError> {
        let mut end = 0;
        let mut stored = 0_u64;
        for (offset, length) in &pieces {
            let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= entry.size);
            end = next.ok_or(TarError::Malformed("a map of holes is not valid"))?;
            stored = stored.saturating_add(*length);
        }
        if stored != self.content {
            return Err(TarError::Malformed("a map of holes does not fit its file"));
        }
        entry.pieces = Some(pieces);
        Ok(())
    }
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn push_piece(pieces: &mut Vec<(u64, u64)>, piece: (u64, u64)) -> Result<(), TarError> {
    if pieces.len() >= MOST_PIECES {
        return Err(TarError::Malformed("a file has too many holes"));
    }
    pieces.push(piece);
    Ok(())
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn header_path(block: &[u8; BLOCK]) -> Vec<u8> {
    let (name, prefix) = (until_zero(&block[..100]), until_zero(&block[345..500]));
    // GNU's own form, with two spaces, has other things where ustar has the prefix.
    if &block[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// A number as headers have it: octal digits between spaces and zeros, or binary after a set bit.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = (field[0] & 0x7f, &field[1..]);
        // A set sign: before 1970, or nonsense.
        if first & 0x40 != 0 {
            return None;
        }
        let digits = std::iter::once(first).chain(rest.iter().copied());
        return digits
            .into_iter()
            .try_fold(0_u64, |value, digit| (value >> 56 == 0).then(|| value << 8 | u64::from(digit)));
    }
    let text = field.iter().copied().skip_while(|byte| *byte == b' ').take_while(|byte| !matches!(byte, 0 | b' '));
    text.into_iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn seconds(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.split('.').next()?.parse().ok()
}

/// `<length> <key>=<value>\n`, and what follows it.
fn pax_record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&text[..space])?).ok()?;
    let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &text[length..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, kind: u8, size: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        block
    }

    fn seal(block: &mut [u8; BLOCK]) {
        block[148..156].copy_from_slice(b"        ");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }

    fn padded(content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        content
    }

    fn all(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
        let mut tar = Tar::new(archive);
        let mut entries = Vec::new();
        while let Some(entry) = tar.next()? {
            let mut content = Vec::new();
            let mut buffer = [0; 100];
            loop {
                match tar.read_content(&mut buffer)? {
                    0 => break,
                    read => content.extend_from_slice(&buffer[..read]),
                }
            }
            entries.push((entry, content));
        }
        Ok(entries)
    }

    #[test]
    fn names_are_as_long_as_extensions_say() {
        let long = "n".repeat(3000);
        let record = format!("path={long}\n");
        let record = format!("{} {record}", record.len() + 5);
        let archive = [
            header("././@LongLink", b'L', 3000).to_vec(),
            padded(long.as_bytes()),
            header("short", b'0', 3).to_vec(),
            padded(b"abc"),
            header("x", b'x', record.len() as u64).to_vec(),
            padded(record.as_bytes()),
            header("short", b'0', 0).to_vec(),
            header("plain/", b'0', 0).to_vec(),
            vec![0; 1024],
        ]
        .concat();
        let entries = all(&archive).unwrap();
        assert_eq!(entries[0].0.path, long.as_bytes());
        assert_eq!(entries[0].1, b"abc");
        assert_eq!(entries[1].0.path, long.as_bytes());
        assert_eq!((entries[2].0.kind, entries[2].0.path.as_slice()), (Kind::Folder, b"plain/".as_slice()));
    }

    #[test]
    fn holes_are_where_the_map_says() {
        let map = padded(b"2\n0\n3\n1000\n2\n");
        let record = |text: &str| {
            let length = (text.len() + 4).to_string();
            assert_eq!(length.len(), 2);
            format!("{length} {text}\n")
        };
        let pax = ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1005", "GNU.sparse.name=holes"];
        let pax = pax.map(record).concat();
        let archive = [
            header("x", b'x', pax.len() as u64).to_vec(),
            padded(pax.as_bytes()),
            header("GNUSparseFile.0/holes", b'0', 512 + 5).to_vec(),
            map,
            padded(b"abcde"),
        ]
        .concat();
        let (entry, content) = &all(&archive).unwrap()[0];
        assert_eq!((entry.path.as_slice(), entry.size), (b"holes".as_slice(), 1005));
        assert_eq!(entry.pieces, Some(vec![(0, 3), (1000, 2)]));
        assert_eq!(content, b"abcde");

        let mut old = header("old", b'S', 5);
        old[386..397].copy_from_slice(b"00000000000");
        old[398..409].copy_from_slice(b"00000000003");
        old[410..421].copy_from_slice(b"00000001750");
        old[422..433].copy_from_slice(b"00000000002");
        old[483..494].copy_from_slice(b"00000001755");
        old[257..265].copy_from_slice(b"ustar  \0");
        seal(&mut old);
        let (entry, _) = &all(&[old.to_vec(), padded(b"abcde")].concat()).unwrap()[0];
        assert_eq!((entry.size, &entry.pieces), (1005, &Some(vec![(0, 3), (1000, 2)])));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cut = |text: &str| TarError::to_string(&all(text.as_bytes()).unwrap_err());
        assert_eq!(cut("short"), "the archive ends within a header");
        assert_eq!(cut(&"x".repeat(512)), "not a tar archive: a header's checksum is wrong");
        let said = |archive: &[Vec<u8>]| all(&archive.concat()).unwrap_err().to_string();
        assert_eq!(said(&[header("f", b'0', 9).to_vec()]), "the archive ends within an entry");
        assert_eq!(said(&[header("f", b'L', 1 << 30).to_vec()]), "a name is longer than 64 KiB");
        assert_eq!(said(&[header("f", b'x', 1 << 30).to_vec()]), "a PAX header is longer than 1 MiB");
        let many: Vec<Vec<u8>> = (0..20).map(|_| header("g", b'g', 0).to_vec()).collect();
        assert_eq!(said(&many), "too many extension headers in a row");
        let bad = b"9999 path=x\n";
        let bad = [header("x", b'x', 12).to_vec(), padded(bad)];
        assert_eq!(said(&bad), "a PAX header is not valid");
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0"), Some(0));
        assert_eq!(number(b"9"), None);
        assert_eq!(number(&[0x80, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), None);
        assert_eq!(number(&[0xbf; 12]), None);
    }

    /// An entry whose header is right but for a few bytes, before its checksum was made.
    fn block() -> impl Strategy<Value = Vec<u8>> {
        let kind = proptest::sample::select(b"0127SLKxg5\0".to_vec());
        let content = prop_oneof![
            Just(b"30 mtime=1\n".to_vec()),
            Just(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=9\n".to_vec()),
            Just(b"18 GNU.sparse.map=0,1,2\n".to_vec()),
            Just(b"1\n0\n9\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..700),
        ];
        let changes = proptest::collection::vec((0..BLOCK, any::<u8>()), 0..4);
        (kind, content, changes).prop_map(|(kind, content, changes)| {
            let mut block = header("name", kind, content.len() as u64);
            for (at, byte) in changes {
                block[at] = byte;
            }
            seal(&mut block);
            [block.to_vec(), padded(&content)].concat()
        })
    }

    proptest! {
        #[test]
        fn what_is_nearly_right_is_read_or_refused(blocks in proptest::collection::vec(block(), 1..6)) {
            for (entry, content) in all(&blocks.concat()).unwrap_or_default() {
                if let Some(pieces) = &entry.pieces {
                    let stored: u64 = pieces.iter().map(|piece| piece.1).sum();
                    prop_assert_eq!(stored, content.len() as u64);
                    prop_assert!(pieces.iter().all(|(offset, length)| offset + length <= entry.size));
                }
            }
        }

        #[test]
        fn nothing_makes_it_panic(mut blocks in proptest::collection::vec(any::<u8>(), 0..4096), kind in any::<u8>()) {
            if let Some(first) = blocks.first_chunk_mut::<BLOCK>() {
                first[156] = kind;
                seal(first);
            }
            let _ = all(&blocks);
        }
    }
}
