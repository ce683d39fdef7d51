//! What `wasmbatch:` tags ask for. They ride in tags, since clients refuse to send members that the
//! service model doesn't have.

use std::collections::BTreeMap;

use crate::limits;
use crate::rejection::Rejection;

/// Prefix of the tags that mean something here.
pub const PREFIX: &str = "wasmbatch:";
/// Most children of an array that hold capacity at once.
pub const MAX_RUNNING: &str = "wasmbatch:max-running";
/// Seconds before the second attempt, doubled before each further one.
pub const RETRY_BACKOFF: &str = "wasmbatch:retry-backoff";
/// A submit with the same token is the same submit.
pub const CLIENT_TOKEN: &str = "wasmbatch:client-token";
/// Whether the same program and input must give the same output: `true` or `false`.
pub const DETERMINISTIC: &str = "wasmbatch:deterministic";
/// Seconds of CPU time after which an attempt is ended.
pub const CPU_LIMIT: &str = "wasmbatch:cpu-limit";

/// The `wasmbatch:` tags of a job: its definition's with the submit's over them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// From 1.
    pub max_running: Option<u32>,
    /// From 1 to [`limits::RETRY_BACKOFF_SECONDS`], which is also the most that doubling comes to.
    pub retry_backoff_seconds: Option<u32>,
    /// 1 to 64 characters.
    pub client_token: Option<String>,
    /// Every container of such a job has a FUEL requirement.
    pub deterministic: bool,
    /// From 1 to [`limits::CPU_LIMIT_SECONDS`], for each container of an attempt.
    pub cpu_limit_seconds: Option<u32>,
}

impl Extensions {
    /// Reads the tags that have the prefix; others are left alone.
    ///
    /// # Errors
    /// An unknown `wasmbatch:` tag, or a value out of its bounds.
    pub fn of_tags(tags: &BTreeMap<String, String>) -> Result<Self, Rejection> {
        let mut found = Self::default();
        for (key, value) in tags.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            let bad = |wanted: String| Rejection::ExtensionTagValue { key: key.clone(), wanted };
            let whole = |most: u32| {
                let number = value.parse().ok().filter(|number| (1..=most).contains(number) && !value.starts_with('+'));
                number.ok_or_else(|| bad(format!("a whole number from 1 to {most}")))
            };
            match key.as_str() {
                MAX_RUNNING => found.max_running = Some(whole(limits::ARRAY_SIZE)?),
                RETRY_BACKOFF => found.retry_backoff_seconds = Some(whole(limits::RETRY_BACKOFF_SECONDS)?),
                CPU_LIMIT => found.cpu_limit_seconds = Some(whole(limits::CPU_LIMIT_SECONDS)?),
                DETERMINISTIC => {
                    let wanted = || bad("true or false".to_owned());
                    found.deterministic = value.parse().map_err(|_| wanted())?;
                }
                CLIENT_TOKEN => {
                    if !(1..=limits::CLIENT_TOKEN_CHARS).contains(&value.chars().count()) {
                        return Err(bad(format!("1 to {} characters", limits::CLIENT_TOKEN_CHARS)));
                    }
                    found.client_token = Some(value.clone());
                }
                _ => return Err(Rejection::UnknownExtensionTag { key: crate::name::shortened(key) }),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<Extensions, Rejection> {
        Extensions::of_tags(&BTreeMap::from([(key.to_owned(), value.to_owned()), ("a".to_owned(), "b".to_owned())]))
    }

    #[test]
    fn known_tags_are_read_within_their_bounds() {
        assert_eq!(read(MAX_RUNNING, "3").unwrap().max_running, Some(3));
        assert_eq!(read(RETRY_BACKOFF, "60").unwrap().retry_backoff_seconds, Some(60));
        assert_eq!(read(CLIENT_TOKEN, "t").unwrap().client_token.as_deref(), Some("t"));
        assert_eq!(read(CPU_LIMIT, "31536000").unwrap().cpu_limit_seconds, Some(31_536_000));
        assert!(read(DETERMINISTIC, "true").unwrap().deterministic);
        assert!(!read(DETERMINISTIC, "false").unwrap().deterministic);
        assert_eq!(read("other", "t").unwrap(), Extensions::default());
        for (key, value) in [
            (MAX_RUNNING, "0"),
            (MAX_RUNNING, "+1"),
            (RETRY_BACKOFF, "x"),
            (CLIENT_TOKEN, ""),
            (DETERMINISTIC, "True"),
            (DETERMINISTIC, ""),
            (CPU_LIMIT, "0"),
            (CPU_LIMIT, "31536001"),
            (CPU_LIMIT, "1.5"),
        ] {
            assert!(matches!(read(key, value), Err(Rejection::ExtensionTagValue { .. })), "{key}={value}");
        }
        assert!(matches!(read("wasmbatch:colour", "red"), Err(Rejection::UnknownExtensionTag { .. })));
    }
}
