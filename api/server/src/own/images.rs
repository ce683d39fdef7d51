//! Images: load, list, delete.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use wasmbatch_controller::{ImageError, ImageInfo, ImageUpload, ImagesError};
use wasmbatch_model::own::{Image, ListImagesResponse};
use wasmbatch_model::tag::Empty;

use super::PREFIX;
use super::upload::{Taker, Upload};
use crate::body::drain;
use crate::error::{ApiError, Dialect, ErrorKind, chain};
use crate::router::{decoded, query_pairs, respond};
use crate::state::{Call, RequestFacts, ServerState};

/// Longest name of an image, characters.
const NAME_CHARS: usize = 255;

pub(crate) async fn list(State(state): State<ServerState>, Extension(facts): Extension<RequestFacts>) -> Response {
    let request_id = facts.request_id.clone();
    let work = async {
        let images = Call { state, facts }.on_node(|handle| handle.list_images()).await?;
        Ok(from_images(images.map_err(images_error)?))
    };
    respond(work.await, Dialect::RestJson, &request_id)
}

pub(crate) async fn load(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request_id = facts.request_id.clone();
    match upload(&state, &uri, &headers, body).await {
        Ok(images) => (StatusCode::CREATED, respond(Ok(images), Dialect::RestJson, &request_id)).into_response(),
        Err(error) => respond::<ListImagesResponse>(Err(error), Dialect::RestJson, &request_id),
    }
}

async fn upload(
    state: &ServerState,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<ListImagesResponse, ApiError> {
    let limits = &state.options.limits;
    let bounds = Upload { what: "An archive", most_bytes: limits.image_bytes, silence: limits.upload_silence };
    let name = match bounds.check_length(headers).and_then(|()| name(uri)) {
        Ok(name) => name,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let mut upload = state.handle.begin_image_upload().await.map_err(images_error)?;
    bounds.receive(body, &mut upload).await?;
    upload.finish(name).await.map(from_images).map_err(images_error)
}

impl Taker for ImageUpload {
    async fn take(&mut self, data: Bytes) -> Result<(), ApiError> {
        self.write(data).await.map_err(images_error)
    }
}

/// The name that the query gives, if any.
fn name(uri: &Uri) -> Result<Option<String>, ApiError> {
    let mut name = None;
    for (key, value) in query_pairs(uri)? {
        if key != "name" || name.is_some() || value.is_empty() || value.chars().count() > NAME_CHARS {
            return Err(ApiError::client("The query may have a name, of 1 to 255 characters, and nothing else"));
        }
        name = Some(value);
    }
    Ok(name)
}

pub(crate) async fn delete(
    State(state): State<ServerState>,
    Extension(facts): Extension<RequestFacts>,
    uri: Uri,
) -> Response {
    let request_id = facts.request_id.clone();
    let work = async {
        let path = uri.path().strip_prefix(PREFIX).and_then(|path| path.strip_prefix("images/"));
        let name = decoded(path.unwrap_or_default())?;
        let missing = ApiError::new(ErrorKind::NotFound, format!("There is no image {name}"));
        let removed = Call { state, facts }.on_node(move |handle| handle.remove_image(&name)).await?;
        match removed.map_err(images_error)? {
            true => Ok(Empty {}),
            false => Err(missing),
        }
    };
    respond(work.await, Dialect::RestJson, &request_id)
}

fn images_error(error: ImagesError) -> ApiError {
    match error {
        ImagesError::None | ImagesError::Image(ImageError::Rejected(_) | ImageError::InUse(_)) => {
            ApiError::client(error.to_string())
        }
        ImagesError::Image(ImageError::Store(_)) | ImagesError::Io(_) => {
            tracing::error!(error = chain(&error), "the image store failed");
            ApiError::server()
        }
    }
}

fn from_images(images: Vec<ImageInfo>) -> ListImagesResponse {
    let image = |ImageInfo { name, digest, loaded, size_bytes, used_at }: ImageInfo| Image {
        name,
        digest: digest.to_string(),
        loaded,
        size_bytes,
        used_at: i64::try_from(used_at).unwrap_or(i64::MAX),
    };
    ListImagesResponse { images: images.into_iter().map(image).collect() }
}
