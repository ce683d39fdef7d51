//! Whom a container's process runs as: Docker's `user[:group]` looked up in the image's own files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use super::plan::RANGE_SIZE;

/// Bytes of passwd and group that are looked at; what is behind them isn't there.
const MOST_BYTES: u64 = 1 << 20;
/// Groups that one user may be in beside its own.
const MOST_GROUPS: usize = 1024;
/// A longer one is no home.
const MOST_HOME: usize = 1024;

/// A user as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvedUser {
    /// Below 65,536.
    pub uid: u32,
    /// Below 65,536.
    pub gid: u32,
    /// Each below 65,536.
    pub additional_gids: Vec<u32>,
    /// Its home as the image has it; absolute, without NUL.
    pub home: Option<String>,
}

/// Why nobody can be found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The image has no such name.
    #[error("user {0:?} is not in the image's /etc/passwd")]
    User(String),
    /// The image has no such name.
    #[error("group {0:?} is not in the image's /etc/group")]
    Group(String),
    /// A number that no container has.
    #[error("user or group {0:?} is not below 65536")]
    Range(String),
    /// A file is there and can't be read.
    #[error("the image's {path} can't be read")]
    Unreadable {
        /// Which.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Looks a user up below an image's root, without leaving it and without waiting for a pipe.
///
/// # Errors
/// There is no such user or group, or a file can't be read.
pub fn resolve_below(root: &Path, wanted: Option<&str>) -> Result<ResolvedUser, UserError> {
    resolve(wanted, &read(root, "/etc/passwd")?, &read(root, "/etc/group")?)
}

/// Looks a user up, given as `user`, `user:group` or nothing, each by name or number. Lines that make
/// no sense are passed over.
///
/// # Errors
/// There is no such user or group.
pub fn resolve(wanted: Option<&str>, passwd: &[u8], group: &[u8]) -> Result<ResolvedUser, UserError> {
    let wanted = wanted.unwrap_or_default();
    let (wanted_user, wanted_group) = wanted.split_once(':').unwrap_or((wanted, ""));
    let entry = lines(passwd).filter_map(passwd_entry).find(|entry| match number(wanted_user) {
        _ if wanted_user.is_empty() => entry.uid == 0,
        Some(uid) => u64::from(entry.uid) == uid,
        None => entry.name == wanted_user.as_bytes(),
    });
    let mut user = match (&entry, number(wanted_user)) {
        (Some(entry), _) => ResolvedUser {
            uid: in_range(u64::from(entry.uid), wanted_user)?,
            gid: in_range(u64::from(entry.gid), wanted_user)?,
            additional_gids: Vec::new(),
            home: entry.home.clone(),
        },
        (None, _) if wanted_user.is_empty() => ResolvedUser::default(),
        (None, Some(uid)) => ResolvedUser { uid: in_range(uid, wanted_user)?, ..ResolvedUser::default() },
        (None, None) => return Err(UserError::User(wanted_user.to_owned())),
    };
    if !wanted_group.is_empty() {
        user.gid = resolve_group(wanted_group, group)?;
    } else if let Some(entry) = &entry {
        user.additional_gids = groups_of(entry.name, group);
    }
    Ok(user)
}

fn resolve_group(wanted: &str, group: &[u8]) -> Result<u32, UserError> {
    // A number is that group whatever the file says of it.
    if let Some(gid) = number(wanted) {
        return in_range(gid, wanted);
    }
    let entry = lines(group).filter_map(group_entry).find(|entry| entry.name == wanted.as_bytes());
    in_range(u64::from(entry.ok_or_else(|| UserError::Group(wanted.to_owned()))?.gid), wanted)
}

fn groups_of(user: &[u8], group: &[u8]) -> Vec<u32> {
    let member = |entry: &GroupEntry<'_>| entry.members.split(|byte| *byte == b',').any(|name| name == user);
    let groups = lines(group).filter_map(group_entry).filter(member).map(|entry| entry.gid);
    groups.filter(|gid| *gid < RANGE_SIZE).take(MOST_GROUPS).collect()
}

/// A text of digits alone is a number, however long, and never a name.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn in_range(id: u64, wanted: &str) -> Result<u32, UserError> {
    let id = u32::try_from(id).ok().filter(|id| *id < RANGE_SIZE);
    id.ok_or_else(|| UserError::Range(wanted.to_owned()))
}

struct PasswdEntry<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: Option<String>,
}

struct GroupEntry<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bound = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX).min(text.len());
    text[..bound].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.starts_with(b"#"))
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b':')
}

fn id(field: Option<&[u8]>) -> Option<u32> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}

fn passwd_entry(line: &[u8]) -> Option<PasswdEntry<'_>> {
    let mut fields = fields(line);
    let name = fields.next().filter(|name| !name.is_empty())?;
    let (uid, gid) = (id(fields.nth(1))?, id(fields.next())?);
    let home = fields.nth(1).and_then(|home| std::str::from_utf8(home).ok());
    let home = home.filter(|home| home.starts_with('/') && home.len() <= MOST_HOME && !home.contains('\0'));
    Some(PasswdEntry { name, uid, gid, home: home.map(ToOwned::to_owned) })
}

fn group_entry(line: &[u8]) -> Option<GroupEntry<'_>> {
    let mut fields = fields(line);
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = id(fields.nth(1))?;
    Some(GroupEntry { name, gid, members: fields.next().unwrap_or_default() })
}

/// The beginning of a file of the image; nothing where there is none.
fn read(root: &Path, path: &'static str) -> Result<Vec<u8>, UserError> {
    let unreadable = |source: io::Error| UserError::Unreadable { path, source };
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| unreadable(error.into()))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| unreadable(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    let mut text = Vec::new();
    File::from(file).take(MOST_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken\n\nalice:x:1000:100:Alice:/home/alice:/bin/sh\r\n\
        numeric:x:7:7:::\nhigh:x:70000:1:h:/h:/s\n12:x:5:5::/five:\n";
    const GROUP: &[u8] =
        b"root:x:0:\nusers:x:100:\naudio:x:29:bob,alice\nvideo:x:44:alice\nhuge:x:99999:alice\nbad:x:y:alice\n";

    fn found(wanted: &str) -> ResolvedUser {
        resolve(Some(wanted), PASSWD, GROUP).unwrap()
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: Option<&str>) -> ResolvedUser {
        ResolvedUser { uid, gid, additional_gids: groups.to_vec(), home: home.map(str::to_owned) }
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let alice = Some("/home/alice");
        assert_eq!(found("alice"), user(1000, 100, &[29, 44], alice));
        assert_eq!(found("1000"), user(1000, 100, &[29, 44], alice));
        assert_eq!(found("alice:root"), user(1000, 0, &[], alice));
        assert_eq!(found("alice:33"), user(1000, 33, &[], alice));
        assert_eq!(found("alice:"), user(1000, 100, &[29, 44], alice));
        assert_eq!(found("4242"), user(4242, 0, &[], None));
        assert_eq!(found("4242:users"), user(4242, 100, &[], None));
        assert_eq!(found(""), user(0, 0, &[], Some("/root")));
        assert_eq!(found(":users"), user(0, 100, &[], Some("/root")));
        assert_eq!(found("numeric"), user(7, 7, &[], None));
        assert_eq!(found("12"), user(12, 0, &[], None));
        assert_eq!(resolve(None, b"", b"").unwrap(), ResolvedUser::default());
    }

    #[test]
    fn who_is_not_there_is_not_made_up() {
        for (wanted, text) in [
            ("bob", "user \"bob\" is not in the image's /etc/passwd"),
            ("alice:nobody", "group \"nobody\" is not in the image's /etc/group"),
            ("alice:bad", "group \"bad\" is not in the image's /etc/group"),
            ("high", "user or group \"high\" is not below 65536"),
            ("65536", "user or group \"65536\" is not below 65536"),
            ("0:99999999999999999999999", "user or group \"99999999999999999999999\" is not below 65536"),
            ("-1", "user \"-1\" is not in the image's /etc/passwd"),
            ("alice:users:x", "group \"users:x\" is not in the image's /etc/group"),
        ] {
            assert_eq!(resolve(Some(wanted), PASSWD, GROUP).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn files_are_read_below_the_root_alone() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(resolve_below(root.path(), None).unwrap(), ResolvedUser::default());
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/proc/self/environ", root.path().join("etc/passwd")).unwrap();
        assert_eq!(resolve_below(root.path(), None).unwrap(), ResolvedUser::default());
        std::fs::write(root.path().join("users"), "me:x:3:4::/me:").unwrap();
        std::fs::remove_file(root.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/../../users", root.path().join("etc/passwd")).unwrap();
        assert_eq!(resolve_below(root.path(), Some("me")).unwrap(), user(3, 4, &[], Some("/me")));
        std::fs::create_dir(root.path().join("etc/group")).unwrap();
        assert!(matches!(resolve_below(root.path(), None), Err(UserError::Unreadable { .. })));
    }

    proptest! {
        #[test]
        fn hostile_files_do_no_harm(
            wanted in "[a-z0-9:]{0,12}",
            passwd in proptest::collection::vec(any::<u8>(), 0..400),
            group in "([a-z0-9]{0,4}:){0,5}\n?([a-z,]{0,9}\n)?",
        ) {
            if let Ok(user) = resolve(Some(&wanted), &passwd, group.as_bytes()) {
                prop_assert!(user.uid < 65_536 && user.gid < 65_536);
                prop_assert!(user.additional_gids.iter().all(|gid| *gid < 65_536));
            }
        }
    }
}
