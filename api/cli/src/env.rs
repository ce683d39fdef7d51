//! `wasmbatch env`.

use std::process::ExitCode;

use crate::output::{self, Endpoint};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Region to put in requests
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
}

/// Prints what `eval "$(wasmbatch env)"` sets: both endpoints, a region, and keys that only sign.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    for (name, value) in exports(&arguments.endpoint.url, &arguments.region) {
        output::line(&format!("export {name}={}", quoted(value)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The variables that point an AWS client to a node.
pub(crate) fn exports<'a>(endpoint: &'a str, region: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("AWS_ENDPOINT_URL_BATCH", endpoint),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", endpoint),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ACCESS_KEY_ID", "wasmbatch"),
        ("AWS_SECRET_ACCESS_KEY", "wasmbatch"),
    ]
}

fn quoted(value: &str) -> String {
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/'));
    if plain { value.to_owned() } else { format!("'{}'", value.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(quoted("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(quoted("it's $x"), "'it'\\''s $x'");
    }
}
