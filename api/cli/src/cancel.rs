//! `wasmbatch cancel` and `wasmbatch terminate`.

use std::process::ExitCode;

use wasmbatch_client::model::job::EndJobRequest;

use crate::output::{self, Endpoint, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Jobs, by id
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
    /// Becomes the job's statusReason
    #[arg(long, value_name = "TEXT", default_value = "ended from the command line")]
    reason: String,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn cancel(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.endpoint.client()?;
    for request in requests(&arguments) {
        client.cancel_job(&request).await?;
    }
    done(&arguments)
}

pub(crate) async fn terminate(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.endpoint.client()?;
    for request in requests(&arguments) {
        client.terminate_job(&request).await?;
    }
    done(&arguments)
}

fn requests(arguments: &Arguments) -> impl Iterator<Item = EndJobRequest> {
    let request = |job: &String| EndJobRequest { job_id: Some(job.clone()), reason: Some(arguments.reason.clone()) };
    arguments.jobs.iter().map(request)
}

fn done(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.format.json {
        output::json(&arguments.jobs)?;
    }
    Ok(ExitCode::SUCCESS)
}
