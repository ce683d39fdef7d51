//! What every request passes before and after its handler: who may ask at all, how many at once,
//! a request id, and an answer even when a handler panics.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;

use crate::arn::Arns;
use crate::body;
use crate::error::{ApiError, Dialect, ErrorKind};
use crate::logs;
use crate::options::is_loopback;
use crate::own;
use crate::state::{RequestFacts, ServerState};

/// The id of a request, in every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The port of a Host that names none.
const HTTP_PORT: u16 = 80;

/// The outermost layer.
pub(crate) async fn guard(State(state): State<ServerState>, mut request: Request, next: Next) -> Response {
    let request_id = state.handle.new_uuid();
    let dialect = dialect(&request);
    let facts = RequestFacts {
        request_id: request_id.clone(),
        arns: Arns::of_request(request.headers(), &state.options.region, &state.options.account_id),
    };
    request.extensions_mut().insert(facts);
    let mut response = match admit(&state, &request) {
        Err(refusal) => {
            body::drain(std::mem::replace(request.body_mut(), Body::empty())).await;
            refusal.into_response(dialect, &request_id)
        }
        Ok(_permit) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_panic) => {
                tracing::error!(request.id = %request_id, "a request panicked");
                ApiError::server().into_response(dialect, &request_id)
            }
        },
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn dialect(request: &Request) -> Dialect {
    if request.headers().contains_key(logs::TARGET) { Dialect::AmzJson } else { Dialect::RestJson }
}

/// Whether the request may be worked on now; the permit counts it while it is.
fn admit(state: &ServerState, request: &Request) -> Result<tokio::sync::OwnedSemaphorePermit, ApiError> {
    check_host(request.headers(), state.options.listen)?;
    check_origin(request.headers(), state.options.listen)?;
    let permits = if own::is_wait(request.uri().path()) { &state.waiters } else { &state.requests };
    permits.clone().try_acquire_owned().map_err(|_| ApiError::too_many_requests())
}

/// Refuses a name that isn't this machine's own: a page whose name was rebound to loopback must not
/// drive the node.
fn check_host(headers: &HeaderMap, listen: SocketAddr) -> Result<(), ApiError> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.to_str().is_ok_and(|host| is_own_authority(host, listen)) => Ok(()),
        _ => Err(denied("The Host of the request is not this node's address")),
    }
}

/// Refuses pages of any other origin. Programs send no Origin.
fn check_origin(headers: &HeaderMap, listen: SocketAddr) -> Result<(), ApiError> {
    let own = |value: &HeaderValue| {
        let authority = value.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        authority.is_some_and(|authority| is_own_authority(authority, listen))
    };
    if headers.get_all(header::ORIGIN).iter().all(own) {
        Ok(())
    } else {
        Err(denied("The Origin of the request is not this node's own"))
    }
}

fn denied(message: &str) -> ApiError {
    ApiError::new(ErrorKind::AccessDenied, message)
}

/// `localhost`, a loopback address or the address listened on, with the port listened on.
fn is_own_authority(authority: &str, listen: SocketAddr) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let plain = |port: &str| port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())?;
    if port.map_or(Some(HTTP_PORT), plain) != Some(listen.port()) {
        return false;
    }
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| is_loopback(address) || address == listen.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_names_are_its_own() {
        let listen = "127.0.0.1:8080".parse().unwrap();
        for own in ["127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080", "127.1.2.3:8080"] {
            assert!(is_own_authority(own, listen), "{own}");
        }
        for foreign in [
            "",
            "localhost",
            "localhost:80",
            "localhost:8081",
            "evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "10.0.0.1:8080",
            "localhost:8080:8080",
            "[::1]",
            "[::1]8080",
            "localhost:+8080",
            "[::1",
            "localhost.:8080",
        ] {
            assert!(!is_own_authority(foreign, listen), "{foreign}");
        }
        assert!(is_own_authority("localhost", "127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn a_foreign_origin_is_refused_and_none_is_fine() {
        let listen = "127.0.0.1:8080".parse().unwrap();
        let check = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            check_origin(&headers, listen).is_ok()
        };
        assert!(check(None));
        assert!(check(Some("http://localhost:8080")));
        for origin in ["null", "https://localhost:8080", "http://evil.example", "http://localhost:8080@evil.example"] {
            assert!(!check(Some(origin)), "{origin}");
        }
    }
}
