//! filterPattern: terms and quoted phrases that must all be there, `?term` for any of several,
//! `-term` for none. Patterns about JSON, columns and regular expressions are refused.

use crate::error::ApiError;

/// Longest pattern, in characters `[API]`.
const CHARS: usize = 1024;

/// A pattern, taken apart. Matching is by case, anywhere in the message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.chars().count() > CHARS {
            return Err(ApiError::invalid_parameter(format!("filterPattern must have at most {CHARS} characters")));
        }
        let text = text.trim();
        if text.starts_with(['{', '[', '%']) {
            let message = "Invalid filter pattern: JSON, column and regular expression patterns are not supported";
            return Err(ApiError::invalid_parameter(message));
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (list, behind) = match rest.as_bytes()[0] {
                b'?' => (&mut pattern.any, &rest[1..]),
                b'-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (term, behind) = term(behind)?;
            list.push(term);
            rest = behind.trim_start();
        }
        Ok(pattern)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let holds = |term: &String| message.contains(term.as_str());
        // AWS passes over optional terms beside required ones.
        let any = self.any.is_empty() || !self.all.is_empty() || self.any.iter().any(holds);
        any && self.all.iter().all(holds) && !self.none.iter().any(holds)
    }
}

/// The first term and what stands behind it.
fn term(text: &str) -> Result<(String, &str), ApiError> {
    let invalid = |what: &str| Err(ApiError::invalid_parameter(format!("Invalid filter pattern: {what}")));
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return if end == 0 { invalid("a term is missing") } else { Ok((text[..end].to_owned(), &text[end..])) };
    };
    let mut phrase = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((phrase, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped)) => phrase.push(escaped),
                None => break,
            },
            _ => phrase.push(char),
        }
    }
    invalid("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terms_combine_as_at_aws() {
        for (pattern, message, expected) in [
            ("", "anything", true),
            ("ERROR", "an ERROR here", true),
            ("ERROR", "an error here", false),
            ("a b", "b then a", true),
            ("a b", "only a", false),
            ("\"a b\"", "b then a b", true),
            ("\"a b\"", "b a", false),
            ("?ERROR ?WARN", "WARN", true),
            ("?ERROR ?WARN", "INFO", false),
            ("ERROR -ignored", "ERROR ignored", false),
            ("ERROR -ignored", "ERROR", true),
            ("-\"a b\"", "a b", false),
            ("\"say \\\"hi\\\"\"", "say \"hi\"", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(message), expected, "{pattern} {message}");
        }
    }

    #[test]
    fn other_patterns_are_refused() {
        for pattern in ["{ $.a = 1 }", "[a, b]", "%x%", "\"open", "? a", "-", &"x".repeat(1025)] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in ".{0,60}", message in ".{0,60}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
            }
        }
    }
}
