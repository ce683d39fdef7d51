//! Checking and compiling a module that nobody trusts.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;

use wasmtime::component::Component;
use wasmtime::{Error, Module};

use wasmbatch_executor::ModuleKind;

use crate::engine::Host;
use crate::run::{component_program, module_program};

/// Largest module that is compiled.
const MAX_MODULE_BYTES: u64 = 1024 * 1024 * 1024;

/// Most threads of one compilation.
const MAX_THREADS: usize = 16;

const MAGIC: &[u8] = b"\0asm";
const MODULE_VERSION: [u8; 4] = [1, 0, 0, 0];
const COMPONENT_VERSION: [u8; 4] = [0x0d, 0, 1, 0];

/// The threads among which a compilation is divided. How many the machine has use for is asked of the
/// host's files, so it is asked before the jail closes; they start when it is closed.
pub(crate) struct Compilers(usize);

impl Compilers {
    pub(crate) fn of_this_machine() -> Self {
        Self(std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_THREADS))
    }

    pub(crate) fn start(&self) -> io::Result<()> {
        rayon::ThreadPoolBuilder::new().num_threads(self.0).build_global().map_err(io::Error::other)
    }
}

/// A module's fault, fit for its owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn of(what: &str, error: &Error) -> Self {
        Self(format!("{what}: {}", error.root_cause()))
    }
}

/// Compiles `module` into `output`, and makes sure that what comes out can start.
pub(crate) fn compile(host: &Host, module: &File, mut output: &File) -> Result<ModuleKind, Fault> {
    let bytes = read(module)?;
    let kind = kind_of(&bytes)?;
    let compiled = compile_bytes(host, &bytes, kind)?;
    drop(bytes);
    output.write_all(&compiled).map_err(|error| Fault(format!("the compiled module could not be written: {error}")))?;
    Ok(kind)
}

pub(crate) fn read(module: &File) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = module.take(MAX_MODULE_BYTES + 1).read_to_end(&mut bytes);
    match read.map(u64::try_from) {
        Ok(Ok(length)) if length <= MAX_MODULE_BYTES => Ok(bytes),
        Ok(_) => Err(Fault(format!("it is larger than {MAX_MODULE_BYTES} bytes"))),
        Err(error) => Err(Fault(format!("it could not be read: {error}"))),
    }
}

/// What kind of WebAssembly this is, by its first eight bytes.
pub(crate) fn kind_of(bytes: &[u8]) -> Result<ModuleKind, Fault> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let text = bytes.trim_ascii_start();
        return Err(Fault::new(match bytes {
            [] => "this file is empty and not WebAssembly",
            _ if text.starts_with(b"(module") || text.starts_with(b"(component") => {
                "this is WebAssembly text and not a WebAssembly binary"
            }
            _ => "this is not WebAssembly",
        }));
    };
    match rest.first_chunk() {
        Some(&MODULE_VERSION) => Ok(ModuleKind::Module),
        Some(&COMPONENT_VERSION) => Ok(ModuleKind::Component),
        Some(_) => Err(Fault::new("this is WebAssembly of an unknown version")),
        None => Err(Fault::new("this WebAssembly file is cut short")),
    }
}

fn compile_bytes(host: &Host, bytes: &[u8], kind: ModuleKind) -> Result<Vec<u8>, Fault> {
    let invalid = |error: Error| Fault::of("invalid WebAssembly", &error);
    let serialized = match kind {
        ModuleKind::Module => {
            // Finds in a second what compiling would find after minutes.
            Module::validate(&host.engine, bytes).map_err(invalid)?;
            let module = Module::from_binary(&host.engine, bytes).map_err(invalid)?;
            module_program(host, &module)?;
            module.serialize()
        }
        ModuleKind::Component => {
            let component = Component::from_binary(&host.engine, bytes).map_err(invalid)?;
            component_program(host, &component)?;
            component.serialize()
        }
    };
    serialized.map_err(|error| Fault::of("the compiled module cannot be stored", &error))
}
