//! Validated names.

use std::fmt;
use std::sync::Arc;

use crate::limits;

/// The name of a queue, compute environment or job definition: 1 to 128 letters, digits, hyphens
/// and underscores `[API]`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The name doesn't match; Display is the wording AWS uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Provided name {0} is not supported pattern[a-zA-Z_0-9-]{{1,128}}")]
pub struct InvalidName(pub String);

impl Name {
    /// Takes a name as a client gave it.
    ///
    /// # Errors
    /// The text is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=limits::NAME_CHARS).contains(&text.len()) && text.bytes().all(is_name_byte);
        if fits { Ok(Self(text.into())) } else { Err(InvalidName(shortened(text))) }
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A job's name: up to 128 letters, digits, hyphens and underscores, the first one a letter or a
/// digit `[API]`. Not unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName(Box<str>);

/// The job name doesn't match; Display is the wording AWS uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Job name should match valid pattern")]
pub struct InvalidJobName;

impl JobName {
    /// Takes a job name as a client gave it.
    ///
    /// # Errors
    /// The text is empty, too long, or has a character or a first character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidJobName> {
        let fits = text.len() <= limits::NAME_CHARS
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && text.bytes().all(is_name_byte);
        if fits { Ok(Self(text.into())) } else { Err(InvalidJobName) }
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Cuts what a client sent to a length fit for an error message.
pub fn shortened(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_batch() {
        assert!(Name::parse("a").is_ok());
        assert!(Name::parse("-_Z9").is_ok());
        assert!(Name::parse(&"x".repeat(128)).is_ok());
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
        assert!(JobName::parse("a").is_ok());
        assert!(JobName::parse("_a").is_err());
        assert!(JobName::parse("").is_err());
    }
}
