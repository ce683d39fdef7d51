//! What an attempt read and wrote.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The kernel's count of what this process read from and wrote to files. A guest's outputs are no
/// files here, its sockets aren't counted by anybody, and the eight bytes by which threads wake each
/// other are.
#[derive(Debug)]
pub(crate) struct FileTraffic {
    /// Where the kernel counts at all.
    counters: Option<File>,
    last: Counts,
}

/// Bytes, since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

/// Enough for the first two lines, which are all we want.
const BUFFER_BYTES: usize = 64;

impl FileTraffic {
    /// Opens the counters, which a jail has no path to but lets a process read of itself.
    pub(crate) fn open() -> Self {
        Self { counters: File::open("/proc/self/io").ok(), last: Counts::default() }
    }

    /// What was read and written since this was called last.
    pub(crate) fn since_last(&mut self) -> Counts {
        let Some((now, reading)) = self.read() else { return Counts::default() };
        let since = Counts {
            read: now.read.saturating_sub(self.last.read),
            written: now.written.saturating_sub(self.last.written),
        };
        // Reading the counters is reading too, and is counted after it.
        self.last = Counts { read: now.read + reading, written: now.written };
        since
    }

    /// The counters, and how many bytes it took to read them.
    fn read(&self) -> Option<(Counts, u64)> {
        let mut buffer = [0; BUFFER_BYTES];
        let length = self.counters.as_ref()?.read_at(&mut buffer, 0).ok()?;
        Some((parse(&buffer[..length])?, u64::try_from(length).ok()?))
    }
}

fn parse(text: &[u8]) -> Option<Counts> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let read = lines.next()?.strip_prefix("rchar: ")?.parse().ok()?;
    let written = lines.next()?.strip_prefix("wchar: ")?.parse().ok()?;
    Some(Counts { read, written })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_counters_are_found_and_nothing_is_guessed() {
        let counts = Counts { read: 12, written: 18_446_744_073_709_551_615 };
        assert_eq!(parse(b"rchar: 12\nwchar: 18446744073709551615\nsyscr: 1"), Some(counts));
        for other in [&b"rchar: 12\nwchar: 1844"[..], b"rchar: 12\n", b"", b"wchar: 1\nrchar: 2\n", b"\xff\n"] {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn the_longest_counters_fit() {
        assert!(format!("rchar: {0}\nwchar: {0}\n", u64::MAX).len() <= BUFFER_BYTES);
    }
}
