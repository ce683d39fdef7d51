//! Requests and answers as bytes.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmbatch_model::error::ErrorBody;
use wasmbatch_model::{AMZ_JSON, JSON, LOGS_TARGET};

use crate::error::{ApiError, Error};
use crate::retry::{Repeat, pause};

/// Time to connect, and for a whole call that waits for nothing.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const CALL_TIME: Duration = Duration::from_secs(60);
/// Largest answer: a page of logs is about 1 MiB, a thousand jobs less.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A client of one node. Cheap to clone; keeps its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
}

impl Client {
    /// A client of the node at `endpoint`, as `http://127.0.0.1:8080`. Nothing is sent yet.
    ///
    /// # Errors
    /// The text is not an `http://` address.
    pub fn new(endpoint: &str) -> Result<Self, Error> {
        let invalid = || Error::Endpoint(endpoint.to_owned());
        let url = Url::parse(endpoint).ok().filter(|url| url.scheme() == "http" && url.has_host());
        let url = url.ok_or_else(invalid)?;
        // A proxy of the environment is for the world outside; a node is on loopback.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::Transport)?;
        Ok(Self { http, endpoint: url })
    }

    /// Where the node is.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str()
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        url.set_query(None);
        url.set_path(path);
        url
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).timeout(CALL_TIME)
    }

    /// One operation of Batch.
    pub(crate) async fn batch<Q: Serialize, R: DeserializeOwned>(
        &self,
        operation: &str,
        repeat: Repeat,
        request: &Q,
    ) -> Result<R, Error> {
        let body = serde_json::to_vec(request).map_err(Error::Answer)?;
        let path = format!("/v1/{operation}");
        self.repeated(repeat, || self.request(Method::POST, &path).header(CONTENT_TYPE, JSON).body(body.clone())).await
    }

    /// One operation of CloudWatch Logs.
    pub(crate) async fn logs<Q: Serialize, R: DeserializeOwned>(
        &self,
        operation: &str,
        request: &Q,
    ) -> Result<R, Error> {
        let body = serde_json::to_vec(request).map_err(Error::Answer)?;
        let target = format!("{LOGS_TARGET}{operation}");
        self.repeated(Repeat::Harmless, || {
            self.request(Method::POST, "/")
                .header(CONTENT_TYPE, AMZ_JSON)
                .header("x-amz-target", &target)
                .body(body.clone())
        })
        .await
    }

    /// Sends what `build` builds until it succeeds or must not be repeated.
    pub(crate) async fn repeated<R: DeserializeOwned>(
        &self,
        repeat: Repeat,
        build: impl Fn() -> RequestBuilder,
    ) -> Result<R, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            match answer(build()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => match pause(&error, repeat, tries) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
            }
        }
    }
}

/// Sends a request once and reads its answer.
pub(crate) async fn answer<R: DeserializeOwned>(request: RequestBuilder) -> Result<R, Error> {
    let response = request.send().await.map_err(Error::Transport)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = body(response).await?;
    if status.is_success() {
        serde_json::from_slice(&body).map_err(Error::Answer)
    } else {
        Err(Error::Api(api_error(status.as_u16(), &headers, &body)))
    }
}

async fn body(mut response: Response) -> Result<BytesMut, Error> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::Transport)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            return Err(Error::TooLarge(ANSWER_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn api_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let ErrorBody { message, kind } = serde_json::from_slice(body).unwrap_or_default();
    let code = kind.or_else(|| header("x-amzn-errortype")).unwrap_or_else(|| format!("HTTP {status}"));
    let message = if message.is_empty() { String::from_utf8_lossy(body).chars().take(500).collect() } else { message };
    ApiError { status, code, message, request_id: header("x-amzn-requestid") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_endpoints() {
        for good in ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:1"] {
            assert_eq!(Client::new(good).unwrap().url("/v1/x").path(), "/v1/x", "{good}");
        }
        for bad in ["", "127.0.0.1:8080", "https://a", "file:///x"] {
            assert!(matches!(Client::new(bad), Err(Error::Endpoint(_))), "{bad}");
        }
    }

    #[test]
    fn an_error_is_read_in_both_dialects() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", "ClientException".parse().unwrap());
        let error = api_error(400, &headers, br#"{"message":"no"}"#);
        assert_eq!((error.code.as_str(), error.message.as_str()), ("ClientException", "no"));
        let error = api_error(400, &HeaderMap::new(), br#"{"__type":"ResourceNotFoundException","message":"gone"}"#);
        assert_eq!(error.to_string(), "gone (ResourceNotFoundException)");
        assert_eq!(api_error(502, &HeaderMap::new(), b"<html>").code, "HTTP 502");
    }
}
