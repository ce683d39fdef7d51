//! In work.
use std::path::PathBuf;

/// Runs the worker: never returns. The pool's socket is descriptor 3.
pub fn worker_main() -> ! {
    std::process::exit(70)
}

/// What `wasmbatch run` was asked for.
#[derive(Debug, Clone)]
pub struct Foreground {
    /// The program's file.
    pub program: PathBuf,
    /// The whole argument vector, the program's name first.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Host folder, guest path, read-only.
    pub folders: Vec<(PathBuf, String, bool)>,
    /// Bound on linear memory, if any.
    pub memory_limit_bytes: Option<u64>,
}

/// Runs one program in this process with its standard streams; returns the exit code and, where the
/// ending has one, its reason.
pub fn run_foreground(request: &Foreground) -> ForegroundEnd {
    let _ = request;
    ForegroundEnd { exit_code: 1, reason: None }
}

/// How a foreground run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForegroundEnd {
    /// The process's exit code to be.
    pub exit_code: u8,
    /// To be shown on stderr.
    pub reason: Option<String>,
}
