//! What wasmtime alone costs, for comparison: the same engine, linker and program as a worker has,
//! without process, frames, limits and folders.

use std::time::{Duration, Instant};

use wasmtime::{Module, Store};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use wasmbatch_executor::EngineProfile;

use crate::compile::Fault;
use crate::drive::beside;
use crate::engine::Hosts;
use crate::limits::Limits;
use crate::run::{LoadedProgram, module_program};
use crate::wasi::ModuleState;

/// Runs a core module `rounds` times in this thread: a store, a WASI context with one argument and
/// captured stdout, an instance, its start function, and all of it dropped again.
///
/// # Errors
/// The module can't be compiled or run; the text says why.
pub fn measure(wasm: &[u8], rounds: u32) -> Result<Duration, String> {
    let measured = beside(|| run_rounds(wasm, rounds)).map_err(|error| error.to_string())?;
    measured.map_err(|Fault(reason)| reason)
}

/// Runs a core module once with one argument, compiled before the clock starts.
///
/// # Errors
/// As [`measure`].
pub fn measure_once(wasm: &[u8], argument: &str) -> Result<Duration, String> {
    let measured = beside(|| run(wasm, 1, &["program", argument])).map_err(|error| error.to_string())?;
    measured.map_err(|Fault(reason)| reason)
}

fn run_rounds(wasm: &[u8], rounds: u32) -> Result<Duration, Fault> {
    run(wasm, rounds, &["program"])
}

fn run(wasm: &[u8], rounds: u32, arguments: &[&str]) -> Result<Duration, Fault> {
    let failed = |error| Fault::of("the floor", &error);
    let hosts = Hosts::new(EngineProfile::Plain).map_err(failed)?;
    let module = Module::from_binary(&hosts.pooled.engine, wasm).map_err(failed)?;
    let LoadedProgram::Module { instance, start } = module_program(&hosts.pooled, &module)? else {
        return Err(Fault::new("not a core module"));
    };
    let begun = Instant::now();
    for _ in 0..rounds {
        let wasi = WasiCtxBuilder::new().args(arguments).stdout(MemoryOutputPipe::new(65_536)).build_p1();
        let mut store =
            Store::new(&hosts.pooled.engine, ModuleState { wasi, limits: Limits::new(u64::MAX), time: None });
        let running = instance.instantiate(&mut store).map_err(failed)?;
        let function = running.get_module_export(&mut store, &start).and_then(|export| export.into_func());
        let function = function.ok_or_else(|| Fault::new("no start function"))?;
        function.typed::<(), ()>(&store).and_then(|start| start.call(&mut store, ())).map_err(failed)?;
    }
    Ok(begun.elapsed())
}
