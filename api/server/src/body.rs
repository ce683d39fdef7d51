//! Bodies: their media type, their size, the time they take, and the way from bytes to wire types.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::error::{ApiError, ErrorKind};
use crate::shape::{Shape, prune};

/// What is read of an oversized body before it is answered, so that a client which writes all
/// before it reads still gets the answer.
const DRAINED_BYTES: u64 = 64 * 1024 * 1024;
/// The time this may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Refuses a body that doesn't say it is JSON. A page in a browser can send text, forms and bodies
/// without a type to any address, but not these types.
pub(crate) fn check_content_type(headers: &HeaderMap, body: &Bytes) -> Result<(), ApiError> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (None, _) if body.is_empty() => Ok(()),
        (Some(value), None) if value.to_str().is_ok_and(is_json) => Ok(()),
        _ => Err(ApiError::client("The Content-Type of the body must be application/json")),
    }
}

/// `application/json` as AWS's SDKs send it for Batch, `application/x-amz-json-1.1` for Logs.
fn is_json(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let known =
        matches!(essence.as_str(), "application/json" | "application/x-amz-json-1.0" | "application/x-amz-json-1.1");
    known
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

/// Reads a body of at most `most` bytes that arrives within `time`.
pub(crate) async fn read(body: Body, most: usize, time: Duration) -> Result<Bytes, ApiError> {
    let deadline = Instant::now() + time;
    let mut body = body;
    let mut bytes = BytesMut::new();
    loop {
        let frame = tokio::time::timeout_at(deadline, body.frame())
            .await
            .map_err(|_| ApiError::new(ErrorKind::RequestTimeout, "The body did not arrive in time"))?;
        let data = match frame {
            None => return Ok(bytes.freeze()),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(ApiError::client("The body could not be read to its end")),
        };
        if bytes.len() + data.len() > most {
            drain(body).await;
            return Err(ApiError::client(format!("The request body must be at most {most} bytes")));
        }
        bytes.extend_from_slice(&data);
    }
}

/// Reads on and throws away, up to a bound.
pub(crate) async fn drain(mut body: Body) {
    let work = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, |data| data.len() as u64);
            if drained > DRAINED_BYTES {
                break;
            }
        }
    };
    // Whether it got to the end doesn't matter: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, work).await;
}

/// From bytes to a wire type. No body at all is an empty object.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8], shape: &Shape) -> Result<T, ApiError> {
    let value = if body.is_empty() { Value::Object(serde_json::Map::new()) } else { json(body)? };
    let pruned = prune(value, shape)?;
    // The shape has left nothing that could be refused here but what it doesn't know.
    serde_path_to_error::deserialize(pruned)
        .map_err(|error| ApiError::client(format!("{}: {}", error.path(), error.inner())))
}

fn json(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::client(format!("The request body is not JSON: {error}")))
}

/// Refuses a body whose JSON, written without spaces, is longer than `most`.
pub(crate) fn check_compact_length(body: &[u8], most: usize, what: &str) -> Result<(), ApiError> {
    if body.len() <= most || json(body)?.to_string().len() <= most {
        Ok(())
    } else {
        Err(ApiError::client(format!("{what} must be at most {most} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_is_taken() {
        let check = |value: Option<&str>, body: &'static str| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            }
            check_content_type(&headers, &Bytes::from_static(body.as_bytes())).is_ok()
        };
        for value in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/x-amz-json-1.1",
        ] {
            assert!(check(Some(value), "{}"), "{value}");
        }
        for value in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "application/json; charset=latin1",
            "",
        ] {
            assert!(!check(Some(value), "{}"), "{value}");
        }
        assert!(check(None, ""));
        assert!(!check(None, "{}"));
    }

    #[tokio::test]
    async fn an_oversized_body_is_refused_and_drained() {
        let time = Duration::from_secs(1);
        assert_eq!(read(Body::from("12345"), 5, time).await.unwrap(), "12345");
        let error = read(Body::from("123456"), 5, time).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Client);
    }

    #[test]
    fn spaces_do_not_count_against_a_documents_length() {
        let roomy = format!("{{\"a\":{}1}}", " ".repeat(100));
        assert!(check_compact_length(roomy.as_bytes(), 10, "x").is_ok());
        assert!(check_compact_length(b"{\"a\":1000000}", 10, "x").is_err());
    }
}
