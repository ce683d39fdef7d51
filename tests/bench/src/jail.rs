//! What the jail costs: the start of an attempt in a process of its own, and work that only computes,
//! beside bare wasmtime and beside the same source compiled for this machine.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::attempts::{Bench, median};

#[path = "../../../guest-examples/kernel/kernel.rs"]
mod kernel;

const NO_OP: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// Attempts of one round, each in a fresh process or not.
const STARTS: u32 = 100;
/// Rounds of the kernel in one attempt.
const WORK: u32 = 400;
/// Repetitions; the median counts.
const REPETITIONS: usize = 7;
const ENOUGH_FUEL: u64 = 1 << 60;

/// Medians.
#[derive(Debug)]
pub struct Figures {
    same_process: Duration,
    fresh_process: Duration,
    native: Duration,
    bare: Duration,
    jailed: Duration,
    fuel: Duration,
    deterministic: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        writeln!(f, "start of a no-op in the jail")?;
        writeln!(f, "  worker of the same domain {:>9.1?}", self.same_process)?;
        let fresh = ratio(self.fresh_process, self.same_process);
        writeln!(f, "  fresh worker              {:>9.1?}  {fresh:.0}x", self.fresh_process)?;
        writeln!(f, "work that only computes")?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, time: Duration| {
            let (native, bare) = (ratio(time, self.native), ratio(time, self.bare));
            writeln!(f, "  {name:<25} {time:>9.1?}  {native:.2}x of native  {bare:.2}x of bare wasmtime")
        };
        line(f, "native", self.native)?;
        line(f, "bare wasmtime", self.bare)?;
        line(f, "in the jail", self.jailed)?;
        line(f, "in the jail, fuel", self.fuel)?;
        line(f, "in the jail, deterministic", self.deterministic)
    }
}

/// Measures everything.
///
/// # Errors
/// Something doesn't work, an attempt among it.
pub fn measure() -> Result<Figures> {
    let home = tempfile::tempdir()?;
    let no_op = wat::parse_str(NO_OP)?;
    let mut starts = Bench::start(home.path(), &no_op, 1)?;
    let (mut same_process, mut fresh_process) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        same_process.push(time(|| run_starts(&mut starts, false))? / STARTS);
        fresh_process.push(time(|| run_starts(&mut starts, true))? / STARTS);
    }
    drop(starts);

    let home = tempfile::tempdir()?;
    let wasm = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/prebuilt/kernel.wasm"))?;
    let mut bench = Bench::start(home.path(), &wasm, 1)?;
    let mut work = |fuel: bool, deterministic: bool| {
        let mut spec = bench.spec();
        spec.arguments.push(WORK.to_string());
        spec.fuel = fuel.then_some(ENOUGH_FUEL);
        spec.deterministic = deterministic;
        time(|| bench.run(spec))
    };
    // Compiled and loaded before anything counts.
    for (fuel, deterministic) in [(false, false), (true, false), (true, true)] {
        work(fuel, deterministic)?;
    }
    let [mut native, mut bare, mut jailed, mut fuel, mut deterministic] = [const { Vec::new() }; 5];
    for _ in 0..REPETITIONS {
        native.push(time(|| Ok(std::hint::black_box(kernel::work(std::hint::black_box(WORK)))))?);
        bare.push(wasmbatch_wasm::floor::measure_once(&wasm, &WORK.to_string()).map_err(anyhow::Error::msg)?);
        jailed.push(work(false, false)?);
        fuel.push(work(true, false)?);
        deterministic.push(work(true, true)?);
    }
    Ok(Figures {
        same_process: median(same_process),
        fresh_process: median(fresh_process),
        native: median(native),
        bare: median(bare),
        jailed: median(jailed),
        fuel: median(fuel),
        deterministic: median(deterministic),
    })
}

fn time<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

/// Attempts one after the other, of one domain or of a domain each.
fn run_starts(bench: &mut Bench, fresh: bool) -> Result<()> {
    for _ in 0..STARTS {
        let mut spec = bench.spec();
        if fresh {
            spec.trust_domain = spec.attempt.generation.to_string();
        }
        bench.run(spec)?;
    }
    Ok(())
}
