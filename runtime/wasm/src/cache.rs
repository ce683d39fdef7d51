//! Loading compiled programs from the pool's cache.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Result};

/// Loads a core module.
pub(crate) fn load_module(engine: &Engine, compiled: &File) -> Result<Module> {
    let file = compiled.try_clone()?;
    #[expect(unsafe_code, reason = "compiled code is machine code and has to be believed")]
    // SAFETY: the pool hands over only what a compiler worker of the same engine wrote, with the
    // checksum that was taken when it was stored, by a descriptor that can't write; nothing that runs
    // a job can reach the cache's folder. wasmtime checks the engine's version and settings itself.
    unsafe {
        Module::deserialize_open_file(engine, file)
    }
}

/// Loads a component.
pub(crate) fn load_component(engine: &Engine, compiled: &File) -> Result<Component> {
    // There is no way to map a component by its descriptor, and no path to it from inside the jail.
    let length = usize::try_from(compiled.metadata()?.len())?;
    let mut bytes = vec![0; length];
    // At an offset of its own: other workers may have the same open file.
    compiled.read_exact_at(&mut bytes, 0)?;
    #[expect(unsafe_code, reason = "compiled code is machine code and has to be believed")]
    // SAFETY: as for modules.
    unsafe {
        Component::deserialize(engine, bytes)
    }
}
