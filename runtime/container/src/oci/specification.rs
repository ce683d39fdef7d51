//! The specification as a whole.

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Capability, Hooks, Linux, LinuxCapabilities, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceType, Process, Root, Spec, User,
};

use super::command::{arguments, check_size, environment, working_directory};
use super::error::SpecError;
use super::mounts::{mounts, own_network};
use super::plan::{Identity, Plan, RANGE_SIZE};
use super::resources::{devices, resources, rlimits};
use super::seccomp;
use crate::cdi::{Edits, Moment};

/// What runc 1.1 and all after it know.
/// When the machine has no memory left, jobs go before what keeps them; as workers do.
const OOM_SCORE: i32 = 500;
const VERSION: &str = "1.0.2";

/// What root may do to what is the container's own anyway; without these tar, apt and pip fail. They
/// reach the users of the container's range and no others.
const ROOT_CAPABILITIES: [Capability; 7] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
];

/// What of `/proc` tells about the host or other containers.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// What of `/proc` changes the host.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What runc is told of a container. Nothing is looked up for it: the same plan gives the same
/// specification.
///
/// # Errors
/// What of the job or the image no container can have.
pub fn specification(plan: &Plan<'_>) -> Result<Spec, SpecError> {
    check(plan)?;
    let mut root = Root::default();
    root.set_path(plan.rootfs.to_owned()).set_readonly(Some(plan.read_only_root));
    let mut spec = Spec::default();
    spec.set_version(VERSION.to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts(plan)?))
        .set_process(Some(process(plan)?))
        .set_hostname(Some(plan.hostname.to_owned()))
        .set_hooks(hooks(plan.edits))
        .set_annotations(None)
        .set_linux(Some(linux(plan)));
    Ok(spec)
}

/// What the caller answers for, and the user.
fn check(plan: &Plan<'_>) -> Result<(), SpecError> {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if plan.hostname.is_empty() || plan.hostname.len() > 63 || !plan.hostname.bytes().all(named) {
        return Err(SpecError::Internal("its host name is none"));
    }
    if !plan.rootfs.is_absolute() {
        return Err(SpecError::Internal("a path is not absolute"));
    }
    if plan.limits.is_some() && plan.cgroup.is_none() {
        return Err(SpecError::Internal("there are limits and no cgroup"));
    }
    match plan.identity {
        Identity::Range { first: 0 } => return Err(SpecError::Internal("its users are the host's own")),
        Identity::Range { first } if first.checked_add(RANGE_SIZE).is_none() => {
            return Err(SpecError::Internal("its users are beyond the last one"));
        }
        Identity::Inner { count: 0 } => return Err(SpecError::Internal("it has no users")),
        Identity::Range { .. } | Identity::Inner { .. } | Identity::Host => {}
    }
    if plan.settings.must_not_be_root && plan.user.uid == 0 {
        return Err(SpecError::Root);
    }
    let (uid, gid, ids) = (plan.user.uid, plan.user.gid, plan.identity.ids());
    if uid >= ids || gid >= ids {
        return Err(SpecError::NoSuchUser { uid, gid, last: ids.saturating_sub(1) });
    }
    Ok(())
}

fn process(plan: &Plan<'_>) -> Result<Process, SpecError> {
    let arguments = arguments(plan)?;
    let environment = environment(plan)?;
    check_size(&arguments, &environment)?;
    let mut process = Process::default();
    process
        .set_terminal(Some(false))
        .set_user(user(plan))
        .set_args(Some(arguments))
        .set_env(Some(environment))
        .set_cwd(PathBuf::from(working_directory(plan)?))
        .set_capabilities(Some(capabilities(plan)))
        .set_rlimits(Some(rlimits(plan)?))
        .set_oom_score_adj(Some(OOM_SCORE))
        .set_no_new_privileges(Some(plan.identity != Identity::Host));
    Ok(process)
}

fn user(plan: &Plan<'_>) -> User {
    let ids = plan.identity.ids();
    let mut groups: Vec<u32> = plan.user.additional_gids.clone();
    groups.extend(&plan.edits.additional_gids);
    groups.retain(|gid| *gid < ids);
    groups.sort_unstable();
    groups.dedup();
    let mut user = User::default();
    user.set_uid(plan.user.uid).set_gid(plan.user.gid);
    user.set_additional_gids((!groups.is_empty()).then_some(groups));
    user
}

fn capabilities(plan: &Plan<'_>) -> LinuxCapabilities {
    let held: Capabilities = match (plan.identity, plan.user.uid) {
        (Identity::Host, _) => held(plan.starter.capabilities),
        (Identity::Range { .. } | Identity::Inner { .. }, 0) => ROOT_CAPABILITIES.into_iter().collect(),
        (Identity::Range { .. } | Identity::Inner { .. }, _) => Capabilities::new(),
    };
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(held.clone()))
        .set_effective(Some(held.clone()))
        .set_permitted(Some(held))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    capabilities
}

/// All of them, each at its number.
const BY_NUMBER: [Capability; 41] = {
    use Capability as C;
    [
        C::Chown,
        C::DacOverride,
        C::DacReadSearch,
        C::Fowner,
        C::Fsetid,
        C::Kill,
        C::Setgid,
        C::Setuid,
        C::Setpcap,
        C::LinuxImmutable,
        C::NetBindService,
        C::NetBroadcast,
        C::NetAdmin,
        C::NetRaw,
        C::IpcLock,
        C::IpcOwner,
        C::SysModule,
        C::SysRawio,
        C::SysChroot,
        C::SysPtrace,
        C::SysPacct,
        C::SysAdmin,
        C::SysBoot,
        C::SysNice,
        C::SysResource,
        C::SysTime,
        C::SysTtyConfig,
        C::Mknod,
        C::Lease,
        C::AuditWrite,
        C::AuditControl,
        C::Setfcap,
        C::MacOverride,
        C::MacAdmin,
        C::Syslog,
        C::WakeAlarm,
        C::BlockSuspend,
        C::AuditRead,
        C::Perfmon,
        C::Bpf,
        C::CheckpointRestore,
    ]
};

fn held(mask: u64) -> Capabilities {
    let bits = (0..64_u32).map(|bit| mask & (1 << bit) != 0);
    BY_NUMBER.into_iter().zip(bits).filter_map(|(capability, held)| held.then_some(capability)).collect()
}

fn linux(plan: &Plan<'_>) -> Linux {
    let confined = plan.identity != Identity::Host;
    let paths = |paths: &[&str]| confined.then(|| paths.iter().map(|path| (*path).to_owned()).collect());
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(plan)))
        .set_uid_mappings(id_mapping(plan.identity))
        .set_gid_mappings(id_mapping(plan.identity))
        .set_resources(resources(plan))
        .set_cgroups_path(plan.cgroup.map(ToOwned::to_owned))
        .set_devices(Some(devices(plan)))
        .set_masked_paths(paths(&MASKED))
        .set_readonly_paths(paths(&READ_ONLY))
        .set_sysctl(sysctls(plan))
        .set_seccomp(confined.then(seccomp::filter));
    linux
}

/// Servers in a network of their own may have any port, as Docker lets them.
fn sysctls(plan: &Plan<'_>) -> Option<HashMap<String, String>> {
    let every_port = ("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
    own_network(plan.network).then(|| HashMap::from([every_port]))
}

fn namespaces(plan: &Plan<'_>) -> Vec<LinuxNamespace> {
    use LinuxNamespaceType as N;
    let mut kinds = vec![N::Pid, N::Ipc, N::Uts, N::Mount];
    if own_network(plan.network) {
        kinds.push(N::Network);
    }
    match plan.identity {
        Identity::Range { .. } | Identity::Inner { .. } => kinds.extend([N::Cgroup, N::User]),
        Identity::Host => {}
    }
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    kinds.into_iter().map(namespace).collect()
}

fn id_mapping(identity: Identity) -> Option<Vec<LinuxIdMapping>> {
    let mapping = |container: u32, host: u32, size: u32| {
        let mapping = LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size);
        mapping.build().expect("all that it needs is given")
    };
    match identity {
        Identity::Range { first } => Some(vec![mapping(0, first, RANGE_SIZE)]),
        // The first of them is one user of the host and the others are a run of others: the kernel takes
        // no mapping that is across both.
        Identity::Inner { .. } => {
            let others = identity.ids().saturating_sub(1);
            let others = (others > 0).then(|| mapping(1, 1, others));
            Some(std::iter::once(mapping(0, 0, 1)).chain(others).collect())
        }
        Identity::Host => None,
    }
}

/// Programs of CDI specifications that run beside the container's start and end.
fn hooks(edits: &Edits) -> Option<Hooks> {
    if edits.hooks.is_empty() {
        return None;
    }
    let of = |moment: Moment| {
        let hooks: Vec<_> = edits.hooks.iter().filter(|hook| hook.moment == moment).collect();
        let hook = |hook: &&crate::cdi::Hook| {
            let mut told = oci_spec::runtime::Hook::default();
            told.set_path(hook.path.clone())
                .set_args((!hook.arguments.is_empty()).then(|| hook.arguments.clone()))
                .set_env((!hook.environment.is_empty()).then(|| hook.environment.clone()))
                .set_timeout(hook.timeout_seconds.map(i64::from));
            told
        };
        (!hooks.is_empty()).then(|| hooks.iter().map(hook).collect())
    };
    let mut hooks = Hooks::default();
    hooks
        .set_create_runtime(of(Moment::CreateRuntime))
        .set_create_container(of(Moment::CreateContainer))
        .set_start_container(of(Moment::StartContainer))
        .set_poststart(of(Moment::Poststart))
        .set_poststop(of(Moment::Poststop));
    Some(hooks)
}
