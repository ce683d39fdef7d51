//! One program, with this process's own streams.

use std::fs::File;
use std::path::PathBuf;

use wasmtime::Module;
use wasmtime::component::Component;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use wasmbatch_executor::{EngineProfile, ModuleKind, NetworkAccess};

use crate::compile::{Fault, kind_of, read};
use crate::drive::Driver;
use crate::ending::GuestEnding;
use crate::engine::Host;
use crate::run::{Allowance, LoadedProgram, component_program, module_program, run};
use crate::wasi::{Settings, world};

/// What `wasmbatch run` was asked for.
#[derive(Debug, Clone, Default)]
pub struct Foreground {
    /// The program's file.
    pub program: PathBuf,
    /// The whole argument vector, the program's name first.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Folders the program may reach.
    pub folders: Vec<ForegroundFolder>,
    /// Bound on all linear memory together, if any.
    pub memory_limit_bytes: Option<u64>,
}

/// A folder that a foreground program may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForegroundFolder {
    /// The folder of this machine.
    pub host: PathBuf,
    /// Where the program sees it.
    pub guest: String,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// How a foreground run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForegroundEnd {
    /// The exit code, as an attempt's.
    pub exit_code: u8,
    /// For stderr: why it didn't start or end by itself.
    pub reason: Option<String>,
}

/// Exit code of a program that could not be started, as shells have it.
const NOT_STARTED: u8 = 126;

/// Compiles and runs one program in this process, with its stdin, stdout and stderr, on a thread of
/// its own; blocks until its end.
pub fn run_foreground(request: &Foreground) -> ForegroundEnd {
    let ending = Driver::new().and_then(|driver| driver.run(|| start(request)));
    let ending = ending.unwrap_or_else(|error| Ok(Err(Fault(format!("no thread: {error}")))));
    match ending.unwrap_or_else(|_| Err(Fault::new("the runtime panicked"))) {
        Ok(GuestEnding::Exited { exit_code, reason }) => ForegroundEnd { exit_code, reason },
        Ok(GuestEnding::Failed { exit_code, reason }) => ForegroundEnd { exit_code, reason: Some(reason) },
        Err(Fault(reason)) => ForegroundEnd { exit_code: NOT_STARTED, reason: Some(reason) },
    }
}

fn start(request: &Foreground) -> Result<GuestEnding, Fault> {
    let host = Host::without_pool(EngineProfile::Plain).map_err(|error| Fault::of("no engine", &error))?;
    let program = compile(&host, request)?;
    let arguments: Vec<&str> = request.arguments.iter().map(String::as_str).collect();
    let environment: Vec<(&str, &str)> = request.environment.iter().map(|(k, v)| (&**k, &**v)).collect();
    let mut world = world(&Settings {
        program: &[0; 32],
        arguments: &arguments,
        environment: &environment,
        network: NetworkAccess::None,
        profile: host.profile,
    });
    world.builder.inherit_stdio();
    add_folders(&mut world.builder, &request.folders)?;
    let allowance = Allowance { memory_bytes: request.memory_limit_bytes.unwrap_or(u64::MAX), fuel: None };
    Ok(run(&program, world, allowance).ending)
}

fn compile(host: &Host, request: &Foreground) -> Result<LoadedProgram, Fault> {
    let shown = request.program.display();
    let file = File::open(&request.program).map_err(|error| Fault(format!("{shown} cannot be opened: {error}")))?;
    let bytes = read(&file)?;
    let invalid = |error| Fault::of("invalid WebAssembly", &error);
    match kind_of(&bytes)? {
        ModuleKind::Module => module_program(host, &Module::from_binary(&host.engine, &bytes).map_err(invalid)?),
        ModuleKind::Component => {
            component_program(host, &Component::from_binary(&host.engine, &bytes).map_err(invalid)?)
        }
    }
}

fn add_folders(builder: &mut WasiCtxBuilder, folders: &[ForegroundFolder]) -> Result<(), Fault> {
    for ForegroundFolder { host, guest, read_only } in folders {
        let permissions = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        builder
            .preopened_dir(host, guest, permissions)
            .map_err(|error| Fault(format!("folder {}: {}", host.display(), error.root_cause())))?;
    }
    Ok(())
}
