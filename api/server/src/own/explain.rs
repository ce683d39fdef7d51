//! `GET /wasmbatch/v1/jobs/{id}/explain`: why a job waits and what would let it run.

use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::Response;
use wasmbatch_core::id::Part;
use wasmbatch_core::{Command, Reply};
use wasmbatch_model::own::ExplainJobResponse;

use super::{job_of, no_such_job};
use crate::convert::explain::{from_explanation, of_ended};
use crate::error::{ApiError, Dialect};
use crate::ops::describe_jobs::details;
use crate::router::respond;
use crate::state::{Call, RequestFacts, ServerState};

pub(crate) async fn explain(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    respond(answer(Call { state, facts }, &uri).await, Dialect::RestJson, &request_id)
}

async fn answer(call: Call, uri: &Uri) -> Result<ExplainJobResponse, ApiError> {
    let id = job_of(uri, "explain")?;
    // A node waits for what its job waits for.
    let asked = match id.part() {
        Part::Whole | Part::Child(_) => id,
        Part::Node(_) => id.whole(),
    };
    if let Reply::Explanation(Some(explanation)) = call.execute(Command::ExplainJob { job: asked }).await? {
        return Ok(from_explanation(&explanation, id.to_string()));
    }
    // Not live: it has ended, or never was.
    let (detail, _) = details(&call, vec![id]).await?.pop().ok_or_else(no_such_job)?;
    Ok(of_ended(id.to_string(), &detail.status, detail.status_reason.as_deref()))
}
