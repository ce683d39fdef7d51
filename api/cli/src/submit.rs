//! `wasmbatch submit`.

use std::process::ExitCode;

use anyhow::bail;
use wasmbatch_client::model::TextMap;
use wasmbatch_client::model::definition::{
    ContainerProperties, DescribeJobDefinitionsRequest, JobTimeout, KeyValuePair, RegisterJobDefinitionRequest,
    ResourceRequirement, RetryStrategy,
};
use wasmbatch_client::model::job::{ArrayProperties, ContainerOverrides, JobDependency, JobDetail, SubmitJobRequest};
use wasmbatch_client::{Client, WaitOutcome};

use crate::output::{self, Endpoint, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Job definition, as NAME, NAME:REVISION or ARN
    #[arg(long, value_name = "NAME[:REV]", conflicts_with = "image", required_unless_present = "image")]
    definition: Option<String>,
    /// Image to run without a definition of one's own; one named after it is registered
    #[arg(long, value_name = "NAME:TAG")]
    image: Option<String>,
    /// Name of the job [default: that of its definition]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Queue to put it in
    #[arg(long, value_name = "QUEUE", default_value = "default")]
    queue: String,
    /// Value for a `Ref::` placeholder; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    parameter: Vec<(String, String)>,
    /// Environment variable; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// vCPUs, in steps of 0.25 [default: the definition's, or 1 with --image]
    #[arg(long, value_name = "N")]
    vcpus: Option<String>,
    /// Memory in MiB [default: the definition's, or 128 with --image]
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// wasmtime fuel that an attempt may use; a program that is out of it ends with exit code 134
    #[arg(long, value_name = "UNITS")]
    fuel: Option<u64>,
    /// Seconds that an attempt may run
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<i32>,
    /// Attempts, 1 to 10
    #[arg(long, value_name = "N")]
    attempts: Option<i32>,
    /// Job that must succeed first, or a child as JOB:INDEX; repeatable
    #[arg(long, value_name = "JOB")]
    depends_on: Vec<String>,
    /// Submit an array of this many children
    #[arg(long, value_name = "SIZE")]
    array: Option<i32>,
    /// Array whose children this array's wait for one by one; repeatable
    #[arg(long, value_name = "JOB", requires = "array")]
    n_to_n: Vec<String>,
    /// Let each child of the array wait for the one before it
    #[arg(long, requires = "array")]
    sequential: bool,
    /// Share, for a queue with a scheduling policy
    #[arg(long, value_name = "NAME")]
    share: Option<String>,
    /// Tag, such as wasmbatch:max-running=4; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Wait for its end; exit with 1 if it fails
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    format: Format,
    /// Its arguments, instead of the definition's command
    #[arg(value_name = "ARGS", last = true)]
    command: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("want NAME=VALUE".to_owned()),
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.endpoint.client()?;
    let (wait, format) = (arguments.wait, arguments.format);
    let definition = match (&arguments.definition, &arguments.image) {
        (Some(definition), _) => definition.clone(),
        (None, Some(image)) => definition_of_image(&client, image).await?,
        (None, None) => bail!("want --definition or --image"),
    };
    let submitted = client.submit_job(&request(arguments, definition)).await?;
    if !wait {
        if format.json {
            output::json(&submitted)?;
        } else {
            output::line(&submitted.job_id)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !format.json {
        output::line(&submitted.job_id)?;
    }
    let detail = ended(&client, &submitted.job_id).await?;
    if format.json {
        output::json(&detail)?;
    } else {
        output::line(&verdict(&detail))?;
    }
    Ok(if detail.status == "SUCCEEDED" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn dependencies(arguments: &Arguments) -> Vec<JobDependency> {
    let on = |job: &String| JobDependency { job_id: Some(job.clone()), kind: None };
    let paired = |job: &String| JobDependency { job_id: Some(job.clone()), kind: Some("N_TO_N".to_owned()) };
    let chain = JobDependency { job_id: None, kind: Some("SEQUENTIAL".to_owned()) };
    let chain = arguments.sequential.then_some(chain);
    arguments.depends_on.iter().map(on).chain(arguments.n_to_n.iter().map(paired)).chain(chain).collect()
}

fn request(arguments: Arguments, definition: String) -> SubmitJobRequest {
    let dependencies = dependencies(&arguments);
    let Arguments {
        name,
        queue,
        parameter,
        env,
        vcpus,
        memory,
        fuel,
        timeout,
        attempts,
        array,
        share,
        tag,
        command,
        ..
    } = arguments;
    // An ARN's last part, or the name itself, without a revision; what a job's name can't have is cut.
    let short = definition.rsplit('/').next().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
    let requirement =
        |kind: &str, value: String| ResourceRequirement { kind: Some(kind.to_owned()), value: Some(value) };
    let requirements: Vec<_> = vcpus
        .map(|vcpus| requirement("VCPU", vcpus))
        .into_iter()
        .chain(memory.map(|memory| requirement("MEMORY", memory.to_string())))
        .chain(fuel.map(|fuel| requirement("FUEL", fuel.to_string())))
        .collect();
    let variable = |(name, value)| KeyValuePair { name: Some(name), value: Some(value) };
    let overrides = ContainerOverrides {
        command: some(command),
        environment: some(env.into_iter().map(variable).collect()),
        resource_requirements: some(requirements),
        ..ContainerOverrides::default()
    };
    SubmitJobRequest {
        job_name: Some(name.unwrap_or(short)),
        job_queue: Some(queue),
        job_definition: Some(definition),
        parameters: Some(parameter.into_iter().collect::<TextMap>()),
        depends_on: some(dependencies),
        array_properties: array.map(|size| ArrayProperties { size: Some(size) }),
        share_identifier: share,
        tags: some(tag).map(|tags| tags.into_iter().collect::<TextMap>()),
        container_overrides: Some(overrides),
        retry_strategy: attempts.map(|attempts| RetryStrategy { attempts: Some(attempts), ..RetryStrategy::default() }),
        timeout: timeout.map(|seconds| JobTimeout { attempt_duration_seconds: Some(seconds) }),
        ..SubmitJobRequest::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

/// The definition that stands for an image: the latest one of its name if that is what would be
/// registered, else a new revision.
async fn definition_of_image(client: &Client, image: &str) -> anyhow::Result<String> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = image.trim_start_matches("file://").chars().map(allowed).take(128).collect();
    let name = name.trim_start_matches('-').to_owned();
    let known = DescribeJobDefinitionsRequest {
        job_definition_name: Some(name.clone()),
        status: Some("ACTIVE".to_owned()),
        ..DescribeJobDefinitionsRequest::default()
    };
    let known = client.describe_job_definitions(&known).await?.job_definitions;
    let latest = known.into_iter().max_by_key(|definition| definition.revision);
    if let Some(latest) = latest
        && latest.container_properties.is_some_and(|container| container.image.as_deref() == Some(image))
    {
        return Ok(latest.job_definition_arn);
    }
    let requirement =
        |kind: &str, value: &str| ResourceRequirement { kind: Some(kind.to_owned()), value: Some(value.to_owned()) };
    let container = ContainerProperties {
        image: Some(image.to_owned()),
        resource_requirements: Some(vec![requirement("VCPU", "1"), requirement("MEMORY", "128")]),
        ..ContainerProperties::default()
    };
    let request = RegisterJobDefinitionRequest {
        job_definition_name: Some(name),
        kind: Some("container".to_owned()),
        container_properties: Some(container),
        ..RegisterJobDefinitionRequest::default()
    };
    Ok(client.register_job_definition(&request).await?.job_definition_arn)
}

/// Waits until a job has ended.
pub(crate) async fn ended(client: &Client, job: &str) -> anyhow::Result<JobDetail> {
    let spinner = output::spinner(format!("waiting for {job}"));
    let outcome = client.wait_for_job(job, None).await;
    spinner.finish_and_clear();
    match outcome? {
        WaitOutcome::Ended(detail) | WaitOutcome::NotYet(detail) => Ok(*detail),
    }
}

/// How a job ended, in a line.
pub(crate) fn verdict(detail: &JobDetail) -> String {
    let container = detail.container.as_ref();
    let code = container.and_then(|container| container.exit_code).map(|code| format!(", exit code {code}"));
    let reasons = [detail.status_reason.as_deref(), container.and_then(|container| container.reason.as_deref())];
    let reasons: Vec<&str> = reasons.into_iter().flatten().collect();
    format!("{}{}: {}", detail.status, code.unwrap_or_default(), reasons.join("; "))
}
