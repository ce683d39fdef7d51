//! What goes to the terminal: lines, tables, JSON, errors and their exit codes.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wasmbatch_client::{Client, Error};

/// Where the node is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Endpoint {
    /// Where the node listens
    #[arg(
        id = "endpoint",
        long = "endpoint",
        value_name = "URL",
        env = "WASMBATCH_ENDPOINT",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) url: String,
}

impl Endpoint {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.url)?)
    }
}

/// How to show what was asked for.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Format {
    /// Print JSON, as the API answers it
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints a line; a reader that went away (`| head`) is no error.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints rows under headings, in columns as wide as need be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let format = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(&format(headings))?;
    for row in rows {
        line(&format(&row.iter().map(String::as_str).collect::<Vec<_>>()))?;
    }
    Ok(())
}

/// A point in time, in UTC to the second.
pub(crate) fn time(millis: Option<i64>) -> String {
    let Some(millis) = millis.and_then(|millis| u64::try_from(millis).ok()) else { return "-".to_owned() };
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}

/// A bar for a known number of steps, on terminals only.
pub(crate) fn bar(length: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("a template of ours");
    ProgressBar::new(length).with_style(style)
}

/// A spinner for a wait of unknown length, on terminals only.
pub(crate) fn spinner(message: String) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Says what went wrong and what to do next, and gives the exit code for it.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    let (code, next) = match error.downcast_ref::<Error>() {
        Some(Error::Api(_)) => (3, None),
        Some(Error::Transport(_)) => (4, Some("Is a node running there? `wasmbatch serve` starts one.")),
        Some(_) | None => (1, None),
    };
    eprintln!("wasmbatch: {error:#}");
    if let Some(next) = next {
        eprintln!("{next}");
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Some(0)), "1970-01-01T00:00:00Z");
        assert_eq!(time(Some(1_795_215_661_000)), "2026-11-20T23:01:01Z");
        assert_eq!(time(None), "-");
    }
}
