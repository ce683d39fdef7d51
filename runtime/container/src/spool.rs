//! What a container wrote, between the shim that reads its pipes and the node that logs it: a file of
//! lines, which grows at its end and whose beginning is given back to the disk.
//!
//! One record is one line is one event of a log, so that a node that takes over knows by the number of
//! recorded events where it has to go on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use wasmbatch_executor::OutputStream;

/// Longest line, bytes; a longer one is cut into several. That of an event of a log.
pub(crate) const LINE_BYTES: usize = 256 * 1024;
/// Bytes that may wait for a node; a container that writes more waits.
const MOST_WAITING: u64 = 16 << 20;
/// How often the last lines are tried to be written to a full disk.
const LAST_TRIES: u32 = 50;
/// Between two tries.
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are given back to the disk at once.
const GIVEN_BACK: u64 = 4 << 20;
/// Stream and length in front of each record.
const HEADER: usize = 5;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Lines.
    pub(crate) lines: u64,
}

impl Progress {
    pub(crate) fn read(file: &File) -> Self {
        let mut bytes = [0; 16];
        if file.read_exact_at(&mut bytes, 0).is_err() {
            return Self::default();
        }
        let [low, high] = [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")));
        Self { bytes: low, lines: high }
    }

    pub(crate) fn write(self, file: &File) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.lines.to_le_bytes());
        file.write_all_at(&bytes, 0)
    }
}

/// The shim's end.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    consumed: File,
    written: u64,
    partial: [Vec<u8>; 2],
    /// What a full disk hasn't taken yet.
    pending: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(file: File, consumed: File) -> Self {
        Self { file, consumed, written: 0, partial: [Vec::new(), Vec::new()], pending: Vec::new() }
    }

    /// Whether there is room for more: no node is too far behind, and the disk takes what there was.
    pub(crate) fn has_room(&mut self) -> io::Result<bool> {
        self.flush()?;
        let waiting = self.written.saturating_sub(Progress::read(&self.consumed).bytes);
        Ok(self.pending.is_empty() && waiting < MOST_WAITING)
    }

    /// Whether the disk is full.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Adds what the container wrote; whole lines are written at once.
    pub(crate) fn add(&mut self, stream: OutputStream, bytes: &[u8]) -> io::Result<()> {
        let mut records = Vec::with_capacity(bytes.len() + 64);
        let partial = &mut self.partial[place(stream)];
        let mut rest = bytes;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let room = LINE_BYTES - partial.len();
            match end {
                Some(end) if end <= room => {
                    partial.extend_from_slice(&rest[..end]);
                    push(&mut records, stream, partial);
                    rest = &rest[end + 1..];
                }
                None if rest.len() <= room => {
                    partial.extend_from_slice(rest);
                    break;
                }
                Some(_) | None => {
                    partial.extend_from_slice(&rest[..room]);
                    push(&mut records, stream, partial);
                    rest = &rest[room..];
                }
            }
        }
        self.write(&records)
    }

    /// Writes lines that have no end. Nothing comes after them. What a full disk doesn't take within a
    /// moment is lost.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let mut records = Vec::new();
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let partial = &mut self.partial[place(stream)];
            if !partial.is_empty() {
                push(&mut records, stream, partial);
            }
        }
        self.write(&records)?;
        for _ in 0..LAST_TRIES {
            if !self.is_stuck() {
                break;
            }
            std::thread::sleep(LAST_PAUSE);
            self.flush()?;
        }
        Ok(())
    }

    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(records);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.file.write_at(&self.pending, self.written) {
                // Whoever waits for a reader waits for room on the disk too.
                Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.pending.drain(..length);
                    self.written += length as u64;
                }
            }
        }
        Ok(())
    }
}

fn place(stream: OutputStream) -> usize {
    match stream {
        OutputStream::Stdout => 0,
        OutputStream::Stderr => 1,
    }
}

fn push(records: &mut Vec<u8>, stream: OutputStream, line: &mut Vec<u8>) {
    records.push(match stream {
        OutputStream::Stdout => STDOUT,
        OutputStream::Stderr => STDERR,
    });
    records.extend_from_slice(&u32::try_from(line.len()).expect("lines are bounded").to_le_bytes());
    records.append(line);
}

/// The node's end.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    consumed: File,
    progress: Progress,
    given_back: u64,
    /// Lines that are recorded already.
    skipped: u64,
}

impl Reader {
    /// Goes on where the last reader stopped. `recorded` lines are known already.
    pub(crate) fn new(file: File, consumed: File, recorded: u64) -> Self {
        let progress = Progress::read(&consumed);
        let skipped = recorded.saturating_sub(progress.lines);
        Self { file, consumed, given_back: progress.bytes, progress, skipped }
    }

    /// Hands on what there is, some lines of one stream at a time, each with its end. Says whether
    /// anything was taken away.
    pub(crate) fn take(&mut self, mut output: impl FnMut(OutputStream, &[u8])) -> io::Result<bool> {
        let before = self.progress;
        // Mostly there is nothing, or little: no memory is touched for what isn't there.
        let waiting = self.file.metadata()?.len().saturating_sub(before.bytes);
        let mut chunk = vec![0; usize::try_from(waiting).map_or(CHUNK, |waiting| waiting.min(CHUNK))];
        loop {
            let length = self.fill(&mut chunk)?;
            let taken = self.hand_on(&chunk[..length], &mut output)?;
            if taken == 0 {
                break;
            }
            self.progress.bytes += taken;
            self.progress.write(&self.consumed)?;
            self.give_back();
        }
        Ok(self.progress != before)
    }

    fn fill(&self, chunk: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while length < chunk.len() {
            match self.file.read_at(&mut chunk[length..], self.progress.bytes + length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        Ok(length)
    }

    /// The bytes of whole records in front.
    fn hand_on(&mut self, chunk: &[u8], output: &mut impl FnMut(OutputStream, &[u8])) -> io::Result<u64> {
        let mut taken = 0;
        let mut run: Option<(OutputStream, Vec<u8>)> = None;
        while let Some((stream, line, length)) = record(&chunk[taken..])? {
            taken += length;
            self.progress.lines += 1;
            if self.skipped > 0 {
                self.skipped -= 1;
                continue;
            }
            let fits = |known: &(OutputStream, Vec<u8>)| known.0 == stream && known.1.len() + line.len() < 64 * 1024;
            if let Some((stream, lines)) = run.take_if(|known| !fits(known)) {
                output_all(stream, &lines, output);
            }
            let lines = &mut run.get_or_insert_with(|| (stream, Vec::new())).1;
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
        if let Some((stream, lines)) = run {
            output_all(stream, &lines, output);
        }
        Ok(taken as u64)
    }

    fn give_back(&mut self) {
        let length = self.progress.bytes - self.given_back;
        if length >= GIVEN_BACK {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where the file system can't, the file only stays as long as it was.
            let _ = fallocate(&self.file, flags, self.given_back, length);
            self.given_back = self.progress.bytes;
        }
    }
}

fn output_all(stream: OutputStream, lines: &[u8], output: &mut impl FnMut(OutputStream, &[u8])) {
    for piece in lines.chunks(64 * 1024) {
        output(stream, piece);
    }
}

/// The record in front: its stream, its line and its whole length. `None` where it isn't all there.
fn record(bytes: &[u8]) -> io::Result<Option<(OutputStream, &[u8], usize)>> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
    let stream = match header[0] {
        STDOUT => OutputStream::Stdout,
        STDERR => OutputStream::Stderr,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let length = u32::from_le_bytes(header[1..].try_into().expect("four bytes"));
    let length = usize::try_from(length).ok().filter(|length| *length <= LINE_BYTES);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    Ok(rest.get(..length).map(|line| (stream, line, HEADER + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (File, File) {
        (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap())
    }

    fn clone(files: &(File, File)) -> (File, File) {
        (files.0.try_clone().unwrap(), files.1.try_clone().unwrap())
    }

    fn read(files: &(File, File), recorded: u64) -> Vec<(OutputStream, String)> {
        let (file, consumed) = clone(files);
        let mut seen: Vec<(OutputStream, String)> = Vec::new();
        Reader::new(file, consumed, recorded)
            .take(|stream, bytes| seen.push((stream, String::from_utf8(bytes.to_vec()).unwrap())))
            .unwrap();
        seen
    }

    fn out(text: &str) -> (OutputStream, String) {
        (OutputStream::Stdout, text.to_owned())
    }

    fn err(text: &str) -> (OutputStream, String) {
        (OutputStream::Stderr, text.to_owned())
    }

    #[test]
    fn lines_come_in_the_order_in_which_they_ended() {
        let files = ends();
        let (file, consumed) = clone(&files);
        let mut writer = Writer::new(file, consumed);
        writer.add(OutputStream::Stdout, b"on").unwrap();
        writer.add(OutputStream::Stderr, b"two\nthr").unwrap();
        writer.add(OutputStream::Stdout, b"e\n\nfour\nrest").unwrap();
        assert_eq!(read(&files, 0), [err("two\n"), out("one\n\nfour\n")]);
        assert_eq!(read(&files, 0), []);
        writer.finish().unwrap();
        assert_eq!(read(&files, 4), [out("rest\n"), err("thr\n")]);
    }

    #[test]
    fn what_is_recorded_is_not_told_again() {
        let files = ends();
        let (file, consumed) = clone(&files);
        let mut writer = Writer::new(file, consumed);
        writer.add(OutputStream::Stdout, b"a\nb\nc\n").unwrap();
        assert_eq!(read(&files, 2), [out("c\n")]);
        writer.add(OutputStream::Stdout, b"d\ne\n").unwrap();
        assert_eq!(read(&files, 4), [out("e\n")]);
    }

    #[test]
    fn a_full_disk_holds_a_container_back_and_loses_nothing() {
        // It takes nothing, as a disk without room does.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let files = ends();
        let mut writer = Writer::new(full, files.1.try_clone().unwrap());
        writer.add(OutputStream::Stdout, b"one\ntwo\n").unwrap();
        assert!(writer.is_stuck() && !writer.has_room().unwrap());
        writer.file = files.0.try_clone().unwrap();
        assert!(writer.has_room().unwrap());
        assert_eq!(read(&files, 0), [out("one\ntwo\n")]);
    }

    #[test]
    fn long_lines_are_cut_and_the_disk_is_given_back() {
        let files = ends();
        let (file, consumed) = clone(&files);
        let mut writer = Writer::new(file, consumed);
        let long = vec![b'x'; LINE_BYTES * 2 + 3];
        writer.add(OutputStream::Stdout, &long).unwrap();
        writer.add(OutputStream::Stdout, b"\n").unwrap();
        let lines: String = read(&files, 0).into_iter().map(|(_, text)| text).collect();
        assert_eq!(lines.lines().map(str::len).collect::<Vec<_>>(), [LINE_BYTES, LINE_BYTES, 3]);
        let line = [&[b'y'; 1023][..], b"\n"].concat();
        while writer.has_room().unwrap() {
            writer.add(OutputStream::Stdout, &line.repeat(1024)).unwrap();
        }
        let (file, consumed) = clone(&files);
        let mut reader = Reader::new(file, consumed, 0);
        let mut bytes = 0;
        assert!(reader.take(|_, lines| bytes += lines.len()).unwrap());
        assert!(bytes >= 15 << 20 && writer.has_room().unwrap());
        use std::os::unix::fs::MetadataExt as _;
        let kept = files.0.metadata().unwrap().blocks() * 512;
        assert!(kept < 6 << 20, "{kept}");
    }
}
