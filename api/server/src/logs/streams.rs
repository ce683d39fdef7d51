//! DescribeLogStreams.

use std::collections::BTreeMap;

use wasmbatch_controller::{LogReader, LogStreamInfo};
use wasmbatch_core::Timestamp;
use wasmbatch_model::logs::{DescribeLogStreamsRequest, DescribeLogStreamsResponse, LogStream};

use super::{invalid_token, limit, no_such_group, required_group};
use crate::arn::Arns;
use crate::error::ApiError;
use crate::page::{self, Kind};
use crate::state::{Call, ReadFailure, Refused};

/// Most streams of an answer `[API]`, also when no limit is given.
const STREAMS: usize = 50;
/// Streams read from the store at a time.
const STEP: usize = 1000;
/// Most streams that one call looks at.
const EXAMINED: usize = 1_000_000;

/// The order of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Name,
    LastEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

struct Wanted {
    group: String,
    prefix: String,
    order: Order,
    direction: Direction,
    limit: usize,
    after: Option<Key>,
}

/// A stream's place in an order: the time is 0 where the name alone counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    millis: i64,
    name: String,
}

pub(crate) async fn describe(
    call: Call,
    request: DescribeLogStreamsRequest,
) -> Result<DescribeLogStreamsResponse, ApiError> {
    let wanted = checked(request)?;
    call.read_logs(move |logs, arns| {
        let (infos, next) = match (wanted.order, wanted.direction) {
            (Order::Name, Direction::Ascending) => by_name(logs, &wanted)?,
            _ => sorted(logs, &wanted)?,
        };
        let stream = |info| from_info(info, &wanted.group, arns);
        Ok(DescribeLogStreamsResponse {
            log_streams: infos.into_iter().map(stream).collect(),
            next_token: next.map(to_token),
        })
    })
    .await
}

fn checked(request: DescribeLogStreamsRequest) -> Result<Wanted, ApiError> {
    let DescribeLogStreamsRequest {
        log_group_name,
        log_group_identifier,
        log_stream_name_prefix,
        order_by,
        descending,
        next_token,
        limit: given_limit,
    } = request;
    let order = match order_by.as_deref() {
        Some("LastEventTime") => Order::LastEvent,
        _ => Order::Name,
    };
    let prefix = log_stream_name_prefix.unwrap_or_default();
    if order == Order::LastEvent && !prefix.is_empty() {
        return Err(ApiError::invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let token = next_token.filter(|token| !token.is_empty());
    Ok(Wanted {
        group: required_group(log_group_name, log_group_identifier)?,
        prefix,
        order,
        direction: if descending == Some(true) { Direction::Descending } else { Direction::Ascending },
        limit: limit(given_limit, STREAMS, STREAMS)?,
        after: token.map(|token| from_token(&token).ok_or_else(invalid_token)).transpose()?,
    })
}

type Page = (Vec<LogStreamInfo>, Option<Key>);

fn by_name(logs: &LogReader, wanted: &Wanted) -> Result<Page, ReadFailure> {
    let after = wanted.after.as_ref().map(|key| key.name.as_str());
    let found = logs.streams(&wanted.group, &wanted.prefix, after, wanted.limit + 1)?;
    let mut infos = found.ok_or_else(|| Refused(no_such_group()))?;
    let more = infos.len() > wanted.limit;
    infos.truncate(wanted.limit);
    let next = infos.last().filter(|_| more).map(|last| Key { millis: 0, name: last.name.clone() });
    Ok((infos, next))
}

/// Looks at every stream and keeps the first ones behind the place in the order asked for.
fn sorted(logs: &LogReader, wanted: &Wanted) -> Result<Page, ReadFailure> {
    let mut kept: BTreeMap<Key, LogStreamInfo> = BTreeMap::new();
    every_stream(logs, &wanted.group, &wanted.prefix, |info| {
        let millis = match wanted.order {
            Order::Name => 0,
            Order::LastEvent => info.last_event_at.unwrap_or(info.created_at).as_millis(),
        };
        let key = Key { millis, name: info.name.clone() };
        let behind = wanted.after.as_ref().is_none_or(|after| match wanted.direction {
            Direction::Ascending => key > *after,
            Direction::Descending => key < *after,
        });
        if behind {
            kept.insert(key, info);
            if kept.len() > wanted.limit + 1 {
                match wanted.direction {
                    Direction::Ascending => kept.pop_last(),
                    Direction::Descending => kept.pop_first(),
                };
            }
        }
    })?;
    let mut entries: Vec<_> = kept.into_iter().collect();
    if wanted.direction == Direction::Descending {
        entries.reverse();
    }
    let more = entries.len() > wanted.limit;
    entries.truncate(wanted.limit);
    let next = entries.last().filter(|_| more).map(|(key, _)| key.clone());
    Ok((entries.into_iter().map(|(_, info)| info).collect(), next))
}

/// Gives every stream of a group to `keep`, by name.
pub(super) fn every_stream(
    logs: &LogReader,
    group: &str,
    prefix: &str,
    mut keep: impl FnMut(LogStreamInfo),
) -> Result<(), ReadFailure> {
    let mut after: Option<String> = None;
    let mut examined = 0;
    loop {
        let page = logs.streams(group, prefix, after.as_deref(), STEP)?;
        let page = page.ok_or_else(|| Refused(no_such_group()))?;
        examined += page.len();
        if examined > EXAMINED {
            let message = "The group has too many log streams for this call: name some, or a prefix";
            return Err(Refused(ApiError::invalid_parameter(message)).into());
        }
        let full = page.len() == STEP;
        after = page.last().map(|last| last.name.clone());
        page.into_iter().for_each(&mut keep);
        if !full {
            return Ok(());
        }
    }
}

fn to_token(Key { millis, name }: Key) -> String {
    page::encode(Kind::LogStreams, &format!("{millis} {name}"))
}

fn from_token(token: &str) -> Option<Key> {
    let place = page::decode(Kind::LogStreams, token).ok()?;
    let (millis, name) = place.split_once(' ')?;
    Some(Key { millis: millis.parse().ok()?, name: name.to_owned() })
}

fn from_info(info: LogStreamInfo, group: &str, arns: &Arns) -> LogStream {
    let LogStreamInfo { name, created_at, first_event_at, last_event_at, stored_bytes, events: _ } = info;
    LogStream {
        arn: arns.log_stream(group, &name),
        log_stream_name: name,
        creation_time: created_at.as_millis(),
        stored_bytes,
        first_event_timestamp: first_event_at.map(Timestamp::as_millis),
        last_event_timestamp: last_event_at.map(Timestamp::as_millis),
        last_ingestion_time: last_event_at.map(Timestamp::as_millis),
    }
}
