//! What a guest may import: linkers, made once for an engine.

use wasmtime::{Engine, Linker, Result, component};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock as p2_clock;
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock as p3_clock;
use wasmtime_wasi::{p1, p2, p3};

use wasmbatch_executor::EngineProfile;

use crate::deterministic::{VirtualClocks, shadow_poll};
use crate::ending::ProcExit;
use crate::wasi::{ComponentState, ModuleState};

/// WASI preview 1.
pub(crate) fn modules(engine: &Engine, profile: EngineProfile) -> Result<Linker<ModuleState>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |state: &mut ModuleState| &mut state.wasi)?;
    linker.allow_shadowing(true);
    // wasmtime's own refuses codes from 126 on; a job's code is its own.
    linker
        .func_wrap("wasi_snapshot_preview1", "proc_exit", |code: i32| -> Result<()> { Err(ProcExit(code).into()) })?;
    match profile {
        EngineProfile::Plain | EngineProfile::Fuel => {}
        EngineProfile::Deterministic => shadow_poll(&mut linker)?,
    }
    linker.allow_shadowing(false);
    Ok(linker)
}

/// WASI 0.2 with `wasi:http`, for commands that block.
pub(crate) fn components(engine: &Engine, profile: EngineProfile) -> Result<component::Linker<ComponentState>> {
    let mut linker = component::Linker::new(engine);
    p2::add_to_linker_sync(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
    shadow_clocks(&mut linker, profile)?;
    Ok(linker)
}

/// WASI 0.3, and 0.2 beside it, which the parts of a program that aren't asynchronous still import.
pub(crate) fn async_components(engine: &Engine, profile: EngineProfile) -> Result<component::Linker<ComponentState>> {
    let mut linker = component::Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    shadow_clocks(&mut linker, profile)?;
    if profile == EngineProfile::Deterministic {
        linker.allow_shadowing(true);
        p3_clock::add_to_linker::<_, VirtualClocks>(&mut linker, ComponentState::virtual_clocks)?;
        linker.allow_shadowing(false);
    }
    Ok(linker)
}

fn shadow_clocks(linker: &mut component::Linker<ComponentState>, profile: EngineProfile) -> Result<()> {
    match profile {
        EngineProfile::Plain | EngineProfile::Fuel => {}
        EngineProfile::Deterministic => {
            linker.allow_shadowing(true);
            p2_clock::add_to_linker::<_, VirtualClocks>(linker, ComponentState::virtual_clocks)?;
            linker.allow_shadowing(false);
        }
    }
    Ok(())
}
