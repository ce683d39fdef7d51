//! Real worker processes: this binary executes itself as `--worker`, so it has its own small runner
//! in place of libtest's. It understands what `cargo test` and `cargo nextest` ask of it.

#![expect(clippy::unwrap_used, reason = "all of this binary is tests")]

mod asynchronous;
mod bounds;
mod compiling;
mod components;
mod direct;
mod drill;
mod endings;
mod folders;
mod guests;
mod hostile;
mod network;
mod node;
mod profiles;
mod random;
mod usage;
mod workers;

type Test = (&'static str, fn());

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has(node::WORKER_FLAG) {
        wasmbatch_wasm::worker_main();
    }
    if has(node::RECORDED_DRILL_FLAG) {
        drill::install();
        wasmbatch_wasm::worker_main_with(Some(drill::attack));
    }
    if has(node::RECORDED_FLAG) {
        drill::install();
        wasmbatch_wasm::worker_main();
    }
    if has(node::DRILL_FLAG) {
        wasmbatch_wasm::worker_main_with(Some(drill::attack));
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| match (filters.is_empty(), has("--exact")) {
        (true, _) => true,
        (false, true) => filters.iter().any(|filter| *filter == name),
        (false, false) => filters.iter().any(|filter| name.contains(filter.as_str())),
    };
    let tests = [
        endings::TESTS,
        folders::TESTS,
        components::TESTS,
        compiling::TESTS,
        workers::TESTS,
        profiles::TESTS,
        usage::TESTS,
        asynchronous::TESTS,
        hostile::TESTS,
        drill::TESTS,
        bounds::TESTS,
        network::TESTS,
        random::TESTS,
    ]
    .concat();
    if has("--list") {
        // None is ignored by default, which is what nextest asks for separately.
        if !has("--ignored") {
            list(&tests);
        }
        return;
    }
    run(tests.into_iter().filter(|(name, _)| wanted(name)).collect());
}

#[expect(clippy::print_stdout, reason = "a test runner tells what it has")]
fn list(tests: &[Test]) {
    for (name, _) in tests {
        println!("{name}: test");
    }
}

#[expect(clippy::print_stdout, reason = "a test runner tells what it ran")]
fn run(tests: Vec<Test>) {
    let mut failed = Vec::new();
    let count = tests.len();
    for (name, test) in tests {
        // One after the other: some tests count this process's children.
        let ok = std::thread::spawn(test).join().is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if !ok {
            failed.push(name);
        }
    }
    println!("\ntest result: {} passed; {} failed", count - failed.len(), failed.len());
    if !failed.is_empty() {
        println!("failures: {failed:?}");
        std::process::exit(101);
    }
}
