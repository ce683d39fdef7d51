//! The index of one stream, and the cutting of output into lines.

use serde::{Deserialize, Serialize};
use wasmbatch_core::Timestamp;

use super::segment::Position;
use super::{EVENT_BYTES, LogStreamInfo};
use crate::rows::{RowError, decode, encode};

/// Extents that touch are joined up to this length, so that a reader of one never reads much more
/// than it wants.
const EXTENT_BYTES: u32 = 256 * 1024;

/// A run of one stream's records in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) events: u32,
}

impl From<&Extent> for Position {
    fn from(extent: &Extent) -> Self {
        Self { segment: extent.segment, offset: extent.offset, length: extent.length }
    }
}

/// Where a stream's events are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StreamIndex {
    extents: Vec<Extent>,
    events: u64,
    bytes: u64,
    first_event_at: Option<Timestamp>,
    last_event_at: Option<Timestamp>,
}

impl StreamIndex {
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn last_event_at(&self) -> Option<Timestamp> {
        self.last_event_at
    }

    /// Adds a record that was just written.
    pub(crate) fn add(&mut self, position: Position, events: usize, message_bytes: usize, at: Timestamp) {
        self.place(position, events);
        self.events += events as u64;
        self.bytes += message_bytes as u64;
        self.first_event_at.get_or_insert(at);
        self.last_event_at = Some(at);
    }

    /// Counts one event that was read back.
    pub(crate) fn touch(&mut self, at: Timestamp, message_bytes: usize) {
        self.events += 1;
        self.bytes += message_bytes as u64;
        self.first_event_at.get_or_insert(at);
        self.last_event_at = Some(at);
    }

    /// Says where a record is.
    pub(crate) fn place(&mut self, position: Position, events: usize) {
        let Position { segment, offset, length } = position;
        let events = u32::try_from(events).expect("a record holds few events");
        if let Some(last) = self.extents.last_mut()
            && last.segment == segment
            && last.offset + last.length == offset
            && last.length + length <= EXTENT_BYTES
        {
            last.length += length;
            last.events += events;
            return;
        }
        self.extents.push(Extent { segment, offset, length, events });
    }

    /// The extents from the one that holds event `from`, each with the position of its first event.
    pub(crate) fn extents_from(&self, from: u64) -> impl Iterator<Item = (u64, &Extent)> {
        let mut first = 0;
        self.extents
            .iter()
            .map(move |extent| {
                let here = first;
                first += u64::from(extent.events);
                (here, extent)
            })
            .skip_while(move |(first, extent)| first + u64::from(extent.events) <= from)
    }
}

/// A finished attempt's stream, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedStream {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) index: StreamIndex,
}

#[derive(Serialize, Deserialize)]
struct StreamRow {
    created_at_millis: i64,
    events: u64,
    bytes: u64,
    first_event_at_millis: Option<i64>,
    last_event_at_millis: Option<i64>,
    extents: Vec<Extent>,
}

impl SealedStream {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { group: _, name: _, created_at, index } = self;
        let StreamIndex { extents, events, bytes, first_event_at, last_event_at } = index;
        encode(&StreamRow {
            created_at_millis: created_at.as_millis(),
            events: *events,
            bytes: *bytes,
            first_event_at_millis: first_event_at.map(Timestamp::as_millis),
            last_event_at_millis: last_event_at.map(Timestamp::as_millis),
            extents: extents.clone(),
        })
    }

    pub(crate) fn decode(group: &str, name: &str, row: &[u8]) -> Result<Self, RowError> {
        let StreamRow { created_at_millis, events, bytes, first_event_at_millis, last_event_at_millis, extents } =
            decode(row)?;
        let index = StreamIndex {
            extents,
            events,
            bytes,
            first_event_at: first_event_at_millis.map(Timestamp::from_millis),
            last_event_at: last_event_at_millis.map(Timestamp::from_millis),
        };
        let created_at = Timestamp::from_millis(created_at_millis);
        Ok(Self { group: group.to_owned(), name: name.to_owned(), created_at, index })
    }

    /// What a list of streams says of it.
    pub fn info(&self) -> LogStreamInfo {
        LogStreamInfo {
            name: self.name.clone(),
            created_at: self.created_at,
            first_event_at: self.index.first_event_at,
            last_event_at: self.index.last_event_at,
            stored_bytes: self.index.bytes,
            events: self.index.events,
        }
    }
}

/// Cuts one output into lines.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    /// The lines that `bytes` completes, without their ends.
    pub(crate) fn take_lines(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.push(&rest[..end], &mut lines);
            let mut line = std::mem::take(&mut self.partial);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            lines.push(line);
            rest = &rest[end + 1..];
        }
        self.push(rest, &mut lines);
        lines
    }

    /// Adds to the unfinished line; what is too long for one event becomes several.
    fn push(&mut self, mut bytes: &[u8], lines: &mut Vec<Vec<u8>>) {
        while self.partial.len() + bytes.len() > EVENT_BYTES {
            let (head, tail) = bytes.split_at(EVENT_BYTES - self.partial.len());
            self.partial.extend_from_slice(head);
            lines.push(std::mem::take(&mut self.partial));
            bytes = tail;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// The unfinished line, if there is one.
    pub(crate) fn take_rest(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.partial);
        if rest.is_empty() { None } else { Some(rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_whatever_the_pieces() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.take_lines(b"one\ntwo\r\n\nthr"), [b"one".to_vec(), b"two".to_vec(), b"".to_vec()]);
        assert_eq!(buffer.take_lines(b"ee\n"), [b"three".to_vec()]);
        assert_eq!(buffer.take_rest(), None);
        let long = vec![b'x'; EVENT_BYTES * 2 + 5];
        assert_eq!(buffer.take_lines(&long).iter().map(Vec::len).collect::<Vec<_>>(), [EVENT_BYTES, EVENT_BYTES]);
        assert_eq!(buffer.take_rest().unwrap().len(), 5);
    }
}
