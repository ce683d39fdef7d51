//! `GET /wasmbatch/v1/jobs/{id}/usage`: what the attempts of a job used.

use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::Response;
use wasmbatch_core::id::Part;
use wasmbatch_model::own::JobUsageResponse;

use super::{job_of, no_such_job};
use crate::convert::job::has_part;
use crate::convert::usage::from_job;
use crate::error::{ApiError, Dialect};
use crate::router::respond;
use crate::state::{Call, RequestFacts, ServerState};

pub(crate) async fn usage(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    respond(answer(Call { state, facts }, &uri).await, Dialect::RestJson, &request_id)
}

async fn answer(call: Call, uri: &Uri) -> Result<JobUsageResponse, ApiError> {
    let id = job_of(uri, "usage")?;
    // The attempts of a node are its job's.
    let read = match id.part() {
        Part::Whole | Part::Child(_) => id,
        Part::Node(_) => id.whole(),
    };
    let found = call.read(move |reader, _arns| {
        let Some((job, progress)) = reader.job(read)?.filter(|(job, _)| has_part(job, id)) else {
            return Ok(None);
        };
        let definition = reader.definition(&job.definition, job.revision)?;
        Ok(Some(from_job(id, &job, definition.as_ref(), &progress)))
    });
    found.await?.ok_or_else(no_such_job)
}
