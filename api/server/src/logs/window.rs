//! A stretch of one stream: by position, by time, forwards and backwards.
//!
//! Events stand in a stream by position from 0; their times never fall along it, which is what
//! makes a time findable by halving.

use wasmbatch_controller::{EventPage, LogEvent, ReadError};

use super::{EVENT_OVERHEAD_BYTES, PAGE_BYTES, TimeRange};

/// Reads `from..from + limit` of a stream, cut at a number of bytes.
pub(super) trait Source {
    fn page(&mut self, from: u64, limit: usize, max_bytes: usize) -> Result<EventPage, ReadError>;
}

impl<F: FnMut(u64, usize, usize) -> Result<EventPage, ReadError>> Source for F {
    fn page(&mut self, from: u64, limit: usize, max_bytes: usize) -> Result<EventPage, ReadError> {
        self(from, limit, max_bytes)
    }
}

/// Positions `low..high` of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: u64,
    pub(super) high: u64,
}

/// The positions within a time range, of a stream with `total` events.
pub(super) fn bounds(source: &mut impl Source, total: u64, range: TimeRange) -> Result<Bounds, ReadError> {
    let low = range.start.map_or(Ok(0), |start| first_at(source, total, start))?;
    let high = range.end.map_or(Ok(total), |end| first_at(source, total, end))?;
    Ok(Bounds { low, high: high.max(low) })
}

/// The first position whose time is `millis` or later; `total` when there is none.
pub(super) fn first_at(source: &mut impl Source, total: u64, millis: i64) -> Result<u64, ReadError> {
    let (mut low, mut high) = (0, total);
    while low < high {
        let middle = low + (high - low) / 2;
        let page = source.page(middle, 1, PAGE_BYTES)?;
        match page.events.first() {
            Some(event) if event.timestamp.as_millis() < millis => low = middle + 1,
            // None: the stream was cut meanwhile, so look further to the front.
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

fn cost(event: &LogEvent) -> usize {
    event.message.len() + EVENT_OVERHEAD_BYTES
}

/// Up to `limit` events of `low..high`, from the front, within [`PAGE_BYTES`].
pub(super) fn forwards(source: &mut impl Source, bounds: Bounds, limit: usize) -> Result<Vec<LogEvent>, ReadError> {
    let mut taken: Vec<LogEvent> = Vec::new();
    let mut bytes = 0;
    let mut next = bounds.low;
    while taken.len() < limit && next < bounds.high {
        let wanted = usize::try_from(bounds.high - next).unwrap_or(usize::MAX).min(limit - taken.len());
        let page = source.page(next, wanted, PAGE_BYTES - bytes)?;
        if page.events.is_empty() {
            break;
        }
        for event in page.events {
            bytes += cost(&event);
            // One event always fits, or a reader would never get past it.
            if bytes > PAGE_BYTES && !taken.is_empty() {
                return Ok(taken);
            }
            next = event.position + 1;
            taken.push(event);
        }
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(taken)
}

/// Up to `limit` events of `low..high`, the last ones, within [`PAGE_BYTES`]; still ascending.
pub(super) fn backwards(source: &mut impl Source, bounds: Bounds, limit: usize) -> Result<Vec<LogEvent>, ReadError> {
    /// Events read at a time: some will be thrown away where a page ends by its bytes.
    const STEP: u64 = 128;
    let mut taken: Vec<LogEvent> = Vec::new();
    let mut bytes = 0;
    let mut end = bounds.high;
    while taken.len() < limit && end > bounds.low {
        let start = end.saturating_sub(STEP).max(bounds.low);
        for event in whole(source, Bounds { low: start, high: end })?.into_iter().rev() {
            bytes += cost(&event);
            if taken.len() == limit || (bytes > PAGE_BYTES && !taken.is_empty()) {
                taken.reverse();
                return Ok(taken);
            }
            taken.push(event);
        }
        end = start;
    }
    taken.reverse();
    Ok(taken)
}

/// All events of a short stretch.
fn whole(source: &mut impl Source, bounds: Bounds) -> Result<Vec<LogEvent>, ReadError> {
    let mut events = Vec::new();
    let mut next = bounds.low;
    while next < bounds.high {
        let wanted = usize::try_from(bounds.high - next).unwrap_or(usize::MAX);
        let page = source.page(next, wanted, PAGE_BYTES)?;
        let Some(last) = page.events.last() else { break };
        next = last.position + 1;
        events.extend(page.events);
    }
    Ok(events)
}

#[cfg(test)]
pub(super) mod tests {
    use wasmbatch_core::Timestamp;

    use super::*;

    /// A stream of these times, whose messages are their positions; pages are cut to three events.
    pub(in crate::logs) fn stream(times: &[i64]) -> impl Source {
        let times = times.to_vec();
        move |from: u64, limit: usize, _max_bytes: usize| {
            let from = usize::try_from(from).unwrap();
            let event = |(index, time): (usize, &i64)| LogEvent {
                position: index as u64,
                timestamp: Timestamp::from_millis(*time),
                message: index.to_string(),
            };
            let events = times.iter().enumerate().skip(from).take(limit.min(3)).map(event).collect();
            Ok(EventPage { events, total: times.len() as u64 })
        }
    }

    fn positions(events: &[LogEvent]) -> Vec<u64> {
        events.iter().map(|event| event.position).collect()
    }

    #[test]
    fn a_time_is_found_by_halving() {
        let mut source = stream(&[10, 20, 20, 20, 30]);
        for (millis, position) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 4), (30, 4), (31, 5)] {
            assert_eq!(first_at(&mut source, 5, millis).unwrap(), position, "{millis}");
        }
        let range = TimeRange { start: Some(11), end: Some(30) };
        assert_eq!(bounds(&mut source, 5, range).unwrap(), Bounds { low: 1, high: 4 });
    }

    #[test]
    fn both_directions_give_ascending_events_up_to_the_limit() {
        let times: Vec<i64> = (0..300).collect();
        let mut source = stream(&times);
        let bounds = Bounds { low: 10, high: 290 };
        assert_eq!(positions(&forwards(&mut source, bounds, 7).unwrap()), (10..17).collect::<Vec<_>>());
        assert_eq!(positions(&backwards(&mut source, bounds, 200).unwrap()), (90..290).collect::<Vec<_>>());
        assert_eq!(positions(&forwards(&mut source, bounds, 1000).unwrap()), (10..290).collect::<Vec<_>>());
        assert_eq!(positions(&backwards(&mut source, bounds, 1000).unwrap()), (10..290).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_ends_by_its_bytes_but_holds_one_event_at_least() {
        let mut source = |from: u64, limit: usize, _max_bytes: usize| {
            let event =
                |position| LogEvent { position, timestamp: Timestamp::from_millis(0), message: "x".repeat(700 * 1024) };
            let end = (from + limit as u64).min(4);
            Ok(EventPage { events: (from..end).map(event).collect(), total: 4 })
        };
        let bounds = Bounds { low: 0, high: 4 };
        assert_eq!(positions(&forwards(&mut source, bounds, 10).unwrap()), [0]);
        assert_eq!(positions(&backwards(&mut source, bounds, 10).unwrap()), [3]);
    }
}
