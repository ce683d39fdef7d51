//! CancelJob and TerminateJob.

use wasmbatch_controller::ExecuteError;
use wasmbatch_core::{Command, JobId, Rejection, limits};
use wasmbatch_model::job::EndJobRequest;
use wasmbatch_model::tag::Empty;

use crate::arn;
use crate::convert::required_text;
use crate::error::ApiError;
use crate::state::Call;

pub(crate) async fn cancel(call: Call, request: EndJobRequest) -> Result<Empty, ApiError> {
    end(call, request, |job, reason| Command::CancelJob { job, reason }).await
}

pub(crate) async fn terminate(call: Call, request: EndJobRequest) -> Result<Empty, ApiError> {
    end(call, request, |job, reason| Command::TerminateJob { job, reason }).await
}

async fn end(
    call: Call,
    request: EndJobRequest,
    command: impl FnOnce(JobId, String) -> Command,
) -> Result<Empty, ApiError> {
    // A job that is not there is as ended as can be: the call succeeds.
    if let Some((job, reason)) = checked(request)? {
        match call.execute(command(job, reason)).await {
            Ok(_) | Err(ExecuteError::Rejected(Rejection::JobNotFound { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Empty {})
}

/// The job and the reason; `None` when no job can have that id.
pub(crate) fn checked(request: EndJobRequest) -> Result<Option<(JobId, String)>, ApiError> {
    let EndJobRequest { job_id, reason } = request;
    let id = required_text(job_id, "jobId")?;
    let reason = required_text(reason, "reason")?;
    if reason.chars().count() > limits::REASON_CHARS {
        return Err(ApiError::client(format!("reason must have at most {} characters", limits::REASON_CHARS)));
    }
    Ok(arn::job_id(&id).map(|job| (job, reason)))
}
