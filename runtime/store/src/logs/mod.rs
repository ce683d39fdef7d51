//! What jobs wrote: append-only segment files that all streams share, and an index per stream.
//!
//! A stream's bytes go to the segment as they come, so they survive kill -9; its index lives in
//! memory while the attempt runs and becomes a row in the commit of the attempt's end. After a
//! crash the index of what was under way is read back from the segments.

mod segment;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmbatch_core::{AttemptId, Timestamp};

pub use stream::SealedStream;

use crate::{ReadError, Store};
use segment::{Position, Segments};
use stream::{LineBuffer, StreamIndex};

/// Longest event; a longer line is cut into several (CloudWatch Logs' bound of an event).
pub const EVENT_BYTES: usize = 256 * 1024;

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGroupInfo {
    /// Its name.
    pub name: String,
    /// When the first of its streams, by name, began.
    pub created_at: Timestamp,
}

/// A log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStreamInfo {
    /// Its name.
    pub name: String,
    /// When its attempt began to run.
    pub created_at: Timestamp,
    /// Time of the first event.
    pub first_event_at: Option<Timestamp>,
    /// Time of the last event.
    pub last_event_at: Option<Timestamp>,
    /// Bytes of its messages.
    pub stored_bytes: u64,
    /// How many events it has.
    pub events: u64,
}

/// A line that a job wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Counts the stream's events from 0.
    pub position: u64,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// Without its line end; invalid UTF-8 is replaced.
    pub message: String,
}

/// Some events of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// In order.
    pub events: Vec<LogEvent>,
    /// Events in the stream now.
    pub total: u64,
}

/// Which of its two outputs a job wrote to; both go to one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a stream may hold. More is dropped, and one last event says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes of messages.
    pub bytes: u64,
    /// Events.
    pub lines: u64,
}

impl LogLimits {
    /// The last line of a stream that reached them.
    fn notice(self) -> String {
        let Self { bytes, lines } = self;
        format!("[wasmbatch] log limit of {bytes} bytes or {lines} lines reached, the rest is dropped")
    }
}

/// The stream of an attempt that was under way when the last process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterruptedStream {
    /// Whose.
    pub attempt: AttemptId,
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// What it may hold.
    pub limits: LogLimits,
    /// When the attempt began to run: nothing was written before.
    pub began_at: Timestamp,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { bytes: 64 << 20, lines: 1_000_000 }
    }
}

/// Names a stream in segment files: job id and attempt number. An array's child and a container that
/// is not the first are mixed into the id's random bits, where they meet no other job's.
pub(crate) type StreamKey = [u8; 20];

fn key_of(attempt: AttemptId) -> StreamKey {
    let mut key = [0; 20];
    let part = attempt.job.child_index().map_or(0, |index| u64::from(index) + 1) << 20 ^ u64::from(attempt.member);
    let id = u128::from_be_bytes(attempt.job.to_bytes()) ^ u128::from(part);
    key[..16].copy_from_slice(&id.to_be_bytes());
    key[16..].copy_from_slice(&attempt.number.to_be_bytes());
    key
}

/// The logs of a node.
#[derive(Debug)]
pub struct LogStore {
    inner: Mutex<Inner>,
    /// Signalled when there is something to sync, or the store closes.
    dirtied: Condvar,
}

#[derive(Debug)]
struct Inner {
    segments: Segments,
    live: HashMap<StreamKey, LiveStream>,
    names: BTreeMap<(String, String), StreamKey>,
    dirty: bool,
    closed: bool,
}

#[derive(Debug)]
struct LiveStream {
    group: String,
    name: String,
    created_at: Timestamp,
    limits: LogLimits,
    index: StreamIndex,
    stdout: LineBuffer,
    stderr: LineBuffer,
    full: bool,
}

impl LogStore {
    /// Opens the folder of segments, creating it where there is none. A record that a crash left
    /// half written is cut off.
    ///
    /// # Errors
    /// The folder or its newest segment can't be opened.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let inner = Inner {
            segments: Segments::open(folder)?,
            live: HashMap::new(),
            names: BTreeMap::new(),
            dirty: false,
            closed: false,
        };
        Ok(Self { inner: Mutex::new(inner), dirtied: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held leaves at worst a record that no index names.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the stream of an attempt.
    pub fn begin(&self, attempt: AttemptId, group: &str, name: &str, limits: LogLimits, now: Timestamp) {
        let key = key_of(attempt);
        let stream = LiveStream {
            group: group.to_owned(),
            name: name.to_owned(),
            created_at: now,
            limits,
            index: StreamIndex::default(),
            stdout: LineBuffer::default(),
            stderr: LineBuffer::default(),
            full: false,
        };
        let mut inner = self.lock();
        inner.names.insert((group.to_owned(), name.to_owned()), key);
        inner.live.insert(key, stream);
    }

    /// Adds what an attempt wrote. Whole lines become events; the rest waits for its line end.
    /// Output of a stream that was not begun is dropped.
    ///
    /// # Errors
    /// The segment can't be written.
    pub fn append(&self, attempt: AttemptId, output: Output, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        let key = key_of(attempt);
        let mut inner = self.lock();
        let Some(stream) = inner.live.get_mut(&key) else {
            return Ok(());
        };
        if stream.full {
            // Cutting into lines what is dropped would cost the others, who wait for the lock.
            return Ok(());
        }
        let buffer = match output {
            Output::Stdout => &mut stream.stdout,
            Output::Stderr => &mut stream.stderr,
        };
        let mut lines = buffer.take_lines(bytes);
        self.write(&mut inner, key, &mut lines, now)
    }

    fn write(&self, inner: &mut Inner, key: StreamKey, lines: &mut Vec<Vec<u8>>, now: Timestamp) -> io::Result<()> {
        let stream = inner.live.get_mut(&key).expect("looked up by the caller");
        stream.apply_limits(lines);
        // Clocks step back; a stream's times never do, since readers search by them.
        let now = stream.index.last_event_at().map_or(now, |last| last.max(now));
        if lines.is_empty() {
            return Ok(());
        }
        for record in segment::records(key, now, lines) {
            let position = inner.segments.append(&record.bytes)?;
            stream.index.add(position, record.events, record.message_bytes, now);
        }
        if !inner.dirty {
            inner.dirty = true;
            self.dirtied.notify_all();
        }
        Ok(())
    }

    /// Ends the stream of an attempt: unfinished lines are written, and the index is given out to
    /// be committed. The stream stays readable here until [`LogStore::forget`].
    ///
    /// # Errors
    /// The segment can't be written.
    pub fn seal(&self, attempt: AttemptId, now: Timestamp) -> io::Result<Option<SealedStream>> {
        let key = key_of(attempt);
        let mut inner = self.lock();
        let Some(stream) = inner.live.get_mut(&key) else {
            return Ok(None);
        };
        let mut lines: Vec<Vec<u8>> =
            [stream.stdout.take_rest(), stream.stderr.take_rest()].into_iter().flatten().collect();
        self.write(&mut inner, key, &mut lines, now)?;
        Ok(Some(inner.live[&key].sealed()))
    }

    /// How many events the stream of an attempt under way has.
    pub fn lines(&self, attempt: AttemptId) -> u64 {
        self.lock().live.get(&key_of(attempt)).map_or(0, |stream| stream.index.events())
    }

    /// Forgets a stream whose index is committed, or that is not to be kept.
    pub fn forget(&self, attempt: AttemptId) {
        let mut inner = self.lock();
        if let Some(stream) = inner.live.remove(&key_of(attempt)) {
            inner.names.remove(&(stream.group, stream.name));
        }
    }

    /// Reads the streams of attempts that were under way when the last process ended back from the
    /// segments, as if they had just been written.
    ///
    /// # Errors
    /// A segment can't be read.
    pub fn recover(&self, streams: Vec<InterruptedStream>) -> io::Result<()> {
        let Some(oldest) = streams.iter().map(|stream| stream.began_at).min() else {
            return Ok(());
        };
        for InterruptedStream { attempt, group, name, limits, began_at } in streams {
            self.begin(attempt, &group, &name, limits, began_at);
        }
        let mut inner = self.lock();
        let Inner { segments, live, .. } = &mut *inner;
        segments.scan(oldest, |key, position, record| {
            if let Some(stream) = live.get_mut(key) {
                for (timestamp, bytes) in &record {
                    stream.index.touch(*timestamp, bytes.len());
                    stream.full |= *bytes == stream.limits.notice().as_bytes();
                }
                stream.index.place(position, record.len());
            }
        })
    }

    /// Waits until something was written, lets more come for `pause`, then syncs it to disk.
    /// `false` once the store is closed.
    ///
    /// # Errors
    /// The sync failed.
    pub fn sync_next(&self, pause: Duration) -> io::Result<bool> {
        let inner = self.lock();
        let idle = |inner: &mut Inner| !inner.dirty && !inner.closed;
        let inner = self.dirtied.wait_while(inner, idle).unwrap_or_else(PoisonError::into_inner);
        let open = |inner: &mut Inner| !inner.closed;
        let (mut inner, _) =
            self.dirtied.wait_timeout_while(inner, pause, open).unwrap_or_else(PoisonError::into_inner);
        inner.dirty = false;
        let (file, closed) = (inner.segments.current(), inner.closed);
        drop(inner);
        file.sync_data()?;
        Ok(!closed)
    }

    /// Makes [`LogStore::sync_next`] sync a last time and return.
    pub fn close(&self) {
        self.lock().closed = true;
        self.dirtied.notify_all();
    }

    /// The log groups, by name.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn groups(&self, store: &Store) -> Result<Vec<LogGroupInfo>, ReadError> {
        let live: Vec<String> = self.lock().names.keys().map(|(group, _)| group.clone()).collect();
        let snapshot = store.snapshot()?;
        let mut names = snapshot.log_groups()?;
        names.extend(live);
        names.sort();
        names.dedup();
        let mut groups = Vec::new();
        for name in names {
            let first = self.streams(store, &name, "", None, 1)?.into_iter().next();
            let created_at = first.map(|stream| stream.created_at).unwrap_or_default();
            groups.push(LogGroupInfo { name, created_at });
        }
        Ok(groups)
    }

    /// The streams of a group by name, those that begin with `prefix`, after `after`.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn streams(
        &self,
        store: &Store,
        group: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<LogStreamInfo>, ReadError> {
        let mut streams: BTreeMap<String, LogStreamInfo> = BTreeMap::new();
        {
            let inner = self.lock();
            let from = (group.to_owned(), after.unwrap_or(prefix).max(prefix).to_owned());
            let listed = inner
                .names
                .range(from..)
                .take_while(|((live_group, name), _)| live_group == group && name.starts_with(prefix))
                .filter(|((_, name), _)| after.is_none_or(|after| name.as_str() > after))
                .take(limit);
            for ((_, name), key) in listed {
                streams.insert(name.clone(), inner.live[key].sealed().info());
            }
        }
        for sealed in store.snapshot()?.log_streams(group, prefix, after, limit)? {
            streams.insert(sealed.name.clone(), sealed.info());
        }
        Ok(streams.into_values().take(limit).collect())
    }

    /// Deletes what was written before `oldest`, a whole segment at a time; how many were deleted.
    /// Streams that had events there have lost those.
    ///
    /// # Errors
    /// The folder could not be read or a file not deleted.
    pub fn expire(&self, oldest: Timestamp) -> io::Result<usize> {
        let (folder, current) = {
            let inner = self.lock();
            (inner.segments.folder(), inner.segments.number())
        };
        segment::expire(&folder, current, oldest)
    }

    /// Events `from..from + limit` of a stream, fewer where their messages pass `max_bytes` (but
    /// at least one). `None` when there is no such stream.
    ///
    /// # Errors
    /// The store or a segment could not be read.
    pub fn events(
        &self,
        store: &Store,
        group: &str,
        stream: &str,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Option<EventPage>, ReadError> {
        let (live, folder) = {
            let inner = self.lock();
            let key = inner.names.get(&(group.to_owned(), stream.to_owned()));
            // Only the index is copied under the lock; the reading is done outside.
            (key.map(|key| inner.live[key].index.clone()), inner.segments.folder())
        };
        // Asked after the live ones: a stream that was just forgotten is in this snapshot.
        let index = match live {
            Some(index) => index,
            None => match store.snapshot()?.log_stream(group, stream)? {
                Some(sealed) => sealed.index,
                None => return Ok(None),
            },
        };
        let events = read_events(&folder, &index, from, limit, max_bytes).map_err(ReadError::new)?;
        Ok(Some(EventPage { events, total: index.events() }))
    }
}

fn read_events(
    folder: &Arc<Path>,
    index: &StreamIndex,
    from: u64,
    limit: usize,
    max_bytes: usize,
) -> io::Result<Vec<LogEvent>> {
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut reader = segment::Reader::new(folder);
    for (first, extent) in index.extents_from(from) {
        for (position, (timestamp, message)) in (first..).zip(reader.extent(&Position::from(extent))?) {
            if position >= from {
                bytes += message.len();
                if events.len() >= limit || (bytes > max_bytes && !events.is_empty()) {
                    return Ok(events);
                }
                let message = String::from_utf8_lossy(&message).into_owned();
                events.push(LogEvent { position, timestamp, message });
            }
        }
    }
    Ok(events)
}

impl LiveStream {
    /// Cuts off what is over the limits, once with an event that says so.
    fn apply_limits(&mut self, lines: &mut Vec<Vec<u8>>) {
        if self.full {
            lines.clear();
            return;
        }
        let (mut bytes, mut events) = (self.index.bytes(), self.index.events());
        let kept = lines
            .iter()
            .take_while(|line| {
                bytes += line.len() as u64;
                events += 1;
                bytes <= self.limits.bytes && events <= self.limits.lines
            })
            .count();
        if kept < lines.len() {
            self.full = true;
            lines.truncate(kept);
            lines.push(self.limits.notice().into_bytes());
        }
    }

    fn sealed(&self) -> SealedStream {
        SealedStream {
            group: self.group.clone(),
            name: self.name.clone(),
            created_at: self.created_at,
            index: self.index.clone(),
        }
    }
}
