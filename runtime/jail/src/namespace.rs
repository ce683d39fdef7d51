//! What a worker shares with nobody: user, network, mount, process, System V and host name spaces.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, geteuid, getgid, getuid};

use crate::clone::{clone_waiting, try_namespaces};
use crate::subordinate;

/// The namespaces that a worker gets of its own; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// How they are made, if at all.
    pub kind: NamespaceKind,
    /// Whether the network is the host's.
    pub host_network: bool,
}

/// How namespaces are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespaceKind {
    /// Not at all.
    #[default]
    None,
    /// By right of this process's own capabilities.
    Privileged,
    /// Inside a user namespace, in which only this process's own user and group exist.
    Unprivileged,
}

/// Which users and groups exist in a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserMap {
    /// This process's own, as 0.
    #[default]
    Own,
    /// So many from `first` on, as 0 and so on; the child begins as 0 of them. For root only.
    Range {
        /// The one that is 0 inside.
        first: u32,
        /// How many there are.
        count: u32,
    },
    /// This process's own as 0, and as 1 and so on those that this host set aside for it.
    Subordinate {
        /// Users from this one on, and how many.
        users: (u32, u32),
        /// Groups likewise.
        groups: (u32, u32),
    },
}

impl UserMap {
    /// The most users that this process may map: 65,536 from `first` on where it is root of them,
    /// else its own and those set aside for it, else its own.
    pub fn of_this_host(first: u32) -> Self {
        if is_root_of(first..=first.saturating_add(MOST_USERS - 1)) {
            return Self::Range { first, count: MOST_USERS };
        }
        subordinate::find().map_or(Self::Own, |(users, groups)| Self::Subordinate { users, groups })
    }

    /// How many users and groups there are, from 0 on.
    pub fn count(self) -> u32 {
        match self {
            Self::Own => 1,
            Self::Range { count, .. } => count,
            Self::Subordinate { users, groups } => users.1.min(groups.1).saturating_add(1).min(MOST_USERS),
        }
    }

    /// Whether 0 in there is somebody else than this process.
    pub(crate) fn root_is_another(self) -> bool {
        matches!(self, Self::Range { .. })
    }
}

/// As many users as images and containers know.
const MOST_USERS: u32 = 65_536;

const NEW_ALL: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;

impl Namespaces {
    pub(crate) fn clone_flags(self) -> u64 {
        let user = match self.kind {
            NamespaceKind::None => return 0,
            NamespaceKind::Privileged => 0,
            NamespaceKind::Unprivileged => libc::CLONE_NEWUSER,
        };
        let network = if self.host_network { 0 } else { libc::CLONE_NEWNET };
        u64::from((NEW_ALL | user | network).cast_unsigned())
    }
}

impl NamespaceKind {
    /// Finds out what this host lets us do, by doing it. The text says what is missing and why.
    pub fn of_this_host() -> (Self, Option<String>) {
        let attempt = |kind| try_namespaces(Namespaces { kind, host_network: false }.clone_flags());
        let privileged = if geteuid().is_root() {
            attempt(Self::Privileged)
        } else {
            Err(io::Error::from(io::ErrorKind::PermissionDenied))
        };
        if privileged.is_ok() {
            return (Self::Privileged, None);
        }
        match attempt(Self::Unprivileged) {
            Ok(()) => (Self::Unprivileged, None),
            Err(error) => (Self::None, Some(format!("this host lets us make no namespaces: {error}"))),
        }
    }
}

/// Whether this process is root and all these users and groups exist in its user namespace.
pub fn is_root_of(numbers: RangeInclusive<u32>) -> bool {
    let covered = |map: &str| fs::read_to_string(map).is_ok_and(|map| covers(&map, &numbers));
    geteuid().is_root() && covered("/proc/self/uid_map") && covered("/proc/self/gid_map")
}

/// Whether one line of a map, which has the first number inside, outside, and how many, covers them.
fn covers(map: &str, numbers: &RangeInclusive<u32>) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().filter_map(|field| field.parse::<u64>().ok());
        let (Some(first), Some(_), Some(count)) = (fields.next(), fields.next(), fields.next()) else { return false };
        first <= u64::from(*numbers.start()) && u64::from(*numbers.end()) < first.saturating_add(count)
    })
}

/// Lets users and groups exist in the user namespace of a child that waits, if it has one.
pub(crate) fn write_maps(child: Pid, namespaces: Namespaces, users: UserMap) -> io::Result<()> {
    if namespaces.kind != NamespaceKind::Unprivileged {
        return Ok(());
    }
    match users {
        UserMap::Own => {
            // Known as root in there, or its program would begin without the capabilities that it gives up.
            let root = |outside| IdMap { inside: 0, outside, count: 1 };
            write_map(child, "uid_map", root(getuid().as_raw()))?;
            // An unprivileged process may map its group only for a child that can't change its groups.
            fs::write(of_process(child, "setgroups"), "deny")?;
            write_map(child, "gid_map", root(getgid().as_raw()))
        }
        UserMap::Range { first, count } => {
            let map = IdMap { inside: 0, outside: first, count };
            write_map(child, "uid_map", map)?;
            write_map(child, "gid_map", map)
        }
        UserMap::Subordinate { users, groups } => subordinate::write_maps(child, users, groups),
    }
}

/// Moves this process, which must have no other thread, into a user namespace of its own, in which
/// nobody exists until somebody outside calls [`map_users_of`].
///
/// # Errors
/// The host doesn't let it.
pub fn leave_user_namespace() -> io::Result<()> {
    #[expect(unsafe_code, reason = "unsharing some other things would break what threads rely on")]
    // SAFETY: it changes what user numbers mean, and nothing that memory or descriptors rest on.
    unsafe {
        Ok(rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER)?)
    }
}

/// Lets users exist in the user namespace of a process of this process's own user: 0 and on, as many as
/// [`UserMap`] says.
///
/// # Errors
/// There is no such process, or the host doesn't let it.
pub fn map_users_of(process: u32, users: UserMap) -> io::Result<()> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let namespaces = Namespaces { kind: NamespaceKind::Unprivileged, host_network: false };
    write_maps(process, namespaces, users)
}

/// A run of user or group numbers that are others on the other side of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    /// The first one inside; of a mount, the first one on disk.
    pub inside: u32,
    /// What it is outside; of a mount, what it is shown as.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A user namespace in which users and groups are other ones than to the host: what the kernel wants
/// to map the owners of a mount.
///
/// # Errors
/// This process may not make it.
pub(crate) fn user_namespace(users: IdMap, groups: IdMap) -> io::Result<OwnedFd> {
    let (gate, opener) = pipe_with(PipeFlags::CLOEXEC)?;
    let flags = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let forked = clone_waiting(flags, gate.as_fd(), opener.as_fd())?;
    let child = Pid::from_raw(forked.process).expect("a process number is positive");
    let opened = write_map(child, "uid_map", users)
        .and_then(|()| write_map(child, "gid_map", groups))
        .and_then(|()| fs::File::open(of_process(child, "ns/user")));
    drop(opener);
    // It ends by the closed gate; reaping a child of ours can't fail.
    let _ = rustix::process::waitid(
        rustix::process::WaitId::PidFd(forked.pidfd.as_fd()),
        rustix::process::WaitIdOptions::EXITED,
    );
    Ok(opened?.into())
}

pub(crate) fn of_process(process: Pid, file: &str) -> String {
    format!("/proc/{}/{file}", process.as_raw_nonzero())
}

fn write_map(process: Pid, file: &str, map: IdMap) -> io::Result<()> {
    let IdMap { inside, outside, count } = map;
    fs::write(of_process(process, file), format!("{inside} {outside} {count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_covers_what_lies_in_one_of_its_lines() {
        let all = "         0          0 4294967295\n";
        let container = "0 100000 65536\n65536 1000 1\n";
        assert!(covers(all, &(1_900_000_000..=1_900_008_192)));
        assert!(covers(container, &(60_000..=65_535)));
        for uncovered in [60_000..=65_536, 1_900_000_000..=1_900_000_000] {
            assert!(!covers(container, &uncovered));
        }
        assert!(!covers("", &(0..=0)));
    }
}
