//! What files, sockets and processes an enclosed process may reach, as the kernel's landlock has it.

use std::io;
use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::enclose::Folder;

/// The newest that we know how to ask for; an older kernel gives what it has.
const NEWEST: ABI = ABI::V6;

/// How names are looked up.
const NAME_FILES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];

/// Restricts this thread and all that it will start to the folders. Says `false` where the kernel has
/// no landlock.
pub(crate) fn confine(own: Option<BorrowedFd<'_>>, folders: &[Folder<'_>], network: bool) -> io::Result<bool> {
    restrict(own, folders, network).map_err(io::Error::other)
}

fn restrict(own: Option<BorrowedFd<'_>>, folders: &[Folder<'_>], network: bool) -> Result<bool, RulesetError> {
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(NEWEST))?;
    if !network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut created = ruleset.scope(Scope::from_all(NEWEST))?.create()?;
    if let Some(own) = own {
        created = created.add_rule(PathBeneath::new(own, reading() | writing()))?;
    }
    for folder in folders {
        let access = if folder.read_only { reading() } else { reading() | writing() };
        created = created.add_rule(PathBeneath::new(folder.directory, access))?;
    }
    if network {
        // What isn't there isn't read either.
        for file in NAME_FILES {
            if let Ok(file) = PathFd::new(file) {
                created = created.add_rule(PathBeneath::new(file, AccessFs::ReadFile))?;
            }
        }
    }
    Ok(created.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Regular files, folders and links; no devices, pipes or sockets, and nothing to execute.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::MakeSym
        | AccessFs::Refer
        | AccessFs::Truncate
}
