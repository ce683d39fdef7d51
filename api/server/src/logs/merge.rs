//! Events of several streams as one, by time.
//!
//! The order is (time, stream, position), so that a place in it is one event and a search can go
//! on behind it. A stream is opened only when the merge comes to its first event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use wasmbatch_controller::{LogEvent, ReadError};

use super::TimeRange;
use super::window::{Bounds, Source, first_at};

/// Events and bytes read ahead of one stream: many streams may be open at once.
const AHEAD_EVENTS: usize = 32;
const AHEAD_BYTES: usize = 32 * 1024;

/// The place of an event among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) millis: i64,
    pub(super) stream: String,
    pub(super) position: u64,
}

/// A stream that may have something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) stream: String,
    pub(super) first_millis: i64,
    pub(super) events: u64,
}

/// Walks the merged events; `open` gives the source of a stream.
#[derive(Debug)]
pub(super) struct Merge<S, O> {
    open: O,
    range: TimeRange,
    after: Option<Place>,
    /// Not opened yet, the earliest last.
    waiting: Vec<Candidate>,
    cursors: Vec<Cursor<S>>,
    /// The head of each cursor that has one.
    heads: BinaryHeap<Reverse<(Place, usize)>>,
}

#[derive(Debug)]
struct Cursor<S> {
    source: S,
    stream: String,
    bounds: Bounds,
    ahead: VecDeque<LogEvent>,
}

impl<S: Source, O: FnMut(&str) -> S> Merge<S, O> {
    pub(super) fn new(mut candidates: Vec<Candidate>, range: TimeRange, after: Option<Place>, open: O) -> Self {
        candidates.sort_by(|a, b| (b.first_millis, &b.stream).cmp(&(a.first_millis, &a.stream)));
        Self { open, range, after, waiting: candidates, cursors: Vec::new(), heads: BinaryHeap::new() }
    }

    /// The next event with its place.
    pub(super) fn next(&mut self) -> Result<Option<(Place, LogEvent)>, ReadError> {
        self.open_due()?;
        let Some(Reverse((place, index))) = self.heads.pop() else { return Ok(None) };
        let event = self.cursors[index].ahead.pop_front().expect("a head stands for the cursor's first event");
        self.push_head(index)?;
        Ok(Some((place, event)))
    }

    /// Opens the streams whose first event may come before the earliest head.
    fn open_due(&mut self) -> Result<(), ReadError> {
        while let Some(candidate) = self.waiting.last() {
            let due = self.heads.peek().is_none_or(|Reverse((head, _))| candidate.first_millis <= head.millis);
            if !due {
                break;
            }
            let Some(Candidate { stream, first_millis: _, events }) = self.waiting.pop() else { break };
            let mut source = (self.open)(&stream);
            let low = self.start_of(&mut source, &stream, events)?;
            let high = self.range.end.map_or(Ok(events), |end| first_at(&mut source, events, end))?;
            self.cursors.push(Cursor { source, stream, bounds: Bounds { low, high }, ahead: VecDeque::new() });
            self.push_head(self.cursors.len() - 1)?;
        }
        Ok(())
    }

    /// Where to begin in a stream: behind the place already reached, within the time range.
    fn start_of(&self, source: &mut S, stream: &str, events: u64) -> Result<u64, ReadError> {
        let in_range = self.range.start.map_or(Ok(0), |start| first_at(source, events, start))?;
        let behind = match &self.after {
            None => 0,
            Some(place) if place.stream == stream => place.position + 1,
            // Streams before that one have had their events of that very time.
            Some(place) if stream < place.stream.as_str() => first_at(source, events, place.millis.saturating_add(1))?,
            Some(place) => first_at(source, events, place.millis)?,
        };
        Ok(in_range.max(behind))
    }

    fn push_head(&mut self, index: usize) -> Result<(), ReadError> {
        let Cursor { source, stream, bounds, ahead } = &mut self.cursors[index];
        if ahead.is_empty() && bounds.low < bounds.high {
            let wanted = usize::try_from(bounds.high - bounds.low).unwrap_or(usize::MAX).min(AHEAD_EVENTS);
            ahead.extend(source.page(bounds.low, wanted, AHEAD_BYTES)?.events);
            // A stream that gives nothing more is at its end, whatever was said of it.
            bounds.low = ahead.back().map_or(bounds.high, |last| last.position + 1);
        }
        if let Some(event) = ahead.front() {
            let millis = event.timestamp.as_millis();
            let place = Place { millis, stream: stream.clone(), position: event.position };
            self.heads.push(Reverse((place, index)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::stream;
    use super::*;

    const STREAMS: [(&str, &[i64]); 4] = [("a", &[10, 30, 30]), ("b", &[20, 30, 40]), ("c", &[]), ("d", &[30, 35])];

    fn merged(range: TimeRange, after: Option<Place>) -> Vec<Place> {
        let candidates = STREAMS.iter().filter(|(_, times)| !times.is_empty()).map(|(name, times)| Candidate {
            stream: (*name).to_owned(),
            first_millis: times[0],
            events: times.len() as u64,
        });
        let open = |name: &str| stream(STREAMS.iter().find(|(known, _)| *known == name).unwrap().1);
        let mut merge = Merge::new(candidates.collect(), range, after, open);
        std::iter::from_fn(|| merge.next().unwrap()).map(|(place, _)| place).collect()
    }

    #[test]
    fn events_come_by_time_and_each_once() {
        let all = merged(TimeRange::default(), None);
        let shown: Vec<_> = all.iter().map(|place| (place.millis, place.stream.as_str(), place.position)).collect();
        assert_eq!(
            shown,
            [
                (10, "a", 0),
                (20, "b", 0),
                (30, "a", 1),
                (30, "a", 2),
                (30, "b", 1),
                (30, "d", 0),
                (35, "d", 1),
                (40, "b", 2),
            ]
        );
    }

    #[test]
    fn a_search_goes_on_behind_any_place() {
        let all = merged(TimeRange::default(), None);
        for (index, place) in all.iter().enumerate() {
            assert_eq!(merged(TimeRange::default(), Some(place.clone())), all[index + 1..], "{place:?}");
        }
    }

    #[test]
    fn the_end_of_the_range_is_not_in_it() {
        let range = TimeRange { start: Some(20), end: Some(35) };
        let times: Vec<_> = merged(range, None).iter().map(|place| place.millis).collect();
        assert_eq!(times, [20, 30, 30, 30, 30]);
    }
}
