//! Quantities as Kubernetes writes them, to the requirements of a container.

use wasmbatch_core::definition::{ResourceKind, ResourceRequirement};
use wasmbatch_core::name::shortened;
use wasmbatch_core::{Vcpus, limits};
use wasmbatch_model::TextMap;
use wasmbatch_model::task::EksResources;

use crate::error::ApiError;

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const GPU: &str = "nvidia.com/gpu";
/// This product's own, named as Kubernetes wants the resources of others to be.
const FUEL: &str = "wasmbatch/fuel";

/// What a pod's container holds: what it requests, else what limits it. `[API]`
/// EksContainerResourceRequirements says how the two must agree.
pub(crate) fn to_requirements(resources: Option<EksResources>) -> Result<Vec<ResourceRequirement>, ApiError> {
    let EksResources { limits, requests } = resources.unwrap_or_default();
    let (limits, requests) = (limits.unwrap_or_default(), requests.unwrap_or_default());
    if let Some(other) =
        limits.keys().chain(requests.keys()).find(|key| ![CPU, MEMORY, GPU, FUEL].contains(&key.as_str()))
    {
        let other = shortened(other);
        return Err(ApiError::client(format!(
            "resources: {other} must be one of cpu | memory | nvidia.com/gpu | wasmbatch/fuel"
        )));
    }
    let pair = |key: &str, read: fn(&str) -> Option<u64>| {
        Ok::<_, ApiError>((read_member(&limits, key, read)?, read_member(&requests, key, read)?))
    };
    let mut requirements = Vec::new();
    let (limit, request) = pair(CPU, quarters)?;
    if let (Some(limit), Some(request)) = (limit, request)
        && limit < request
    {
        return Err(ApiError::client("resources: limits.cpu must be at least as large as requests.cpu"));
    }
    if let Some(quarters) = request.or(limit) {
        let quarters = u32::try_from(quarters).map_err(|_| ApiError::client("resources: cpu is out of bounds"))?;
        let value = Vcpus::from_quarters(quarters).to_string();
        requirements.push(ResourceRequirement { kind: ResourceKind::Vcpu, value });
    }
    for (key, kind, read) in [
        (MEMORY, ResourceKind::Memory, mebibytes as fn(&str) -> Option<u64>),
        (GPU, ResourceKind::Gpu, whole as fn(&str) -> Option<u64>),
        (FUEL, ResourceKind::Fuel, units as fn(&str) -> Option<u64>),
    ] {
        let (limit, request) = pair(key, read)?;
        // AWS wants them equal `[API]` EksContainerResourceRequirements; clients send a higher limit,
        // and that is then what the container may come to and holds.
        if let (Some(limit), Some(request)) = (limit, request)
            && (limit < request || (kind != ResourceKind::Memory && limit != request))
        {
            return Err(ApiError::client(format!("resources: limits.{key} and requests.{key} don't agree")));
        }
        if let Some(amount) = limit.or(request) {
            requirements.push(ResourceRequirement { kind, value: amount.to_string() });
        }
    }
    Ok(requirements)
}

fn read_member(given: &TextMap, key: &str, read: fn(&str) -> Option<u64>) -> Result<Option<u64>, ApiError> {
    let Some(text) = given.get(key) else {
        return Ok(None);
    };
    match read(text).filter(|amount| *amount > 0 || key == GPU) {
        Some(amount) => Ok(Some(amount)),
        None => Err(ApiError::client(format!("resources: {key} can't be {}", shortened(text)))),
    }
}

/// Quarters of a CPU, rounded up: `1`, `0.25`, `250m`.
fn quarters(text: &str) -> Option<u64> {
    let (number, scale) = match text.strip_suffix('m') {
        Some(number) => (number, 1000),
        None => (text, 1),
    };
    scaled(number, 4, scale)
}

/// MiB, rounded up: `512Mi`, `1Gi`, `1073741824`, `512M`.
fn mebibytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("", 1),
    ];
    let (number, unit) = UNITS.into_iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    scaled(number, unit, 1 << 20)
}

/// Fuel, which has more digits than other quantities.
fn units(text: &str) -> Option<u64> {
    text.parse().ok().filter(|units| limits::FUEL.contains(units) && !text.starts_with('+'))
}

fn whole(text: &str) -> Option<u64> {
    scaled(text, 1, 1).filter(|_| !text.contains('.'))
}

/// A plain decimal times `factor` by `divisor`, rounded up.
fn scaled(number: &str, factor: u64, divisor: u64) -> Option<u64> {
    /// More than any quantity needs; keeps the arithmetic far from overflow.
    const DIGITS: usize = 15;
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = [integer, fraction].concat();
    let plain = !integer.is_empty() && digits.len() <= DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain || number.ends_with('.') {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    let value = digits.parse::<u128>().ok()? * u128::from(factor);
    u64::try_from(value.div_ceil(u128::from(divisor) * 10_u128.pow(places))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_comes_in_quarters_rounded_up() {
        for (text, wanted) in [("1", 4), ("0.25", 1), ("250m", 1), ("1500m", 6), ("100m", 1), ("2.5", 10), ("0.3", 2)] {
            assert_eq!(quarters(text), Some(wanted), "{text}");
        }
        for bad in ["", "m", "-1", "1e3", ".5", "5.", "1 ", "+1", "1Mi", "9999999999999999"] {
            assert_eq!(quarters(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_comes_in_mebibytes_rounded_up() {
        for (text, wanted) in [
            ("512Mi", 512),
            ("1Gi", 1024),
            ("1.5Gi", 1536),
            ("1073741824", 1024),
            ("512M", 489),
            ("1", 1),
            ("2048Ki", 2),
            ("1Ti", 1 << 20),
            ("1k", 1),
        ] {
            assert_eq!(mebibytes(text), Some(wanted), "{text}");
        }
        for bad in ["", "Mi", "512mi", "512MB", "-5Mi", "1e9", "0x10"] {
            assert_eq!(mebibytes(bad), None, "{bad}");
        }
    }

    fn resources(limits: &[(&str, &str)], requests: &[(&str, &str)]) -> Result<Vec<(ResourceKind, String)>, String> {
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let given = EksResources { limits: map(limits), requests: map(requests) };
        let found = to_requirements(Some(given)).map_err(|error| error.message)?;
        Ok(found.into_iter().map(|requirement| (requirement.kind, requirement.value)).collect())
    }

    #[test]
    fn what_is_requested_is_held_and_else_what_limits() {
        let found = resources(&[("cpu", "2"), ("memory", "1Gi")], &[("cpu", "500m"), ("memory", "1024Mi")]).unwrap();
        assert_eq!(found, [(ResourceKind::Vcpu, "0.5".to_owned()), (ResourceKind::Memory, "1024".to_owned())]);
        let found = resources(&[("memory", "2Gi")], &[("memory", "1Gi")]).unwrap();
        assert_eq!(found, [(ResourceKind::Memory, "2048".to_owned())]);
        let found = resources(&[("cpu", "1"), ("nvidia.com/gpu", "2")], &[]).unwrap();
        assert_eq!(found, [(ResourceKind::Vcpu, "1".to_owned()), (ResourceKind::Gpu, "2".to_owned())]);
        let found = resources(&[("wasmbatch/fuel", "9223372036854775807")], &[]).unwrap();
        assert_eq!(found, [(ResourceKind::Fuel, "9223372036854775807".to_owned())]);
        assert_eq!(resources(&[], &[]).unwrap(), []);
    }

    #[test]
    fn limits_and_requests_agree() {
        for (limits, requests, word) in [
            (&[("cpu", "1")][..], &[("cpu", "2")][..], "limits.cpu"),
            (&[("memory", "1Gi")], &[("memory", "2Gi")], "don't agree"),
            (&[("nvidia.com/gpu", "2")], &[("nvidia.com/gpu", "1")], "don't agree"),
            (&[("disk", "1")], &[], "disk must be one of"),
            (&[("cpu", "zero")], &[], "cpu can't be zero"),
            (&[("memory", "0")], &[], "memory can't be 0"),
            (&[("wasmbatch/fuel", "2")], &[("wasmbatch/fuel", "1")], "don't agree"),
            (&[("wasmbatch/fuel", "0")], &[], "wasmbatch/fuel can't be 0"),
            (&[("wasmbatch/fuel", "9223372036854775808")], &[], "wasmbatch/fuel can't be"),
            (&[("nvidia.com/gpu", "0.5")], &[], "nvidia.com/gpu can't be 0.5"),
        ] {
            let refusal = resources(limits, requests).unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
