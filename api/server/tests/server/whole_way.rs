//! From registration to the log, and what each step answers.

use std::path::Path;

use serde_json::{Value, json};

use crate::bench::Bench;

/// Holds an answer against its golden file. `UPDATE_GOLDENS=1` writes it instead.
pub(crate) fn golden(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/goldens").join(format!("{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(&anonymous(value)).unwrap());
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, text).unwrap();
    } else {
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, expected, "{}", path.display());
    }
}

/// Without what differs from run to run.
fn anonymous(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_uuids(text)),
        Value::Array(entries) => entries.iter().map(anonymous).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), anonymous(value))).collect(),
        other => other.clone(),
    }
}

fn without_uuids(text: &str) -> String {
    const LENGTH: usize = 36;
    let is_uuid = |at: usize| text.get(at..at + LENGTH).is_some_and(|part| uuid::Uuid::try_parse(part).is_ok());
    match (0..text.len()).find(|at| is_uuid(*at)) {
        Some(at) => format!("{}UUID{}", &text[..at], without_uuids(&text[at + LENGTH..])),
        None => text.to_owned(),
    }
}

#[tokio::test]
async fn a_job_goes_the_whole_way() {
    let bench = Bench::start();
    bench.upload("hello:latest").await;
    golden("register", &bench.register(&["--out", "Ref::out"]).await);
    let members = json!({
        "parameters": {"out": "x.png"},
        "containerOverrides": {"environment": [{"name": "A", "value": "1"}]},
        "retryStrategy": {"attempts": 2},
        "timeout": {"attemptDurationSeconds": 3},
        "tags": {"team": "red"},
    });
    let id = bench.submit(members).await;
    let job = bench.ended(&id).await;
    assert_eq!(job["status"], "SUCCEEDED");
    golden("describe_job", &job);
    let described = bench.call("describejobs", json!({"jobs": [id, "nonsense", format!("{id}:0")]})).await;
    assert_eq!(described, json!({"jobs": [job]}));
    let listed = bench.call("listjobs", json!({"jobQueue": "default", "jobStatus": "SUCCEEDED"})).await;
    golden("list_jobs", &listed);
    assert_eq!(bench.call("listjobs", json!({"jobQueue": "default"})).await, json!({"jobSummaryList": []}));

    let stream = job["container"]["logStreamName"].as_str().unwrap();
    let request = json!({"logGroupName": "/aws/batch/job", "logStreamName": stream});
    let events = bench.logs("GetLogEvents", request.to_string()).await.json();
    let messages: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| event["message"].clone()).collect();
    assert_eq!(messages, ["hello", "world"]);
    let request = json!({"logGroupName": "/aws/batch/job", "filterPattern": "wor"});
    let found = bench.logs("FilterLogEvents", request.to_string()).await.json();
    assert_eq!(found["events"].as_array().unwrap().len(), 1);
    assert_eq!(found["events"][0]["logStreamName"], stream);
    let request = json!({"logGroupName": "/aws/batch/job", "logStreamNamePrefix": "d"});
    golden("describe_log_streams", &bench.logs("DescribeLogStreams", request.to_string()).await.json());
    golden("describe_log_groups", &bench.logs("DescribeLogGroups", "{}").await.json());
}

#[tokio::test]
async fn a_failed_job_shows_its_attempts() {
    let bench = Bench::start();
    bench.upload("hello").await;
    bench.register(&["3"]).await;
    let id = bench.submit(json!({"retryStrategy": {"attempts": 2}})).await;
    let job = bench.ended(&id).await;
    assert_eq!(job["status"], "FAILED");
    assert_eq!(job["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(job["container"]["exitCode"], 3);
    assert_eq!(job["attempts"][1]["container"]["logStreamName"], job["container"]["logStreamName"]);
    assert_eq!(job["attempts"][1]["startedAt"], job["startedAt"]);
}

#[tokio::test]
async fn a_running_job_is_terminated_and_nothing_is_said_of_unknown_ones() {
    let bench = Bench::start();
    bench.upload("hello").await;
    bench.register(&["wait"]).await;
    let id = bench.submit(json!({})).await;
    let unknown = json!({"jobId": "00000000-0000-4000-8000-000000000000", "reason": "x"});
    for operation in ["canceljob", "terminatejob"] {
        assert_eq!(bench.call(operation, unknown.clone()).await, json!({}));
        assert_eq!(bench.call(operation, json!({"jobId": "x", "reason": "x"})).await, json!({}));
    }
    bench.call("terminatejob", json!({"jobId": id, "reason": "enough"})).await;
    let job = bench.ended(&id).await;
    assert_eq!((&job["status"], &job["statusReason"]), (&json!("FAILED"), &json!("enough")));
    assert_eq!(job["isTerminated"], true);
}

#[tokio::test]
async fn environments_and_queues_are_echoed() {
    let bench = Bench::start();
    let resources = json!({
        "type": "EC2", "minvCpus": 0, "maxvCpus": 4, "instanceTypes": ["optimal"], "instanceRole": "role",
        "subnets": ["subnet-1"], "securityGroupIds": [], "tags": {"Name": "x"}, "colour": "red",
    });
    let request = json!({
        "computeEnvironmentName": "ce", "type": "MANAGED", "computeResources": resources, "serviceRole": "sr",
        "tags": {"k": "v"},
    });
    golden("create_environment", &bench.call("createcomputeenvironment", request).await);
    let order = json!([{"order": 1, "computeEnvironment": "arn:aws:batch:us-east-1:1:compute-environment/ce"}]);
    let request = json!({"jobQueueName": "q", "priority": 5, "computeEnvironmentOrder": order});
    golden("create_queue", &bench.call("createjobqueue", request).await);
    golden(
        "describe_environment",
        &bench.call("describecomputeenvironments", json!({"computeEnvironments": ["ce", "nobody", "a b"]})).await,
    );
    golden("describe_queue", &bench.call("describejobqueues", json!({"jobQueues": ["q"]})).await);
    bench.call("updatejobqueue", json!({"jobQueue": "q", "state": "DISABLED"})).await;
    bench.call("deletejobqueue", json!({"jobQueue": "q"})).await;
    bench.call("deletejobqueue", json!({"jobQueue": "q"})).await;
    assert_eq!(bench.call("describejobqueues", json!({"jobQueues": ["q"]})).await["jobQueues"], json!([]));
}

#[tokio::test]
async fn definitions_are_echoed_with_their_defaults() {
    let bench = Bench::start();
    let container = json!({
        "image": "i", "vcpus": 1, "memory": 64, "user": "nobody",
        "environment": [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}],
        "volumes": [{"name": "v", "host": {"sourcePath": "/data"}}, {"name": "w"}],
        "mountPoints": [{"containerPath": "/in", "sourceVolume": "v", "readOnly": true}],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/g"}},
        "linuxParameters": {"initProcessEnabled": true, "unknown": 1},
    });
    let rules = json!([{"onReason": "*", "action": "Exit"}]);
    let request = json!({
        "jobDefinitionName": "d", "type": "container", "containerProperties": container,
        "retryStrategy": {"attempts": 3, "evaluateOnExit": rules}, "timeout": {"attemptDurationSeconds": 60},
        "parameters": {"p": "1"}, "tags": {"k": "v"}, "propagateTags": false, "platformCapabilities": ["EC2"],
    });
    bench.call("registerjobdefinition", request.clone()).await;
    bench.call("registerjobdefinition", request).await;
    let described = bench.call("describejobdefinitions", json!({"jobDefinitions": ["d:1"]})).await;
    golden("describe_definition", &described);
    let revisions = |answer: &Value| -> Vec<Value> {
        answer["jobDefinitions"].as_array().unwrap().iter().map(|one| one["revision"].clone()).collect()
    };
    bench.call("deregisterjobdefinition", json!({"jobDefinition": "d:2"})).await;
    let all = bench.call("describejobdefinitions", json!({"jobDefinitionName": "d"})).await;
    assert_eq!(revisions(&all), [1, 2]);
    let active = bench.call("describejobdefinitions", json!({"jobDefinitions": ["d"], "status": "ACTIVE"})).await;
    assert_eq!(revisions(&active), [1]);
}

#[tokio::test]
async fn definitions_are_paged_by_name_and_by_list() {
    let bench = Bench::start();
    for _ in 0..5 {
        bench.register(&[]).await;
    }
    for wanted in
        [json!({"jobDefinitionName": "d"}), json!({"jobDefinitions": ["d"]}), json!({"jobDefinitions": ["d:1", "d"]})]
    {
        let mut request = wanted.clone();
        request["maxResults"] = json!(2);
        let mut revisions = Vec::new();
        loop {
            let page = bench.call("describejobdefinitions", request.clone()).await;
            let entries = page["jobDefinitions"].as_array().unwrap();
            assert!(entries.len() <= 2);
            revisions.extend(entries.iter().map(|entry| entry["revision"].as_u64().unwrap()));
            match page.get("nextToken") {
                Some(token) => request["nextToken"] = token.clone(),
                None => break,
            }
        }
        revisions.sort_unstable();
        revisions.dedup();
        assert_eq!(revisions, [1, 2, 3, 4, 5], "{wanted}");
    }
}

#[tokio::test]
async fn jobs_are_paged_newest_first_and_filtered() {
    let bench = Bench::start();
    bench.upload("hello").await;
    bench.register(&[]).await;
    for name in ["alpha", "Beta", "alphabet"] {
        let id = bench.submit(json!({"jobName": name})).await;
        bench.ended(&id).await;
    }
    let mut request = json!({"jobQueue": "default", "jobStatus": "SUCCEEDED", "maxResults": 2});
    let first = bench.call("listjobs", request.clone()).await;
    assert_eq!(first["jobSummaryList"].as_array().unwrap().len(), 2);
    request["nextToken"] = first["nextToken"].clone();
    let second = bench.call("listjobs", request).await;
    assert_eq!(second["jobSummaryList"].as_array().unwrap().len(), 1);
    assert!(second.get("nextToken").is_none());
    let filters = json!([{"name": "JOB_NAME", "values": ["ALPHA*"]}]);
    let filtered = bench.call("listjobs", json!({"jobQueue": "default", "filters": filters})).await;
    assert_eq!(filtered["jobSummaryList"].as_array().unwrap().len(), 2);
    assert!(bench.refused("listjobs", json!({"jobQueue": "nobody"})).await.contains("not found"));
}

#[tokio::test]
async fn tags_are_set_listed_and_removed() {
    let bench = Bench::start();
    let path = "/v1/tags/arn%3Aaws%3Abatch%3Aus-east-1%3A000000000000%3Ajob-queue%2Fdefault";
    let request = axum::http::Request::post(path)
        .header("host", "localhost:8080")
        .header("content-type", "application/json")
        .body(json!({"tags": {"a": "1", "b c": "2"}}).to_string().into())
        .unwrap();
    assert_eq!(bench.send(request).await.text, "{}");
    assert_eq!(bench.method("GET", path, "").await.json(), json!({"tags": {"a": "1", "b c": "2"}}));
    assert_eq!(bench.method("DELETE", &format!("{path}?tagKeys=b%20c&tagKeys=z"), "").await.text, "{}");
    assert_eq!(bench.method("GET", path, "").await.json(), json!({"tags": {"a": "1"}}));
    assert_eq!(bench.method("GET", "/v1/tags/nonsense", "").await.status, 400);
    assert_eq!(bench.method("DELETE", path, "").await.status, 400);
}

#[tokio::test]
async fn modules_are_uploaded_listed_and_deleted() {
    let bench = Bench::start();
    bench.upload("team/hello:1").await;
    bench.upload("other").await;
    let listed = bench.method("GET", "/wasmbatch/v1/modules?maxResults=1", "").await.json();
    assert_eq!(listed["modules"][0]["name"], "other:latest");
    let token = listed["nextToken"].as_str().unwrap();
    let listed = bench.method("GET", &format!("/wasmbatch/v1/modules?nextToken={token}"), "").await.json();
    assert_eq!(listed["modules"][0]["name"], "team/hello:1");
    let shown = bench.method("GET", "/wasmbatch/v1/modules/team%2Fhello:1", "").await.json();
    assert_eq!(shown["size"], 8);
    assert!(shown["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(bench.method("DELETE", "/wasmbatch/v1/modules/other", "").await.status, 200);
    assert_eq!(bench.method("DELETE", "/wasmbatch/v1/modules/other", "").await.status, 404);
    assert_eq!(bench.method("GET", "/wasmbatch/v1/modules/other", "").await.status, 404);
    assert_eq!(bench.method("PUT", "/wasmbatch/v1/modules/..%2Fx", "x").await.status, 400);
}

#[tokio::test]
async fn unknown_logs_are_resource_not_found() {
    let bench = Bench::start();
    let request = json!({"logGroupName": "/none", "logStreamName": "s"});
    let answer = bench.logs("GetLogEvents", request.to_string()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        json!({"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."})
    );
}

#[tokio::test]
async fn what_attempts_used_is_told_beside_what_aws_tells() {
    let bench = Bench::start();
    bench.upload("hello:latest").await;
    bench.register(&["3"]).await;
    let id = bench.submit(json!({"retryStrategy": {"attempts": 2}})).await;
    let job = bench.ended(&id).await;
    assert!(!job.to_string().contains("cpuMicroseconds"), "DescribeJobs has AWS's members and no others: {job}");
    let answer = bench.method("GET", &format!("/wasmbatch/v1/jobs/{id}/usage"), "").await.json();
    let used = json!({
        "cpuMicroseconds": 1500, "peakMemoryBytes": 65_536, "fuel": 7, "readBytes": 0, "writtenBytes": 12,
    });
    let attempt = |number| json!({"number": number, "containers": [{"name": "default", "usage": used}]});
    let total = json!({
        "cpuMicroseconds": 3000, "peakMemoryBytes": 65_536, "fuel": 14, "readBytes": 0, "writtenBytes": 24,
    });
    assert_eq!(answer, json!({"jobId": id, "attempts": [attempt(1), attempt(2)], "total": total}));
    let unknown = "/wasmbatch/v1/jobs/5f0e2b7c-1d3a-4c55-9e21-0a1b2c3d4e5f/usage";
    assert_eq!(bench.method("GET", unknown, "").await.status, 404);
    assert_eq!(bench.method("GET", "/wasmbatch/v1/jobs/x/usage", "").await.status, 404);
}

#[tokio::test]
async fn containers_are_told_apart_in_what_they_used() {
    let bench = Bench::start();
    bench.upload("hello:latest").await;
    let sized = json!([{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "16"}]);
    let range = |nodes: &str| {
        let container = json!({"image": "hello", "resourceRequirements": sized});
        json!({"targetNodes": nodes, "container": container})
    };
    let nodes = json!({"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [range("0"), range("1")]});
    let definition = json!({"jobDefinitionName": "d", "type": "multinode", "nodeProperties": nodes});
    bench.call("registerjobdefinition", definition).await;
    let id = bench.submit(json!({})).await;
    bench.ended(&id).await;
    let bench = &bench;
    let used = |id: String| async move {
        let path = format!("/wasmbatch/v1/jobs/{}/usage", id.replace('#', "%23"));
        bench.method("GET", &path, "").await.json()["attempts"][0]["containers"].clone()
    };
    let whole = used(id.clone()).await;
    assert_eq!((&whole[0]["node"], &whole[1]["node"]), (&json!(0), &json!(1)), "{whole}");
    assert_eq!(whole[0]["usage"]["fuel"], 7);
    let second = used(format!("{id}#1")).await;
    assert_eq!((second.as_array().unwrap().len(), &second[0]["node"]), (1, &json!(1)), "{second}");
}

#[tokio::test]
async fn fuel_is_a_requirement_like_any_other() {
    let bench = Bench::start();
    bench.upload("hello:latest").await;
    let fuel = |value: &str| json!([{"type": "FUEL", "value": value}]);
    let container = json!({"image": "hello", "vcpus": 1, "memory": 64, "resourceRequirements": fuel("1000000")});
    let definition = json!({"jobDefinitionName": "d", "type": "container", "containerProperties": container});
    bench.call("registerjobdefinition", definition).await;
    let described = bench.call("describejobdefinitions", json!({})).await;
    let requirements = &described["jobDefinitions"][0]["containerProperties"]["resourceRequirements"];
    assert_eq!(requirements, &fuel("1000000"));
    let id = bench.submit(json!({"containerOverrides": {"resourceRequirements": fuel("5")}})).await;
    assert_eq!(bench.ended(&id).await["container"]["resourceRequirements"], fuel("5"));
    let submit = |members: Value| {
        let mut request = json!({"jobName": "j", "jobQueue": "default", "jobDefinition": "d"});
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        request
    };
    let zero = submit(json!({"containerOverrides": {"resourceRequirements": fuel("0")}}));
    assert!(bench.refused("submitjob", zero).await.contains("FUEL has the value 0, which is out of bounds"));
}

#[tokio::test]
async fn a_deterministic_job_wants_fuel_in_all_its_containers() {
    let bench = Bench::start();
    bench.upload("hello:latest").await;
    bench.register(&[]).await;
    let mut request = json!({
        "jobName": "j", "jobQueue": "default", "jobDefinition": "d", "tags": {"wasmbatch:deterministic": "true"},
    });
    let refusal = bench.refused("submitjob", request.clone()).await;
    assert!(refusal.contains("wasmbatch:deterministic") && refusal.contains("FUEL"), "{refusal}");
    request["containerOverrides"] = json!({"resourceRequirements": [{"type": "FUEL", "value": "5"}]});
    bench.call("submitjob", request.clone()).await;
    request["tags"] = json!({"wasmbatch:cpu-limit": "0"});
    assert!(bench.refused("submitjob", request).await.contains("a whole number from 1 to 31536000"));
}
