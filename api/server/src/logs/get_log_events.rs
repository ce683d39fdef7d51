//! GetLogEvents.
//!
//! Tokens say a direction, a position and the time range, so that a call with one may leave the
//! other arguments out. At the end of a stream the forward token that came in is the one that goes
//! out.

use wasmbatch_controller::{LogEvent, ReadError};
use wasmbatch_model::logs::{GetLogEventsRequest, GetLogEventsResponse, OutputLogEvent};

use super::window::{Bounds, Source, backwards, bounds, forwards};
use super::{TimeRange, group_of, invalid_token, limit, missing};
use crate::error::ApiError;
use crate::page::{self, Kind};
use crate::state::{Call, Refused};

/// Most events of an answer `[API]`, also when no limit is given.
const EVENTS: usize = 10_000;
/// Between the parts of a token; no name of a stream holds it.
const SEPARATOR: char = '\u{1f}';

/// Where to read, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Tail,
    /// From this position on.
    From(u64),
    /// Up to this position, without it.
    Before(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    group: String,
    stream: String,
    place: Place,
    range: TimeRange,
    limit: usize,
}

/// What a stream had, and where to go on in both directions.
#[derive(Debug)]
struct Found {
    events: Vec<LogEvent>,
    forward: u64,
    backward: u64,
}

pub(crate) async fn get(call: Call, request: GetLogEventsRequest) -> Result<GetLogEventsResponse, ApiError> {
    let wanted = checked(request)?;
    call.read_logs(move |logs, _arns| {
        let Wanted { group, stream, .. } = &wanted;
        let Some(first) = logs.events(group, stream, 0, 1, super::PAGE_BYTES)? else {
            return Err(Refused(missing(logs, group)?).into());
        };
        let mut source = |from: u64, limit: usize, max_bytes: usize| {
            let gone = || wasmbatch_controller::EventPage { events: Vec::new(), total: 0 };
            Ok(logs.events(group, stream, from, limit, max_bytes)?.unwrap_or_else(gone))
        };
        let found = find(&mut source, first.total, &wanted)?;
        Ok(answer(&wanted, found))
    })
    .await
}

fn checked(request: GetLogEventsRequest) -> Result<Wanted, ApiError> {
    let GetLogEventsRequest {
        log_group_name,
        log_group_identifier,
        log_stream_name,
        start_time,
        end_time,
        next_token,
        limit: given_limit,
        start_from_head,
    } = request;
    let group = group_of(log_group_name, log_group_identifier)?;
    let stream = log_stream_name
        .filter(|stream| !stream.is_empty())
        .ok_or_else(|| ApiError::invalid_parameter("logStreamName is required"))?;
    let limit = limit(given_limit, EVENTS, EVENTS)?;
    let range = TimeRange::new(start_time, end_time)?;
    match next_token.filter(|token| !token.is_empty()) {
        None => {
            let group = super::required_group(group, None)?;
            let place = if start_from_head == Some(true) { Place::Head } else { Place::Tail };
            Ok(Wanted { group, stream, place, range, limit })
        }
        Some(token) => {
            let read = read_token(&token).ok_or_else(invalid_token)?;
            if read.stream != stream || group.is_some_and(|group| group != read.group) {
                return Err(invalid_token());
            }
            let range = TimeRange::new(range.start.or(read.range.start), range.end.or(read.range.end))?;
            Ok(Wanted { range, limit, ..read })
        }
    }
}

fn find(source: &mut impl Source, total: u64, wanted: &Wanted) -> Result<Found, ReadError> {
    let Bounds { low, high } = bounds(source, total, wanted.range)?;
    let (events, rest) = match wanted.place {
        Place::Head => (forwards(source, Bounds { low, high }, wanted.limit)?, low),
        Place::Tail => (backwards(source, Bounds { low, high }, wanted.limit)?, high),
        Place::From(position) => {
            let bounds = Bounds { low: position.max(low), high };
            (forwards(source, bounds, wanted.limit)?, position)
        }
        Place::Before(position) => {
            let bounds = Bounds { low, high: position.min(high) };
            (backwards(source, bounds, wanted.limit)?, position)
        }
    };
    // Without events both ways go on from where this call began.
    let forward = events.last().map_or(rest, |last| last.position + 1);
    let backward = events.first().map_or(rest, |first| first.position);
    Ok(Found { events, forward, backward })
}

fn answer(wanted: &Wanted, found: Found) -> GetLogEventsResponse {
    let Found { events, forward, backward } = found;
    let event = |LogEvent { position: _, timestamp, message }: LogEvent| OutputLogEvent {
        timestamp: timestamp.as_millis(),
        message,
        ingestion_time: timestamp.as_millis(),
    };
    GetLogEventsResponse {
        events: events.into_iter().map(event).collect(),
        next_forward_token: write_token('f', forward, wanted),
        next_backward_token: write_token('b', backward, wanted),
    }
}

fn write_token(direction: char, position: u64, wanted: &Wanted) -> String {
    let time = |millis: Option<i64>| millis.map(|millis| millis.to_string()).unwrap_or_default();
    let Wanted { group, stream, place: _, range: TimeRange { start, end }, limit: _ } = wanted;
    let parts = [position.to_string(), time(*start), time(*end), group.clone(), stream.clone()];
    let place = format!("{direction}{}", parts.join(&SEPARATOR.to_string()));
    format!("{direction}/{}", page::encode(Kind::LogEvents, &place))
}

fn read_token(token: &str) -> Option<Wanted> {
    let (direction, token) = token.split_once('/')?;
    let place = page::decode(Kind::LogEvents, token).ok()?;
    let mut parts = place.strip_prefix(direction)?.splitn(5, SEPARATOR);
    let mut part = || parts.next();
    let position = part()?.parse().ok()?;
    let time = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let range = TimeRange { start: time(part()?)?, end: time(part()?)? };
    let place = match direction {
        "f" => Place::From(position),
        "b" => Place::Before(position),
        _ => return None,
    };
    let (group, stream) = (part()?.to_owned(), part()?.to_owned());
    Some(Wanted { group, stream, place, range, limit: EVENTS })
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::stream;
    use super::*;

    fn request() -> GetLogEventsRequest {
        GetLogEventsRequest {
            log_group_name: Some("/aws/batch/job".to_owned()),
            log_stream_name: Some("d/default/x".to_owned()),
            ..GetLogEventsRequest::default()
        }
    }

    fn read(request: GetLogEventsRequest, times: &[i64]) -> GetLogEventsResponse {
        let wanted = checked(request).unwrap();
        answer(&wanted, find(&mut stream(times), times.len() as u64, &wanted).unwrap())
    }

    fn messages(response: &GetLogEventsResponse) -> Vec<&str> {
        response.events.iter().map(|event| event.message.as_str()).collect()
    }

    #[test]
    fn the_latest_events_come_unless_the_head_is_asked_for() {
        let times = [1, 2, 3, 4, 5];
        let latest = read(GetLogEventsRequest { limit: Some(2), ..request() }, &times);
        assert_eq!(messages(&latest), ["3", "4"]);
        let head = read(GetLogEventsRequest { limit: Some(2), start_from_head: Some(true), ..request() }, &times);
        assert_eq!(messages(&head), ["0", "1"]);
    }

    #[test]
    fn tokens_go_on_in_both_directions_and_stay_at_the_end() {
        let times = [1, 2, 3, 4, 5];
        let with = |token: &str, times: &[i64]| {
            let request = GetLogEventsRequest {
                log_group_name: None,
                next_token: Some(token.to_owned()),
                limit: Some(2),
                ..request()
            };
            read(request, times)
        };
        let head = read(GetLogEventsRequest { limit: Some(2), start_from_head: Some(true), ..request() }, &times);
        let second = with(&head.next_forward_token, &times);
        assert_eq!(messages(&second), ["2", "3"]);
        assert_eq!(messages(&with(&second.next_backward_token, &times)), ["0", "1"]);
        let third = with(&second.next_forward_token, &times);
        let end = with(&third.next_forward_token, &times);
        assert_eq!(messages(&end), Vec::<&str>::new());
        assert_eq!(end.next_forward_token, third.next_forward_token);
        let more = with(&end.next_forward_token, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(messages(&more), ["5"]);
        let start = with(&head.next_backward_token, &times);
        assert_eq!(start.next_backward_token, head.next_backward_token);
    }

    #[test]
    fn an_empty_stream_has_tokens_that_wait_for_its_first_event() {
        let empty = read(request(), &[]);
        let request = GetLogEventsRequest { next_token: Some(empty.next_forward_token), ..request() };
        assert_eq!(messages(&read(request, &[1])), ["0"]);
    }

    #[test]
    fn the_time_range_goes_along_with_the_token() {
        let times = [10, 20, 30, 40, 50];
        let first = GetLogEventsRequest {
            start_time: Some(20),
            end_time: Some(50),
            start_from_head: Some(true),
            limit: Some(2),
            ..request()
        };
        let first = read(first, &times);
        assert_eq!(messages(&first), ["1", "2"]);
        let second = GetLogEventsRequest { next_token: Some(first.next_forward_token), ..request() };
        assert_eq!(messages(&read(second, &times)), ["3"]);
    }

    #[test]
    fn mistakes_are_invalid_parameters() {
        for request in [
            GetLogEventsRequest { limit: Some(0), ..request() },
            GetLogEventsRequest { limit: Some(10_001), ..request() },
            GetLogEventsRequest { next_token: Some("f/12".to_owned()), ..request() },
            GetLogEventsRequest { log_group_name: None, ..request() },
            GetLogEventsRequest { log_group_identifier: Some("g".to_owned()), ..request() },
            GetLogEventsRequest { log_stream_name: None, ..request() },
            GetLogEventsRequest { start_time: Some(2), end_time: Some(1), ..request() },
        ] {
            let error = checked(request.clone()).unwrap_err();
            assert_eq!(error.kind, crate::error::ErrorKind::InvalidParameter, "{request:?}");
        }
        let other = read(GetLogEventsRequest { log_stream_name: Some("other".to_owned()), ..request() }, &[1]);
        assert!(checked(GetLogEventsRequest { next_token: Some(other.next_forward_token), ..request() }).is_err());
    }
}
