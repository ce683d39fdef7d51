//! The node's own API: modules, the node, waiting for a job, why it waits, what it used.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio::time::Instant;
use wasmbatch_model::job::JobDetail;
use wasmbatch_model::own::{
    ExplainJobResponse, JobUsageResponse, ListImagesResponse, ListModulesResponse, Module, Node,
};
use wasmbatch_model::tag::Empty;

use crate::error::Error;
use crate::retry::Repeat;
use crate::transport::{Client, answer};

const MODULES: &str = "/wasmbatch/v1/modules";
const IMAGES: &str = "/wasmbatch/v1/images";
/// What a module's name has in a path as it is.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b':').remove(b'.').remove(b'_').remove(b'-');
/// What a job's id has in a path as it is.
const ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');
/// Longest wait that a node takes in one request.
const WAIT_SECONDS: u64 = 60;
/// Time for an upload as a whole.
const UPLOAD_TIME: Duration = Duration::from_secs(3600);

/// How a wait for a job came out.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitOutcome {
    /// It has ended.
    Ended(Box<JobDetail>),
    /// The time was up first.
    NotYet(Box<JobDetail>),
}

impl Client {
    /// Uploads a module as `name:tag` (`latest` without one). `progress` is told how many bytes
    /// have been handed over so far. Never repeated: a stream is read once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_module<S>(
        &self,
        name: &str,
        size_bytes: Option<u64>,
        body: S,
        mut progress: impl FnMut(u64) + Send + Sync + 'static,
    ) -> Result<Module, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    {
        let mut sent: u64 = 0;
        let body = body.inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                sent += chunk.len() as u64;
                progress(sent);
            }
        });
        let mut request =
            self.request(Method::PUT, &module_path(name)).header(CONTENT_TYPE, "application/wasm").timeout(UPLOAD_TIME);
        if let Some(size) = size_bytes {
            request = request.header(CONTENT_LENGTH, size);
        }
        answer(request.body(reqwest::Body::wrap_stream(body))).await
    }

    /// What is known of a module.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when there is none of that name.
    pub async fn module(&self, name: &str) -> Result<Module, Error> {
        let path = module_path(name);
        self.repeated(Repeat::Harmless, || self.request(Method::GET, &path)).await
    }

    /// A page of modules, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_modules(&self, next_token: Option<&str>) -> Result<ListModulesResponse, Error> {
        let query: Vec<_> = next_token.map(|token| ("nextToken", token)).into_iter().collect();
        self.repeated(Repeat::Harmless, || self.request(Method::GET, MODULES).query(&query)).await
    }

    /// Forgets a module's name.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when there is none of that name.
    pub async fn delete_module(&self, name: &str) -> Result<(), Error> {
        let path = module_path(name);
        // A second try would find nothing and say so: the first answer counts.
        self.repeated::<Empty>(Repeat::Harmful, || self.request(Method::DELETE, &path)).await.map(|Empty {}| ())
    }

    /// The images on the node's disk, by name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_images(&self) -> Result<ListImagesResponse, Error> {
        self.repeated(Repeat::Harmless, || self.request(Method::GET, IMAGES)).await
    }

    /// Loads the images of an archive: a tar of an OCI layout, or what `docker save` writes. `name` is
    /// for an image that it has no name for. Never repeated: a stream is read once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn load_images<S>(&self, name: Option<&str>, archive: S) -> Result<ListImagesResponse, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    {
        let query: Vec<_> = name.map(|name| ("name", name)).into_iter().collect();
        let request = self.request(Method::PUT, IMAGES).query(&query).timeout(UPLOAD_TIME);
        answer(request.header(CONTENT_TYPE, "application/x-tar").body(reqwest::Body::wrap_stream(archive))).await
    }

    /// Forgets an image's name, or an image by its digest.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when there is none of that name.
    pub async fn delete_image(&self, name: &str) -> Result<(), Error> {
        let path = format!("{IMAGES}/{}", utf8_percent_encode(name, NAME));
        // A second try would find nothing and say so: the first answer counts.
        self.repeated::<Empty>(Repeat::Harmful, || self.request(Method::DELETE, &path)).await.map(|Empty {}| ())
    }

    /// The node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node(&self) -> Result<Node, Error> {
        self.repeated(Repeat::Harmless, || self.request(Method::GET, "/wasmbatch/v1/node")).await
    }

    /// Lets a quarantined module, `sha256:` and its digest, run again.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when it is not quarantined.
    pub async fn release_quarantined(&self, digest: &str) -> Result<(), Error> {
        let path = format!("/wasmbatch/v1/quarantine/{}", utf8_percent_encode(digest, NAME));
        // A second try would find nothing and say so: the first answer counts.
        self.repeated::<Empty>(Repeat::Harmful, || self.request(Method::DELETE, &path)).await.map(|Empty {}| ())
    }

    /// What the attempts of a job used.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when there is no such job.
    pub async fn job_usage(&self, job_id: &str) -> Result<JobUsageResponse, Error> {
        let path = format!("/wasmbatch/v1/jobs/{}/usage", utf8_percent_encode(job_id, ID));
        self.repeated(Repeat::Harmless, || self.request(Method::GET, &path)).await
    }

    /// Why a job waits and what would let it run.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when there is no such job.
    pub async fn explain_job(&self, job_id: &str) -> Result<ExplainJobResponse, Error> {
        let path = format!("/wasmbatch/v1/jobs/{}/explain", utf8_percent_encode(job_id, ID));
        self.repeated(Repeat::Harmless, || self.request(Method::GET, &path)).await
    }

    /// Waits until a job has ended, for at most `patience`, or for ever.
    ///
    /// # Errors
    /// See [`Error`]; status 404 when there is no such job.
    pub async fn wait_for_job(&self, job_id: &str, patience: Option<Duration>) -> Result<WaitOutcome, Error> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let seconds = left.map_or(WAIT_SECONDS, |left| left.as_secs().saturating_add(1).min(WAIT_SECONDS));
            let detail = self.wait_once(job_id, seconds).await?;
            if matches!(detail.status.as_str(), "SUCCEEDED" | "FAILED") {
                return Ok(WaitOutcome::Ended(Box::new(detail)));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(WaitOutcome::NotYet(Box::new(detail)));
            }
        }
    }

    /// One wait of at most 60 seconds; answers the job as it then is.
    async fn wait_once(&self, job_id: &str, seconds: u64) -> Result<JobDetail, Error> {
        let path = format!("/wasmbatch/v1/jobs/{}/wait", utf8_percent_encode(job_id, ID));
        let time = Duration::from_secs(seconds + WAIT_SECONDS / 2);
        self.repeated(Repeat::Harmless, || {
            self.request(Method::GET, &path).query(&[("seconds", seconds)]).timeout(time)
        })
        .await
    }
}

fn module_path(name: &str) -> String {
    format!("{MODULES}/{}", utf8_percent_encode(name, NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_name_is_its_path() {
        assert_eq!(module_path("team/render:1.2"), "/wasmbatch/v1/modules/team/render:1.2");
        assert_eq!(module_path("a b?c"), "/wasmbatch/v1/modules/a%20b%3Fc");
    }
}
