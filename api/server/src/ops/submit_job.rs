//! SubmitJob.

use wasmbatch_core::Command;
use wasmbatch_model::job::{SubmitJobRequest, SubmitJobResponse};

use crate::convert::submission::to_submission;
use crate::error::ApiError;
use crate::state::Call;

pub(crate) async fn submit(call: Call, request: SubmitJobRequest) -> Result<SubmitJobResponse, ApiError> {
    let id = call.state.handle.new_job_id();
    let submission = to_submission(request, id)?;
    let job_name = submission.name.to_string();
    call.execute(Command::SubmitJob(Box::new(submission))).await?;
    Ok(SubmitJobResponse { job_arn: call.facts.arns.job(id), job_name, job_id: id.to_string() })
}
