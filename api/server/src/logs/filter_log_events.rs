//! FilterLogEvents: a search over the streams of a group, by time.
//!
//! One call looks at a bounded number of events; the token says the last one looked at.

use wasmbatch_controller::{EventPage, LogEvent, LogReader, LogStreamInfo};
use wasmbatch_model::logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};

use super::merge::{Candidate, Merge, Place};
use super::pattern::Pattern;
use super::streams::every_stream;
use super::{EVENT_OVERHEAD_BYTES, PAGE_BYTES, TimeRange, invalid_token, limit, no_such_stream, required_group};
use crate::error::ApiError;
use crate::page::{self, Kind};
use crate::state::{Call, ReadFailure, Refused};

/// Most events of an answer `[API]`, also when no limit is given.
const EVENTS: usize = 10_000;
/// Most events looked at for one answer.
const EXAMINED: usize = 50_000;
/// Most names in `logStreamNames` `[API]`.
const NAMES: usize = 100;

struct Wanted {
    group: String,
    streams: Streams,
    range: TimeRange,
    pattern: Pattern,
    limit: usize,
    after: Option<Place>,
}

enum Streams {
    Named(Vec<String>),
    /// All that begin so.
    Prefix(String),
}

pub(crate) async fn filter(call: Call, request: FilterLogEventsRequest) -> Result<FilterLogEventsResponse, ApiError> {
    let wanted = checked(request)?;
    call.read_logs(move |logs, _arns| {
        let candidates = candidates(logs, &wanted)?;
        let Wanted { group, range, pattern, limit, after, streams: _ } = wanted;
        let open = |stream: &str| {
            let (group, stream) = (group.clone(), stream.to_owned());
            move |from: u64, limit: usize, max_bytes: usize| {
                let gone = || EventPage { events: Vec::new(), total: 0 };
                Ok(logs.events(&group, &stream, from, limit, max_bytes)?.unwrap_or_else(gone))
            }
        };
        let mut merge = Merge::new(candidates, range, after, open);
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        for _ in 0..EXAMINED {
            let Some((place, event)) = merge.next()? else {
                last = None;
                break;
            };
            if pattern.matches(&event.message) {
                bytes += event.message.len() + EVENT_OVERHEAD_BYTES;
                if bytes > PAGE_BYTES && !events.is_empty() {
                    break;
                }
                events.push(found(&place, event));
            }
            last = Some(place);
            if events.len() >= limit {
                break;
            }
        }
        Ok(FilterLogEventsResponse { events, searched_log_streams: Vec::new(), next_token: last.map(to_token) })
    })
    .await
}

fn checked(request: FilterLogEventsRequest) -> Result<Wanted, ApiError> {
    let FilterLogEventsRequest {
        log_group_name,
        log_group_identifier,
        log_stream_names,
        log_stream_name_prefix,
        start_time,
        end_time,
        filter_pattern,
        next_token,
        limit: given_limit,
        start_from_head: _,
        interleaved: _,
    } = request;
    let names = log_stream_names.filter(|names| !names.is_empty());
    let streams = match (names, log_stream_name_prefix) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_parameter("logStreamNames and logStreamNamePrefix exclude each other"));
        }
        (Some(names), None) if names.len() > NAMES => {
            return Err(ApiError::invalid_parameter(format!("logStreamNames can have at most {NAMES} entries")));
        }
        (Some(mut names), None) => {
            names.sort_unstable();
            names.dedup();
            Streams::Named(names)
        }
        (None, prefix) => Streams::Prefix(prefix.unwrap_or_default()),
    };
    let token = next_token.filter(|token| !token.is_empty());
    Ok(Wanted {
        group: required_group(log_group_name, log_group_identifier)?,
        streams,
        range: TimeRange::new(start_time, end_time)?,
        pattern: Pattern::parse(&filter_pattern.unwrap_or_default())?,
        limit: limit(given_limit, EVENTS, EVENTS)?,
        after: token.map(|token| from_token(&token).ok_or_else(invalid_token)).transpose()?,
    })
}

/// The streams that can have events in the range and behind the place already reached.
fn candidates(logs: &LogReader, wanted: &Wanted) -> Result<Vec<Candidate>, ReadFailure> {
    let reached = wanted.after.as_ref().map(|place| place.millis);
    let from = wanted.range.start.max(reached);
    let mut candidates = Vec::new();
    let mut keep = |info: LogStreamInfo| {
        let LogStreamInfo { name, created_at: _, first_event_at, last_event_at, stored_bytes: _, events } = info;
        let (Some(first), Some(last)) = (first_event_at, last_event_at) else { return };
        let late = from.is_some_and(|from| last.as_millis() < from);
        let early = wanted.range.end.is_some_and(|end| first.as_millis() >= end);
        if !late && !early {
            candidates.push(Candidate { stream: name, first_millis: first.as_millis(), events });
        }
    };
    match &wanted.streams {
        Streams::Prefix(prefix) => every_stream(logs, &wanted.group, prefix, keep)?,
        Streams::Named(names) => {
            for name in names {
                let found = logs.streams(&wanted.group, name, None, 1)?;
                let found = found.ok_or_else(|| Refused(super::no_such_group()))?;
                // The stream's own name is the first of those that begin with it.
                match found.into_iter().next().filter(|info| info.name == *name) {
                    Some(info) => keep(info),
                    None => return Err(Refused(no_such_stream()).into()),
                }
            }
        }
    }
    Ok(candidates)
}

fn found(place: &Place, event: LogEvent) -> FilteredLogEvent {
    let LogEvent { position, timestamp, message } = event;
    FilteredLogEvent {
        log_stream_name: place.stream.clone(),
        timestamp: timestamp.as_millis(),
        message,
        ingestion_time: timestamp.as_millis(),
        event_id: event_id(&place.stream, timestamp.as_millis(), position),
    }
}

/// Digits, as at AWS; the same for the same event.
fn event_id(stream: &str, millis: i64, position: u64) -> String {
    let hash = stream
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{millis:016}{hash:020}{position:020}")
}

fn to_token(Place { millis, stream, position }: Place) -> String {
    page::encode(Kind::LogSearch, &format!("{millis} {position} {stream}"))
}

fn from_token(token: &str) -> Option<Place> {
    let place = page::decode(Kind::LogSearch, token).ok()?;
    let mut parts = place.splitn(3, ' ');
    let (millis, position) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Place { millis, position, stream: parts.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        let place = Place { millis: 5, stream: "a b/default/x".to_owned(), position: 7 };
        assert_eq!(from_token(&to_token(place.clone())), Some(place));
        assert_eq!(from_token("00"), None);
    }

    #[test]
    fn mistakes_are_refused() {
        let request = || FilterLogEventsRequest { log_group_name: Some("g".to_owned()), ..Default::default() };
        assert!(checked(request()).is_ok());
        let text = || Some("x".to_owned());
        for request in [
            FilterLogEventsRequest {
                log_stream_names: Some(vec!["a".to_owned()]),
                log_stream_name_prefix: text(),
                ..request()
            },
            FilterLogEventsRequest { log_stream_names: Some(vec!["a".to_owned(); 101]), ..request() },
            FilterLogEventsRequest { next_token: text(), ..request() },
            FilterLogEventsRequest { filter_pattern: Some("{ $.a = 1 }".to_owned()), ..request() },
            FilterLogEventsRequest { log_group_name: None, ..request() },
        ] {
            assert!(checked(request.clone()).is_err(), "{request:?}");
        }
    }
}
