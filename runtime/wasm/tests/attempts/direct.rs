//! Workers without a pool: what they say, frame by frame.

use std::io::{Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use sha2::Digest as _;
use tempfile::TempDir;

use wasmbatch_executor::frame::{
    Begin, BornInto, Folder, FrameReader, FromWorker, GuestUsage, MAX_FROM_WORKER, MAX_TO_WORKER, PROTOCOL, Purpose,
    Run, ScratchSource, ToWorker, WorkerEnding, decode, encode,
};
use wasmbatch_executor::{EngineProfile, ModuleKind, NetworkAccess, OutputStream};
use wasmbatch_jail::{Namespaces, Scratch, ScratchRoot, Spawner, WorkerCommand, WorkerProcess, socket};

use crate::node::WORKER_FLAG;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) ending: End,
    pub(crate) usage: GuestUsage,
    pub(crate) stdout: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Exited(u8),
    Failed(u8, String),
    CouldNotStart(String),
    /// The process ended; how it did, in words.
    Died(String),
}

/// What an attempt is asked to be, beside its program.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) memory_limit_bytes: u64,
    pub(crate) fuel: Option<u64>,
    pub(crate) flag: &'static str,
}

impl Default for Ask {
    fn default() -> Self {
        Self { arguments: vec!["program"], memory_limit_bytes: 64 << 20, fuel: None, flag: WORKER_FLAG }
    }
}

/// Where workers live that nobody manages.
pub(crate) struct Workers {
    spawner: Spawner,
    scratch: ScratchRoot,
    _home: TempDir,
}

/// A worker that said hello.
pub(crate) struct Worker {
    process: WorkerProcess,
    socket: OwnedFd,
    reader: FrameReader,
    pub(crate) engine: [u8; 16],
    _scratch: Option<Scratch>,
}

/// A compiled program.
pub(crate) struct Compiled {
    digest: [u8; 32],
    kind: ModuleKind,
    file: std::fs::File,
}

impl Workers {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let scratch = ScratchRoot::open(&home.path().join("scratch")).unwrap();
        Self { spawner: Spawner::start().unwrap(), scratch, _home: home }
    }

    pub(crate) fn begin(&self, purpose: Purpose, profile: EngineProfile, network: NetworkAccess, flag: &str) -> Worker {
        let (ours, theirs) = socket::pair().unwrap();
        let command = vec![std::env::current_exe().unwrap().into(), flag.into()];
        let process = self
            .spawner
            .spawn(WorkerCommand {
                command,
                descriptors: vec![theirs],
                namespaces: Namespaces::default(),
                cgroup: None,
            })
            .unwrap();
        let scratch = (purpose == Purpose::Run).then(|| self.scratch.create().unwrap());
        let source = scratch.as_ref().map(|_| ScratchSource::Folder);
        let begin = Begin {
            purpose,
            profile,
            network,
            scratch: source,
            identity: None,
            namespaces: BornInto::Host,
            read_only_folders: vec![],
        };
        let mut worker = Worker {
            process,
            socket: ours,
            reader: FrameReader::new(MAX_FROM_WORKER),
            engine: [0; 16],
            _scratch: None,
        };
        let folder: Vec<BorrowedFd<'_>> = scratch.iter().map(Scratch::directory).collect();
        worker.send(&ToWorker::Begin(begin), &folder);
        worker._scratch = scratch;
        let engine = match worker.next() {
            Some(FromWorker::Hello { protocol: PROTOCOL, engine, walls: _ }) => Some(engine),
            other => {
                assert!(other.is_none(), "{other:?} in place of a hello");
                None
            }
        };
        worker.engine = engine.unwrap_or_else(|| panic!("no hello: {}", worker.autopsy()));
        worker
    }

    /// Compiles a module, which must be a good one.
    pub(crate) fn compile(&self, profile: EngineProfile, module: &[u8]) -> Compiled {
        self.try_compile(profile, module).unwrap()
    }

    /// Compiles a module or says what is wrong with it.
    pub(crate) fn try_compile(&self, profile: EngineProfile, module: &[u8]) -> Result<Compiled, String> {
        let mut worker = self.begin(Purpose::Compile, profile, NetworkAccess::None, WORKER_FLAG);
        let mut source = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut source, module).unwrap();
        source.seek(SeekFrom::Start(0)).unwrap();
        let file = tempfile::tempfile().unwrap();
        worker.send(&ToWorker::Compile, &[source.as_fd(), file.as_fd()]);
        match worker.next() {
            Some(FromWorker::Compiled { kind }) => {
                Ok(Compiled { digest: sha2::Sha256::digest(module).into(), kind, file })
            }
            Some(FromWorker::CompileFailed { reason }) => Err(reason.to_owned()),
            other => panic!("{other:?} of a compiler"),
        }
    }

    /// Runs a program in a worker of its own.
    pub(crate) fn run(&self, profile: EngineProfile, module: &[u8], ask: &Ask) -> Ran {
        let compiled = self.compile(profile, module);
        self.begin(Purpose::Run, profile, NetworkAccess::None, ask.flag).run(&compiled, ask)
    }

    pub(crate) fn run_wat(&self, profile: EngineProfile, wat: &str, ask: &Ask) -> Ran {
        self.run(profile, &wat::parse_str(wat).unwrap(), ask)
    }
}

impl Worker {
    fn send(&self, frame: &ToWorker<'_>, descriptors: &[BorrowedFd<'_>]) {
        let mut buffer = Vec::new();
        encode(frame, MAX_TO_WORKER, &mut buffer).unwrap();
        socket::send(self.socket.as_fd(), &buffer, descriptors).unwrap();
    }

    fn next(&mut self) -> Option<FromWorker<'_>> {
        let socket = self.socket.as_fd();
        let content = self.reader.next(|buffer| socket::receive_bytes(socket, buffer)).ok().flatten()?;
        Some(decode(content).unwrap())
    }

    /// Most bytes of memory that the process held at any time.
    pub(crate) fn most_resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How the process ended, which it did or is about to.
    fn autopsy(&mut self) -> String {
        let end = self.process.wait().unwrap();
        format!("{end:?}: {}", self.process.stderr_text())
    }

    /// Runs a program that the worker doesn't know yet.
    pub(crate) fn run(&mut self, compiled: &Compiled, ask: &Ask) -> Ran {
        let folders: Vec<Folder<'_>> = Vec::new();
        let run = Run {
            program: compiled.digest,
            kind: compiled.kind,
            attached: true,
            forget: None,
            arguments: ask.arguments.clone(),
            environment: vec![("HOME", "/")],
            memory_limit_bytes: ask.memory_limit_bytes,
            fuel: ask.fuel,
            read_only_root: false,
            folders,
        };
        self.send(&ToWorker::Run(run), &[compiled.file.as_fd()]);
        let mut stdout = Vec::new();
        loop {
            match self.next() {
                Some(FromWorker::Started) => {}
                Some(FromWorker::Output { stream: OutputStream::Stdout, bytes }) => stdout.extend_from_slice(bytes.0),
                Some(FromWorker::Output { .. }) => {}
                Some(FromWorker::Ended { ending, reusable, usage }) => {
                    assert!(reusable);
                    let ending = match ending {
                        WorkerEnding::Exited { exit_code, .. } => End::Exited(exit_code),
                        WorkerEnding::Failed { exit_code, reason } => End::Failed(exit_code, reason.to_owned()),
                        WorkerEnding::CouldNotStart { reason } => End::CouldNotStart(reason.to_owned()),
                    };
                    return Ran { ending, usage, stdout };
                }
                None => {
                    let ending = End::Died(self.autopsy());
                    return Ran { ending, usage: GuestUsage::default(), stdout };
                }
                Some(other) => panic!("{other:?} in an attempt"),
            }
        }
    }
}
