//! `wasmbatch logs`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::Context as _;
use futures_util::{StreamExt as _, pin_mut};
use wasmbatch_client::model::job::{DescribeJobsRequest, JobDetail};
use wasmbatch_client::model::logs::{GetLogEventsRequest, OutputLogEvent};
use wasmbatch_client::{Client, FollowedEvent};

use crate::output::{self, Endpoint, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The job
    #[arg(value_name = "JOB")]
    job: String,
    /// Go on with new lines, attempt after attempt, until the job ends
    #[arg(short, long, conflicts_with = "attempt")]
    follow: bool,
    /// Which attempt, from 1 [default: the last]
    #[arg(long, value_name = "N")]
    attempt: Option<usize>,
    /// Put the time before each line
    #[arg(long)]
    timestamps: bool,
    /// Write to a terminal what the job wrote as it is, escape sequences included; without it they are
    /// shown instead. What goes to a file or a pipe is always as it is
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print each line as a JSON object, as GetLogEvents answers it
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.endpoint.client()?;
    if arguments.follow {
        let events = client.follow_log(&arguments.job);
        pin_mut!(events);
        while let Some(event) = events.next().await {
            let FollowedEvent { event, .. } = event?;
            show(&event, &arguments)?;
        }
    } else {
        read(&client, &arguments).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what the attempt has written so far.
async fn read(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let request = DescribeJobsRequest { jobs: Some(vec![arguments.job.clone()]) };
    let found = client.describe_jobs(&request).await?.jobs.pop();
    let job = found.with_context(|| format!("there is no job {}", arguments.job))?;
    let (group, stream) = stream(&job, arguments.attempt)?;
    let mut request = GetLogEventsRequest {
        log_group_name: Some(group),
        log_stream_name: Some(stream),
        start_from_head: Some(true),
        ..GetLogEventsRequest::default()
    };
    loop {
        let page = client.get_log_events(&request).await?;
        for event in &page.events {
            show(event, arguments)?;
        }
        // At the end the token that came in goes out again.
        if request.next_token.as_ref() == Some(&page.next_forward_token) {
            return Ok(());
        }
        request.next_token = Some(page.next_forward_token);
    }
}

fn stream(job: &JobDetail, attempt: Option<usize>) -> anyhow::Result<(String, String)> {
    let container = job.container.as_ref();
    let options = container.and_then(|container| container.properties.log_configuration.as_ref()?.options.as_ref());
    let group = options.and_then(|options| options.get("awslogs-group").cloned());
    let stream = match attempt {
        None => container.and_then(|container| container.log_stream_name.clone()),
        Some(number) => {
            let ended = number.checked_sub(1).and_then(|index| job.attempts.get(index));
            ended.map_or_else(
                || container.filter(|_| number == job.attempts.len() + 1)?.log_stream_name.clone(),
                |attempt| attempt.container.log_stream_name.clone(),
            )
        }
    };
    let stream = stream.with_context(|| match parts(job) {
        Some(parts) => format!("{} has no log of its own: {parts}", job.job_id),
        None => format!("{} is {} and has written nothing", job.job_id, job.status),
    })?;
    Ok((group.unwrap_or_else(|| "/aws/batch/job".to_owned()), stream))
}

/// Where the logs of a job are that is made of several.
fn parts(job: &JobDetail) -> Option<&'static str> {
    if job.array_properties.as_ref().is_some_and(|array| array.size.is_some()) {
        Some("name a child of the array, as JOB:0")
    } else if job.node_properties.is_some() && job.node_details.is_none() {
        Some("name a node, as JOB#0")
    } else if job.ecs_properties.is_some() || job.eks_properties.is_some() {
        Some("its containers have one each; `describe --json` names their streams")
    } else {
        None
    }
}

fn show(event: &OutputLogEvent, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.format.json {
        return output::json_line(event);
    }
    let time = arguments.timestamps.then(|| format!("{} ", output::time(Some(event.timestamp))));
    let time = time.unwrap_or_default();
    if arguments.raw || !io::stdout().is_terminal() {
        return output::raw_line(&format!("{time}{}", event.message));
    }
    // A line that ends as on Windows shows nothing of it.
    output::line(&format!("{time}{}", event.message.trim_end_matches('\r')))
}
