//! The time, for what outlives a process: when a container began, when an image was used.

use std::time::SystemTime;

/// Milliseconds of Unix time.
#[expect(clippy::disallowed_methods, reason = "a shim tells the time when nobody else is there")]
pub(crate) fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
