//! The operations of AWS Batch, a method each.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use wasmbatch_model::definition::{
    DeregisterJobDefinitionRequest, DescribeJobDefinitionsRequest, DescribeJobDefinitionsResponse,
    RegisterJobDefinitionRequest, RegisterJobDefinitionResponse,
};
use wasmbatch_model::environment::{
    ComputeEnvironmentResponse, CreateComputeEnvironmentRequest, DeleteComputeEnvironmentRequest,
    DescribeComputeEnvironmentsRequest, DescribeComputeEnvironmentsResponse, UpdateComputeEnvironmentRequest,
};
use wasmbatch_model::job::{
    DescribeJobsRequest, DescribeJobsResponse, EndJobRequest, ListJobsRequest, ListJobsResponse, SubmitJobRequest,
    SubmitJobResponse,
};
use wasmbatch_model::queue::{
    CreateJobQueueRequest, DeleteJobQueueRequest, DescribeJobQueuesRequest, DescribeJobQueuesResponse,
    JobQueueResponse, UpdateJobQueueRequest,
};
use wasmbatch_model::tag::{Empty, ListTagsForResourceResponse, TagResourceRequest};
use wasmbatch_model::{JSON, TextMap};

use crate::error::Error;
use crate::retry::Repeat::{Harmful, Harmless};
use crate::transport::Client;

/// Methods that send a request as it is and give the answer.
macro_rules! operations {
    ($($(#[$doc:meta])* $method:ident($request:ty) -> $answer:ty, $path:literal, $repeat:expr;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// See [`Error`].
                pub async fn $method(&self, request: &$request) -> Result<$answer, Error> {
                    self.batch($path, $repeat, request).await
                }
            )*
        }
    };
}

operations! {
    /// CreateComputeEnvironment.
    create_compute_environment(CreateComputeEnvironmentRequest) -> ComputeEnvironmentResponse, "createcomputeenvironment", Harmful;
    /// UpdateComputeEnvironment.
    update_compute_environment(UpdateComputeEnvironmentRequest) -> ComputeEnvironmentResponse, "updatecomputeenvironment", Harmless;
    /// DeleteComputeEnvironment.
    delete_compute_environment(DeleteComputeEnvironmentRequest) -> Empty, "deletecomputeenvironment", Harmless;
    /// DescribeComputeEnvironments, a page.
    describe_compute_environments(DescribeComputeEnvironmentsRequest) -> DescribeComputeEnvironmentsResponse, "describecomputeenvironments", Harmless;
    /// CreateJobQueue.
    create_job_queue(CreateJobQueueRequest) -> JobQueueResponse, "createjobqueue", Harmful;
    /// UpdateJobQueue.
    update_job_queue(UpdateJobQueueRequest) -> JobQueueResponse, "updatejobqueue", Harmless;
    /// DeleteJobQueue.
    delete_job_queue(DeleteJobQueueRequest) -> Empty, "deletejobqueue", Harmless;
    /// DescribeJobQueues, a page.
    describe_job_queues(DescribeJobQueuesRequest) -> DescribeJobQueuesResponse, "describejobqueues", Harmless;
    /// RegisterJobDefinition.
    register_job_definition(RegisterJobDefinitionRequest) -> RegisterJobDefinitionResponse, "registerjobdefinition", Harmful;
    /// DeregisterJobDefinition.
    deregister_job_definition(DeregisterJobDefinitionRequest) -> Empty, "deregisterjobdefinition", Harmless;
    /// DescribeJobDefinitions, a page.
    describe_job_definitions(DescribeJobDefinitionsRequest) -> DescribeJobDefinitionsResponse, "describejobdefinitions", Harmless;
    /// SubmitJob.
    submit_job(SubmitJobRequest) -> SubmitJobResponse, "submitjob", Harmful;
    /// DescribeJobs, up to 100.
    describe_jobs(DescribeJobsRequest) -> DescribeJobsResponse, "describejobs", Harmless;
    /// ListJobs, a page.
    list_jobs(ListJobsRequest) -> ListJobsResponse, "listjobs", Harmless;
    /// CancelJob.
    cancel_job(EndJobRequest) -> Empty, "canceljob", Harmless;
    /// TerminateJob.
    terminate_job(EndJobRequest) -> Empty, "terminatejob", Harmless;
}

impl Client {
    /// TagResource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tag_resource(&self, arn: &str, tags: TextMap) -> Result<(), Error> {
        let body = serde_json::to_vec(&TagResourceRequest { tags: Some(tags) }).map_err(Error::Answer)?;
        let path = tags_path(arn);
        let build = || self.request(Method::POST, &path).header(CONTENT_TYPE, JSON).body(body.clone());
        self.repeated::<Empty>(Harmless, build).await.map(|Empty {}| ())
    }

    /// UntagResource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn untag_resource(&self, arn: &str, keys: &[&str]) -> Result<(), Error> {
        let path = tags_path(arn);
        let query: Vec<_> = keys.iter().map(|key| ("tagKeys", *key)).collect();
        let build = || self.request(Method::DELETE, &path).query(&query);
        self.repeated::<Empty>(Harmless, build).await.map(|Empty {}| ())
    }

    /// ListTagsForResource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_tags_for_resource(&self, arn: &str) -> Result<TextMap, Error> {
        let path = tags_path(arn);
        let answer: ListTagsForResourceResponse = self.repeated(Harmless, || self.request(Method::GET, &path)).await?;
        Ok(answer.tags)
    }
}

fn tags_path(arn: &str) -> String {
    format!("/v1/tags/{}", utf8_percent_encode(arn, NON_ALPHANUMERIC))
}
