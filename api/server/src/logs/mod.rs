//! The read half of CloudWatch Logs (AWS JSON 1.1): one path, the operation in `X-Amz-Target`.

mod filter_log_events;
mod get_log_events;
mod groups;
mod merge;
mod pattern;
mod streams;
mod window;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmbatch_controller::{LogReader, ReadError};
use wasmbatch_model::LOGS_TARGET;

use crate::arn;
use crate::body;
use crate::error::{ApiError, Dialect, ErrorKind};
use crate::router::{json_body, respond};
use crate::shape::{self, Shape};
use crate::state::{Call, RequestFacts, ServerState};

/// Names the operation.
pub(crate) const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Bytes of messages in one answer, and what AWS counts for each event beside its message.
const PAGE_BYTES: usize = 1024 * 1024;
const EVENT_OVERHEAD_BYTES: usize = 26;

/// `POST /`.
pub(crate) async fn dispatch(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request_id = facts.request_id.clone();
    let bytes = match json_body(&state, &headers, body).await {
        Ok(bytes) => bytes,
        Err(error) => return error.into_response(Dialect::AmzJson, &request_id),
    };
    let target = headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    let call = Call { state, facts };
    match target.strip_prefix(LOGS_TARGET).unwrap_or_default() {
        "GetLogEvents" => run(call, &bytes, &shape::logs::GET_LOG_EVENTS, get_log_events::get).await,
        "FilterLogEvents" => run(call, &bytes, &shape::logs::FILTER_LOG_EVENTS, filter_log_events::filter).await,
        "DescribeLogStreams" => run(call, &bytes, &shape::logs::DESCRIBE_LOG_STREAMS, streams::describe).await,
        "DescribeLogGroups" => run(call, &bytes, &shape::logs::DESCRIBE_LOG_GROUPS, groups::describe).await,
        _ => {
            let target = wasmbatch_core::name::shortened(target);
            let error = ApiError::new(ErrorKind::UnknownOperation, format!("Unknown operation {target}"));
            error.into_response(Dialect::AmzJson, &request_id)
        }
    }
}

async fn run<T, R, Fut>(call: Call, bytes: &[u8], shape: &'static Shape, run: impl FnOnce(Call, T) -> Fut) -> Response
where
    T: DeserializeOwned,
    R: Serialize,
    Fut: Future<Output = Result<R, ApiError>>,
{
    let request_id = call.facts.request_id.clone();
    let result = match parse(bytes, shape) {
        Ok(request) => run(call, request).await,
        Err(error) => Err(error),
    };
    respond(result, Dialect::AmzJson, &request_id)
}

/// As for Batch, with the types of errors that Logs has.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], shape: &Shape) -> Result<T, ApiError> {
    body::parse(bytes, shape).map_err(|error| match error.kind {
        ErrorKind::Client => ApiError::invalid_parameter(error.message),
        ErrorKind::Server
        | ErrorKind::TooManyRequests
        | ErrorKind::Unavailable
        | ErrorKind::UnknownOperation
        | ErrorKind::AccessDenied
        | ErrorKind::NotFound
        | ErrorKind::RequestTimeout
        | ErrorKind::InvalidParameter
        | ErrorKind::ResourceNotFound => error,
    })
}

fn invalid_token() -> ApiError {
    ApiError::invalid_parameter("The specified nextToken is invalid.")
}

/// `None` when neither member names a group.
fn group_of(name: Option<String>, identifier: Option<String>) -> Result<Option<String>, ApiError> {
    match (name, identifier) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid_parameter("logGroupName and logGroupIdentifier exclude each other"))
        }
        (Some(name), None) => Ok(Some(name)),
        (None, Some(identifier)) => arn::log_group_name(&identifier)
            .map(|name| Some(name.to_owned()))
            .ok_or_else(|| ApiError::invalid_parameter("logGroupIdentifier is not a log group's name or ARN")),
        (None, None) => Ok(None),
    }
}

fn required_group(name: Option<String>, identifier: Option<String>) -> Result<String, ApiError> {
    group_of(name, identifier)?
        .filter(|group| !group.is_empty())
        .ok_or_else(|| ApiError::invalid_parameter("logGroupName or logGroupIdentifier is required"))
}

fn limit(given: Option<i32>, default: usize, most: usize) -> Result<usize, ApiError> {
    match given {
        None => Ok(default),
        Some(given) => usize::try_from(given)
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| ApiError::invalid_parameter(format!("limit must be between 1 and {most}"))),
    }
}

/// From `start` on, before `end`, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct TimeRange {
    start: Option<i64>,
    end: Option<i64>,
}

impl TimeRange {
    fn new(start: Option<i64>, end: Option<i64>) -> Result<Self, ApiError> {
        if start.is_some_and(|start| start < 0) || end.is_some_and(|end| end < 0) {
            return Err(ApiError::invalid_parameter("startTime and endTime must not be negative"));
        }
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(ApiError::invalid_parameter("startTime must not be after endTime"));
        }
        Ok(Self { start, end })
    }
}

fn no_such_group() -> ApiError {
    ApiError::new(ErrorKind::ResourceNotFound, "The specified log group does not exist.")
}

fn no_such_stream() -> ApiError {
    ApiError::new(ErrorKind::ResourceNotFound, "The specified log stream does not exist.")
}

/// What is missing when a stream isn't there: it, or its group.
fn missing(logs: &LogReader, group: &str) -> Result<ApiError, ReadError> {
    let there = logs.groups()?.iter().any(|known| known.name == group);
    Ok(if there { no_such_stream() } else { no_such_group() })
}
