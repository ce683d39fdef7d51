//! Programs that are ready to run, and running them.

use std::fs::File;

use wasmtime::component::Component;
use wasmtime::{InstancePre, Module, ModuleExport, Store, UnknownImportError};
use wasmtime_wasi::p2::bindings::sync::CommandPre;
use wasmtime_wasi::{ResourceTable, WasiCtxBuilder};

use wasmbatch_executor::ModuleKind;

use crate::cache::{load_component, load_module};
use crate::compile::Fault;
use crate::ending::{GuestEnding, ending};
use crate::engine::{Host, Hosts};
use crate::limits::Limits;
use crate::wasi::{ComponentState, ModuleState};

/// The interface that a command component exports.
const RUN: &str = "wasi:cli/run@0.2.";

/// Linked and ready to be instantiated.
pub(crate) enum LoadedProgram {
    Module { instance: InstancePre<ModuleState>, start: ModuleExport },
    Component(CommandPre<ComponentState>),
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

/// Links a component, or says why it is no command.
pub(crate) fn component_program(host: &Host, component: &Component) -> Result<LoadedProgram, Fault> {
    let component_type = component.component_type();
    if !component_type.exports(&host.engine).any(|(name, _)| name.starts_with(RUN)) {
        return Err(Fault::new("it is a component of another world: it exports no wasi:cli/run of WASI 0.2"));
    }
    let instance = host
        .components
        .instantiate_pre(component)
        // The outermost message names the interface, the root cause only what is wrong with it.
        .map_err(|error| Fault(format!("an import that nobody provides: {error}")))?;
    let command = CommandPre::new(instance).map_err(|error| Fault::of("it is a component of another world", &error))?;
    Ok(LoadedProgram::Component(command))
}

/// Runs a program to its end.
pub(crate) fn run(program: &LoadedProgram, mut context: WasiCtxBuilder, memory_limit_bytes: u64) -> GuestEnding {
    let limits = Limits::new(memory_limit_bytes);
    match program {
        LoadedProgram::Module { instance, start } => {
            let state = ModuleState { wasi: context.build_p1(), limits };
            let mut store = Store::new(instance.module().engine(), state);
            store.limiter(|state| &mut state.limits);
            let result = run_module(&mut store, instance, start);
            ending(result, store.data().limits.refused_memory())
        }
        LoadedProgram::Component(command) => {
            let state = ComponentState { wasi: context.build(), table: ResourceTable::new(), limits };
            let mut store = Store::new(command.engine(), state);
            store.limiter(|state| &mut state.limits);
            let result = run_component(&mut store, command);
            ending(result, store.data().limits.refused_memory())
        }
    }
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
    match command.wasi_cli_run().call_run(&mut *store)? {
        Ok(()) => Ok(()),
        Err(()) => Err(wasmtime_wasi::I32Exit(1).into()),
    }
}
