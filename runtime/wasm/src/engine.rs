//! Engines and linkers: what is set up once in a process.

use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, Linker, OptLevel, PoolingAllocationConfig, Result, component,
};

use wasmbatch_executor::EngineProfile;

use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::link;
use crate::wasi::{ComponentState, ModuleState};

/// Pages of a linear memory that stay mapped between attempts: most guests need no more, and then
/// an attempt costs no page fault.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;
/// The same for tables.
const KEEP_TABLE_BYTES: usize = 64 * 1024;
/// Largest bookkeeping of one instance; pandoc's 380,000 functions take 19 MiB. Nothing is reserved for it.
const MAX_INSTANCE_BYTES: usize = 64 * 1024 * 1024;
/// Calls that a component of WASI 0.3 may have under way at once, each with a stack of its own.
const MAX_STACKS: u32 = 64;
/// Stack of a guest's calls.
const MAX_WASM_STACK: usize = 512 * 1024;
/// Changes when compiled programs become useless for a reason that wasmtime doesn't see.
const CACHE_FORMAT: u32 = 1;

/// An engine with its linkers.
pub(crate) struct Host {
    pub(crate) profile: EngineProfile,
    pub(crate) engine: Engine,
    pub(crate) modules: Linker<ModuleState>,
    /// For commands of WASI 0.2.
    pub(crate) components: component::Linker<ComponentState>,
    async_components: OnceCell<component::Linker<ComponentState>>,
}

/// The engine that runs nearly everything, and one for what doesn't fit its pool.
pub(crate) struct Hosts {
    pub(crate) pooled: Host,
    on_demand: OnceCell<Host>,
}

impl Hosts {
    /// With a pool, or without where none can be reserved.
    pub(crate) fn new(profile: EngineProfile) -> Result<Self> {
        let pooled = match Host::new(profile, &pooled_config(profile)) {
            Ok(host) => host,
            Err(_) => Host::without_pool(profile)?,
        };
        Ok(Self { pooled, on_demand: OnceCell::new() })
    }

    /// The engine without a pool, made when it is first needed.
    pub(crate) fn on_demand(&self) -> Result<&Host> {
        if self.on_demand.get().is_none() {
            let host = Host::without_pool(self.pooled.profile)?;
            // Nobody else can have set it: the cell belongs to this thread.
            let _ = self.on_demand.set(host);
        }
        Ok(self.on_demand.get().expect("it was set above"))
    }
}

impl Host {
    fn new(profile: EngineProfile, config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let (modules, components) = (link::modules(&engine, profile)?, link::components(&engine, profile)?);
        Ok(Self { profile, engine, modules, components, async_components: OnceCell::new() })
    }

    /// The linker for commands of WASI 0.3, made when it is first needed.
    pub(crate) fn async_components(&self) -> Result<&component::Linker<ComponentState>> {
        if self.async_components.get().is_none() {
            let linker = link::async_components(&self.engine, self.profile)?;
            // Nobody else can have set it: the cell belongs to this thread.
            let _ = self.async_components.set(linker);
        }
        Ok(self.async_components.get().expect("it was set above"))
    }

    /// A host for one program at a time, without a pool.
    pub(crate) fn without_pool(profile: EngineProfile) -> Result<Self> {
        Self::new(profile, &base_config(profile))
    }

    /// Programs compiled by engines with the same key are interchangeable. The key may differ
    /// without need, never agree without reason.
    pub(crate) fn key(&self) -> [u8; 16] {
        let mut key = [0; 16];
        for (half, seed) in key.chunks_exact_mut(8).zip(0_u32..) {
            let mut hasher = DefaultHasher::new();
            (seed, CACHE_FORMAT, env!("CARGO_PKG_VERSION"), self.profile).hash(&mut hasher);
            self.engine.precompile_compatibility_hash().hash(&mut hasher);
            half.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        key
    }
}

fn base_config(profile: EngineProfile) -> Config {
    let counts_fuel = match profile {
        EngineProfile::Plain => false,
        EngineProfile::Fuel | EngineProfile::Deterministic => true,
    };
    let deterministic = profile == EngineProfile::Deterministic;
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        // The end of the process is the deadline, and costs a guest nothing.
        .epoch_interruption(false)
        .consume_fuel(counts_fuel)
        // Bit patterns of NaNs and relaxed SIMD are the only results that differ between processors.
        .cranelift_nan_canonicalization(deterministic)
        .relaxed_simd_deterministic(deterministic)
        .max_wasm_stack(MAX_WASM_STACK)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .concurrency_support(true)
        .wasm_component_model_async(true)
        // Backtraces go nowhere yet, and a trap costs a tenth without.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        // Faster for small guests, and indifferent to how many modules share the pool.
        .memory_init_cow(false);
    config
}

fn pooled_config(profile: EngineProfile) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(MAX_INSTANCES)
        .total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_MEMORIES)
        .total_tables(MAX_TABLES)
        .total_stacks(MAX_STACKS)
        .max_core_instance_size(MAX_INSTANCE_BYTES)
        .max_component_instance_size(MAX_INSTANCE_BYTES)
        .max_tables_per_module(16)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = base_config(profile);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
