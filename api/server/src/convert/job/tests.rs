use serde_json::{Value, json};
use wasmbatch_core::command::Command;
use wasmbatch_core::definition::DefinitionStatus;
use wasmbatch_core::extension::Extensions;
use wasmbatch_core::job::MemberRecord;
use wasmbatch_core::resource::Allocation;
use wasmbatch_core::{AttemptRecord, JobName, JobState, Name};

use super::summary::to_summary;
use super::*;
use crate::body;
use crate::convert::definition::to_register;
use crate::convert::submission::to_submission;
use crate::shape::definition::REGISTER_JOB_DEFINITION;
use crate::shape::job::SUBMIT_JOB;

const ID: &str = "5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f";

/// A definition and a job of it, as a submit would make it.
fn submitted(definition: Value, submit: Value) -> (JobDefinition, Job) {
    let mut request = json!({"jobDefinitionName": "d", "type": "container"});
    request.as_object_mut().unwrap().extend(definition.as_object().unwrap().clone());
    let command = body::parse(request.to_string().as_bytes(), &REGISTER_JOB_DEFINITION).and_then(to_register).unwrap();
    let Command::RegisterJobDefinition { name, spec, .. } = command else { panic!("a registration") };
    let mut request = json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d"});
    request.as_object_mut().unwrap().extend(submit.as_object().unwrap().clone());
    let submission = body::parse(request.to_string().as_bytes(), &SUBMIT_JOB)
        .and_then(|request| to_submission(request, ID.parse().unwrap()))
        .unwrap();
    let plan = spec.plan(&submission.overrides).unwrap();
    let job = Job {
        id: submission.id,
        name: JobName::parse("j").unwrap(),
        queue: Name::parse("q").unwrap(),
        queue_uid: 1,
        order: 1,
        definition: name.clone(),
        revision: 1,
        created_at: Timestamp::from_millis(5),
        parameters: spec.parameters.clone(),
        depends_on: submission.depends_on,
        array_size: submission.array_size,
        share: submission.share,
        scheduling_priority: submission.scheduling_priority,
        overrides: submission.overrides,
        layout: plan.layout,
        resources: plan.resources,
        consumables: plan.consumables,
        extensions: Extensions::default(),
        retry: None,
        timeout_seconds: None,
        propagate_tags: None,
        rest: submission.rest,
    };
    (JobDefinition { name, revision: 1, status: DefinitionStatus::Active, spec: *spec }, job)
}

fn progress(state: JobState, attempts: Vec<AttemptRecord>, members: Vec<MemberRecord>) -> JobProgress {
    JobProgress {
        state,
        attempts,
        status_reason: None,
        interruptions: 0,
        uncounted: 0,
        ended_by: EndedBy::Itself,
        members,
        decided_by: None,
        array: None,
    }
}

fn record(started: i64, stopped: Option<i64>, exit_code: Option<u8>) -> MemberRecord {
    MemberRecord {
        started_at: Some(Timestamp::from_millis(started)),
        stopped_at: stopped.map(Timestamp::from_millis),
        exit_code,
        ..MemberRecord::default()
    }
}

fn ended(members: Vec<MemberRecord>, exit_code: u8) -> JobProgress {
    let attempt = AttemptRecord {
        started_at: Some(Timestamp::from_millis(10)),
        stopped_at: Timestamp::from_millis(20),
        exit_code: Some(exit_code),
        reason: None,
        status_reason: "Essential container in task exited".to_owned(),
        image_digest: None,
        members,
        usage: None,
    };
    let stopped_at = Timestamp::from_millis(20);
    let state = if exit_code == 0 { JobState::Succeeded { stopped_at } } else { JobState::Failed { stopped_at } };
    progress(state, vec![attempt], Vec::new())
}

fn running(job: &Job, members: Vec<MemberRecord>) -> JobProgress {
    let state = JobState::Running {
        attempt: AttemptId { job: job.id, number: 1, generation: 3, member: 0 },
        held: Allocation::restored(Name::parse("ce").unwrap(), job.resources),
        started_at: Timestamp::from_millis(10),
        deadline: None,
        image_digest: None,
        stop: None,
    };
    progress(state, Vec::new(), members)
}

fn shown(definition: &JobDefinition, job: &Job, id: JobId, progress: &JobProgress) -> Value {
    let node = match id.part() {
        Part::Node(node) => Some(node),
        Part::Whole | Part::Child(_) => None,
    };
    let ran = attempts::containers_that_ran(job, node, progress);
    let streams = ran.into_iter().map(|(number, member)| ((number, member), format!("s-{number}-{member}"))).collect();
    let summary = ArraySummary { counts: [0, 0, 1, 0, 2, 0, 0], updated_at: Timestamp::from_millis(9) };
    let view = JobView {
        id,
        job,
        progress,
        array: Some(&summary).filter(|_| job.array_size.is_some()),
        definition: Some(definition),
        tags: Tags::default(),
        streams,
        instance: "i-test",
    };
    serde_json::to_value(from_job(&view, &Arns::new("r", "1"))).unwrap()
}

fn ecs_container(name: &str, essential: bool) -> Value {
    let requirements = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]);
    json!({"name": name, "image": "i", "essential": essential, "resourceRequirements": requirements, "stopTimeout": 5})
}

fn lone() -> Value {
    json!({"image": "i", "vcpus": 1, "memory": 64, "command": ["a"]})
}

#[test]
fn a_task_shows_each_of_its_containers() {
    let containers = json!([ecs_container("main", true), ecs_container("side", false)]);
    let task = json!({"containers": containers, "taskRoleArn": "role"});
    let one = json!({"name": "side", "command": ["x"], "resourceRequirements": [{"type": "MEMORY", "value": "32"}]});
    let (definition, job) = submitted(
        json!({"ecsProperties": {"taskProperties": [task]}}),
        json!({"ecsPropertiesOverride": {"taskProperties": [{"containers": [one]}]}}),
    );
    let progress = ended(vec![record(10, Some(20), Some(0)), record(11, Some(15), Some(3))], 0);
    let detail = shown(&definition, &job, job.id, &progress);
    assert_eq!(detail["container"], json!({}));
    let task = &detail["ecsProperties"]["taskProperties"][0];
    assert_eq!((&task["taskRoleArn"], task["taskArn"].as_str().is_some()), (&json!("role"), true));
    let side = &task["containers"][1];
    assert_eq!(
        (&side["command"], &side["exitCode"], &side["logStreamName"]),
        (&json!(["x"]), &json!(3), &json!("s-1-1"))
    );
    assert_eq!(side["resourceRequirements"][1], json!({"type": "MEMORY", "value": "32"}));
    assert_eq!(side["stopTimeout"], 5);
    let attempt = &detail["attempts"][0];
    assert_eq!(attempt["container"]["exitCode"], 0);
    assert_eq!(
        attempt["taskProperties"][0]["containers"][1],
        json!({"name": "side", "exitCode": 3, "logStreamName": "s-1-1", "networkInterfaces": []})
    );
    let under_way = shown(&definition, &job, job.id, &running(&job, vec![record(10, None, None)]));
    assert_eq!(under_way["ecsProperties"]["taskProperties"][0]["containers"][0]["logStreamName"], "s-1-0");
    assert_eq!(under_way["ecsProperties"]["taskProperties"][0]["containers"][1].get("logStreamName"), None);
}

#[test]
fn a_pod_shows_its_attempts_apart() {
    let container = |name: &str| {
        let resources = json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"memory": "64Mi"}});
        json!({"name": name, "image": "i", "args": ["a"], "resources": resources})
    };
    let pod = json!({"initContainers": [container("fill")], "containers": [container("main")]});
    let one = json!({"name": "main", "image": "i:2", "resources": {"limits": {"cpu": "250m", "memory": "1Gi"}}});
    let overrides = json!({"containers": [one], "metadata": {"labels": {"run": "7"}}});
    let (definition, job) = submitted(
        json!({"eksProperties": {"podProperties": pod}}),
        json!({"eksPropertiesOverride": {"podProperties": overrides}}),
    );
    let progress = ended(vec![record(10, Some(12), Some(0)), record(13, Some(20), Some(1))], 1);
    let detail = shown(&definition, &job, job.id, &progress);
    assert_eq!((&detail["attempts"], detail.get("container")), (&json!([]), None));
    let attempt = &detail["eksAttempts"][0];
    assert_eq!(attempt["initContainers"], json!([{"name": "fill", "exitCode": 0}]));
    assert_eq!(attempt["containers"], json!([{"name": "main", "exitCode": 1}]));
    assert_eq!((&attempt["nodeName"], &attempt["podNamespace"]), (&json!("i-test"), &json!("default")));
    let pod = &detail["eksProperties"]["podProperties"];
    assert_eq!(pod["metadata"]["labels"]["run"], "7");
    let main = &pod["containers"][0];
    assert_eq!((&main["image"], &main["args"], &main["exitCode"]), (&json!("i:2"), &json!(["a"]), &json!(1)));
    let resources = json!({"limits": {"cpu": "0.25", "memory": "1024Mi"}, "requests": {"memory": "1024Mi"}});
    assert_eq!(main["resources"], resources);
    assert_eq!(pod["initContainers"][0]["resources"]["limits"]["memory"], "64Mi", "as it was spelled");
}

#[test]
fn an_array_counts_its_children_and_a_child_knows_its_index() {
    let dependencies = json!([{"type": "SEQUENTIAL"}]);
    let (definition, job) = submitted(
        json!({"containerProperties": lone()}),
        json!({"arrayProperties": {"size": 3}, "dependsOn": dependencies, "shareIdentifier": "blue"}),
    );
    let progress = progress(JobState::Submitted, Vec::new(), Vec::new());
    let parent = shown(&definition, &job, job.id, &progress);
    let array = &parent["arrayProperties"];
    assert_eq!((&array["size"], &array["statusSummaryLastUpdatedAt"]), (&json!(3), &json!(9)));
    assert_eq!((&array["statusSummary"]["RUNNING"], &array["statusSummary"]["FAILED"]), (&json!(2), &json!(0)));
    assert_eq!((&parent["dependsOn"], &parent["shareIdentifier"]), (&dependencies, &json!("blue")));
    let child = shown(&definition, &job, job.id.child(2), &ended(Vec::new(), 0));
    assert_eq!(child["arrayProperties"], json!({"statusSummary": {}, "index": 2}));
    assert_eq!((&child["jobId"], &child["status"]), (&json!(format!("{ID}:2")), &json!("SUCCEEDED")));
    assert_eq!(child["container"]["logStreamName"], "s-1-0");
    let variables = child["container"]["environment"].as_array().unwrap();
    assert!(variables.contains(&json!({"name": "AWS_BATCH_JOB_ARRAY_INDEX", "value": "2"})));
    assert!(has_part(&job, job.id.child(2)) && !has_part(&job, job.id.child(3)) && !has_part(&job, job.id.node(0)));
}

#[test]
fn a_multinode_job_shows_its_ranges_and_a_node_its_own_container() {
    let ecs = json!({"taskProperties": [{"containers": [ecs_container("main", true), ecs_container("side", false)]}]});
    let ranges = json!([
        {"targetNodes": "0:", "container": lone()},
        {"targetNodes": "3", "ecsProperties": ecs},
    ]);
    let nodes = json!({"numNodes": 4, "mainNode": 1, "nodeRangeProperties": ranges});
    let overrides = json!([
        {"targetNodes": "1:2", "containerOverrides": {"command": ["b"]}, "instanceTypes": ["m5.large"]},
        {"targetNodes": "3", "ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "side", "command": ["c"]}]}]}},
    ]);
    let (definition, job) = submitted(
        json!({"type": "multinode", "nodeProperties": nodes}),
        json!({"nodeOverrides": {"nodePropertyOverrides": overrides}}),
    );
    let waiting = progress(JobState::runnable(), Vec::new(), Vec::new());
    let parent = shown(&definition, &job, job.id, &waiting);
    let ranges = parent["nodeProperties"]["nodeRangeProperties"].as_array().unwrap();
    let targets: Vec<_> = ranges.iter().map(|range| range["targetNodes"].as_str().unwrap()).collect();
    assert_eq!(targets, ["0:", "3", "1:2"]);
    assert_eq!(
        (&ranges[0]["container"]["command"], &ranges[2]["container"]["command"]),
        (&json!(["a"]), &json!(["b"]))
    );
    assert_eq!(ranges[2]["instanceTypes"], json!(["m5.large"]));
    assert_eq!(ranges[1]["ecsProperties"]["taskProperties"][0]["containers"][1]["command"], json!(["c"]));
    assert_eq!((parent.get("container"), parent.get("nodeDetails")), (None, None));

    let members =
        vec![record(11, None, None), record(10, None, None), MemberRecord::default(), record(12, Some(14), Some(2))];
    let under_way = running(&job, members);
    let node = |index: u32| shown(&definition, &job, job.id.node(index), &under_way);
    let status = |index| node(index)["status"].clone();
    assert_eq!([0, 1, 2].map(status), ["RUNNING", "RUNNING", "STARTING"]);
    let main = node(1);
    assert_eq!(main["nodeDetails"], json!({"nodeIndex": 1, "isMainNode": true}));
    assert_eq!((&main["container"]["command"], &main["container"]["logStreamName"]), (&json!(["b"]), &json!("s-1-1")));
    assert_eq!((&main["jobId"], &main["startedAt"]), (&json!(format!("{ID}#1")), &json!(10)));
    assert_eq!(node(3)["ecsProperties"]["taskProperties"][0]["containers"][0]["exitCode"], 2);

    let stopped = |code| record(10, Some(20), Some(code));
    let over = ended(vec![stopped(0), stopped(5), stopped(0), stopped(0), stopped(137)], 5);
    let status = |index| shown(&definition, &job, job.id.node(index), &over)["status"].clone();
    assert_eq!([0, 1, 2, 3].map(status), ["SUCCEEDED", "FAILED", "SUCCEEDED", "SUCCEEDED"]);
    let summary = to_summary(job.id.node(3), &job, &over, None, &Arns::new("r", "1"));
    let nodes = summary.node_properties.unwrap();
    assert_eq!((nodes.node_index, nodes.num_nodes, nodes.is_main_node), (Some(3), Some(4), Some(false)));
    assert_eq!(summary.capacity_usage.unwrap()[0].quantity, Some(2.0));
}
