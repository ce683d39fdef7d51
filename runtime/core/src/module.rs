//! Uploaded modules: a name and tag for the digest of stored bytes.

use std::fmt;

use crate::id::Digest;
use crate::limits;
use crate::name::shortened;
use crate::time::Timestamp;

/// `name:tag` of an uploaded module. Neither part can be mistaken for a path: letters, digits,
/// `.`, `_`, `-` and, in the name, `/` between non-empty segments none of which begins with `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleName {
    name: String,
    tag: String,
}

/// Not a module name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a module name: want name:tag of letters, digits, '.', '_', '-' and '/'")]
pub struct InvalidModuleName(pub String);

impl ModuleName {
    /// The tag of a reference that names none.
    pub const DEFAULT_TAG: &'static str = "latest";

    /// From `name:tag` or `name`, whose tag is then `latest`.
    ///
    /// # Errors
    /// A part is empty, too long or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidModuleName> {
        let (name, tag) = text.split_once(':').unwrap_or((text, Self::DEFAULT_TAG));
        let part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let fits = name.len() <= limits::MODULE_NAME_CHARS && tag.len() <= limits::MODULE_NAME_CHARS;
        if fits && name.split('/').all(part) && part(tag) {
            Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
        } else {
            Err(InvalidModuleName(shortened(text)))
        }
    }

    /// The name without the tag: what the program sees as `argv[0]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// An uploaded module. Its bytes lie in the data folder under the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// What image references name it by.
    pub name: ModuleName,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Size of the module in bytes.
    pub size_bytes: u64,
    /// When this name was last given to these bytes.
    pub uploaded_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_name_is_never_a_path() {
        assert_eq!(ModuleName::parse("hello").unwrap().to_string(), "hello:latest");
        assert_eq!(ModuleName::parse("team/render:1.2").unwrap().name(), "team/render");
        for bad in ["", ":1", "a:", "../a:1", "a/..:1", "/a:1", "a//b:1", "a:../b", "a b:1", "a:b:c", ".a:1"] {
            assert!(ModuleName::parse(bad).is_err(), "{bad}");
        }
    }
}
