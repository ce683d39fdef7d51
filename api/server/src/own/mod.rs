//! Our own API: modules, images, the node, waiting for a job, why it waits, what it used, health.

mod explain;
mod images;
mod modules;
mod node;
mod page;
mod quarantine;
mod upload;
mod usage;
mod wait;

use axum::Router;
use axum::http::Uri;
use axum::routing::{delete, get};
use wasmbatch_core::JobId;

use crate::arn;
use crate::error::{ApiError, ErrorKind};
use crate::router::decoded;
use crate::state::ServerState;

pub(crate) use page::root;

const PREFIX: &str = "/wasmbatch/v1/";

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/wasmbatch/v1/modules", get(modules::list))
        .route("/wasmbatch/v1/modules/{*name}", get(modules::show).put(modules::put).delete(modules::delete))
        .route("/wasmbatch/v1/images", get(images::list).put(images::load))
        .route("/wasmbatch/v1/images/{*name}", delete(images::delete))
        .route("/wasmbatch/v1/node", get(node::show))
        .route("/wasmbatch/v1/quarantine/{digest}", delete(quarantine::release))
        .route("/wasmbatch/v1/jobs/{id}/wait", get(wait::wait))
        .route("/wasmbatch/v1/jobs/{id}/explain", get(explain::explain))
        .route("/wasmbatch/v1/jobs/{id}/usage", get(usage::usage))
        .route("/healthz", get(node::alive))
        .route("/readyz", get(node::ready))
}

/// The job that a path of the form `/wasmbatch/v1/jobs/{id}/<what>` names.
fn job_of(uri: &Uri, what: &str) -> Result<JobId, ApiError> {
    let given = job_in(uri.path(), what).map(decoded).transpose()?;
    given.as_deref().and_then(arn::job_id).ok_or_else(no_such_job)
}

/// The `{id}` of such a path, as it is encoded there.
fn job_in<'a>(path: &'a str, what: &str) -> Option<&'a str> {
    let id = path.strip_prefix(PREFIX)?.strip_prefix("jobs/")?.strip_suffix(what)?.strip_suffix('/')?;
    (!id.contains('/')).then_some(id)
}

fn no_such_job() -> ApiError {
    ApiError::new(ErrorKind::NotFound, "There is no such job")
}

/// Whether requests of this path wait for something instead of working.
pub(crate) fn is_wait(path: &str) -> bool {
    job_in(path, "wait").is_some()
}
