//! Typed identifiers. None of them is made here: random ones arrive with the command.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A job's id: a UUID, shown hyphenated as AWS Batch shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// Wraps a UUID that the caller drew.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The 16 bytes in network order, as the store keys rows by them.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The inverse of [`JobId::to_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The text is not a hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a job id")]
pub struct InvalidJobId;

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Only the canonical 36-character form: one job must not answer to several spellings.
        if text.len() != 36 {
            return Err(InvalidJobId);
        }
        let uuid = Uuid::try_parse(text).map_err(|_| InvalidJobId)?;
        let id = Self(uuid);
        if id.to_string() == text { Ok(id) } else { Err(InvalidJobId) }
    }
}

/// One attempt of one job. It rides on every effect and every report; a report whose attempt is
/// not the one in the job's state is stale and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The job this is an attempt of.
    pub job: JobId,
    /// Counts from 1; what the job sees as `AWS_BATCH_JOB_ATTEMPT`.
    pub number: u32,
    /// Fencing: rises with every start on this node, so no two starts share one.
    pub generation: u64,
}

/// The last part of its log stream's name: the job's id, from the second attempt on with its number
/// behind, so that a job that was never retried is found by its id alone.
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            1 => self.job.fmt(f),
            number => write!(f, "{}-{number}", self.job),
        }
    }
}

impl AttemptId {
    /// Job and number of what Display writes.
    pub fn parse(text: &str) -> Option<(JobId, u32)> {
        if let Ok(job) = text.parse() {
            return Some((job, 1));
        }
        let (job, number) = text.rsplit_once('-')?;
        let number = number.parse().ok().filter(|number| *number > 1)?;
        Some((job.parse().ok()?, number))
    }
}

/// SHA-256 of a module's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps 32 bytes that the caller hashed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits, the file name of a stored module.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

/// The text is not `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a sha256 digest")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.strip_prefix("sha256:").ok_or(InvalidDigest)?.as_bytes();
        if hex.len() != 64 {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidDigest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_has_one_spelling() {
        let id: JobId = "5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f".parse().unwrap();
        assert_eq!(id.to_string(), "5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f");
        assert_eq!(JobId::from_bytes(id.to_bytes()), id);
        for other in ["5F0E2B7C-1D3A-4C55-9E21-0A1B2C3D4E5F", "5f0e2b7c1d3a4c559e210a1b2c3d4e5f", ""] {
            assert_eq!(other.parse::<JobId>(), Err(InvalidJobId));
        }
    }

    #[test]
    fn an_attempt_is_found_by_its_name() {
        let job = JobId::from_bytes([7; 16]);
        for number in [1, 2, 10] {
            let attempt = AttemptId { job, number, generation: 5 };
            assert_eq!(AttemptId::parse(&attempt.to_string()), Some((job, number)));
        }
        assert_eq!(AttemptId::parse(&format!("{job}-1")), None);
        assert_eq!(AttemptId::parse("x-2"), None);
    }

    #[test]
    fn a_digest_reads_what_it_writes() {
        let digest = Digest::from_bytes([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("sha256:A5".parse::<Digest>(), Err(InvalidDigest));
    }
}
