//! What a container of a definition asks of whatever runs it.

use serde::{Deserialize, Serialize};
use wasmbatch_core::settings::{ContainerSettings, Device, Tmpfs, Ulimit};

#[derive(Serialize, Deserialize, Default)]
pub(crate) struct SettingsRow {
    user: Option<String>,
    privileged: bool,
    must_not_be_root: bool,
    init_process: bool,
    shared_memory_mib: Option<u32>,
    max_swap_mib: Option<u32>,
    swappiness: Option<u8>,
    /// Path in the container, MiB, options.
    tmpfs: Vec<(String, u32, Vec<String>)>,
    /// Path on the host, path in the container, permissions.
    devices: Vec<(String, Option<String>, String)>,
    /// Name, soft, hard.
    ulimits: Vec<(String, u64, u64)>,
    stop_timeout_seconds: Option<u32>,
}

impl SettingsRow {
    /// Nothing but a user.
    pub(crate) fn of_user(user: Option<String>) -> Self {
        Self { user, ..Self::default() }
    }
}

pub(crate) fn settings_row(settings: &ContainerSettings) -> SettingsRow {
    let ContainerSettings {
        user,
        privileged,
        must_not_be_root,
        init_process,
        shared_memory_mib,
        max_swap_mib,
        swappiness,
        tmpfs,
        devices,
        ulimits,
        stop_timeout_seconds,
    } = settings.clone();
    SettingsRow {
        user,
        privileged,
        must_not_be_root,
        init_process,
        shared_memory_mib,
        max_swap_mib,
        swappiness,
        tmpfs: tmpfs
            .into_iter()
            .map(|Tmpfs { container_path, size_mib, options }| (container_path, size_mib, options))
            .collect(),
        devices: devices
            .into_iter()
            .map(|Device { host_path, container_path, permissions }| (host_path, container_path, permissions))
            .collect(),
        ulimits: ulimits.into_iter().map(|Ulimit { name, soft, hard }| (name, soft, hard)).collect(),
        stop_timeout_seconds,
    }
}

pub(crate) fn settings_of(row: SettingsRow) -> ContainerSettings {
    let SettingsRow {
        user,
        privileged,
        must_not_be_root,
        init_process,
        shared_memory_mib,
        max_swap_mib,
        swappiness,
        tmpfs,
        devices,
        ulimits,
        stop_timeout_seconds,
    } = row;
    ContainerSettings {
        user,
        privileged,
        must_not_be_root,
        init_process,
        shared_memory_mib,
        max_swap_mib,
        swappiness,
        tmpfs: tmpfs
            .into_iter()
            .map(|(container_path, size_mib, options)| Tmpfs { container_path, size_mib, options })
            .collect(),
        devices: devices
            .into_iter()
            .map(|(host_path, container_path, permissions)| Device { host_path, container_path, permissions })
            .collect(),
        ulimits: ulimits.into_iter().map(|(name, soft, hard)| Ulimit { name, soft, hard }).collect(),
        stop_timeout_seconds,
    }
}
