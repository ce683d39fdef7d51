//! Compiles the first process of containers, `init/init.rs`, into a static program of its own.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "init/init.rs";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join("init");
    let target = variable("TARGET");
    let mut rustc = rustc(&variable("RUSTC"));
    rustc.args(["--crate-name", "init", "--crate-type", "bin", "--edition", "2024", "--target", &target]);
    for option in [
        "panic=abort",
        "opt-level=s",
        "debuginfo=0",
        "strip=symbols",
        "overflow-checks=no",
        "relocation-model=static",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
    ] {
        rustc.args(["-C", option]);
    }
    if target.contains("musl") {
        // The target's own start files have a _start too.
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let status = rustc.arg("-o").arg(&output).arg(SOURCE).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{SOURCE} did not compile: {status}"),
        Err(error) => panic!("the compiler can't be started: {error}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "no jail is there yet when it is built")]
fn rustc(path: &str) -> Command {
    Command::new(path)
}
