//! The node's own log, on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins to log. Once in a process.
pub(crate) fn start() -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(crate::config::log_filter())?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
