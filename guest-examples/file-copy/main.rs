//! A job with a file in and a file out: `file-copy FROM TO` writes FROM's bytes to TO with ASCII
//! letters in upper case. Both paths are the guest's own: below a mount point of the job, or in its
//! scratch folder.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: file-copy FROM TO");
        return ExitCode::from(2);
    };
    let bytes = match std::fs::read(from) {
        Ok(bytes) => bytes.to_ascii_uppercase(),
        Err(error) => {
            eprintln!("cannot read {from}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = std::fs::write(to, &bytes) {
        eprintln!("cannot write {to}: {error}");
        return ExitCode::FAILURE;
    }
    println!("copied {} bytes from {from} to {to}", bytes.len());
    ExitCode::SUCCESS
}
