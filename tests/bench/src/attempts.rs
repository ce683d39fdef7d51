//! The whole way of an attempt through the pool, beside bare wasmtime in this process.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending, JobId, Report};
use wasmbatch_executor::{
    AttemptSink, AttemptSpec, ContainerSettings, Executor as _, NetworkAccess, Options, OutputStream, Prepared,
    Program, ScratchLimits, WorkerPool,
};

/// Makes this process a worker instead of a benchmark.
pub const WORKER_FLAG: &str = "--worker";

const NO_OP: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"#;

/// Attempts of one round.
const ROUND: u32 = 2_000;
/// Rounds; the median counts.
const ROUNDS: usize = 9;

/// One guest's figures, each the median time of one run.
#[derive(Debug)]
pub struct Figures {
    guest: &'static str,
    floor: Duration,
    /// One attempt after the other, through one worker.
    alone: Duration,
    /// As many at once as there are CPUs: time per attempt.
    together: Duration,
    workers: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |time: Duration| 1.0 / time.as_secs_f64();
        let ratio = |time: Duration| time.as_secs_f64() / self.floor.as_secs_f64();
        writeln!(f, "{}", self.guest)?;
        writeln!(f, "  bare wasmtime, 1 thread   {:>9.1?} a run      {:>8.0}/s", self.floor, rate(self.floor))?;
        writeln!(
            f,
            "  pool, one after another   {:>9.1?} an attempt {:>8.0}/s  {:.1}x of bare wasmtime",
            self.alone,
            rate(self.alone),
            ratio(self.alone)
        )?;
        write!(
            f,
            "  pool, queue, {} workers    {:>9.1?} an attempt {:>8.0}/s  {:.1}x of bare wasmtime",
            self.workers,
            self.together,
            rate(self.together),
            ratio(self.together)
        )
    }
}

struct Ends(SyncSender<Ending>);

impl AttemptSink for Ends {
    fn report(&self, report: Report) {
        if let AttemptEvent::Ended { ending, .. } = report.event {
            // The receiver outlives the pool but for a benchmark that failed already.
            let _ = self.0.send(ending);
        }
    }

    fn output(&self, _attempt: AttemptId, _stream: OutputStream, _bytes: &[u8]) {}
}

/// Measures everything and gives a table for each guest.
///
/// # Errors
/// Something doesn't work, an attempt among it.
pub fn measure() -> Result<Vec<Figures>> {
    let home = tempfile::tempdir()?;
    [("no-op", NO_OP), ("hello", HELLO)]
        .into_iter()
        .map(|(guest, wat)| measure_guest(home.path(), guest, &wat::parse_str(wat)?))
        .collect()
}

fn measure_guest(home: &Path, guest: &'static str, wasm: &[u8]) -> Result<Figures> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut bench = Bench::start(home, wasm, workers)?;
    bench.alone(ROUND)?;
    bench.together(ROUND)?;
    let (mut floor, mut alone, mut together) = (Vec::new(), Vec::new(), Vec::new());
    // Interleaved, so that a noisy neighbour hits all three.
    for _ in 0..ROUNDS {
        floor.push(wasmbatch_wasm::floor::measure(wasm, ROUND).map_err(anyhow::Error::msg)? / ROUND);
        alone.push(bench.alone(ROUND)? / ROUND);
        together.push(bench.together(ROUND)? / ROUND);
    }
    Ok(Figures { guest, floor: median(floor), alone: median(alone), together: median(together), workers })
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) struct Bench {
    pool: WorkerPool,
    ends: Mutex<Receiver<Ending>>,
    digest: Digest,
    next: u64,
}

impl Bench {
    pub(crate) fn start(home: &Path, wasm: &[u8], workers: usize) -> Result<Self> {
        let command = vec![std::env::current_exe()?.into(), WORKER_FLAG.into()];
        let mut options = Options::new(command, home.to_owned());
        (options.max_workers, options.warm_workers) = (workers, workers);
        let (sender, ends) = sync_channel(usize::try_from(ROUND)?);
        let pool = WorkerPool::start(options, Arc::new(Ends(sender))).context("the pool")?;
        let digest = store(home, wasm)?;
        let Prepared { compiled_bytes, .. } = pool.prepare(digest).context("the module")?;
        ensure!(compiled_bytes > 0);
        Ok(Self { pool, ends: Mutex::new(ends), digest, next: 0 })
    }

    fn begin(&mut self) {
        let spec = self.spec();
        self.pool.start(spec);
    }

    /// The next attempt, as plain as may be.
    pub(crate) fn spec(&mut self) -> AttemptSpec {
        self.next += 1;
        AttemptSpec {
            attempt: AttemptId { job: JobId::from_bytes([1; 16]), number: 1, generation: self.next, member: 0 },
            program: Program::Stored { digest: self.digest },
            arguments: vec!["program".to_owned()],
            environment: vec![("AWS_BATCH_JOB_ATTEMPT".to_owned(), "1".to_owned())],
            memory_limit_bytes: 1 << 30,
            mounts: Vec::new(),
            read_only_root: false,
            cpu_thousandths: 1000,
            fuel: None,
            deterministic: false,
            cpu_limit: None,
            scratch: ScratchLimits::default(),
            network: NetworkAccess::None,
            trust_domain: "default".to_owned(),
            container: ContainerSettings::default(),
        }
    }

    /// Runs one attempt to its end, which must be a success.
    pub(crate) fn run(&mut self, spec: AttemptSpec) -> Result<()> {
        self.pool.start(spec);
        self.end()
    }

    fn end(&self) -> Result<()> {
        let ending = self.ends.lock().expect("no holder of this lock panics").recv()?;
        ensure!(ending == Ending::Exited { exit_code: 0, reason: None }, "{ending:?}");
        Ok(())
    }

    fn alone(&mut self, count: u32) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 0..count {
            self.begin();
            self.end()?;
        }
        Ok(begun.elapsed())
    }

    fn together(&mut self, count: u32) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 0..count {
            self.begin();
        }
        for _ in 0..count {
            self.end()?;
        }
        Ok(begun.elapsed())
    }
}

fn store(home: &Path, wasm: &[u8]) -> Result<Digest> {
    use sha2::Digest as _;
    let digest = Digest::from_bytes(sha2::Sha256::digest(wasm).into());
    let folder = home.join("modules").join("sha256");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(digest.hex()), wasm)?;
    Ok(digest)
}
