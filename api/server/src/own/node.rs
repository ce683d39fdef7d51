//! The node, and whether it lives.

use axum::extract::{Extension, State};
use axum::response::Response;

use crate::convert::module::from_node;
use crate::error::{ApiError, Dialect, ErrorKind};
use crate::router::respond;
use crate::state::{Call, RequestFacts, ServerState};

pub(crate) async fn show(State(state): State<ServerState>, Extension(facts): Extension<RequestFacts>) -> Response {
    let node = from_node(state.handle.node());
    respond(Ok(node), Dialect::RestJson, &facts.request_id)
}

/// The process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// The store answers, and the server isn't going down.
pub(crate) async fn ready(State(state): State<ServerState>, Extension(facts): Extension<RequestFacts>) -> Response {
    let request_id = facts.request_id.clone();
    let draining = *state.draining.borrow();
    let answers = Call { state, facts }.read(|_reader, _arns| Ok(())).await;
    match answers {
        Ok(()) if !draining => Response::new("ok\n".into()),
        Ok(()) => {
            let error = ApiError::new(ErrorKind::Unavailable, "The node is shutting down");
            error.into_response(Dialect::RestJson, &request_id)
        }
        Err(error) => error.into_response(Dialect::RestJson, &request_id),
    }
}

/// What a browser sees for now.
pub(crate) async fn root() -> &'static str {
    "wasmbatch: AWS Batch on /v1/, CloudWatch Logs on POST /, modules and the node below /wasmbatch/v1/\n"
}
