//! `cargo bench --workspace --bench scale`: large arrays, a node with a long history, containers.
//!
//! All of it, or what is named: `-- arrays 10000 100000` (sizes), `-- history 1000000` (finished
//! jobs, and children of one array, beside 1,000 of each), `-- neighbours` (an array beside programs
//! that mean harm), `-- containers` (images under runc, beside runc alone; needs root, runc and
//! busybox-static, and is left out with a word where one of them is missing and nobody asked for it).

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use wasmbatch_bench::{arrays, attempts, containers, daemon, history, neighbours};

const SIZES: [u32; 2] = [10_000, 100_000];
const JOBS: u32 = 1_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == attempts::WORKER_FLAG) {
        wasmbatch_wasm::worker_main();
    }
    if let Some(code) = containers::other_process(&arguments)? {
        return if code == ExitCode::SUCCESS { Ok(()) } else { bail!("it failed") };
    }
    if let [flag, home] = arguments.as_slice()
        && flag == daemon::NODE_FLAG
    {
        return daemon::serve(Path::new(home));
    }
    // `cargo test --benches` runs this too, without the flag that `cargo bench` gives.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let named: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--bench").collect();
    let number = |text: &&str| text.parse::<u32>().with_context(|| format!("{text} is no number"));
    match named.as_slice() {
        [] => {
            measure_arrays(&SIZES)?;
            measure_history(JOBS)?;
            measure_neighbours()?;
            measure_possible_containers()
        }
        ["containers"] => measure_containers(),
        ["neighbours"] => measure_neighbours(),
        ["arrays"] => measure_arrays(&SIZES),
        ["arrays", sizes @ ..] => measure_arrays(&sizes.iter().map(number).collect::<Result<Vec<_>>>()?),
        ["history"] => measure_history(JOBS),
        ["history", jobs] => measure_history(number(jobs)?),
        _ => bail!("arrays [SIZE..], history [JOBS], neighbours or containers"),
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn measure_arrays(sizes: &[u32]) -> Result<()> {
    for size in sizes {
        println!("{}", arrays::measure(*size)?);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn measure_history(jobs: u32) -> Result<()> {
    println!("{}", history::measure(jobs)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn measure_neighbours() -> Result<()> {
    println!("{}", neighbours::measure()?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn measure_possible_containers() -> Result<()> {
    if let Some(what) = containers::missing() {
        println!("containers are not measured: {what}");
        return Ok(());
    }
    measure_containers()
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn measure_containers() -> Result<()> {
    containers::measure(|part| println!("{part}"))
}
