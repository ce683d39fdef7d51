//! The signal that asks a container to stop.

use super::error::SpecError;
use crate::image::ImageConfig;

/// Names without `SIG` and numbers, those that are the same on x86_64 and aarch64.
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;
const SIGTERM: i32 = 15;

/// The number of the image's stop signal, given as Docker takes it: `SIGINT`, `int`, `2`, `SIGRTMIN+3`.
///
/// # Errors
/// There is no such signal.
pub fn stop_signal(image: &ImageConfig) -> Result<i32, SpecError> {
    let Some(given) = image.stop_signal.as_deref().filter(|given| !given.is_empty()) else {
        return Ok(SIGTERM);
    };
    number(given).ok_or_else(|| SpecError::Signal(given.to_owned()))
}

fn number(given: &str) -> Option<i32> {
    if let Ok(number) = given.parse::<i32>() {
        return (1..=SIGRTMAX).contains(&number).then_some(number);
    }
    let upper = given.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text[1..].parse::<i32>().ok() };
    let real_time = if let Some(rest) = name.strip_prefix("RTMIN") {
        (rest.is_empty() || rest.starts_with('+')).then(|| offset(rest)).flatten().map(|by| SIGRTMIN.saturating_add(by))
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        (rest.is_empty() || rest.starts_with('-')).then(|| offset(rest)).flatten().map(|by| SIGRTMAX.saturating_sub(by))
    } else {
        return SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    };
    real_time.filter(|number| (SIGRTMIN..=SIGRTMAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_taken_by_name_and_number() {
        let of =
            |text: &str| stop_signal(&ImageConfig { stop_signal: Some(text.to_owned()), ..ImageConfig::default() });
        assert_eq!(stop_signal(&ImageConfig::default()), Ok(15));
        for (text, expected) in
            [("", 15), ("SIGINT", 2), ("int", 2), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGRTMIN", 34)]
        {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
        for text in
            ["0", "65", "-1", "SIG", "SIGNOPE", "SIGRTMIN+99", "RTMIN3", "RTMIN+", "SIGRTMIN-1", "RTMAX+1", "\u{e4}"]
        {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
