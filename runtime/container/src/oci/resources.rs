//! What holds a container down: cgroup, devices, rlimits.

use oci_spec::runtime::{
    LinuxCpu, LinuxDevice, LinuxDeviceCgroup, LinuxMemory, LinuxPids, LinuxResources, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType,
};

use super::device::HostDevice;
use super::error::SpecError;
use super::plan::{Identity, Limits, Plan};

/// Microseconds over which CPU time is counted.
const CPU_PERIOD: u64 = 100_000;
/// The least quota that the kernel takes, microseconds.
const LEAST_QUOTA: u64 = 1000;
/// As Docker leaves them in most distributions.
const OPEN_FILES: (u64, u64) = (1024, 1_048_576);

/// Bounds of the cgroup and which devices may be used; `None` where there is no cgroup to put them in.
pub(super) fn resources(plan: &Plan<'_>) -> Option<LinuxResources> {
    plan.cgroup?;
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(device_rules(plan)));
    if let Some(limits) = &plan.limits {
        let mut pids = LinuxPids::default();
        pids.set_limit(i64::from(limits.pids));
        resources.set_memory(Some(memory(limits))).set_cpu(Some(cpu(limits))).set_pids(Some(pids));
    }
    Some(resources)
}

fn memory(limits: &Limits) -> LinuxMemory {
    let bytes = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(bytes(limits.memory_bytes))
        .set_swap(bytes(limits.memory_bytes.saturating_add(limits.swap_bytes)))
        .set_swappiness(limits.swappiness.map(u64::from));
    memory
}

fn cpu(limits: &Limits) -> LinuxCpu {
    let quota = u64::from(limits.cpu_thousandths).saturating_mul(CPU_PERIOD / 1000).max(LEAST_QUOTA);
    let mut cpu = LinuxCpu::default();
    cpu.set_quota(Some(i64::try_from(quota).unwrap_or(i64::MAX))).set_period(Some(CPU_PERIOD));
    cpu
}

/// First none, then what was granted; runc adds null, zero, random and the like by itself.
fn device_rules(plan: &Plan<'_>) -> Vec<LinuxDeviceCgroup> {
    let mut all = LinuxDeviceCgroup::default();
    let everything = match plan.identity {
        Identity::Host => true,
        Identity::Range { .. } | Identity::Inner { .. } => false,
    };
    all.set_allow(everything).set_access(Some("rwm".to_owned()));
    let mut rules = vec![all];
    for device in plan.devices.iter().chain(&plan.edits.devices) {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true)
            .set_typ(Some(device.kind))
            .set_major(Some(device.major))
            .set_minor(Some(device.minor))
            .set_access(Some(device.permissions.clone()));
        rules.push(rule);
    }
    rules
}

/// Nodes that are made beside the usual ones. In a user namespace none can be: they are mounted.
pub(super) fn devices(plan: &Plan<'_>) -> Vec<LinuxDevice> {
    match plan.identity {
        Identity::Host => plan.devices.iter().chain(&plan.edits.devices).map(device).collect(),
        Identity::Range { .. } | Identity::Inner { .. } => Vec::new(),
    }
}

fn device(device: &HostDevice) -> LinuxDevice {
    let mut node = LinuxDevice::default();
    node.set_path(device.container_path.clone().into())
        .set_typ(device.kind)
        .set_major(device.major)
        .set_minor(device.minor)
        .set_file_mode(device.file_mode)
        .set_uid(device.uid)
        .set_gid(device.gid);
    node
}

/// The job's resource limits over ours.
pub(super) fn rlimits(plan: &Plan<'_>) -> Result<Vec<PosixRlimit>, SpecError> {
    let hard = OPEN_FILES.1.min(plan.starter.open_files);
    let mut limits =
        vec![(PosixRlimitType::RlimitCore, 0, 0), (PosixRlimitType::RlimitNofile, OPEN_FILES.0.min(hard), hard)];
    for asked in &plan.settings.ulimits {
        let kind = rlimit(&asked.name).ok_or_else(|| SpecError::Ulimit(asked.name.clone()))?;
        if asked.soft > asked.hard {
            let name = asked.name.clone();
            return Err(SpecError::UlimitOrder { name, soft: asked.soft, hard: asked.hard });
        }
        limits.retain(|(given, ..)| *given != kind);
        limits.push((kind, asked.soft, asked.hard));
    }
    let limit = |(kind, soft, hard): (PosixRlimitType, u64, u64)| {
        let limit = PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard);
        limit.build().expect("all that it needs is given")
    };
    Ok(limits.into_iter().map(limit).collect())
}

/// Docker's names, which ECS has too.
fn rlimit(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}
