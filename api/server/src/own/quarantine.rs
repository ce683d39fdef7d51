//! `DELETE /wasmbatch/v1/quarantine/{digest}`: lets a module run again.

use axum::extract::{Extension, State};
use axum::http::Uri;
use axum::response::Response;
use wasmbatch_core::Digest;
use wasmbatch_model::tag::Empty;

use super::PREFIX;
use crate::error::{ApiError, Dialect, ErrorKind, chain};
use crate::router::{decoded, respond};
use crate::state::{Call, RequestFacts, ServerState};

pub(crate) async fn release(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    respond(answer(&Call { state, facts }, &uri).await, Dialect::RestJson, &request_id)
}

async fn answer(call: &Call, uri: &Uri) -> Result<Empty, ApiError> {
    let path = uri.path().strip_prefix(PREFIX).and_then(|path| path.strip_prefix("quarantine/"));
    let given = decoded(path.unwrap_or_default())?;
    let digest: Digest =
        given.parse().map_err(|_| ApiError::client("A digest is sha256: and 64 hexadecimal digits"))?;
    match call.on_node(move |handle| handle.release_quarantined(digest)).await? {
        Ok(true) => Ok(Empty {}),
        Ok(false) => Err(ApiError::new(ErrorKind::NotFound, format!("Module {digest} is not quarantined"))),
        Err(error) => {
            tracing::error!(error = chain(&error), "a module could not be released from quarantine");
            Err(ApiError::server())
        }
    }
}
