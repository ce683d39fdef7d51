//! `wasmbatch run`.

use std::path::PathBuf;
use std::process::ExitCode;

use wasmbatch_wasm::{Foreground, ForegroundFolder};

use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The module or component
    #[arg(value_name = "PROGRAM")]
    program: PathBuf,
    /// Its arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Environment variable; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Folder to give the program, `HOST::GUEST` or `HOST::GUEST::ro`; repeatable
    #[arg(long, value_name = "HOST::GUEST[::ro]", value_parser = folder)]
    dir: Vec<ForegroundFolder>,
    /// Bound on its linear memory, MiB
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("want NAME=VALUE".to_owned()),
    }
}

fn folder(text: &str) -> Result<ForegroundFolder, String> {
    let parts: Vec<&str> = text.split("::").collect();
    let (host, guest, read_only) = match parts.as_slice() {
        [host, guest] => (host, guest, false),
        [host, guest, "ro"] => (host, guest, true),
        _ => return Err("want HOST::GUEST or HOST::GUEST::ro".to_owned()),
    };
    if host.is_empty() || !guest.starts_with('/') {
        return Err("the guest's path begins with /".to_owned());
    }
    Ok(ForegroundFolder { host: PathBuf::from(host), guest: (*guest).to_owned(), read_only })
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { program, arguments, env, dir, memory } = arguments;
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or("program").to_owned();
    let end = wasmbatch_wasm::run_foreground(&Foreground {
        program,
        arguments: std::iter::once(name).chain(arguments).collect(),
        environment: env,
        folders: dir,
        memory_limit_bytes: memory.map(|mib| mib.saturating_mul(1 << 20)),
    });
    if let Some(reason) = end.reason {
        output::complain(&reason);
    }
    ExitCode::from(end.exit_code)
}
