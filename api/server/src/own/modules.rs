//! Modules: upload, list, show, delete.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use bytes::Bytes;
use wasmbatch_controller::{ExecuteError, ModuleUpload, UploadError};
use wasmbatch_core::{Command, ModuleName, Rejection};
use wasmbatch_model::own::{ListModulesResponse, Module};
use wasmbatch_model::tag::Empty;

use super::upload::{Taker, Upload};
use crate::body::drain;
use crate::convert::module::from_module;
use crate::error::{ApiError, Dialect, ErrorKind, chain};
use crate::page::{self, Kind};
use crate::router::{path_tail, query_pairs, respond};
use crate::state::{Call, RequestFacts, ServerState};

const PREFIX: &str = "/wasmbatch/v1/modules/";
/// Entries of a page, unless fewer are asked for.
const PAGE: usize = 100;

fn name(uri: &Uri) -> Result<ModuleName, ApiError> {
    let text = path_tail(uri, PREFIX)?;
    ModuleName::parse(&text).map_err(|invalid| ApiError::client(invalid.to_string()))
}

fn not_found(name: &ModuleName) -> ApiError {
    let rejection = Rejection::ModuleNotFound { name: name.clone() };
    ApiError::new(ErrorKind::NotFound, rejection.to_string())
}

pub(crate) async fn put(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request_id = facts.request_id.clone();
    let result = upload(&state, &uri, &headers, body).await;
    respond(result, Dialect::RestJson, &request_id)
}

async fn upload(state: &ServerState, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Module, ApiError> {
    let limits = &state.options.limits;
    let bounds = Upload { what: "A module", most_bytes: limits.module_bytes, silence: limits.upload_silence };
    let name = match name(uri).and_then(|name| bounds.check_length(headers).map(|()| name)) {
        Ok(name) => name,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let mut upload = state.handle.begin_module_upload().await.map_err(upload_error)?;
    bounds.receive(body, &mut upload).await?;
    let module = upload.finish(name).await.map_err(upload_error)?;
    let compile = state.handle.module_state(module.digest);
    Ok(from_module(&module, compile))
}

impl Taker for ModuleUpload {
    async fn take(&mut self, data: Bytes) -> Result<(), ApiError> {
        self.write(data).await.map_err(upload_error)
    }
}

fn upload_error(error: UploadError) -> ApiError {
    match error {
        UploadError::Io(_) => {
            tracing::error!(error = chain(&error), "a module could not be stored");
            ApiError::server()
        }
        UploadError::Execute(error) => error.into(),
    }
}

pub(crate) async fn show(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    let work = async {
        let name = name(&uri)?;
        let wanted = name.clone();
        let handle = state.handle.clone();
        let found = Call { state, facts }.read(move |reader, _arns| Ok(reader.module(&wanted)?)).await?;
        let module = found.ok_or_else(|| not_found(&name))?;
        Ok(from_module(&module, handle.module_state(module.digest)))
    };
    respond(work.await, Dialect::RestJson, &request_id)
}

pub(crate) async fn delete(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    let work = async {
        let name = name(&uri)?;
        match state.handle.execute(Command::DeleteModule { name: name.clone() }).await {
            Ok(_) => Ok(Empty {}),
            Err(ExecuteError::Rejected(Rejection::ModuleNotFound { .. })) => Err(not_found(&name)),
            Err(error) => Err(error.into()),
        }
    };
    respond(work.await, Dialect::RestJson, &request_id)
}

pub(crate) async fn list(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    let work = async {
        let (after, limit) = page_of(&uri)?;
        let handle = state.handle.clone();
        let call = Call { state, facts };
        let mut modules = call.read(move |reader, _arns| Ok(reader.modules(after.as_ref(), limit + 1)?)).await?;
        let more = modules.len() > limit;
        modules.truncate(limit);
        let next_token =
            modules.last().filter(|_| more).map(|last| page::encode(Kind::Modules, &last.name.to_string()));
        let modules = modules.iter().map(|module| from_module(module, handle.module_state(module.digest))).collect();
        Ok(ListModulesResponse { modules, next_token })
    };
    respond(work.await, Dialect::RestJson, &request_id)
}

fn page_of(uri: &Uri) -> Result<(Option<ModuleName>, usize), ApiError> {
    let mut after = None;
    let mut limit = PAGE;
    for (key, value) in query_pairs(uri)? {
        match key.as_str() {
            "nextToken" if !value.is_empty() => {
                let place = page::decode(Kind::Modules, &value).ok();
                let name = place.and_then(|place| ModuleName::parse(&place).ok());
                after = Some(name.ok_or_else(|| ApiError::client(page::InvalidToken.to_string()))?);
            }
            "maxResults" => {
                limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=PAGE).contains(limit))
                    .ok_or_else(|| ApiError::client(format!("maxResults must be between 1 and {PAGE}")))?;
            }
            _ => {}
        }
    }
    Ok((after, limit))
}
