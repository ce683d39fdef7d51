//! The life of a worker process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use wasmbatch_executor::frame::{
    Begin, FolderSource, FrameReader, FromWorker, GuestUsage, MAX_REASON, MAX_TO_WORKER, PROTOCOL, Purpose, Run,
    ToWorker, WorkerEnding, decode,
};
use wasmbatch_executor::{NetworkAccess, OutputStream};
use wasmbatch_jail::enclose::Wall;
use wasmbatch_jail::{inherited, scratch, socket};

use crate::channel::Channel;
use crate::compile::{Compilers, Fault, compile};
use crate::drive::Driver;
use crate::enclosure::{self, Kept};
use crate::ending::GuestEnding;
use crate::engine::Hosts;
use crate::run::{Allowance, LoadedProgram, Outcome, load, run};
use crate::usage::FileTraffic;
use crate::wasi::{ChannelStream, Settings, World, add_working_folder, world};

/// Exit code of a worker that can't begin or doesn't understand the pool; sysexits' EX_PROTOCOL.
const EXIT_PROTOCOL: i32 = 76;

/// Native code that stands for a guest which broke out of wasmtime: it is given the attempt's
/// arguments and the guest's stdout, and returns the exit code.
pub type NativeGuest = fn(&[&str], &mut dyn io::Write) -> u8;

/// Why a worker gives up. The pool reads it on its stderr.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("a descriptor is missing: {0}")]
    Inherited(#[source] io::Error),
    #[error("the engine cannot be made: {0}")]
    Engine(wasmtime::Error),
    #[error("the jail cannot be closed: {0}")]
    Jail(#[source] io::Error),
    #[error("no thread: {0}")]
    Thread(#[source] io::Error),
    #[error("the pool sent what cannot be: {0}")]
    Pool(&'static str),
    #[error("a frame: {0}")]
    Frame(#[from] wasmbatch_executor::frame::FrameError),
}

/// Runs this process as a worker of the pool that spawned it, until the pool goes away.
pub fn worker_main() -> ! {
    worker_main_with(None)
}

/// As [`worker_main`], and for tests of the jail: where `native` is given, everything is set up as for
/// any attempt, and then it is called in place of the program.
pub fn worker_main_with(native: Option<NativeGuest>) -> ! {
    match serve(native) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("worker: {error}");
            std::process::exit(EXIT_PROTOCOL)
        }
    }
}

/// The beginning, on the process's only thread: whatever needs the host's file system is made here,
/// then the jail is closed, and only then are there other threads and anything that a job sent.
fn serve(native: Option<NativeGuest>) -> Result<(), WorkerError> {
    let pool = Arc::new(inherited::claim(inherited::SOCKET).map_err(WorkerError::Inherited)?);
    let mut from_pool = FromPool { socket: pool, reader: FrameReader::new(MAX_TO_WORKER), descriptors: Vec::new() };
    let (frame, descriptors) = match from_pool.next()? {
        Some((ToWorker::Begin(begin), descriptors)) => (begin, descriptors.collect()),
        Some(_) => return Err(WorkerError::Pool("something else before the beginning")),
        None => return Ok(()),
    };
    let Begin { purpose, profile, network, .. } = frame;
    let hosts = Hosts::new(profile).map_err(WorkerError::Engine)?;
    let driver = match purpose {
        Purpose::Run => Driver::new(),
        Purpose::Compile => Driver::without_waiting(),
    };
    let driver = driver.map_err(WorkerError::Thread)?;
    let compilers = Compilers::of_this_machine();
    let traffic = FileTraffic::open();
    let kept = enclosure::close(&frame, descriptors).map_err(WorkerError::Jail)?;
    if purpose == Purpose::Compile {
        compilers.start().map_err(WorkerError::Thread)?;
    }
    let made = Made { hosts, network, traffic, kept, native };
    let served = driver.run(move || Worker::begin(made, &from_pool.socket)?.serve(from_pool));
    served.map_err(WorkerError::Thread)?.unwrap_or(Err(WorkerError::Pool("something that panics")))
}

/// What was there when the jail closed.
struct Made {
    hosts: Hosts,
    network: NetworkAccess,
    traffic: FileTraffic,
    kept: Kept,
    native: Option<NativeGuest>,
}

/// What the pool sends.
struct FromPool {
    socket: Arc<OwnedFd>,
    reader: FrameReader,
    descriptors: Vec<OwnedFd>,
}

impl FromPool {
    /// The next frame with its descriptors; `None` when the pool went away.
    fn next(&mut self) -> Result<Option<(ToWorker<'_>, std::vec::Drain<'_, OwnedFd>)>, WorkerError> {
        let Self { socket, reader, descriptors } = self;
        let content = reader.next(|buffer| socket::receive(socket.as_fd(), buffer, descriptors))?;
        let Some(content) = content else { return Ok(None) };
        Ok(Some((decode(content)?, descriptors.drain(..))))
    }
}

struct Worker {
    hosts: Hosts,
    network: NetworkAccess,
    traffic: FileTraffic,
    channel: Channel,
    programs: HashMap<[u8; 32], LoadedProgram>,
    /// Folders of the host, in the order in which attempts name them.
    folders: Vec<OwnedFd>,
    scratch: Option<Scratch>,
    native: Option<NativeGuest>,
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

impl Worker {
    fn begin(made: Made, pool: &Arc<OwnedFd>) -> Result<Self, WorkerError> {
        let Made { hosts, network, traffic, kept, native } = made;
        let Kept { scratch, folders, walls } = kept;
        let scratch = scratch.map(Scratch::open).transpose().map_err(WorkerError::Inherited)?;
        let channel = Channel::start(Arc::clone(pool)).map_err(WorkerError::Thread)?;
        let worker = Self { hosts, network, traffic, channel, programs: HashMap::new(), folders, scratch, native };
        worker.greet(&walls);
        Ok(worker)
    }

    fn greet(&self, walls: &[Wall]) {
        let (engine, walls) = (self.hosts.pooled.key(), enclosure::reports(walls));
        self.channel.send(&FromWorker::Hello { protocol: PROTOCOL, engine, walls });
    }

    fn serve(&mut self, mut pool: FromPool) -> Result<(), WorkerError> {
        while let Some((frame, mut given)) = pool.next()? {
            match frame {
                ToWorker::Begin(_) => return Err(WorkerError::Pool("a second beginning")),
                ToWorker::Compile => {
                    let (Some(module), Some(output)) = (given.next(), given.next()) else {
                        return Err(WorkerError::Pool("too few descriptors"));
                    };
                    self.compile(&File::from(module), &File::from(output));
                }
                ToWorker::Run(request) => self.run(&request, &mut given)?,
            }
        }
        Ok(())
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
        let world = match self.world(request) {
            Ok(world) => world,
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
        if request.attached {
            // Loading read files too.
            self.traffic.since_last();
        }
        let outcome = match self.native {
            None => run(program, world, Allowance { memory_bytes: request.memory_limit_bytes, fuel: request.fuel }),
            Some(native) => self.run_native(native, &request.arguments),
        };
        let traffic = self.traffic.since_last();
        let usage = GuestUsage {
            peak_memory_bytes: outcome.peak_memory_bytes,
            fuel: outcome.fuel_used,
            read_bytes: traffic.read,
            written_bytes: traffic.written.saturating_add(self.channel.take_written()),
        };
        self.ended(&outcome.ending, usage, empty_folders(request));
        Ok(())
    }

    fn run_native(&self, native: NativeGuest, arguments: &[&str]) -> Outcome {
        let mut stdout = ChannelStream { channel: self.channel.clone(), stream: OutputStream::Stdout };
        let ending = GuestEnding::Exited { exit_code: native(arguments, &mut stdout), reason: None };
        Outcome { ending, peak_memory_bytes: 0, fuel_used: None }
    }

    /// The guest's world. Folders are known by descriptor and become the guest's by way of the
    /// working folder, which is the scratch folder again afterwards.
    fn world(&self, request: &Run<'_>) -> wasmtime::Result<World> {
        let mut world = world(&Settings {
            program: &request.program,
            arguments: &request.arguments,
            environment: &request.environment,
            network: self.network,
            profile: self.hosts.pooled.profile,
        });
        let builder = &mut world.builder;
        let stream = |stream| ChannelStream { channel: self.channel.clone(), stream };
        builder.stdout(stream(OutputStream::Stdout)).stderr(stream(OutputStream::Stderr));
        let Some(scratch) = &self.scratch else { return Ok(world) };
        let root_is_mounted = request.folders.iter().any(|folder| folder.path == "/");
        let own = if root_is_mounted { "/tmp" } else { "/" };
        add_working_folder(builder, own, request.read_only_root)?;
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
            add_working_folder(builder, folder.path, folder.read_only)?;
        }
        if !request.folders.is_empty() {
            inherited::enter(&scratch.guest_root)?;
        }
        Ok(world)
    }

    fn could_not_start(&self, reason: &str) {
        let ending = WorkerEnding::CouldNotStart { reason: shortened(reason) };
        self.channel.send(&FromWorker::Ended { ending, reusable: true, usage: GuestUsage::default() });
    }

    fn ended(&self, ending: &GuestEnding, usage: GuestUsage, empty_folders: usize) {
        let reusable = self.scratch.as_ref().is_none_or(|scratch| scratch.clean(empty_folders).is_ok());
        let ending = match ending {
            GuestEnding::Exited { exit_code, reason } => {
                WorkerEnding::Exited { exit_code: *exit_code, reason: reason.as_deref().map(shortened) }
            }
            GuestEnding::Failed { exit_code, reason } => {
                WorkerEnding::Failed { exit_code: *exit_code, reason: shortened(reason) }
            }
        };
        self.channel.send(&FromWorker::Ended { ending, reusable, usage });
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON)]
}

fn empty_folders(request: &Run<'_>) -> usize {
    request.folders.iter().filter(|folder| folder.source == FolderSource::Empty).count()
}
