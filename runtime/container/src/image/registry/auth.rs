//! Credentials: the owner's file of them, what a registry challenges with, and tokens.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::image::error::OpenError;

/// Most bytes of the file.
const MOST_FILE: u64 = 1 << 20;
/// Tokens that are remembered.
const MOST_TOKENS: usize = 1024;
/// How long a token is good for whose registry doesn't say, as the specification has it.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// How long before its end a token isn't used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// A name and a password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    user: String,
    password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// As a header has it.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

/// The owner's credentials, by registry.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<String, Credentials>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile {
    #[serde(default)]
    auths: BTreeMap<String, RawKey>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct RawKey {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Keys {
    /// Reads Docker's `config.json`.
    ///
    /// # Errors
    /// It can't be read, isn't valid, or has its credentials kept by other programs.
    pub(super) fn read(path: &Path) -> Result<Self, OpenError> {
        let wrong = |reason: String| OpenError::Settings { path: path.display().to_string(), reason };
        let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mut text = String::new();
        file.take(MOST_FILE).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // What serde says of a wrong value may show it, and it may be secret: only the place is told.
        let raw: RawFile = serde_json::from_str(text)
            .map_err(|error| format!("not valid at line {}, column {}", error.line(), error.column()))?;
        if raw.creds_store.is_some() || !raw.cred_helpers.is_empty() {
            return Err("credHelpers and credsStore are not supported: put the credentials in auths".to_owned());
        }
        let mut keys = BTreeMap::new();
        for (registry, key) in raw.auths {
            if key.identitytoken.is_some_and(|token| !token.is_empty()) {
                return Err(format!("identitytoken of {registry} is not supported: use a name and a password"));
            }
            let pair = match (key.auth.filter(|auth| !auth.is_empty()), key.username, key.password) {
                (Some(auth), _, _) => decode(&auth).ok_or_else(|| format!("auth of {registry} is not valid"))?,
                (None, Some(user), Some(password)) => Credentials { user, password },
                // An entry that a helper filled elsewhere.
                (None, _, _) => continue,
            };
            keys.insert(host_of(&registry), pair);
        }
        Ok(Self(keys))
    }

    /// Those for a registry, by its address.
    pub(super) fn of(&self, registry: &str) -> Option<&Credentials> {
        self.0.get(&host_of(registry))
    }
}

fn decode(auth: &str) -> Option<Credentials> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    // Docker leaves a zero byte behind some.
    let (user, password) = text.trim_end_matches('\0').split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// Docker writes registries as addresses, and its own in several ways.
fn host_of(registry: &str) -> String {
    let without = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    let host = without.split('/').next().unwrap_or_default();
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// What a registry wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads a `WWW-Authenticate` header.
pub(super) fn challenge(header: &str) -> Option<Challenge> {
    let header = header.trim();
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut values = parameters(rest);
    let realm = values.remove("realm")?;
    Some(Challenge::Bearer { realm, service: values.remove("service"), scope: values.remove("scope") })
}

/// `name="value", name=value`; values between quotes may have commas.
fn parameters(mut text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        values.insert(name, value.trim().to_owned());
        text = rest;
    }
    values
}

#[derive(Deserialize)]
struct RawToken {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a header has, and how long that is good for.
pub(super) fn token(text: &[u8]) -> Option<(String, Duration)> {
    let raw: RawToken = serde_json::from_slice(text).ok()?;
    let token = raw.token.or(raw.access_token).filter(|token| !token.is_empty())?;
    let life = raw.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
    Some((format!("Bearer {token}"), life))
}

/// What was let in before, by registry and repository.
#[derive(Default)]
pub(super) struct Passes(Mutex<BTreeMap<(String, String), (String, Instant)>>);

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passes(..)")
    }
}

impl Passes {
    pub(super) fn get(&self, registry: &str, repository: &str) -> Option<String> {
        let passes = self.0.lock().expect("no holder of this lock panics");
        let (header, until) = passes.get(&(registry.to_owned(), repository.to_owned()))?;
        (Instant::now() < *until).then(|| header.clone())
    }

    pub(super) fn put(&self, registry: &str, repository: &str, header: &str, life: Duration) {
        let now = Instant::now();
        let mut passes = self.0.lock().expect("no holder of this lock panics");
        passes.retain(|_, (_, until)| now < *until);
        let Some(until) = life.checked_sub(MARGIN).and_then(|life| now.checked_add(life)) else { return };
        if passes.len() < MOST_TOKENS {
            passes.insert((registry.to_owned(), repository.to_owned()), (header.to_owned(), until));
        }
    }

    pub(super) fn forget(&self, registry: &str, repository: &str) {
        let key = (registry.to_owned(), repository.to_owned());
        self.0.lock().expect("no holder of this lock panics").remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let header = r#"Bearer realm="https://auth.example/token",service="reg, one",scope="repository:a/b:pull""#;
        assert_eq!(
            challenge(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: Some("reg, one".to_owned()),
                scope: Some("repository:a/b:pull".to_owned()),
            })
        );
        assert_eq!(challenge("basic realm=x"), Some(Challenge::Basic));
        assert_eq!(challenge("Bearer"), None);
        assert_eq!(challenge("Negotiate"), None);
    }

    #[test]
    fn keys_are_as_docker_writes_them() {
        let text = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5uOnM6ZWNyZXQ="},
            "ghcr.io":{"username":"bob","password":"p"},"empty.example":{}}}"#;
        let keys = Keys::parse(text).unwrap();
        assert_eq!(keys.of("registry-1.docker.io").unwrap().basic(), "Basic YW5uOnM6ZWNyZXQ=");
        assert_eq!(keys.of("ghcr.io").unwrap().user, "bob");
        assert_eq!(keys.of("empty.example"), None);
        assert!(!format!("{keys:?}").contains("ann"));
        assert!(Keys::parse(r#"{"credsStore":"x"}"#).unwrap_err().contains("credsStore"));
        assert!(Keys::parse(r#"{"credHelpers":{"a":"b"}}"#).unwrap_err().contains("credHelpers"));
        assert!(Keys::parse(r#"{"auths":{"a":{"identitytoken":"secret"}}}"#).unwrap_err().contains("identitytoken"));
        assert!(!Keys::parse(r#"{"auths":{"a":{"auth":"c2VjcmV0"}}}"#).unwrap_err().contains("c2VjcmV0"));
        assert!(!Keys::parse(r#"{"auths":{"a":"secret"}}"#).unwrap_err().contains("secret"));
    }

    #[test]
    fn passes_end_before_their_time() {
        let passes = Passes::default();
        passes.put("r", "a", "Bearer x", Duration::from_secs(100));
        passes.put("r", "b", "Bearer y", Duration::from_secs(5));
        assert_eq!(passes.get("r", "a").as_deref(), Some("Bearer x"));
        assert_eq!(passes.get("r", "b"), None);
        passes.forget("r", "a");
        assert_eq!(passes.get("r", "a"), None);
    }
}
