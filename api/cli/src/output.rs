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

/// Prints lines, which may have what guests and clients wrote in them; a reader that went away
/// (`| head`) is no error.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    raw_line(&shown(text, |c| matches!(c, '\n' | '\t')))
}

/// Prints a label and a value, which stays in its line.
pub(crate) fn field(label: &str, value: &str) -> anyhow::Result<()> {
    line(&format!("{label:<11} {}", visible(value)))
}

/// Says something on stderr that a guest or a client may have written a part of.
pub(crate) fn complain(text: &str) {
    eprintln!("wasmbatch: {}", shown(text, |c| c == '\n'));
}

/// Text in which nothing drives a terminal: what does is shown as Rust would write it.
pub(crate) fn visible(text: &str) -> String {
    shown(text, |_| false)
}

/// Shows whatever drives a terminal or turns the direction of text, apart from what is `plain`.
fn shown(text: &str, plain: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_active(character) && !plain(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// The controls of ASCII, DEL and those of Latin 1, with the overrides and isolates of Unicode's
/// bidirectional algorithm, which can show text in another order than it has.
fn is_active(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints a line as it is.
pub(crate) fn raw_line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    raw_line(&json_text(&serde_json::to_string_pretty(value)?))
}

/// Prints a value as JSON in one line.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    raw_line(&json_text(&serde_json::to_string(value)?))
}

/// serde_json escapes the controls of ASCII and leaves the others, which can stand only in texts.
fn json_text(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if is_active(character) && character != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

/// Prints rows under headings, in columns as wide as need be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
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
    for row in &rows {
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
    complain(&format!("{error:#}"));
    if let Some(next) = next {
        eprintln!("{next}");
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_drives_the_terminal() {
        let hostile = "a\u{1b}]0;x\u{7}\u{9b}2J\u{7f}\u{202e}b\r\n\tc";
        let escaped = r"a\u{1b}]0;x\u{7}\u{9b}2J\u{7f}\u{202e}b\u{d}";
        assert_eq!(visible(hostile), format!(r"{escaped}\u{{a}}\u{{9}}c"));
        assert_eq!(shown(hostile, |c| matches!(c, '\n' | '\t')), format!("{escaped}\n\tc"));
        assert_eq!(visible("größer \u{5d0} 漢字"), "größer \u{5d0} 漢字");
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({"a": "\u{1b}\u{7f}\u{9b}\u{2066}\n"});
        let text = json_text(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| is_active(c) && c != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Some(0)), "1970-01-01T00:00:00Z");
        assert_eq!(time(Some(1_795_215_661_000)), "2026-11-20T23:01:01Z");
        assert_eq!(time(None), "-");
    }
}
