//! `cargo bench -p wasmbatch-bench`: no-op and hello through the pool and through bare wasmtime, what the
//! jail and metering cost, then
//! a whole node over HTTP.

use wasmbatch_bench::{attempts, jail, node};

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == attempts::WORKER_FLAG) {
        wasmbatch_wasm::worker_main();
    }
    // `cargo test --benches` runs this too, without the flag that `cargo bench` gives.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    for figures in attempts::measure()? {
        println!("{figures}");
    }
    println!("{}", jail::measure()?);
    println!("{}", node::measure()?);
    Ok(())
}
