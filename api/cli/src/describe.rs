//! `wasmbatch describe`.

use std::process::ExitCode;
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;
use wasmbatch_client::Error;
use wasmbatch_client::model::job::{DescribeJobsRequest, JobDetail};
use wasmbatch_client::model::own::{AttemptUsage, ContainerUsage, Usage};

use crate::output::{self, Endpoint, Format};
use crate::submit::verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Jobs, by id; up to 100
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    format: Format,
}

/// A job as DescribeJobs answers it, and what its attempts used.
#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    job: JobDetail,
    usage: Vec<AttemptUsage>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { jobs, endpoint, format } = arguments;
    let request = DescribeJobsRequest { jobs: Some(jobs.clone()) };
    let client = endpoint.client()?;
    let mut found = Vec::new();
    for job in client.describe_jobs(&request).await?.jobs {
        let usage = match client.job_usage(&job.job_id).await {
            Ok(usage) => usage.attempts,
            // It was forgotten in between, or the node is older than the question.
            Err(Error::Api(error)) if error.status == 404 => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        found.push(Described { job, usage });
    }
    if format.json {
        output::json(&found)?;
    } else {
        for Described { job, usage } in &found {
            show(job, usage)?;
        }
    }
    let known = |id: &String| found.iter().any(|Described { job, .. }| job.job_id == *id || job.job_arn == *id);
    let unknown: Vec<&String> = jobs.iter().filter(|id| !known(id)).collect();
    for id in &unknown {
        output::complain(&format!("there is no job {id}"));
    }
    Ok(if unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(job: &JobDetail, usage: &[AttemptUsage]) -> anyhow::Result<()> {
    let container = job.container.as_ref();
    let mut lines = vec![
        ("job", job.job_id.clone()),
        ("name", job.job_name.clone()),
        ("status", verdict(job)),
        ("queue", job.job_queue.clone()),
        ("definition", job.job_definition.clone()),
        ("created", output::time(Some(job.created_at))),
        ("started", output::time(Some(job.started_at).filter(|at| *at > 0))),
        ("stopped", output::time(job.stopped_at)),
    ];
    if let Some(container) = container {
        lines.push(("image", container.properties.image.clone().unwrap_or_default()));
        lines.push(("command", container.properties.command.clone().unwrap_or_default().join(" ")));
        lines.extend(container.log_stream_name.clone().map(|stream| ("log", stream)));
    }
    for dependency in &job.depends_on {
        lines.push(("depends on", dependency.job_id.clone().unwrap_or_default()));
    }
    for (attempt, number) in job.attempts.iter().zip(1..) {
        let reasons = [attempt.status_reason.as_deref(), attempt.container.reason.as_deref()];
        let code = attempt.container.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let reasons = reasons.into_iter().flatten().collect::<Vec<_>>().join("; ");
        lines.push(("attempt", format!("{number}, exit code {code}: {reasons}")));
    }
    for AttemptUsage { number, containers } in usage {
        for ContainerUsage { name, node, image_digest: _, usage } in containers {
            let Some(usage) = usage else { continue };
            let node = node.map(|node| format!(" node {node}")).unwrap_or_default();
            // A lone container's name says nothing.
            let name = if containers.len() > 1 { format!(" {name}") } else { String::new() };
            lines.push(("usage", format!("{number}{node}{name}: {}", amounts(usage))));
        }
    }
    for (label, value) in lines {
        output::field(label, &value)?;
    }
    output::line("")
}

fn amounts(usage: &Usage) -> String {
    let Usage { cpu_microseconds, peak_memory_bytes, read_bytes, written_bytes, fuel } = usage;
    let fuel = fuel.map(|fuel| format!(", {fuel} fuel")).unwrap_or_default();
    let cpu = Duration::from_micros(*cpu_microseconds).as_secs_f64();
    let bytes = |count: &u64| HumanBytes(*count).to_string();
    let [memory, read, written] = [peak_memory_bytes, read_bytes, written_bytes].map(bytes);
    format!("{cpu:.3} s of CPU{fuel}, {memory} of memory, {read} read, {written} written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_said_in_units() {
        let usage = Usage {
            cpu_microseconds: 1_234_567,
            peak_memory_bytes: 3 << 20,
            read_bytes: 0,
            written_bytes: 1536,
            fuel: Some(7),
        };
        let said = "1.235 s of CPU, 7 fuel, 3.00 MiB of memory, 0 B read, 1.50 KiB written";
        assert_eq!(amounts(&usage), said);
    }
}
