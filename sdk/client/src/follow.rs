//! A job's log as it grows, attempt after attempt, until the job ends.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use wasmbatch_model::job::{DescribeJobsRequest, JobDetail};
use wasmbatch_model::logs::{GetLogEventsRequest, OutputLogEvent};

use crate::error::{ApiError, Error};
use crate::transport::Client;

/// The log group of a job that names no other.
const DEFAULT_GROUP: &str = "/aws/batch/job";
/// Between two looks at a log that has nothing new.
const PAUSE: Duration = Duration::from_millis(250);

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowedEvent {
    /// From 1.
    pub attempt: usize,
    /// The stream it stands in.
    pub stream: String,
    /// The line.
    pub event: OutputLogEvent,
}

impl Client {
    /// The lines of a job's log, of all its attempts, from the first on. Ends when the job has
    /// ended and its last line was given; after an error it ends too.
    pub fn follow_log(&self, job_id: &str) -> impl Stream<Item = Result<FollowedEvent, Error>> + Send + use<> {
        let follower = Follower {
            client: self.clone(),
            job_id: job_id.to_owned(),
            attempt: 0,
            token: None,
            ready: VecDeque::new(),
            stage: Stage::Reading,
        };
        unfold(follower, |mut follower| async move {
            match follower.next().await {
                Ok(Some(event)) => Some((Ok(event), follower)),
                Ok(None) => None,
                Err(error) => {
                    follower.stage = Stage::Done;
                    Some((Err(error), follower))
                }
            }
        })
    }
}

#[derive(Debug)]
struct Follower {
    client: Client,
    job_id: String,
    /// Index of the attempt being read.
    attempt: usize,
    token: Option<String>,
    ready: VecDeque<FollowedEvent>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    Done,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<FollowedEvent>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.stage == Stage::Done {
                return Ok(None);
            }
            // The job first, its log after: what was written before an end is then seen.
            let detail = self.detail().await?;
            self.read(&detail).await?;
            if self.ready.is_empty() {
                if self.attempt < detail.attempts.len() {
                    self.attempt += 1;
                    self.token = None;
                } else if matches!(detail.status.as_str(), "SUCCEEDED" | "FAILED") {
                    self.stage = Stage::Done;
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn detail(&self) -> Result<JobDetail, Error> {
        let request = DescribeJobsRequest { jobs: Some(vec![self.job_id.clone()]) };
        let found = self.client.describe_jobs(&request).await?.jobs.pop();
        found.ok_or_else(|| {
            let message = format!("Job {} not found.", self.job_id);
            let code = "ResourceNotFoundException".to_owned();
            Error::Api(ApiError { status: 404, code, message, request_id: None })
        })
    }

    /// A page of the attempt's stream, where there is one already.
    async fn read(&mut self, detail: &JobDetail) -> Result<(), Error> {
        let Some(stream) = stream_of(detail, self.attempt) else { return Ok(()) };
        let request = GetLogEventsRequest {
            log_group_name: Some(group_of(detail)),
            log_stream_name: Some(stream.clone()),
            next_token: self.token.clone(),
            start_from_head: Some(true),
            ..GetLogEventsRequest::default()
        };
        let page = match self.client.get_log_events(&request).await {
            Ok(page) => page,
            // A program that has written nothing yet has no stream yet.
            Err(Error::Api(error)) if error.code == "ResourceNotFoundException" => return Ok(()),
            Err(error) => return Err(error),
        };
        self.token = Some(page.next_forward_token);
        let attempt = self.attempt + 1;
        let followed = |event| FollowedEvent { attempt, stream: stream.clone(), event };
        self.ready.extend(page.events.into_iter().map(followed));
        Ok(())
    }
}

/// The stream of the attempt at `index`: an ended one's, else the one under way.
fn stream_of(detail: &JobDetail, index: usize) -> Option<String> {
    match detail.attempts.get(index) {
        Some(attempt) => attempt.container.log_stream_name.clone(),
        None if index == detail.attempts.len() && detail.status == "RUNNING" => {
            detail.container.as_ref()?.log_stream_name.clone()
        }
        None => None,
    }
}

fn group_of(detail: &JobDetail) -> String {
    let log = detail.container.as_ref().and_then(|container| container.properties.log_configuration.as_ref());
    // Whatever the driver is called, it is logged as awslogs.
    let group = log.and_then(|log| log.options.as_ref()?.get("awslogs-group"));
    group.cloned().unwrap_or_else(|| DEFAULT_GROUP.to_owned())
}
