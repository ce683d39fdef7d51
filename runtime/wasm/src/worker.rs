//! The life of a worker process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;

use wasmbatch_executor::OutputStream;
use wasmbatch_executor::frame::{
    FrameReader, FromWorker, MAX_REASON, MAX_TO_WORKER, PROTOCOL, Run, ToWorker, WorkerEnding, decode,
};
use wasmbatch_jail::{inherited, scratch, socket};

use crate::channel::Channel;
use crate::compile::{Fault, compile};
use crate::ending::GuestEnding;
use crate::engine::Hosts;
use crate::run::{LoadedProgram, load, run};
use crate::wasi::{ChannelStream, add_working_folder, context};

/// Exit code of a worker that can't begin or doesn't understand the pool; sysexits' EX_PROTOCOL.
const EXIT_PROTOCOL: i32 = 76;
/// Stack of the thread that runs guests: wasmtime wants 512 KiB for them and some for the host.
pub(crate) const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Why a worker gives up. The pool reads it on its stderr.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("a descriptor is missing: {0}")]
    Inherited(#[source] io::Error),
    #[error("the engine cannot be made: {0}")]
    Engine(wasmtime::Error),
    #[error("no thread: {0}")]
    Thread(#[source] io::Error),
    #[error("the pool sent what cannot be: {0}")]
    Pool(&'static str),
    #[error("a frame: {0}")]
    Frame(#[from] wasmbatch_executor::frame::FrameError),
}

/// Runs this process as a worker of the pool that spawned it, until the pool goes away.
pub fn worker_main() -> ! {
    let thread = std::thread::Builder::new().name("guest".to_owned()).stack_size(STACK_BYTES);
    let result = match thread.spawn(serve) {
        Ok(thread) => thread.join().unwrap_or(Err(WorkerError::Pool("something that panics"))),
        Err(error) => Err(WorkerError::Thread(error)),
    };
    match result {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("worker: {error}");
            std::process::exit(EXIT_PROTOCOL)
        }
    }
}

struct Worker {
    hosts: Hosts,
    channel: Channel,
    programs: HashMap<[u8; 32], LoadedProgram>,
    scratch: Option<OwnedFd>,
}

fn serve() -> Result<(), WorkerError> {
    let pool = Arc::new(inherited::claim(inherited::SOCKET).map_err(WorkerError::Inherited)?);
    let scratch = inherited::claim(inherited::SCRATCH).ok();
    if let Some(scratch) = &scratch {
        inherited::enter(scratch).map_err(WorkerError::Inherited)?;
    }
    let hosts = Hosts::new().map_err(WorkerError::Engine)?;
    let channel = Channel::start(Arc::clone(&pool)).map_err(WorkerError::Thread)?;
    channel.send(&FromWorker::Hello { protocol: PROTOCOL, engine: hosts.pooled.key() });
    let mut worker = Worker { hosts, channel, programs: HashMap::new(), scratch };
    let mut reader = FrameReader::new(MAX_TO_WORKER);
    let mut descriptors = Vec::new();
    loop {
        let content = reader.next(|buffer| socket::receive(pool.as_fd(), buffer, &mut descriptors))?;
        let Some(content) = content else { return Ok(()) };
        let mut given = descriptors.drain(..);
        match decode(content)? {
            ToWorker::Compile => {
                let (Some(module), Some(output)) = (given.next(), given.next()) else {
                    return Err(WorkerError::Pool("too few descriptors"));
                };
                worker.compile(&File::from(module), &File::from(output));
            }
            ToWorker::Run(request) => worker.run(&request, &mut given)?,
        }
    }
}

impl Worker {
    fn compile(&self, module: &File, output: &File) {
        match compile(&self.hosts.pooled, module, output) {
            Ok(kind) => self.channel.send(&FromWorker::Compiled { kind }),
            Err(Fault(reason)) => self.channel.send(&FromWorker::CompileFailed { reason: shortened(&reason) }),
        }
    }

    fn run(&mut self, request: &Run<'_>, given: &mut impl Iterator<Item = OwnedFd>) -> Result<(), WorkerError> {
        if let Some(forgotten) = &request.forget {
            self.programs.remove(forgotten);
        }
        let compiled = if request.attached { given.next() } else { None };
        let folders: Vec<OwnedFd> = given.collect();
        if folders.len() != request.folders.len() || compiled.is_some() != request.attached {
            return Err(WorkerError::Pool("another number of descriptors"));
        }
        if let Some(compiled) = compiled {
            match load(&self.hosts, request.kind, &File::from(compiled)) {
                Ok(program) => drop(self.programs.insert(request.program, program)),
                Err(Fault(reason)) => {
                    self.could_not_start(&reason);
                    return Ok(());
                }
            }
        }
        let context = match self.context(request, &folders) {
            Ok(context) => context,
            Err(error) => {
                self.programs.remove(&request.program);
                self.could_not_start(&format!("ResourceInitializationError: {}", error.root_cause()));
                return Ok(());
            }
        };
        drop(folders);
        let Some(program) = self.programs.get(&request.program) else {
            return Err(WorkerError::Pool("a program that is not loaded"));
        };
        self.channel.gather(&FromWorker::Started);
        let ending = run(program, context, request.memory_limit_bytes);
        self.ended(&ending);
        Ok(())
    }

    /// The guest's world. Folders are known by descriptor and become the guest's by way of the
    /// working folder, which is the scratch folder again afterwards.
    fn context(&self, request: &Run<'_>, folders: &[OwnedFd]) -> wasmtime::Result<WasiCtxBuilder> {
        let mut builder = context(&request.arguments, request.environment.iter().copied());
        let stream = |stream| ChannelStream { channel: self.channel.clone(), stream };
        builder.stdout(stream(OutputStream::Stdout)).stderr(stream(OutputStream::Stderr));
        let Some(scratch) = &self.scratch else { return Ok(builder) };
        let root_is_mounted = request.folders.iter().any(|folder| folder.path == "/");
        let own = if root_is_mounted { "/tmp" } else { "/" };
        add_working_folder(&mut builder, own, request.read_only_root)?;
        for (folder, descriptor) in request.folders.iter().zip(folders) {
            inherited::enter(descriptor)?;
            add_working_folder(&mut builder, folder.path, folder.read_only)?;
        }
        if !folders.is_empty() {
            inherited::enter(scratch)?;
        }
        Ok(builder)
    }

    fn could_not_start(&self, reason: &str) {
        let ending = WorkerEnding::CouldNotStart { reason: shortened(reason) };
        self.channel.send(&FromWorker::Ended { ending, reusable: true });
    }

    fn ended(&self, ending: &GuestEnding) {
        let reusable = self.scratch.as_ref().is_none_or(|folder| scratch::empty(folder).is_ok());
        let ending = match ending {
            GuestEnding::Exited { exit_code, reason } => {
                WorkerEnding::Exited { exit_code: *exit_code, reason: reason.as_deref().map(shortened) }
            }
            GuestEnding::Failed { exit_code, reason } => {
                WorkerEnding::Failed { exit_code: *exit_code, reason: shortened(reason) }
            }
        };
        self.channel.send(&FromWorker::Ended { ending, reusable });
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON)]
}
