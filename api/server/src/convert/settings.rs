//! What a container asks of whatever runs it: `user`, `privileged`, `linuxParameters`, `ulimits` and
//! `stopTimeout`, and a pod's `securityContext`. The members are answered as they came; here is what they come
//! to. Their types were checked by the shape.

use serde_json::Value;
use wasmbatch_core::definition::Need;
use wasmbatch_core::name::shortened;
use wasmbatch_core::settings::{ContainerSettings, Device, Tmpfs, Ulimit};
use wasmbatch_model::Rest;

use super::asks;
use super::container::{need, normal_path};
use crate::error::ApiError;

/// `[API]` LinuxParameters.
const MOST_SWAPPINESS: i64 = 100;
/// Entries of each list; a definition's size bounds them too.
const MOST_ENTRIES: usize = 100;

/// Of containerProperties, or of a container of an ECS task.
pub(super) fn to_settings(rest: &Rest) -> Result<ContainerSettings, ApiError> {
    let linux = rest.get("linuxParameters").unwrap_or(&Value::Null);
    let max_swap_mib = number(linux, "maxSwap", 0, i64::from(i32::MAX))?;
    let swappiness = number(linux, "swappiness", 0, MOST_SWAPPINESS)?;
    Ok(ContainerSettings {
        user: text(rest.get("user")),
        privileged: is_true(rest.get("privileged")),
        must_not_be_root: false,
        init_process: is_true(linux.get("initProcessEnabled")),
        // Clients send 0 where nothing was given.
        shared_memory_mib: number(linux, "sharedMemorySize", 0, i64::from(i32::MAX))?.filter(|size| *size > 0),
        swappiness: swappiness.filter(|_| max_swap_mib.is_some()).and_then(|share| u8::try_from(share).ok()),
        max_swap_mib,
        tmpfs: entries(linux.get("tmpfs"), "linuxParameters.tmpfs", to_tmpfs)?,
        devices: entries(linux.get("devices"), "linuxParameters.devices", to_device)?,
        ulimits: entries(rest.get("ulimits"), "ulimits", to_ulimit)?,
        stop_timeout_seconds: rest.get("stopTimeout").and_then(Value::as_u64).and_then(|s| u32::try_from(s).ok()),
    })
}

/// Of a pod's container: its own securityContext over the pod's. What the container can't have stands beside.
pub(super) fn to_pod_settings(
    pod: Option<&Value>,
    container: Option<&Value>,
) -> Result<(ContainerSettings, Option<Need>), ApiError> {
    let own = |member: &str| container.and_then(|context| context.get(member)).filter(|value| !value.is_null());
    let given = |member: &str| own(member).or_else(|| pod.and_then(|context| context.get(member)));
    let (user, group) = (id(given("runAsUser"), "runAsUser")?, id(given("runAsGroup"), "runAsGroup")?);
    let (user, lacking) = match (user, group) {
        (Some(user), Some(group)) => (Some(format!("{user}:{group}")), None),
        (Some(user), None) => (Some(user.to_string()), None),
        // Kubernetes has no group without a user either.
        (None, Some(_)) => (None, Some(need("securityContext.runAsGroup is not available on this node"))),
        (None, None) => (None, None),
    };
    let settings = ContainerSettings {
        user,
        privileged: is_true(own("privileged")),
        must_not_be_root: is_true(given("runAsNonRoot")),
        ..ContainerSettings::default()
    };
    Ok((settings, lacking))
}

fn to_tmpfs(entry: &Value) -> Result<Tmpfs, ApiError> {
    let options = entry.get("mountOptions").and_then(Value::as_array).into_iter().flatten();
    let size = number(entry, "size", 1, i64::from(i32::MAX))?;
    Ok(Tmpfs {
        container_path: absolute(entry.get("containerPath"), "linuxParameters.tmpfs.containerPath")?,
        size_mib: size.ok_or_else(|| ApiError::client("linuxParameters.tmpfs.size is required"))?,
        options: options.filter_map(|option| text(Some(option))).collect(),
    })
}

fn to_device(entry: &Value) -> Result<Device, ApiError> {
    let host_path = absolute(entry.get("hostPath"), "linuxParameters.devices.hostPath")?;
    let inner = entry.get("containerPath").filter(|path| asks(path));
    let inner = inner.map(|path| absolute(Some(path), "linuxParameters.devices.containerPath")).transpose()?;
    let words: Vec<&str> = match entry.get("permissions").and_then(Value::as_array) {
        Some(words) => words.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    let letters = [("READ", 'r'), ("WRITE", 'w'), ("MKNOD", 'm')];
    // Without any it is all of them `[API]` Device.
    let granted = letters.into_iter().filter(|(word, _)| words.is_empty() || words.contains(word));
    Ok(Device { host_path, container_path: inner, permissions: granted.map(|(_, letter)| letter).collect() })
}

fn to_ulimit(entry: &Value) -> Result<Ulimit, ApiError> {
    let name = text(entry.get("name")).ok_or_else(|| ApiError::client("ulimits.name must not be empty"))?;
    let limit = |member: &str| match entry.get(member).and_then(Value::as_i64) {
        // As Docker has it.
        Some(-1) => Ok(Ulimit::NONE),
        Some(limit) => {
            u64::try_from(limit).map_err(|_| ApiError::client(format!("ulimits.{member} must not be negative")))
        }
        None => Err(ApiError::client(format!("ulimits.{member} is required"))),
    };
    Ok(Ulimit { name, soft: limit("softLimit")?, hard: limit("hardLimit")? })
}

fn entries<T>(
    list: Option<&Value>,
    member: &str,
    entry: impl Fn(&Value) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if list.len() > MOST_ENTRIES {
        return Err(ApiError::client(format!("{member} must have at most {MOST_ENTRIES} entries")));
    }
    list.iter().map(entry).collect()
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool).unwrap_or(false)
}

fn absolute(path: Option<&Value>, member: &str) -> Result<String, ApiError> {
    let path = text(path).filter(|path| normal_path(path).is_some_and(|normal| !normal.is_empty()));
    path.ok_or_else(|| ApiError::client(format!("{member} must be an absolute path without '.' and '..'")))
}

fn number(of: &Value, member: &str, least: i64, most: i64) -> Result<Option<u32>, ApiError> {
    let Some(number) = of.get(member).and_then(Value::as_i64) else {
        return Ok(None);
    };
    match u32::try_from(number) {
        Ok(within) if (least..=most).contains(&number) => Ok(Some(within)),
        _ if most == MOST_SWAPPINESS => {
            Err(ApiError::client(format!("linuxParameters.{member} must be between {least} and {most}")))
        }
        _ => Err(ApiError::client(format!("linuxParameters: {member} must be at least {least}"))),
    }
}

/// A user or group as Kubernetes numbers them.
fn id(value: Option<&Value>, member: &str) -> Result<Option<u32>, ApiError> {
    let Some(number) = value.and_then(Value::as_i64) else {
        return Ok(None);
    };
    let within = u32::try_from(number).ok().filter(|id| i32::try_from(*id).is_ok());
    let most = i32::MAX;
    match within {
        Some(id) => Ok(Some(id)),
        None => {
            let number = shortened(&number.to_string());
            Err(ApiError::client(format!("securityContext.{member} {number} must be between 0 and {most}")))
        }
    }
}
