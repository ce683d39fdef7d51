//! The node, and whether it lives.

use axum::extract::{Extension, State};
use axum::response::Response;
use wasmbatch_model::own::Node;

use crate::convert::module::{NodeState, from_node};
use crate::error::{ApiError, Dialect, ErrorKind};
use crate::router::respond;
use crate::state::{Call, RequestFacts, ServerState};

pub(crate) async fn show(State(state): State<ServerState>, Extension(facts): Extension<RequestFacts>) -> Response {
    let request_id = facts.request_id.clone();
    respond(node(&Call { state, facts }).await, Dialect::RestJson, &request_id)
}

/// The node as it is now.
pub(super) async fn node(call: &Call) -> Result<Node, ApiError> {
    let state = call.on_node(|handle| {
        let state = NodeState { held: handle.held(), walls: handle.walls(), quarantined: handle.quarantined() };
        from_node(handle.node(), state)
    });
    state.await
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
