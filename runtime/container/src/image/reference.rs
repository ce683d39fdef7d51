//! What images are called, as Docker has it.

use std::fmt;
use std::str::FromStr;

use wasmbatch_core::Digest;

use super::error::PullError;

const DEFAULT_REGISTRY: &str = "docker.io";
const MOST_NAME: usize = 255;
const MOST_TAG: usize = 128;

/// A registry, a repository in it, and one version of that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reference {
    /// Host, and port behind a colon.
    pub(crate) registry: String,
    pub(crate) repository: String,
    pub(crate) version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Version {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Where the registry of this name answers.
    pub(crate) fn address(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { "registry-1.docker.io" } else { &self.registry }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, repository, version } = self;
        match version {
            Version::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
            Version::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        parse(text)
            .ok_or_else(|| PullError::Reference(text.chars().filter(|c| !c.is_control()).take(MOST_NAME).collect()))
    }
}

fn parse(text: &str) -> Option<Reference> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().ok()?)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return None;
    }
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_host_like(host) => (host, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    if !is_host(registry) || path.len() > MOST_NAME || !path.split('/').all(is_path_part) {
        return None;
    }
    let official = registry == DEFAULT_REGISTRY && !path.contains('/');
    let repository = if official { format!("library/{path}") } else { path.to_owned() };
    // With both the digest decides.
    let version = match digest {
        Some(digest) => Version::Digest(digest),
        None => Version::Tag(tag.unwrap_or("latest").to_owned()),
    };
    Some(Reference { registry: registry.to_owned(), repository, version })
}

/// Whether the first part of a name is a registry's.
fn is_host_like(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match six {
        Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let part = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && !part.starts_with('-')
                    && !part.ends_with('-')
            };
            host.len() <= MOST_NAME && host.split('.').all(part)
        }
    };
    port_fits && host_fits
}

fn is_path_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<u8>| byte.is_some_and(plain);
    ends(part.bytes().next())
        && ends(part.bytes().last())
        && part.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_tag(tag: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MOST_TAG
        && tag.bytes().next().is_some_and(fits)
        && tag.bytes().all(|byte| fits(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_mean_to_docker() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, meant) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.36", "docker.io/library/busybox:1.36".to_owned()),
            ("example/busybox", "docker.io/example/busybox:latest".to_owned()),
            ("docker.io/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("index.docker.io/a/b:c", "docker.io/a/b:c".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("127.0.0.1:5000/test/py:app", "127.0.0.1:5000/test/py:app".to_owned()),
            ("[::1]:5000/x", "[::1]:5000/x:latest".to_owned()),
            ("public.ecr.aws/a/b/c:V1.0_x-y", "public.ecr.aws/a/b/c:V1.0_x-y".to_owned()),
            (&format!("busybox@{digest}"), format!("docker.io/library/busybox@{digest}")),
            (&format!("busybox:1@{digest}"), format!("docker.io/library/busybox@{digest}")),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), meant);
            assert_eq!(meant.parse(), Ok(reference));
        }
        let address = |text: &str| text.parse::<Reference>().unwrap().address().to_owned();
        assert_eq!(address("busybox"), "registry-1.docker.io");
        assert_eq!(address("ghcr.io/a/b"), "ghcr.io");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for text in [
            "",
            ":",
            "a:",
            "A",
            "a b",
            "a/../b",
            "/a",
            "a/",
            "a//b",
            "http://a/b",
            "a@sha256:00",
            "a@b",
            "-a",
            "a:b:c",
            "host:99999/x",
            "h_st.com/x",
            "a\0b",
            "a:\u{e4}",
            &long,
            "x.y:0/a",
        ] {
            assert!(matches!(text.parse::<Reference>(), Err(PullError::Reference(_))), "{text}");
        }
    }
}
