//! `GET /wasmbatch/v1/jobs/{id}/wait?seconds=N`: answers the job when it has ended, or as it is
//! when the time is up.

use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::Response;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use wasmbatch_core::JobId;
use wasmbatch_model::job::JobDetail;

use super::{job_of, no_such_job};
use crate::error::{ApiError, Dialect};
use crate::ops::describe_jobs::{Ended, details};
use crate::router::{query_pairs, respond};
use crate::state::{Call, RequestFacts, ServerState};

/// Longest wait of one request, in seconds.
const MOST_SECONDS: u64 = 60;

pub(crate) async fn wait(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    let result = until_ended(Call { state, facts }, &uri).await;
    respond(result, Dialect::RestJson, &request_id)
}

async fn until_ended(call: Call, uri: &Uri) -> Result<JobDetail, ApiError> {
    let id = job_of(uri, "wait")?;
    let deadline = Instant::now() + seconds(uri)?;
    // Before the first look: what happens between the two is then seen by one of them.
    let mut events = call.state.handle.subscribe();
    let mut draining = call.state.draining.clone();
    loop {
        let (detail, ended) = details(&call, vec![id]).await?.pop().ok_or_else(no_such_job)?;
        if ended == Ended::Yes {
            return Ok(detail);
        }
        tokio::select! {
            // Cancel safe: nothing of the event is kept, the job is read again.
            () = end_of(&mut events, id) => {}
            () = tokio::time::sleep_until(deadline) => return Ok(detail),
            // The sender gone means the server is gone too.
            _ = draining.wait_for(|draining| *draining) => return Ok(detail),
        }
    }
}

/// Resolves when the job may have ended.
async fn end_of(events: &mut tokio::sync::broadcast::Receiver<wasmbatch_controller::StatusEvent>, id: JobId) {
    loop {
        match events.recv().await {
            // A node ends with its job, and so may a child that was ended with its array.
            Ok(event) if (event.job == id || event.job == id.whole()) && event.status.is_terminal() => return,
            Ok(_) => {}
            // Some were missed; its own may be among them.
            Err(RecvError::Lagged(_)) => return,
            // No more events: the time alone ends the wait.
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn seconds(uri: &Uri) -> Result<Duration, ApiError> {
    let pairs = query_pairs(uri)?;
    let given = pairs.iter().find(|(key, _)| key == "seconds").map(|(_, value)| value.as_str());
    let seconds = given.map_or(Ok(MOST_SECONDS), str::parse).ok().filter(|seconds| *seconds <= MOST_SECONDS);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| ApiError::client(format!("seconds must be between 0 and {MOST_SECONDS}")))
}
