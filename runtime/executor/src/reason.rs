//! Texts that end up in a job's `container.reason`.

use std::time::Duration;

use crate::frame::MAX_REASON;

/// Of an attempt that its memory limit ended, as Batch words it; evaluateOnExit patterns match on it.
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// Of an attempt whose CPU time was up.
pub fn cpu_time_exceeded(limit: Duration) -> String {
    format!("CpuTimeExceeded: more than {} seconds of CPU time", limit.as_secs())
}

/// The text with only such characters as evaluateOnExit's `onReason` patterns can match: letters,
/// digits, `.`, `:` and spaces, at most 1,024 of them. Everything else becomes a space, and runs of
/// spaces one.
pub fn matchable(text: &str) -> String {
    let mut reason = String::with_capacity(text.len().min(MAX_REASON));
    for character in text.chars() {
        if reason.len() >= MAX_REASON {
            break;
        }
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | ':' => reason.push(character),
            _ if reason.is_empty() || reason.ends_with(' ') => {}
            _ => reason.push(' '),
        }
    }
    reason.truncate(reason.trim_end().len());
    reason
}

/// The text without control characters, at most 1,024 bytes of it: fit for people.
pub(crate) fn readable(text: &str) -> String {
    let mut reason: String = text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
    while reason.len() > MAX_REASON {
        reason.pop();
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_patterns_can_match_remains() {
        assert_eq!(matchable("wasm `unreachable` instruction\nexecuted!"), "wasm unreachable instruction executed");
        assert_eq!(matchable("  a_b/c: 1.5 "), "a b c: 1.5");
        assert_eq!(matchable(&"ä".repeat(5000)), "");
        assert_eq!(matchable(&"x".repeat(5000)).len(), MAX_REASON);
        assert_eq!(readable(&"ä\n".repeat(5000)).len(), MAX_REASON);
    }
}
