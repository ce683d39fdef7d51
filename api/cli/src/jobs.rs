//! `wasmbatch jobs`.

use std::process::ExitCode;

use wasmbatch_client::model::job::{JobSummary, KeyValuesPair, ListJobsRequest};

use crate::output::{self, Endpoint, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The queue
    #[arg(long, value_name = "QUEUE", default_value = "default")]
    queue: String,
    /// Only jobs of this status; in any case
    #[arg(long, value_name = "STATUS", value_parser = status, conflicts_with = "name")]
    status: Option<String>,
    /// Only jobs of this name; a trailing * makes it a prefix
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Most jobs to list
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    format: Format,
}

fn status(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    match wasmbatch_core::JobStatus::parse(&upper) {
        Some(_) => Ok(upper),
        None => Err("want SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING, SUCCEEDED or FAILED".to_owned()),
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { queue, status, name, limit, endpoint, format } = arguments;
    let client = endpoint.client()?;
    // Without a status ListJobs means RUNNING; with a filter it means all of them.
    let filter = |name: &str, value: String| KeyValuesPair { name: Some(name.to_owned()), values: Some(vec![value]) };
    let filters = match (&status, name) {
        (Some(_), _) => None,
        (None, Some(name)) => Some(vec![filter("JOB_NAME", name)]),
        (None, None) => Some(vec![filter("AFTER_CREATED_AT", "0".to_owned())]),
    };
    let mut request =
        ListJobsRequest { job_queue: Some(queue), job_status: status, filters, ..ListJobsRequest::default() };
    let mut jobs = Vec::new();
    while jobs.len() < limit {
        let page = client.list_jobs(&request).await?;
        jobs.extend(page.job_summary_list);
        request.next_token = page.next_token;
        if request.next_token.is_none() {
            break;
        }
    }
    jobs.truncate(limit);
    if format.json {
        output::json(&jobs)?;
    } else {
        let rows: Vec<_> = jobs.iter().map(row).collect();
        output::table(&["ID", "NAME", "STATUS", "CREATED", "EXIT", "REASON"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(job: &JobSummary) -> Vec<String> {
    let code = job.container.as_ref().and_then(|container| container.exit_code);
    vec![
        job.job_id.clone(),
        job.job_name.clone(),
        job.status.clone(),
        output::time(Some(job.created_at)),
        code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        job.status_reason.clone().unwrap_or_default(),
    ]
}
