//! A client of registries, as the OCI distribution specification has them: manifests, blobs, tokens.

mod auth;
mod http;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use ::http::{Method, StatusCode, Uri};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use wasmbatch_core::Digest;

use self::auth::{Challenge, Keys, Passes};
use self::http::{Answer, Http, HttpError, Question};
use super::error::{OpenError, PullError};
use super::manifest::{DOCKER_LIST, DOCKER_MANIFEST, MOST_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use super::options::Options;
use super::reference::{Reference, Version};

/// Most bytes of an answer that says what is wrong, or of a token.
const MOST_ANSWER: u64 = 1 << 20;
/// Most characters of a registry's own words.
const MOST_WORDS: usize = 500;
/// Tries of a request that a registry has no time for.
pub(crate) const MOST_TRIES: u32 = 4;
/// Longest that a registry may ask to wait.
const MOST_WAIT: Duration = Duration::from_secs(20);

/// Asks registries.
#[derive(Debug)]
pub(crate) struct Client {
    http: Http,
    keys: Keys,
    passes: Passes,
    retry_delay: Duration,
}

/// A blob that is coming.
#[derive(Debug)]
pub(crate) struct Blob {
    answer: Answer,
    /// Where in the blob it begins.
    pub(crate) offset: u64,
    registry: String,
}

impl Client {
    pub(crate) fn new(options: &Options) -> Result<Self, OpenError> {
        let keys = options.registry_auth.as_deref().map(Keys::read).transpose()?.unwrap_or_default();
        let tls = Arc::new(tls(options)?);
        let http = Http::new(tls, &options.plain_http_registries, options.connect_timeout, options.stall_timeout);
        Ok(Self { http, keys, passes: Passes::default(), retry_delay: options.retry_delay })
    }

    /// The digest that a tag stands for, if the registry says it without more. A registry that has no
    /// time is asked so many times, and its last answer is an error.
    pub(crate) async fn digest_of_tag(&self, reference: &Reference, tries: u32) -> Result<Option<Digest>, PullError> {
        let answer = self.manifest_answer(Method::HEAD, reference, None, tries).await?;
        if is_busy(answer.status) {
            return Err(refused(format!("manifest {reference}"), answer).await);
        }
        let digest = answer.headers.get("docker-content-digest").and_then(|digest| digest.to_str().ok());
        Ok(digest.filter(|_| answer.status == StatusCode::OK).and_then(|digest| digest.parse().ok()))
    }

    /// A manifest's or an index's text: of this digest, or of what the reference stands for.
    pub(crate) async fn manifest(&self, reference: &Reference, digest: Option<Digest>) -> Result<Vec<u8>, PullError> {
        let what = match digest {
            Some(digest) => format!("manifest {digest} of {}", name(reference)),
            None => format!("manifest {reference}"),
        };
        let answer = self.manifest_answer(Method::GET, reference, digest, MOST_TRIES).await?;
        if answer.status != StatusCode::OK {
            return Err(refused(what, answer).await);
        }
        let too_large = |bytes| PullError::TooLarge { what: what.clone(), bytes, limit: MOST_MANIFEST };
        if let Some(length) = answer.length().filter(|length| *length > MOST_MANIFEST) {
            return Err(too_large(length));
        }
        let text = answer.text(MOST_MANIFEST).await.map_err(|error| unreachable(reference.address(), &error))?;
        text.ok_or_else(|| too_large(MOST_MANIFEST + 1))
    }

    async fn manifest_answer(
        &self,
        method: Method,
        reference: &Reference,
        digest: Option<Digest>,
        tries: u32,
    ) -> Result<Answer, PullError> {
        let version = match (&digest, &reference.version) {
            (Some(digest), _) | (None, Version::Digest(digest)) => digest.to_string(),
            (None, Version::Tag(tag)) => tag.clone(),
        };
        let mut headers = HeaderMap::new();
        let accepted = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].join(", ");
        headers.insert(ACCEPT, HeaderValue::from_str(&accepted).expect("types are plain text"));
        self.ask(method, reference, &format!("manifests/{version}"), headers, tries).await
    }

    /// A blob, from `offset` on if the registry can.
    pub(crate) async fn blob(&self, reference: &Reference, digest: Digest, offset: u64) -> Result<Blob, PullError> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            headers.insert(RANGE, range.expect("digits are plain text"));
        }
        let answer = self.ask(Method::GET, reference, &format!("blobs/{digest}"), headers, MOST_TRIES).await?;
        let begins = match answer.status {
            StatusCode::OK => Some(0),
            StatusCode::PARTIAL_CONTENT => range_start(&answer).filter(|start| *start == offset),
            _ => None,
        };
        match begins {
            Some(offset) => Ok(Blob { answer, offset, registry: reference.address().to_owned() }),
            None => Err(refused(format!("blob {digest} of {}", name(reference)), answer).await),
        }
    }

    /// Asks for something of a repository, with what credentials that takes, and again when the
    /// registry has no time.
    async fn ask(
        &self,
        method: Method,
        reference: &Reference,
        path: &str,
        headers: HeaderMap,
        most_tries: u32,
    ) -> Result<Answer, PullError> {
        let mut tries = 0;
        loop {
            let answer = self.ask_with_pass(&method, reference, path, &headers).await?;
            tries += 1;
            if !is_busy(answer.status) || tries >= most_tries {
                return Ok(answer);
            }
            let told = answer.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            let wait = told.map_or(self.retry_delay * (1 << (tries - 1)), Duration::from_secs);
            tokio::time::sleep(wait.min(MOST_WAIT)).await;
        }
    }

    async fn ask_with_pass(
        &self,
        method: &Method,
        reference: &Reference,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Answer, PullError> {
        let (registry, repository) = (reference.address(), reference.repository.as_str());
        let failed = |error: HttpError| unreachable(registry, &error);
        let uri = self.http.address(registry, &format!("/v2/{repository}/{path}")).map_err(failed)?;
        let mut question = Question { method: method.clone(), uri, headers: headers.clone(), body: Bytes::new() };
        if let Some(pass) = self.passes.get(registry, repository) {
            authorize(&mut question, &pass);
        }
        let answer = self.http.ask(question.clone()).await.map_err(failed)?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.passes.forget(registry, repository);
        let challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|header| header.to_str().ok());
        let Some(challenge) = challenges.filter_map(auth::challenge).next_back() else { return Ok(answer) };
        let Some((pass, life)) = self.pass(reference, challenge).await? else { return Ok(answer) };
        self.passes.put(registry, repository, &pass, life);
        authorize(&mut question, &pass);
        self.http.ask(question).await.map_err(failed)
    }

    /// What answers a challenge, if we have it.
    async fn pass(&self, reference: &Reference, challenge: Challenge) -> Result<Option<(String, Duration)>, PullError> {
        let registry = reference.address();
        let key = self.keys.of(registry);
        let (realm, service, scope) = match challenge {
            Challenge::Basic => return Ok(key.map(|key| (key.basic(), Duration::from_secs(300)))),
            Challenge::Bearer { realm, service, scope } => (realm, service, scope),
        };
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", reference.repository));
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut address = realm;
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(&format!("scope={}", encoded(&scope)));
        if let Some(service) = service {
            address.push_str(&format!("&service={}", encoded(&service)));
        }
        let unusable = || PullError::Unreachable {
            registry: registry.to_owned(),
            reason: "the place for its tokens is not usable".to_owned(),
        };
        let uri: Uri = address.parse().map_err(|_| unusable())?;
        if !self.http.may_ask(&uri) {
            return Err(unusable());
        }
        let mut question = Question { method: Method::GET, uri, headers: HeaderMap::new(), body: Bytes::new() };
        if let Some(key) = key {
            authorize(&mut question, &key.basic());
        }
        let answer = self.http.ask(question).await.map_err(|error| unreachable(registry, &error))?;
        if answer.status != StatusCode::OK {
            return Err(refused(format!("token for {}", name(reference)), answer).await);
        }
        let text = answer.text(MOST_ANSWER).await.map_err(|error| unreachable(registry, &error))?;
        let token = text.as_deref().and_then(auth::token).ok_or_else(|| PullError::Unreachable {
            registry: registry.to_owned(),
            reason: "its token is not valid".to_owned(),
        })?;
        Ok(Some(token))
    }
}

impl Blob {
    /// The next part; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, PullError> {
        self.answer.chunk().await.map_err(|error| unreachable(&self.registry, &error))
    }

    /// How many bytes the registry says are still to come.
    pub(crate) fn length(&self) -> Option<u64> {
        self.answer.length()
    }
}

fn authorize(question: &mut Question, pass: &str) {
    // One that no header can have is as good as none.
    if let Ok(mut value) = HeaderValue::from_str(pass) {
        value.set_sensitive(true);
        question.headers.insert(AUTHORIZATION, value);
    }
}

fn name(reference: &Reference) -> String {
    format!("{}/{}", reference.registry, reference.repository)
}

fn unreachable(registry: &str, error: &HttpError) -> PullError {
    let reason = match error {
        HttpError::Unreachable { host, reason } if host == registry => reason.clone(),
        other => other.to_string(),
    };
    PullError::Unreachable { registry: registry.to_owned(), reason }
}

/// Whether it may say something else in a moment.
fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn range_start(answer: &Answer) -> Option<u64> {
    let range = answer.headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    errors: Vec<Word>,
    details: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Word {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a registry says when it says no.
async fn refused(what: String, answer: Answer) -> PullError {
    let status = answer.status;
    // Whatever else goes wrong, this went wrong first.
    let text = answer.text(MOST_ANSWER).await.ok().flatten().unwrap_or_default();
    let words = match serde_json::from_slice::<Envelope>(&text) {
        Ok(Envelope { errors, details, message }) => {
            let words =
                errors.into_iter().take(4).map(|Word { code, message }| match (code.as_str(), message.as_str()) {
                    ("", _) => message,
                    (_, "") => code,
                    _ => format!("{code}: {message}"),
                });
            let words: Vec<String> = words.chain(details).chain(message).filter(|word| !word.is_empty()).collect();
            words.join(", ")
        }
        Err(_) => String::new(),
    };
    let words: String = words.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
    let said = match (words.is_empty(), status.canonical_reason()) {
        (false, _) => words,
        (true, Some(reason)) => reason.to_lowercase(),
        (true, None) => "refused".to_owned(),
    };
    PullError::Refused { what, status: status.as_u16(), said }
}

/// Trusts what is built in, and what the owner adds.
fn tls(options: &Options) -> Result<rustls::ClientConfig, OpenError> {
    let mut roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = &options.registry_ca {
        let wrong = |reason: String| OpenError::Settings { path: path.display().to_string(), reason };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        let mut added = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            added += 1;
        }
        if added == 0 {
            return Err(wrong("has no certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| OpenError::Settings { path: "TLS".to_owned(), reason: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
