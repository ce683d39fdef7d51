//! Real pulls from registries that live in this process, with real unpacking processes: this binary
//! executes itself as one, so it has its own small runner in place of libtest's. It understands what
//! `cargo test` and `cargo nextest` ask of it.

#![expect(clippy::unwrap_used, reason = "all of this binary is tests")]

mod archive;
mod attacks;
mod encrypted;
mod killed;
mod liars;
mod loading;
mod measures;
mod node;
mod others;
mod pulls;
mod registry;
mod sharing;
mod stacking;

type Test = (&'static str, fn());

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has(node::UNPACK_FLAG) {
        return wasmbatch_container::unpack_main();
    }
    if has(killed::PULL_FLAG) {
        killed::pull_until_killed(&arguments[1..]);
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| match (filters.is_empty(), has("--exact")) {
        (true, _) => true,
        (false, true) => filters.iter().any(|filter| *filter == name),
        (false, false) => filters.iter().any(|filter| name.contains(filter.as_str())),
    };
    let tests = [
        pulls::TESTS,
        attacks::TESTS,
        liars::TESTS,
        sharing::TESTS,
        loading::TESTS,
        encrypted::TESTS,
        stacking::TESTS,
        killed::TESTS,
    ]
    .concat();
    let ignored = [measures::TESTS, others::TESTS];
    // What takes long or only measures runs where it is asked for.
    let chosen = match (has("--ignored"), has("--include-ignored")) {
        (true, _) => ignored.concat(),
        (false, true) => [tests, ignored.concat()].concat(),
        (false, false) => tests,
    };
    let chosen: Vec<Test> = chosen.into_iter().filter(|(name, _)| wanted(name)).collect();
    if has("--list") {
        list(&chosen);
        return std::process::ExitCode::SUCCESS;
    }
    run(chosen)
}

#[expect(clippy::print_stdout, reason = "a test runner tells what it has")]
fn list(tests: &[Test]) {
    for (name, _) in tests {
        println!("{name}: test");
    }
}

#[expect(clippy::print_stdout, reason = "a test runner tells what it ran")]
fn run(tests: Vec<Test>) -> std::process::ExitCode {
    let mut failed = Vec::new();
    let count = tests.len();
    for (name, test) in tests {
        let ok = std::thread::spawn(test).join().is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if !ok {
            failed.push(name);
        }
    }
    println!("\ntest result: {} passed; {} failed", count - failed.len(), failed.len());
    if failed.is_empty() {
        return std::process::ExitCode::SUCCESS;
    }
    println!("failures: {failed:?}");
    std::process::ExitCode::from(101)
}
