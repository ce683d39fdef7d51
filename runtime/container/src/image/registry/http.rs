//! HTTP as a registry's client needs it: one request a connection, everything bounded in time and size.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Redirections that are followed.
const MOST_REDIRECTIONS: usize = 5;
/// Connections that one question is worth where they break.
const MOST_CONNECTIONS: u32 = 3;
const AGENT: &str = concat!("wasmbatch/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer: never a text with credentials or a whole address, which may have some.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum HttpError {
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} redirects {reason}")]
    Redirected { host: String, reason: &'static str },
    #[error("{0}")]
    Broken(String),
}

/// Makes requests.
pub(super) struct Http {
    tls: TlsConnector,
    plain: BTreeSet<String>,
    connect: Duration,
    stall: Duration,
}

/// An answer, of which the body is still to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Host and port that gave it, after redirections.
    body: Incoming,
    stall: Duration,
    /// Ends with the answer.
    _connection: JoinSet<()>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("plain", &self.plain).finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn new(tls: Arc<rustls::ClientConfig>, plain: &[String], connect: Duration, stall: Duration) -> Self {
        Self { tls: TlsConnector::from(tls), plain: plain.iter().cloned().collect(), connect, stall }
    }

    /// The address of a path at a registry.
    pub(super) fn address(&self, registry: &str, path: &str) -> Result<Uri, HttpError> {
        let scheme = if self.is_plain(registry) { "http" } else { "https" };
        let uri = format!("{scheme}://{registry}{path}").parse();
        uri.map_err(|_| HttpError::Broken(format!("{registry} is no registry's address")))
    }

    /// Whether a host, with its port or without, may be spoken to without encryption.
    fn is_plain(&self, authority: &str) -> bool {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        self.plain.contains(authority) || self.plain.contains(host)
    }

    /// Whether an address may be asked at all.
    pub(super) fn may_ask(&self, uri: &Uri) -> bool {
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && self.is_plain(authority))
    }

    /// Asks, and follows redirections; what is secret in the question goes to the first host only.
    pub(super) async fn ask(&self, mut question: Question) -> Result<Answer, HttpError> {
        for _ in 0..=MOST_REDIRECTIONS {
            let answer = self.ask_patiently(&question).await?;
            let asked = matches!(question.method, Method::GET | Method::HEAD);
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED || !asked {
                return Ok(answer);
            }
            let host = host_of(&question.uri);
            let redirected = |reason| HttpError::Redirected { host: host.clone(), reason };
            let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
            let location = location.ok_or_else(|| redirected("to nowhere"))?;
            let next = join(&question.uri, location).ok_or_else(|| redirected("to what is no address"))?;
            if !self.may_ask(&next) {
                return Err(redirected("to a place without encryption"));
            }
            if next.authority() != question.uri.authority() || next.scheme() != question.uri.scheme() {
                question.headers.remove(http::header::AUTHORIZATION);
            }
            question.uri = next;
        }
        Err(HttpError::Redirected { host: host_of(&question.uri), reason: "too often" })
    }

    /// Asks again where a connection broke before there was an answer.
    async fn ask_patiently(&self, question: &Question) -> Result<Answer, HttpError> {
        for _ in 1..MOST_CONNECTIONS {
            match self.ask_once(question).await {
                Err(HttpError::Broken(_)) => {}
                answer => return answer,
            }
        }
        self.ask_once(question).await
    }

    async fn ask_once(&self, question: &Question) -> Result<Answer, HttpError> {
        let host = host_of(&question.uri);
        let unreachable = |reason: String| HttpError::Unreachable { host: host.clone(), reason };
        let stream = self.connect(&question.uri).await.map_err(&unreachable)?;
        let silent = || unreachable(format!("no answer within {} seconds", self.stall.as_secs_f32()));
        let shake = http1::handshake::<_, BoxBody<Bytes, std::convert::Infallible>>(TokioIo::new(stream));
        let (mut sender, connection) =
            timeout(self.stall, shake).await.map_err(|_| silent())?.map_err(|error| unreachable(error.to_string()))?;
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            // What goes wrong is told to whoever reads the answer.
            let _ = connection.await;
        });
        let request = request_of(question).map_err(|error| unreachable(error.to_string()))?;
        let answer = timeout(self.stall, sender.send_request(request)).await.map_err(|_| silent())?;
        let broken = |error: hyper::Error| HttpError::Broken(format!("the connection broke: {}", chain(&error)));
        let (parts, body) = answer.map_err(broken)?.into_parts();
        // The connection ends after this answer, which it wouldn't while somebody could ask again.
        drop(sender);
        let (status, headers) = (parts.status, parts.headers);
        Ok(Answer { status, headers, body, stall: self.stall, _connection: connections })
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Stream>, String> {
        let encrypted = uri.scheme_str() == Some("https");
        let name = uri.host().unwrap_or_default();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let late = || format!("no connection within {} seconds", self.connect.as_secs_f32());
        let looked_up = timeout(self.connect, tokio::net::lookup_host((bare, port))).await.map_err(|_| late())?;
        let addresses: Vec<SocketAddr> = looked_up.map_err(|error| error.to_string())?.take(8).collect();
        let mut failure = "its name has no address".to_owned();
        for address in addresses {
            let stream = match timeout(self.connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    failure = error.to_string();
                    continue;
                }
                Err(_) => {
                    failure = late();
                    continue;
                }
            };
            if !encrypted {
                return Ok(Box::new(stream));
            }
            let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
            let shaken = timeout(self.connect, self.tls.connect(name, stream)).await.map_err(|_| late())?;
            return Ok(Box::new(shaken.map_err(|error| error.to_string())?));
        }
        Err(failure)
    }
}

impl Answer {
    /// The next part of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let silent = |_| HttpError::Broken(format!("nothing came for {} seconds", self.stall.as_secs_f32()));
            match timeout(self.stall, self.body.frame()).await.map_err(silent)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(HttpError::Broken(format!("the connection broke: {}", chain(&error)))),
                // Trailers are no data.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All of the body; `None` when it is longer than `most`.
    pub(super) async fn text(mut self, most: u64) -> Result<Option<Vec<u8>>, HttpError> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (text.len() + chunk.len()) as u64 > most {
                return Ok(None);
            }
            text.extend_from_slice(&chunk);
        }
        Ok(Some(text))
    }

    /// What the registry says the length of the body is.
    pub(super) fn length(&self) -> Option<u64> {
        self.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

fn request_of(question: &Question) -> Result<Request<BoxBody<Bytes, std::convert::Infallible>>, http::Error> {
    let Question { method, uri, headers, body } = question;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let body = if body.is_empty() { Empty::new().boxed() } else { Full::new(body.clone()).boxed() };
    let mut request = Request::builder().method(method.clone()).uri(path).body(body)?;
    request.headers_mut().extend(headers.clone());
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
    Ok(request)
}

fn host_of(uri: &Uri) -> String {
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16());
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address as another one has it.
fn join(from: &Uri, location: &str) -> Option<Uri> {
    let scheme = from.scheme_str()?;
    let whole = if location.split(['/', '?']).next().is_some_and(|first| first.contains(':')) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", from.authority()?)
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{}{folder}/{location}", from.authority()?)
    };
    let uri: Uri = whole.parse().ok()?;
    // What stands before an `@` would be credentials, and of somebody else's choice.
    let plain = uri.scheme().is_some() && !uri.authority()?.as_str().contains('@');
    plain.then_some(uri)
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_to_what_was_asked() {
        let from: Uri = "https://h:1/v2/a/blobs/x?y=1".parse().unwrap();
        for (location, meant) in [
            ("https://other/p?q", Some("https://other/p?q")),
            ("/p?q", Some("https://h:1/p?q")),
            ("p", Some("https://h:1/v2/a/blobs/p")),
            ("//other/p", Some("https://other/p")),
            ("https://user:secret@other/p", None),
            ("//user@other/p", None),
            ("/p?next=https://x", Some("https://h:1/p?next=https://x")),
            ("https://", None),
            ("file:///etc/passwd", None),
            ("mailto:x", None),
        ] {
            assert_eq!(join(&from, location).map(|uri| uri.to_string()), meant.map(str::to_owned), "{location}");
        }
    }
}
