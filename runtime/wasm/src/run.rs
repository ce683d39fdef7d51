//! Programs that are ready to run, and running them.

use std::fs::File;

use tokio::runtime::Handle;
use wasmtime::component::Component;
use wasmtime::{InstancePre, Module, ModuleExport, Store, UnknownImportError};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::sync::CommandPre;
use wasmtime_wasi::p3::bindings as p3;

use wasmbatch_executor::ModuleKind;

use crate::cache::{load_component, load_module};
use crate::compile::Fault;
use crate::ending::{GuestEnding, ending};
use crate::engine::{Host, Hosts};
use crate::limits::{HOSTCALL_BYTES, Limits, MAX_RESOURCES};
use crate::wasi::{ComponentState, ModuleState, World};

/// The interface that a command component exports, up to its version.
const RUN: &str = "wasi:cli/run@";

/// Linked and ready to be instantiated.
pub(crate) enum LoadedProgram {
    Module {
        instance: InstancePre<ModuleState>,
        start: ModuleExport,
    },
    /// A command of WASI 0.2.
    Component(CommandPre<ComponentState>),
    /// A command of WASI 0.3.
    AsyncComponent(p3::CommandPre<ComponentState>),
}

/// What an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Of linear memory.
    pub(crate) memory_bytes: u64,
    /// Unlimited where it is absent; of no meaning to an engine that doesn't count it.
    pub(crate) fuel: Option<u64>,
}

/// How an attempt ended and what it took.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ending: GuestEnding,
    pub(crate) peak_memory_bytes: u64,
    /// Where the engine counts it.
    pub(crate) fuel_used: Option<u64>,
}

/// Loads and links a compiled program.
pub(crate) fn load(hosts: &Hosts, kind: ModuleKind, compiled: &File) -> Result<LoadedProgram, Fault> {
    let host = &hosts.pooled;
    let unusable = |error| Fault::of("the compiled module cannot be loaded", &error);
    match kind {
        ModuleKind::Module => match load_module(&host.engine, compiled) {
            Ok(module) => module_program(host, &module),
            // It may be too large for the pool.
            Err(_) => {
                let host = hosts.on_demand().map_err(unusable)?;
                module_program(host, &load_module(&host.engine, compiled).map_err(unusable)?)
            }
        },
        ModuleKind::Component => match load_component(&host.engine, compiled) {
            Ok(component) => component_program(host, &component),
            Err(_) => {
                let host = hosts.on_demand().map_err(unusable)?;
                component_program(host, &load_component(&host.engine, compiled).map_err(unusable)?)
            }
        },
    }
}

/// Links a core module, or says why it is no command.
pub(crate) fn module_program(host: &Host, module: &Module) -> Result<LoadedProgram, Fault> {
    let instance =
        host.modules.instantiate_pre(module).map_err(|error| match error.downcast_ref::<UnknownImportError>() {
            Some(unknown) => {
                let (from, name) = (unknown.module(), unknown.name());
                Fault(format!("it imports {name} from {from}, which nobody provides"))
            }
            None => Fault::of("an import does not fit", &error),
        })?;
    let no_start = || Fault::new("it exports no function _start, so it is not a WASI command");
    let function = module.get_export("_start").and_then(|export| export.func().cloned());
    let function = function.ok_or_else(no_start)?;
    if function.params().len() != 0 || function.results().len() != 0 {
        return Err(Fault::new("its function _start takes or returns something, so it is not a WASI command"));
    }
    let start = module.get_export_index("_start").ok_or_else(no_start)?;
    Ok(LoadedProgram::Module { instance, start })
}

/// The versions of WASI for which a component can be a command.
enum CommandVersion {
    Wasi02,
    Wasi03,
}

fn command_version(host: &Host, component: &Component) -> Result<CommandVersion, Fault> {
    let component_type = component.component_type();
    let mut other = None;
    for (name, _) in component_type.exports(&host.engine) {
        let Some(version) = name.strip_prefix(RUN) else { continue };
        match version {
            _ if version.starts_with("0.2.") => return Ok(CommandVersion::Wasi02),
            _ if version.starts_with("0.3.") && !version.contains('-') => return Ok(CommandVersion::Wasi03),
            _ => other = Some(version.to_owned()),
        }
    }
    Err(match other {
        Some(version) => Fault(format!("it is a component of WASI {version}: here are WASI 0.2 and 0.3.0")),
        None => Fault::new("it is a component of another world: it exports no wasi:cli/run of WASI 0.2 or 0.3"),
    })
}

/// Links a component, or says why it is no command.
pub(crate) fn component_program(host: &Host, component: &Component) -> Result<LoadedProgram, Fault> {
    // The outermost message names the interface, the root cause only what is wrong with it.
    let import = |error| Fault(format!("an import that nobody provides: {error}"));
    let world = |error| Fault::of("it is a component of another world", &error);
    match command_version(host, component)? {
        CommandVersion::Wasi02 => {
            let instance = host.components.instantiate_pre(component).map_err(import)?;
            CommandPre::new(instance).map(LoadedProgram::Component).map_err(world)
        }
        CommandVersion::Wasi03 => {
            let linker = host.async_components().map_err(|error| Fault::of("no linker", &error))?;
            let instance = linker.instantiate_pre(component).map_err(import)?;
            p3::CommandPre::new(instance).map(LoadedProgram::AsyncComponent).map_err(world)
        }
    }
}

/// Runs a program to its end.
pub(crate) fn run(program: &LoadedProgram, world: World, allowance: Allowance) -> Outcome {
    let limits = Limits::new(allowance.memory_bytes);
    match program {
        LoadedProgram::Module { instance, start } => {
            let mut state = ModuleState::new(world, limits);
            state.table().set_max_capacity(MAX_RESOURCES);
            let mut store = Store::new(instance.module().engine(), state);
            store.limiter(|state| &mut state.limits);
            attempt(&mut store, allowance, |state| &state.limits, |store| run_module(store, instance, start))
        }
        LoadedProgram::Component(command) => {
            let mut store = component_store(command.engine(), world, limits);
            attempt(&mut store, allowance, |state| &state.limits, |store| run_component(store, command))
        }
        LoadedProgram::AsyncComponent(command) => {
            let mut store = component_store(command.engine(), world, limits);
            attempt(
                &mut store,
                allowance,
                |state| &state.limits,
                |store| Handle::current().block_on(run_async_component(store, command)),
            )
        }
    }
}

fn component_store(engine: &wasmtime::Engine, world: World, limits: Limits) -> Store<ComponentState> {
    let mut state = ComponentState::new(world, limits);
    state.table.set_max_capacity(MAX_RESOURCES);
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limits);
    store.set_max_component_handles(MAX_RESOURCES);
    store
}

fn attempt<T>(
    store: &mut Store<T>,
    allowance: Allowance,
    limits: impl Fn(&T) -> &Limits,
    run: impl FnOnce(&mut Store<T>) -> wasmtime::Result<()>,
) -> Outcome {
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    let fuel = allowance.fuel.unwrap_or(u64::MAX);
    let counted = store.set_fuel(fuel).is_ok();
    let result = run(store);
    let fuel_used = counted.then(|| fuel.saturating_sub(store.get_fuel().unwrap_or(0)));
    let limits = limits(store.data());
    let ending = ending(result, limits.refused_memory(), fuel_used.unwrap_or(0));
    Outcome { ending, peak_memory_bytes: limits.peak_memory_bytes(), fuel_used }
}

fn run_module(
    store: &mut Store<ModuleState>,
    instance: &InstancePre<ModuleState>,
    start: &ModuleExport,
) -> wasmtime::Result<()> {
    let instance = instance.instantiate(&mut *store)?;
    let start = instance
        .get_module_export(&mut *store, start)
        .and_then(|export| export.into_func())
        .expect("loading made sure that the start function is there");
    start.typed::<(), ()>(&*store)?.call(&mut *store, ())
}

fn run_component(store: &mut Store<ComponentState>, command: &CommandPre<ComponentState>) -> wasmtime::Result<()> {
    let command = command.instantiate(&mut *store)?;
    result_of(command.wasi_cli_run().call_run(&mut *store)?)
}

async fn run_async_component(
    store: &mut Store<ComponentState>,
    command: &p3::CommandPre<ComponentState>,
) -> wasmtime::Result<()> {
    let command = command.instantiate_async(&mut *store).await?;
    let run =
        async move |store: &wasmtime::component::Accessor<ComponentState>| command.wasi_cli_run().call_run(store).await;
    result_of(store.run_concurrent(run).await??)
}

fn result_of(result: Result<(), ()>) -> wasmtime::Result<()> {
    result.map_err(|()| I32Exit(1).into())
}
