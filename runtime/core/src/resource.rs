//! Quantities of CPU and memory, and who holds how much of them.

use std::fmt;
use std::str::FromStr;

use crate::limits;
use crate::name::Name;

/// An amount of vCPU in steps of 0.25, the finest that Batch takes `[API]` ResourceRequirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Vcpus(u32);

/// Not a positive multiple of 0.25 within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a positive multiple of 0.25")]
pub struct InvalidVcpus;

impl Vcpus {
    /// No vCPU at all.
    pub const ZERO: Self = Self(0);

    /// From whole vCPUs, at most [`limits::MAX_VCPUS`]; more is cut to that.
    pub fn whole(vcpus: u32) -> Self {
        Self(vcpus.min(limits::MAX_VCPUS) * 4)
    }

    /// From quarters of a vCPU, as the store keeps them.
    pub const fn from_quarters(quarters: u32) -> Self {
        Self(quarters)
    }

    /// In quarters of a vCPU.
    pub const fn quarters(self) -> u32 {
        self.0
    }
}

impl std::ops::AddAssign for Vcpus {
    fn add_assign(&mut self, more: Self) {
        self.0 += more.0;
    }
}

impl std::ops::SubAssign for Vcpus {
    fn sub_assign(&mut self, less: Self) {
        self.0 = self.0.checked_sub(less.0).expect("released vCPUs were held");
    }
}

impl FromStr for Vcpus {
    type Err = InvalidVcpus;

    /// Decimal text as clients send it: `1`, `1.0`, `0.25`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(InvalidVcpus);
        }
        let quarters = match fraction.trim_end_matches('0') {
            "" => 0,
            "25" => 1,
            "5" => 2,
            "75" => 3,
            _ => return Err(InvalidVcpus),
        };
        let whole: u32 = whole.parse().map_err(|_| InvalidVcpus)?;
        if whole > limits::MAX_VCPUS {
            return Err(InvalidVcpus);
        }
        match whole * 4 + quarters {
            0 => Err(InvalidVcpus),
            total => Ok(Self(total)),
        }
    }
}

impl fmt::Display for Vcpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = ["", ".25", ".5", ".75"][(self.0 % 4) as usize];
        write!(f, "{}{fraction}", self.0 / 4)
    }
}

/// What one attempt holds while it is STARTING or RUNNING.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// A weight on this machine, not a quota (a hard quota only on FARGATE).
    pub vcpus: Vcpus,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// GPUs, whole devices.
    pub gpus: u32,
}

impl Resources {
    /// Whether this is one of the sizes that Fargate has `[API]` ResourceRequirement: for each number
    /// of vCPUs the least and the most memory, and the step between them.
    pub fn is_fargate_size(self) -> bool {
        let Self { vcpus, memory_mib, gpus: _ } = self;
        let (least, most, step) = match vcpus.quarters() {
            1 => return matches!(memory_mib, 512 | 1024 | 2048),
            2 => (1024, 4096, 1024),
            4 => (2048, 8192, 1024),
            8 => (4096, 16384, 1024),
            16 => (8192, 30720, 1024),
            32 => (16384, 61440, 4096),
            64 => (32768, 122_880, 8192),
            128 => return matches!(memory_mib, 61_440 | 122_880 | 249_856),
            _ => return false,
        };
        (least..=most).contains(&memory_mib) && memory_mib % step == 0
    }

    fn fits_within(self, other: Self) -> bool {
        self.vcpus <= other.vcpus && self.memory_mib <= other.memory_mib && self.gpus <= other.gpus
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            vcpus: Vcpus(self.vcpus.0 + other.vcpus.0),
            memory_mib: self.memory_mib + other.memory_mib,
            gpus: self.gpus + other.gpus,
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            vcpus: Vcpus(self.vcpus.0.checked_sub(other.vcpus.0).expect("released vCPUs were held")),
            memory_mib: self.memory_mib.checked_sub(other.memory_mib).expect("released memory was held"),
            gpus: self.gpus.checked_sub(other.gpus).expect("released GPUs were held"),
        }
    }
}

/// A share of the node held by one attempt on one compute environment. It can't be cloned: whoever
/// takes one from a pool gives it back there.
#[derive(Debug, PartialEq, Eq)]
pub struct Allocation {
    environment: Name,
    resources: Resources,
}

impl Allocation {
    /// Rebuilds an allocation that a stored row says is held.
    pub fn restored(environment: Name, resources: Resources) -> Self {
        Self { environment, resources }
    }

    /// The compute environment it counts against.
    pub fn environment(&self) -> &Name {
        &self.environment
    }

    /// How much is held.
    pub fn resources(&self) -> Resources {
        self.resources
    }
}

/// Why a requirement doesn't get an allocation now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// More than there is in all: it never fits.
    Never,
    /// Others hold it now.
    Now,
}

/// A bounded amount of which some is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) total: Resources,
    pub(crate) held: Resources,
}

impl Pool {
    pub(crate) fn new(total: Resources) -> Self {
        Self { total, held: Resources::default() }
    }

    pub(crate) fn room_for(&self, wanted: Resources) -> Result<(), NoRoom> {
        if !wanted.fits_within(self.total) {
            Err(NoRoom::Never)
        } else if !self.held.plus(wanted).fits_within(self.total) {
            Err(NoRoom::Now)
        } else {
            Ok(())
        }
    }

    /// Counts `resources` as held. The total may be exceeded only through [`Pool::hold_restored`].
    pub(crate) fn hold(&mut self, resources: Resources) {
        assert!(self.room_for(resources).is_ok(), "room was checked before holding");
        self.held = self.held.plus(resources);
    }

    /// Counts what a stored row says is held, even where the total has shrunk since.
    pub(crate) fn hold_restored(&mut self, resources: Resources) {
        self.held = self.held.plus(resources);
    }

    pub(crate) fn release(&mut self, resources: Resources) {
        self.held = self.held.minus(resources);
    }
}

/// Takes an allocation from the node and the environment at once, or nothing.
pub(crate) fn allocate(node: &mut Pool, environment: &mut Pool, name: &Name, wanted: Resources) -> Allocation {
    node.hold(wanted);
    environment.hold(wanted);
    Allocation { environment: name.clone(), resources: wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_come_in_quarters() {
        for (text, quarters) in [("1", 4), ("0.25", 1), ("2.50", 10), ("16.0", 64), ("0.750", 3)] {
            assert_eq!(text.parse::<Vcpus>().unwrap().quarters(), quarters);
        }
        for bad in ["", "0", "0.0", "0.3", "-1", "1e3", ".5", "5.", "99999999999", "1 "] {
            assert_eq!(bad.parse::<Vcpus>(), Err(InvalidVcpus), "{bad}");
        }
        assert_eq!(Vcpus::from_quarters(5).to_string(), "1.25");
        assert_eq!(Vcpus::whole(2).to_string(), "2");
    }

    #[test]
    fn a_pool_tells_never_from_not_now() {
        let four = Resources { vcpus: Vcpus::whole(4), memory_mib: 100, gpus: 0 };
        let three = Resources { vcpus: Vcpus::whole(3), memory_mib: 10, gpus: 0 };
        let mut pool = Pool::new(four);
        assert_eq!(pool.room_for(three), Ok(()));
        pool.hold(three);
        assert_eq!(pool.room_for(three), Err(NoRoom::Now));
        assert_eq!(pool.room_for(Resources { gpus: 1, ..three }), Err(NoRoom::Never));
        pool.release(three);
        assert_eq!(pool, Pool::new(four));
    }
}
