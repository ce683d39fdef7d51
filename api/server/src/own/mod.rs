//! Our own API: modules, the node, waiting for a job, why it waits, what it used, health.

mod explain;
mod modules;
mod node;
mod page;
mod quarantine;
mod usage;
mod wait;

use axum::Router;
use axum::routing::{delete, get};

use crate::state::ServerState;

pub(crate) use page::root;

const PREFIX: &str = "/wasmbatch/v1/";

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/wasmbatch/v1/modules", get(modules::list))
        .route("/wasmbatch/v1/modules/{*name}", get(modules::show).put(modules::put).delete(modules::delete))
        .route("/wasmbatch/v1/node", get(node::show))
        .route("/wasmbatch/v1/quarantine/{digest}", delete(quarantine::release))
        .route("/wasmbatch/v1/jobs/{id}/wait", get(wait::wait))
        .route("/wasmbatch/v1/jobs/{id}/explain", get(explain::explain))
        .route("/wasmbatch/v1/jobs/{id}/usage", get(usage::usage))
        .route("/healthz", get(node::alive))
        .route("/readyz", get(node::ready))
}

/// Whether requests of this path wait for something instead of working.
pub(crate) fn is_wait(path: &str) -> bool {
    wait::job_in(path).is_some()
}
