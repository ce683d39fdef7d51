//! Giving up, for good: users, groups, capabilities, the right to ever get more.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// Capabilities are numbered from 0; the kernel refuses the first that it doesn't know.
const MOST_CAPABILITIES: libc::c_ulong = 64;
/// Exit code of a process that gives up by abort(3): 128 and the number of SIGABRT. The first process of
/// a namespace has no signal that ends it unless it handles that.
pub const EXIT_ABORTED: i32 = 134;
/// Among the first that the kernel kills for want of memory, a job rather than the node.
const OOM_SCORE: &str = "500";

/// Becomes `identity`, user and group, without any other group. The process must have one thread.
pub(crate) fn become_user(identity: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(identity), Gid::from_raw(identity));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    // The kernel forgets this when a process becomes somebody else.
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Takes all capabilities out of what this process and its programs could ever have.
pub(crate) fn empty_bounding_set() -> io::Result<()> {
    for capability in 0..MOST_CAPABILITIES {
        #[expect(unsafe_code, reason = "a system call that rustix doesn't have in its stable part")]
        // SAFETY: it takes numbers only.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if dropped != 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Drops all capabilities and the right to get any by executing something.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    keep_capabilities(CapabilitySet::empty())
}

/// Likewise, but for some that this process itself keeps.
pub(crate) fn keep_capabilities(kept: CapabilitySet) -> io::Result<()> {
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    set_no_new_privs(true)?;
    // Nobody of the same user may look into this process, and it leaves no core.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// What a process may have of the kernel's things, beside what cgroups bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceLimits {
    /// Open descriptors.
    pub(crate) files: u64,
    /// Length of a file that it writes, bytes; `None` where others decide.
    pub(crate) file_bytes: Option<u64>,
    /// Processes and threads of its user.
    pub(crate) processes: u64,
    /// Address space beyond what it has now, bytes.
    pub(crate) more_address_space: u64,
}

pub(crate) fn limit_resources(limits: &ResourceLimits) -> io::Result<()> {
    let reserved = address_space()?;
    let bounds = [
        (Resource::Core, Some(0)),
        (Resource::Memlock, Some(0)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Nice, Some(0)),
        (Resource::Rtprio, Some(0)),
        (Resource::Sigpending, Some(64)),
        (Resource::Nofile, Some(limits.files)),
        (Resource::Nproc, Some(limits.processes)),
        (Resource::Fsize, limits.file_bytes),
        (Resource::As, Some(reserved.saturating_add(limits.more_address_space))),
    ];
    for (resource, most) in bounds {
        let old = rustix::process::getrlimit(resource).maximum;
        // A host may bound it lower already, which nobody may raise.
        let most = match (most, old) {
            (Some(most), Some(old)) => Some(most.min(old)),
            (most, old) => most.or(old),
        };
        setrlimit(resource, Rlimit { current: most, maximum: most })?;
    }
    Ok(())
}

/// Address space that this process has reserved, bytes.
fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// Makes this process one of the first to go when the host is out of memory.
pub(crate) fn offer_to_oom_killer() -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE)
}

/// Lets a file that gets too long be an error for whoever writes, and abort(3) an exit code.
pub(crate) fn handle_signals() -> io::Result<()> {
    set_handler(libc::SIGXFSZ, libc::SIG_IGN)?;
    let handler: extern "C" fn(libc::c_int) = end_by_abort;
    set_handler(libc::SIGABRT, handler as *const () as libc::sighandler_t)
}

extern "C" fn end_by_abort(_: libc::c_int) {
    #[expect(unsafe_code, reason = "the only thing that a handler may do here")]
    // SAFETY: it ends the process and nothing else.
    unsafe {
        libc::_exit(EXIT_ABORTED)
    }
}

fn set_handler(signal: libc::c_int, handler: libc::sighandler_t) -> io::Result<()> {
    #[expect(unsafe_code, reason = "there is no safe way to handle a signal")]
    // SAFETY: the action is valid, its handler only ends the process, and its stack is the one set up
    // for guests where there is one, since a guest's own may be used up.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
