//! How fast attempts may write: a guest that writes without end is held back, so that it takes neither
//! the disk nor the lock of the logs from the others.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wasmbatch_core::{AttemptId, Timestamp};

/// Bytes that an attempt may write at once: as much as a log keeps unless it is told otherwise, so
/// that whoever stays within that is never held back.
const BURST_BYTES: u64 = 64 << 20;
/// Bytes that an attempt may write in a millisecond after that: about 8 MiB a second.
const BYTES_PER_MILLI: u64 = 8 * 1024;
/// Longest wait of one write. An attempt that is held back reads no signal to stop; its worker's end
/// is seen when the write returns.
const MOST_WAIT: Duration = Duration::from_millis(100);

/// What each attempt under way may still write.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    attempts: Mutex<BTreeMap<AttemptId, Bucket>>,
}

/// Fills with time and empties with what is written.
#[derive(Debug)]
struct Bucket {
    /// What may be written without a wait; below zero what was written ahead of time.
    left: i64,
    filled_at: Timestamp,
}

impl Pace {
    /// Counts a write of an attempt; how long it has to wait before the next.
    pub(crate) fn wrote(&self, attempt: AttemptId, bytes: usize, now: Timestamp) -> Duration {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { left: BURST_BYTES.cast_signed(), filled_at: now };
        attempts.entry(attempt).or_insert(full).take(bytes, now)
    }

    /// Forgets an attempt that has ended.
    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }
}

impl Bucket {
    fn take(&mut self, bytes: usize, now: Timestamp) -> Duration {
        // A clock that steps back fills nothing, and one that jumps ahead fills it once.
        let millis = u64::try_from(now.as_millis().saturating_sub(self.filled_at.as_millis())).unwrap_or(0);
        let filled = i64::try_from(millis.saturating_mul(BYTES_PER_MILLI)).unwrap_or(i64::MAX);
        self.filled_at = now;
        self.left = self.left.saturating_add(filled).min(BURST_BYTES.cast_signed());
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        if self.left >= 0 {
            return Duration::ZERO;
        }
        let wait = Duration::from_millis(self.left.unsigned_abs().div_ceil(BYTES_PER_MILLI));
        if wait > MOST_WAIT {
            // What could not be waited for is not owed: the debt of a clock that stands still would
            // only grow.
            self.left = 0;
        }
        wait.min(MOST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use wasmbatch_core::JobId;

    use super::*;

    const CHUNK: usize = 64 * 1024;

    fn attempt(number: u8) -> AttemptId {
        AttemptId { job: JobId::from_bytes([number; 16]), number: 1, generation: 1, member: 0 }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_a_log_keeps_is_written_without_a_wait() {
        let pace = Pace::default();
        for _ in 0..1024 {
            assert_eq!(pace.wrote(attempt(1), CHUNK, at(1)), Duration::ZERO);
        }
        assert_eq!(pace.wrote(attempt(1), CHUNK, at(1)), Duration::from_millis(8));
        assert_eq!(pace.wrote(attempt(2), CHUNK, at(1)), Duration::ZERO, "nobody pays for another");
        pace.forget(attempt(1));
        assert_eq!(pace.wrote(attempt(1), CHUNK, at(1)), Duration::ZERO);
    }

    #[test]
    fn whoever_goes_on_writes_at_the_sustained_rate() {
        let pace = Pace::default();
        let (mut now, mut written) = (0, 0);
        while now < 60_000 {
            written += CHUNK;
            let wait = pace.wrote(attempt(1), CHUNK, at(now));
            now += i64::try_from(wait.as_millis()).unwrap();
        }
        let sustained = written - usize::try_from(BURST_BYTES).unwrap();
        assert_eq!(sustained / CHUNK, 60_000 / 8, "8 KiB a millisecond");
    }

    #[test]
    fn no_write_waits_long_whatever_the_clock_does() {
        let pace = Pace::default();
        for now in [5_000, 4_000, -9_000, i64::MIN, i64::MAX, 0, 0] {
            assert!(pace.wrote(attempt(1), usize::MAX, at(now)) <= MOST_WAIT);
        }
        assert_eq!(pace.wrote(attempt(1), CHUNK, at(0)), Duration::from_millis(8));
    }
}
