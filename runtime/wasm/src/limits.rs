//! What a guest may take of this process.

use wasmtime::{Error, ResourceLimiter, Result};

/// Elements of all tables of an attempt together.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 1_000_000;
/// Instances of an attempt: components consist of several.
pub(crate) const MAX_INSTANCES: u32 = 256;
/// Tables of an attempt.
pub(crate) const MAX_TABLES: u32 = 256;
/// Memories of an attempt.
pub(crate) const MAX_MEMORIES: u32 = 32;
/// Resources of an attempt: open files, streams, what is waited for, headers. Each costs this
/// process some memory and may hold a buffer.
pub(crate) const MAX_RESOURCES: usize = 8192;
/// Most bytes that one call of a guest has this process copy: texts, lists, what is written.
pub(crate) const HOSTCALL_BYTES: usize = 64 * 1024 * 1024;

/// Counts what one attempt takes. A growth beyond the limits is refused, which the guest sees as
/// `memory.grow` giving -1, and remembered.
#[derive(Debug)]
pub(crate) struct Limits {
    memory_limit: u64,
    memory_left: u64,
    table_left: u64,
    refused_memory: bool,
}

impl Limits {
    pub(crate) fn new(memory_limit_bytes: u64) -> Self {
        let table_left = u64::try_from(MAX_TABLE_ELEMENTS).expect("the constant fits");
        Self { memory_limit: memory_limit_bytes, memory_left: memory_limit_bytes, table_left, refused_memory: false }
    }

    /// Bytes of linear memory that the guest was given, which it can't give back.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        self.memory_limit - self.memory_left
    }

    /// Whether the guest wanted more memory than it may have.
    pub(crate) fn refused_memory(&self) -> bool {
        self.refused_memory
    }
}

fn take(left: &mut u64, current: usize, desired: usize) -> bool {
    let wanted = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
    match left.checked_sub(wanted) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // The guest's own bound is no refusal of ours.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let granted = take(&mut self.memory_left, current, desired);
        self.refused_memory |= !granted;
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.refused_memory = true;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(take(&mut self.table_left, current, desired))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES.try_into().expect("a small constant fits")
    }

    fn tables(&self) -> usize {
        MAX_TABLES.try_into().expect("a small constant fits")
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES.try_into().expect("a small constant fits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 30, None).unwrap());
        assert!(!limits.refused_memory());
        assert!(!limits.memory_growing(30, 41, None).unwrap());
        assert!(limits.refused_memory());
        assert!(limits.memory_growing(30, 40, None).unwrap());
    }

    #[test]
    fn a_guests_own_maximum_is_no_refusal() {
        let mut limits = Limits::new(100);
        assert!(!limits.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!limits.refused_memory());
    }
}
