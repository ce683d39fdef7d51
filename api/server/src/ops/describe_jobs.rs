//! DescribeJobs.

use std::collections::BTreeMap;

use wasmbatch_controller::{ReadError, Reader};
use wasmbatch_core::{Job, JobDefinition, JobId, JobProgress, Name, ResourceKey};
use wasmbatch_model::job::{DescribeJobsRequest, DescribeJobsResponse, JobDetail};

use crate::arn::{self, Arns};
use crate::convert::job::{JobView, attempts_that_ran, from_job};
use crate::convert::required;
use crate::error::ApiError;
use crate::state::Call;

/// Most ids of one call `[API]`.
const IDS: usize = 100;

pub(crate) async fn describe(call: Call, request: DescribeJobsRequest) -> Result<DescribeJobsResponse, ApiError> {
    let ids = checked(request)?;
    let jobs = details(&call, ids).await?;
    Ok(DescribeJobsResponse { jobs: jobs.into_iter().map(|(detail, _)| detail).collect() })
}

/// The ids that jobs can have; others are left out of the answer anyway.
pub(crate) fn checked(request: DescribeJobsRequest) -> Result<Vec<JobId>, ApiError> {
    let given = required(request.jobs, "jobs")?;
    if given.len() > IDS {
        // Both spaces are AWS's.
        return Err(ApiError::client(format!("Maximum number of jobs supported is  {IDS}")));
    }
    Ok(given.iter().filter_map(|text| arn::job_id(text)).collect())
}

/// Whether a job has ended, beside its detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Yes,
    NotYet,
}

/// The jobs of these ids that there are.
pub(crate) async fn details(call: &Call, ids: Vec<JobId>) -> Result<Vec<(JobDetail, Ended)>, ApiError> {
    let instance = call.state.handle.node().instance;
    call.read(move |reader, arns| {
        let mut definitions = BTreeMap::new();
        let mut details = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some((job, progress)) = reader.job(id)? {
                details.push(detail(reader, &mut definitions, &job, &progress, &instance, arns)?);
            }
        }
        Ok(details)
    })
    .await
}

/// Definitions already read for this answer.
type Definitions = BTreeMap<(Name, u32), Option<JobDefinition>>;

fn detail(
    reader: &Reader,
    definitions: &mut Definitions,
    job: &Job,
    progress: &JobProgress,
    instance: &str,
    arns: &Arns,
) -> Result<(JobDetail, Ended), ReadError> {
    let key = (job.definition.clone(), job.revision);
    if !definitions.contains_key(&key) {
        definitions.insert(key.clone(), reader.definition(&job.definition, job.revision)?);
    }
    let mut streams = BTreeMap::new();
    for number in attempts_that_ran(progress) {
        let (_group, stream) = reader.log_stream(job, number)?;
        streams.insert(number, stream);
    }
    let view = JobView {
        job,
        progress,
        definition: definitions.get(&key).and_then(Option::as_ref),
        tags: reader.tags(&ResourceKey::Job(job.id))?,
        streams,
        instance,
    };
    let ended = if progress.state.status().is_terminal() { Ended::Yes } else { Ended::NotYet };
    Ok((from_job(&view, arns), ended))
}
