//! When and how often a call is repeated.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::error::{ApiError, Error};

/// Tries of one call, the first included.
const TRIES: u32 = 5;
/// The longest pause doubles from this one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Whether doing a call twice is the same as doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Reads, deletions, cancel and terminate, tags.
    Harmless,
    /// Submits and creations.
    Harmful,
}

/// The pause before the next try after `tries` failed ones; `None` to give up.
pub(crate) fn pause(error: &Error, repeat: Repeat, tries: u32) -> Option<Duration> {
    let again = match error {
        // Nothing was sent.
        Error::Transport(cause) if cause.is_connect() => true,
        Error::Transport(_) => repeat == Repeat::Harmless,
        // Refused before anything was done.
        Error::Api(ApiError { status: 429, .. }) => true,
        Error::Api(ApiError { status, .. }) => *status >= 500 && repeat == Repeat::Harmless,
        Error::Answer(_) | Error::TooLarge(_) | Error::Endpoint(_) => false,
    };
    (again && tries < TRIES).then(|| jittered(FIRST_PAUSE * 2_u32.pow(tries.saturating_sub(1)), random()))
}

/// Between nothing and all of `most`, so that many clients don't come back at once.
fn jittered(most: Duration, random: u64) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % (millis + 1))
}

/// Random enough for a pause; the keys of a hasher are.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: u16) -> Error {
        Error::Api(ApiError { status, code: String::new(), message: String::new(), request_id: None })
    }

    #[test]
    fn only_what_was_certainly_not_done_is_repeated_when_twice_would_harm() {
        assert!(pause(&api(429), Repeat::Harmful, 1).is_some());
        assert!(pause(&api(500), Repeat::Harmful, 1).is_none());
        assert!(pause(&api(500), Repeat::Harmless, 1).is_some());
        assert!(pause(&api(400), Repeat::Harmless, 1).is_none());
        assert!(pause(&api(429), Repeat::Harmless, TRIES).is_none());
    }

    #[test]
    fn pauses_stay_within_their_bound() {
        for random in [0, 1, 99, u64::MAX] {
            assert!(jittered(FIRST_PAUSE, random) <= FIRST_PAUSE);
        }
    }
}
