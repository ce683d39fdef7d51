//! SubmitJob.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};
use wasmbatch_core::command::Submission;
use wasmbatch_core::id::Part;
use wasmbatch_core::name::shortened;
use wasmbatch_core::{Dependency, JobId, JobName, Rejection, limits};
use wasmbatch_model::job::{JobDependency, SubmitJobRequest};

use super::definition::to_priority;
use super::overrides::{self, Given};
use super::retry::{to_retry, to_timeout};
use super::{required_text, to_document, to_parameters, to_tags};
use crate::arn;
use crate::error::ApiError;

/// Longest share, in characters `[API]` SubmitJobRequest.
const SHARE_CHARS: usize = 255;

/// A submit with the id that was drawn for it. The job's name is looked at before the definition
/// and the queue, as AWS does.
pub(crate) fn to_submission(request: SubmitJobRequest, id: JobId) -> Result<Submission, ApiError> {
    let fingerprint = fingerprint(&request);
    let SubmitJobRequest {
        job_name,
        job_queue,
        share_identifier,
        scheduling_priority_override,
        array_properties,
        depends_on,
        job_definition,
        parameters,
        container_overrides,
        retry_strategy,
        propagate_tags,
        timeout,
        tags,
        node_overrides,
        eks_properties_override,
        ecs_properties_override,
        consumable_resource_properties_override,
    } = request;
    let name = JobName::parse(job_name.as_deref().unwrap_or_default())
        .map_err(|invalid| ApiError::executing(invalid.to_string()))?;
    let definition = required_text(job_definition, "jobDefinition")?;
    let definition = arn::definition_reference(&definition)
        .ok_or_else(|| Rejection::DefinitionNotFound { reference: shortened(&definition) })?;
    let queue = required_text(job_queue, "jobQueue")?;
    let queue = arn::queue_name(&queue).ok_or_else(|| Rejection::QueueNotFound { name: shortened(&queue) })?;
    let array_size = array_properties.and_then(|array| array.size).map(to_array_size).transpose()?;
    let (overrides, rest) = overrides::to_all(Given {
        container: container_overrides,
        ecs: ecs_properties_override,
        eks: eks_properties_override,
        nodes: node_overrides,
        consumables: consumable_resource_properties_override,
    })?;
    Ok(Submission {
        id,
        name,
        queue,
        definition,
        parameters: to_parameters(parameters),
        depends_on: to_dependencies(depends_on.unwrap_or_default(), array_size)?,
        array_size,
        share: to_share(share_identifier)?,
        scheduling_priority: scheduling_priority_override
            .map(|given| to_priority(given, "schedulingPriorityOverride"))
            .transpose()?,
        overrides,
        fingerprint,
        retry: to_retry(retry_strategy)?,
        timeout_seconds: to_timeout(timeout)?,
        propagate_tags,
        tags: to_tags(tags)?,
        rest: to_document(rest),
    })
}

/// SHA-256 of the request's JSON, whose members have one order. What a shape drops, a `null` for
/// instance, makes no other request.
fn fingerprint(request: &SubmitJobRequest) -> [u8; 32] {
    let json = serde_json::to_vec(request).expect("a wire type writes as JSON");
    Sha256::digest(json).into()
}

fn to_array_size(size: i32) -> Result<u32, ApiError> {
    let most = limits::ARRAY_SIZE;
    u32::try_from(size)
        .ok()
        .filter(|size| (2..=most).contains(size))
        .ok_or_else(|| ApiError::executing(format!("arrayProperties.size must be between 2 and {most}")))
}

/// A share; an empty text names none.
fn to_share(share: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(share) = share.filter(|share| !share.is_empty()) else {
        return Ok(None);
    };
    if share.len() > SHARE_CHARS || !share.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let share = shortened(&share);
        return Err(ApiError::client(format!("shareIdentifier {share} must be 1 to {SHARE_CHARS} letters and digits")));
    }
    Ok(Some(share))
}

/// What to wait for, each once. SEQUENTIAL beside a job's id is what some clients send for a plain
/// dependency; on its own it is about the children of this array.
fn to_dependencies(given: Vec<JobDependency>, array_size: Option<u32>) -> Result<Vec<Dependency>, ApiError> {
    if given.len() > limits::DEPENDENCIES {
        return Err(Rejection::TooManyDependencies.into());
    }
    let mut seen = BTreeSet::new();
    let mut dependencies = Vec::with_capacity(given.len());
    for JobDependency { job_id, kind } in given {
        let id = job_id.filter(|text| !text.is_empty()).map(|text| to_dependency_id(&text)).transpose()?;
        let dependency = match (kind.as_deref(), id) {
            (None | Some("SEQUENTIAL"), Some(id)) => Dependency::On(id),
            (Some("SEQUENTIAL"), None) => Dependency::Sequential,
            (Some(_), Some(id)) if id.part() == Part::Whole => Dependency::NToN(id),
            (Some(kind), Some(_)) => {
                return Err(ApiError::client(format!("dependsOn of type {kind} must have the jobId of an array job")));
            }
            (_, None) => return Err(ApiError::client("dependsOn.jobId is required")),
        };
        let between_children = match dependency {
            Dependency::On(_) => false,
            Dependency::NToN(_) | Dependency::Sequential => true,
        };
        if between_children && array_size.is_none() {
            let kind = kind.unwrap_or_default();
            return Err(ApiError::client(format!("dependsOn of type {kind} is for array jobs only")));
        }
        if seen.insert(dependency) {
            dependencies.push(dependency);
        }
    }
    Ok(dependencies)
}

/// A job or an array job's child; nodes are not waited for one by one.
fn to_dependency_id(text: &str) -> Result<JobId, ApiError> {
    let id = arn::job_id(text).filter(|id| match id.part() {
        Part::Whole | Part::Child(_) => true,
        Part::Node(_) => false,
    });
    id.ok_or_else(|| ApiError::client(format!("Job {}, on which the job depends, not found.", shortened(text))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wasmbatch_core::definition::Overrides;

    use super::*;
    use crate::body;
    use crate::shape::job::SUBMIT_JOB;

    const ID: &str = "5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f";

    fn submit(members: Value) -> Result<Submission, String> {
        let mut request = json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d"});
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body::parse(request.to_string().as_bytes(), &SUBMIT_JOB)
            .and_then(|request| to_submission(request, ID.parse().unwrap()))
            .map_err(|error| error.rendered("r"))
    }

    #[test]
    fn the_least_submit_is_enough_and_empty_members_ask_for_nothing() {
        let least = submit(json!({})).unwrap();
        let empty = json!({
            "arrayProperties": {}, "dependsOn": [], "containerOverrides": {"command": []}, "nodeOverrides": {},
            "parameters": {}, "tags": {}, "timeout": {}, "shareIdentifier": null, "eksPropertiesOverride": {},
            "ecsPropertiesOverride": {"taskProperties": []},
        });
        let fingerprint = least.fingerprint;
        assert_eq!(Submission { fingerprint, ..submit(empty).unwrap() }, least);
    }

    #[test]
    fn the_name_is_looked_at_first() {
        for name in ["", "a.b", "-a", &"x".repeat(129)] {
            let refusal = submit(json!({"jobName": name, "jobQueue": "arn", "jobDefinition": "a b"})).unwrap_err();
            assert_eq!(
                refusal,
                "Error executing request, Exception : Job name should match valid pattern, RequestId: r"
            );
        }
    }

    #[test]
    fn what_an_array_is_asked_for_has_its_bounds() {
        let array = |members: Value| {
            let mut request = json!({"arrayProperties": {"size": 3}});
            request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            submit(request)
        };
        let id: JobId = ID.parse().unwrap();
        let on = json!([{"type": "SEQUENTIAL"}, {"jobId": ID, "type": "N_TO_N"}, {"jobId": ID}, {"jobId": format!("{ID}:4")}]);
        let submission = array(json!({"dependsOn": on})).unwrap();
        assert_eq!(submission.array_size, Some(3));
        let waits = [Dependency::Sequential, Dependency::NToN(id), Dependency::On(id), Dependency::On(id.child(4))];
        assert_eq!(submission.depends_on, waits);
        let child = json!([{"jobId": format!("{ID}:3"), "type": "N_TO_N"}]);
        assert!(array(json!({"dependsOn": child})).unwrap_err().contains("jobId of an array job"));
        for (members, word) in [
            (json!({"arrayProperties": {"size": 1}}), "between 2 and 1000000"),
            (json!({"arrayProperties": {"size": -2}}), "between 2"),
            (json!({"arrayProperties": {"size": 1_000_001}}), "between 2"),
            (json!({"dependsOn": [{"type": "SEQUENTIAL"}]}), "SEQUENTIAL is for array jobs only"),
            (json!({"dependsOn": [{"jobId": ID, "type": "N_TO_N"}]}), "N_TO_N is for array jobs only"),
            (json!({"dependsOn": [{"type": "N_TO_N"}]}), "jobId is required"),
            (json!({"dependsOn": [{"jobId": format!("{ID}#3")}]}), "not found"),
        ] {
            let refusal = submit(members.clone()).unwrap_err();
            assert!(refusal.contains(word), "{members}: {refusal}");
        }
    }

    #[test]
    fn a_share_has_letters_and_digits() {
        assert_eq!(submit(json!({"shareIdentifier": "Blue7"})).unwrap().share.as_deref(), Some("Blue7"));
        for bad in ["a b", "a*", "a-b", &"x".repeat(256)] {
            assert!(submit(json!({"shareIdentifier": bad})).is_err(), "{bad}");
        }
        assert_eq!(submit(json!({"schedulingPriorityOverride": 9999})).unwrap().scheduling_priority, Some(9999));
        assert!(submit(json!({"schedulingPriorityOverride": 10_000})).is_err());
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint() {
        let fingerprint = |members| submit(members).unwrap().fingerprint;
        let tags = json!({"tags": {"a": "1", "b": "2"}});
        assert_eq!(fingerprint(tags.clone()), fingerprint(json!({"tags": {"b": "2", "a": "1"}, "timeout": null})));
        assert_ne!(fingerprint(tags), fingerprint(json!({"tags": {"a": "1", "b": "3"}})));
    }

    #[test]
    fn what_containers_of_a_pod_are_overridden_with_is_read() {
        let main = json!({
            "name": "main", "image": "i:2", "command": ["a"], "env": [{"name": "A", "value": "1"}],
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
        });
        let pod = json!({
            "initContainers": [{"name": "fill", "args": ["1"]}], "containers": [main],
            "metadata": {"labels": {"team": "a"}},
        });
        let submission = submit(json!({"eksPropertiesOverride": {"podProperties": pod}})).unwrap();
        let [fill, main] = &submission.overrides.task[..] else { panic!("{:?}", submission.overrides) };
        assert_eq!((fill.name.as_deref(), fill.args.as_deref()), (Some("fill"), Some(&["1".to_owned()][..])));
        assert_eq!((main.image.as_deref(), main.container.resource_requirements.len()), (Some("i:2"), 2));
        assert_eq!(submission.rest.members()["podMetadata"], json!({"labels": {"team": "a"}}).to_string());
    }

    #[test]
    fn what_nodes_are_overridden_with_is_read() {
        let needed = |name: &str, quantity: i64| json!({"consumableResourceList": [{"consumableResource": name, "quantity": quantity}]});
        let seat = needed("arn:aws:batch:r:1:consumable-resource/seat", 2);
        let nodes = json!({"numNodes": 4, "nodePropertyOverrides": [
            {"targetNodes": "1:", "containerOverrides": {"command": ["x"]}, "instanceTypes": ["m5.large"]},
            {"targetNodes": "0", "ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "a"}]}]},
             "consumableResourcePropertiesOverride": seat},
        ]});
        let Overrides { node_count, nodes, .. } = submit(json!({"nodeOverrides": nodes})).unwrap().overrides;
        assert_eq!((node_count, nodes.len()), (Some(4), 2));
        assert_eq!((nodes[0].first, nodes[0].last), (1, None));
        assert_eq!(nodes[1].consumables.as_ref().map(|needed| needed[0].resource.to_string()).as_deref(), Some("seat"));
        let task =
            |containers: Value| json!({"ecsPropertiesOverride": {"taskProperties": [{"containers": containers}]}});
        for (members, word) in [
            (json!({"nodeOverrides": {"nodePropertyOverrides": [{"targetNodes": "a:"}]}}), "targetNodes a:"),
            (json!({"nodeOverrides": {"numNodes": -1}}), "numNodes"),
            (json!({"ecsPropertiesOverride": {"taskProperties": [{}, {}]}}), "at most one entry"),
            (task(json!([{"command": [""]}])), "empty string"),
            (json!({"consumableResourcePropertiesOverride": needed("a", 0)}), "at least 1"),
            (json!({"consumableResourcePropertiesOverride": needed("a b", 1)}), "a b is not the name or ARN"),
        ] {
            let refusal = submit(members.clone()).unwrap_err();
            assert!(refusal.contains(word), "{members}: {refusal}");
        }
    }

    #[test]
    fn overrides_have_their_bounds() {
        for (overrides, word) in [
            (json!({"command": ["a", ""]}), "empty string"),
            (json!({"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}), "AWS_BATCH"),
            (json!({"environment": [{"name": "a=b", "value": "1"}]}), "'='"),
            (
                json!({"environment": [{"name": "a", "value": "x".repeat(8192)}]}),
                "Container Overrides length must be at most 8192",
            ),
            (json!({"vcpus": -1}), "containerOverrides.vcpus"),
            (json!({"vcpus": "1"}), "containerOverrides.vcpus"),
            (json!({"resourceRequirements": [{"type": "RAM", "value": "1"}]}), "RAM"),
            (json!({"resourceRequirements": [{"type": "VCPU"}]}), "value is required"),
        ] {
            let refusal = submit(json!({"containerOverrides": overrides.clone()})).unwrap_err();
            assert!(refusal.contains(word), "{overrides}: {refusal}");
        }
    }

    #[test]
    fn dependencies_are_jobs_and_each_counts_once() {
        let twice = json!({"dependsOn": [{"jobId": ID}, {"jobId": ID, "type": "SEQUENTIAL"}]});
        assert_eq!(submit(twice).unwrap().depends_on, [Dependency::On(ID.parse().unwrap())]);
        assert!(submit(json!({"dependsOn": [{"jobId": "x"}]})).unwrap_err().contains("not found"));
        assert!(submit(json!({"dependsOn": [{}]})).is_err());
        assert!(submit(json!({"dependsOn": vec![json!({"jobId": ID}); 1001]})).is_err());
    }
}
