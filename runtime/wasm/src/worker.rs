//! The life of a worker process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;

use wasmbatch_executor::OutputStream;
use wasmbatch_executor::frame::{
    FolderSource, FrameReader, FromWorker, GuestUsage, MAX_REASON, MAX_TO_WORKER, PROTOCOL, Run, ToWorker,
    WorkerEnding, decode,
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
    /// Folders of the host, in the order in which attempts name them.
    folders: Vec<OwnedFd>,
    scratch: Option<Scratch>,
}

/// The scratch folder: what guests see lies in `root`, further empty folders beside it.
struct Scratch {
    directory: OwnedFd,
    guest_root: OwnedFd,
}

impl Scratch {
    fn open(directory: OwnedFd) -> io::Result<Self> {
        let guest_root = scratch::open_folder_at(directory.as_fd(), "root")?;
        inherited::enter(&guest_root)?;
        Ok(Self { directory, guest_root })
    }

    /// Leaves nothing of an attempt behind.
    fn clean(&self, empty_folders: usize) -> io::Result<()> {
        scratch::empty(&self.guest_root)?;
        for number in 0..empty_folders {
            scratch::remove_folder(self.directory.as_fd(), number)?;
        }
        Ok(())
    }
}

fn serve() -> Result<(), WorkerError> {
    let pool = Arc::new(inherited::claim(inherited::SOCKET).map_err(WorkerError::Inherited)?);
    let mut reader = FrameReader::new(MAX_TO_WORKER);
    let mut descriptors = Vec::new();
    let content = reader.next(|buffer| socket::receive(pool.as_fd(), buffer, &mut descriptors))?;
    let Some(content) = content else { return Ok(()) };
    let ToWorker::Begin(begin) = decode(content)? else {
        return Err(WorkerError::Pool("something else before the beginning"));
    };
    let scratch = match begin.scratch {
        Some(_) => descriptors.pop(),
        None => None,
    };
    let hosts = Hosts::new().map_err(WorkerError::Engine)?;
    let mut worker = Worker::new(scratch, std::mem::take(&mut descriptors), hosts, &pool)?;
    let hello = FromWorker::Hello { protocol: PROTOCOL, engine: worker.hosts.pooled.key(), walls: Vec::new() };
    worker.channel.send(&hello);
    loop {
        let content = reader.next(|buffer| socket::receive(pool.as_fd(), buffer, &mut descriptors))?;
        let Some(content) = content else { return Ok(()) };
        let mut given = descriptors.drain(..);
        match decode(content)? {
            ToWorker::Begin(_) => return Err(WorkerError::Pool("a second beginning")),
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
    fn new(
        scratch: Option<OwnedFd>,
        folders: Vec<OwnedFd>,
        hosts: Hosts,
        pool: &Arc<OwnedFd>,
    ) -> Result<Self, WorkerError> {
        let scratch = scratch.map(Scratch::open).transpose().map_err(WorkerError::Inherited)?;
        let channel = Channel::start(Arc::clone(pool)).map_err(WorkerError::Thread)?;
        Ok(Self { hosts, channel, programs: HashMap::new(), folders, scratch })
    }

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
        if compiled.is_some() != request.attached {
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
        let context = match self.context(request) {
            Ok(context) => context,
            Err(error) => {
                self.programs.remove(&request.program);
                self.could_not_start(&format!("ResourceInitializationError: {}", error.root_cause()));
                return Ok(());
            }
        };
        let Some(program) = self.programs.get(&request.program) else {
            return Err(WorkerError::Pool("a program that is not loaded"));
        };
        self.channel.gather(&FromWorker::Started);
        let ending = run(program, context, request.memory_limit_bytes);
        self.ended(&ending, empty_folders(request));
        Ok(())
    }

    /// The guest's world. Folders are known by descriptor and become the guest's by way of the
    /// working folder, which is the scratch folder again afterwards.
    fn context(&self, request: &Run<'_>) -> wasmtime::Result<WasiCtxBuilder> {
        let mut builder = context(&request.arguments, request.environment.iter().copied());
        let stream = |stream| ChannelStream { channel: self.channel.clone(), stream };
        builder.stdout(stream(OutputStream::Stdout)).stderr(stream(OutputStream::Stderr));
        let Some(scratch) = &self.scratch else { return Ok(builder) };
        let root_is_mounted = request.folders.iter().any(|folder| folder.path == "/");
        let own = if root_is_mounted { "/tmp" } else { "/" };
        add_working_folder(&mut builder, own, request.read_only_root)?;
        let mut empty = 0;
        for folder in &request.folders {
            match folder.source {
                FolderSource::Given(number) => {
                    let given = usize::try_from(number).ok().and_then(|number| self.folders.get(number));
                    inherited::enter(given.ok_or_else(|| wasmtime::Error::msg("a folder was not given"))?)?;
                }
                FolderSource::Empty => {
                    inherited::enter(scratch::add_folder(scratch.directory.as_fd(), empty)?)?;
                    empty += 1;
                }
            }
            add_working_folder(&mut builder, folder.path, folder.read_only)?;
        }
        if !request.folders.is_empty() {
            inherited::enter(&scratch.guest_root)?;
        }
        Ok(builder)
    }

    fn could_not_start(&self, reason: &str) {
        let ending = WorkerEnding::CouldNotStart { reason: shortened(reason) };
        self.channel.send(&FromWorker::Ended { ending, reusable: true, usage: GuestUsage::default() });
    }

    fn ended(&self, ending: &GuestEnding, empty_folders: usize) {
        let reusable = self.scratch.as_ref().is_none_or(|scratch| scratch.clean(empty_folders).is_ok());
        let ending = match ending {
            GuestEnding::Exited { exit_code, reason } => {
                WorkerEnding::Exited { exit_code: *exit_code, reason: reason.as_deref().map(shortened) }
            }
            GuestEnding::Failed { exit_code, reason } => {
                WorkerEnding::Failed { exit_code: *exit_code, reason: shortened(reason) }
            }
        };
        self.channel.send(&FromWorker::Ended { ending, reusable, usage: GuestUsage::default() });
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON)]
}

fn empty_folders(request: &Run<'_>) -> usize {
    request.folders.iter().filter(|folder| folder.source == FolderSource::Empty).count()
}
