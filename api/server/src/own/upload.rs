//! Bodies that are too large to be held: taken in as they come.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::body::drain;
use crate::error::{ApiError, ErrorKind};

/// Where an upload goes.
pub(super) trait Taker: Send {
    /// Takes the next bytes.
    fn take(&mut self, data: Bytes) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// What an upload may be.
pub(super) struct Upload {
    /// What it is called: `A module`.
    pub(super) what: &'static str,
    /// Most bytes.
    pub(super) most_bytes: u64,
    /// Longest silence within it.
    pub(super) silence: Duration,
}

impl Upload {
    fn too_large(&self) -> ApiError {
        ApiError::client(format!("{} must be at most {} bytes", self.what, self.most_bytes))
    }

    /// Refuses what says itself that it is too large.
    pub(super) fn check_length(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.most_bytes) { Err(self.too_large()) } else { Ok(()) }
    }

    /// Hands on what comes, to its end.
    pub(super) async fn receive(&self, mut body: Body, taker: &mut impl Taker) -> Result<(), ApiError> {
        let mut received: u64 = 0;
        loop {
            let frame = tokio::time::timeout(self.silence, body.frame()).await.map_err(|_| {
                ApiError::new(ErrorKind::RequestTimeout, format!("{} did not arrive in time", self.what))
            })?;
            let data = match frame {
                None => return Ok(()),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return Err(ApiError::client(format!("{} could not be read to its end", self.what))),
            };
            received += data.len() as u64;
            if received > self.most_bytes {
                drain(body).await;
                return Err(self.too_large());
            }
            if let Err(error) = taker.take(data).await {
                drain(body).await;
                return Err(error);
            }
        }
    }
}
