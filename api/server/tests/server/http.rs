//! Who may ask, in which form, and what a mistake is answered with.

use axum::body::Body;
use axum::http::Request;

use serde_json::json;

use crate::bench::{Answer, Bench};

fn request(host: Option<&str>, extra: &[(&str, &str)], body: &'static str) -> Request<Body> {
    let mut request = Request::post("/v1/describejobqueues");
    if let Some(host) = host {
        request = request.header("host", host);
    }
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body)).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let bench = Bench::start();
    for (host, extra) in [
        (Some("evil.example:8080"), vec![JSON]),
        (Some("127.0.0.1:8081"), vec![JSON]),
        (None, vec![JSON]),
        (Some("127.0.0.1:8080"), vec![JSON, ("origin", "http://evil.example")]),
        (Some("127.0.0.1:8080"), vec![JSON, ("origin", "null")]),
    ] {
        let answer = bench.send(request(host, &extra, "{}")).await;
        assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (403, "AccessDeniedException"), "{host:?}");
    }
    let own = [JSON, ("origin", "http://localhost:8080")];
    assert_eq!(bench.send(request(Some("127.0.0.1:8080"), &own, "{}")).await.status, 200);
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let bench = Bench::start();
    for extra in [
        vec![],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![JSON, JSON],
    ] {
        let answer = bench.send(request(Some("localhost:8080"), &extra, "{}")).await;
        assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (400, "ClientException"), "{extra:?}");
    }
    assert_eq!(bench.send(request(Some("localhost:8080"), &[], "")).await.status, 200);
}

#[tokio::test]
async fn unknown_operations_are_answered_in_aws_shape() {
    let bench = Bench::start();
    let unknown = |answer: Answer| {
        assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (404, "UnknownOperationException"));
        assert!(answer.message().contains("Unknown operation"), "{}", answer.text);
    };
    unknown(bench.post("launchrockets", "{}").await);
    unknown(bench.method("GET", "/v1/submitjob", "").await);
    unknown(bench.method("PATCH", "/v1/tags/x", "").await);
    let answer = bench.logs("PutLogEvents", "{}").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["__type"], "UnknownOperationException");
}

#[tokio::test]
async fn mistakes_in_bodies_are_client_exceptions_that_name_the_member() {
    let bench = Bench::start();
    for (operation, body, word) in [
        ("submitjob", "{", "not JSON"),
        ("submitjob", "[]", "must be an object"),
        ("submitjob", "{}", "jobName is required"),
        ("submitjob", "{\"jobName\":1}", "jobName must be a string"),
        ("describejobs", "{\"jobs\":\"x\"}", "jobs must be a list"),
        ("describejobs", "{}", "jobs is required"),
        ("describejobs", "\u{0}", "not JSON"),
        ("canceljob", "{\"jobId\":\"\",\"reason\":\"x\"}", "'jobId' is a required field"),
        ("describejobqueues", "{\"maxResults\":101}", "maxResults"),
        ("describejobqueues", "{\"nextToken\":\"00\"}", "nextToken"),
        (
            "createjobqueue",
            "{\"jobQueueName\":\"q\",\"priority\":1,\"state\":\"JUNK\"}",
            "state JUNK must be one of ENABLED | DISABLED",
        ),
    ] {
        let answer = bench.post(operation, body).await;
        assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (400, "ClientException"), "{body}");
        assert!(answer.message().contains(word), "{operation} {body}: {}", answer.text);
        assert_eq!(answer.request_id.len(), 36);
    }
    let many = vec!["x"; 101];
    let answer = bench.post("describejobs", serde_json::json!({"jobs": many}).to_string()).await;
    assert_eq!(answer.message(), "Maximum number of jobs supported is  100");
}

#[tokio::test]
async fn oversized_documents_are_refused() {
    let bench = Bench::start();
    let answer = bench.post("describejobs", vec![b' '; 2 * 1024 * 1024]).await;
    assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (400, "ClientException"));
    let parameters = serde_json::json!({"a": "x".repeat(31 * 1024)});
    let request = serde_json::json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d", "parameters": parameters});
    assert!(bench.refused("submitjob", request).await.contains("at most 30720 bytes"));
}

#[tokio::test]
async fn the_wrapped_message_carries_the_answers_own_request_id() {
    let bench = Bench::start();
    let request = serde_json::json!({"jobName": "a.b", "jobQueue": "arn", "jobDefinition": "x y"});
    let answer = bench.post("submitjob", request.to_string()).await;
    let expected = format!(
        "Error executing request, Exception : Job name should match valid pattern, RequestId: {}",
        answer.request_id
    );
    assert_eq!(answer.message(), expected);
}

#[tokio::test]
async fn the_node_tells_of_itself() {
    let bench = Bench::start();
    assert_eq!(bench.method("GET", "/healthz", "").await.text, "ok\n");
    assert_eq!(bench.method("GET", "/readyz", "").await.text, "ok\n");
    let page = bench.method("GET", "/", "").await.text;
    assert!(page.contains("<td>landlock</td><td>MISSING</td><td>the kernel has &lt;none&gt;</td>"), "{page}");
    let node = bench.method("GET", "/wasmbatch/v1/node", "").await.json();
    assert_eq!(node["vcpus"], 4.0);
    assert_eq!(node["allowedMounts"][0], "/data");
    assert_eq!((&node["jobNetwork"], &node["held"]["memoryMib"]), (&json!("none"), &json!(0)));
    let walls = json!([
        {"name": "seccomp", "stands": true, "detail": "filter"},
        {"name": "landlock", "stands": false, "detail": "the kernel has <none>"},
    ]);
    assert_eq!(node["walls"], walls);
}

#[tokio::test]
async fn a_quarantined_module_is_shown_until_it_is_released() {
    let bench = Bench::start();
    let quarantined = || async { bench.method("GET", "/wasmbatch/v1/node", "").await.json()["quarantined"].clone() };
    let digest = format!("sha256:{}", "ab".repeat(32));
    let module = json!({"digest": digest, "since": 1_700_000_000_000_i64, "reason": "called ptrace"});
    assert_eq!(quarantined().await, json!([module]));
    let path = format!("/wasmbatch/v1/quarantine/{digest}");
    assert_eq!(bench.method("DELETE", &path, "").await.status, 200);
    assert_eq!(quarantined().await, json!([]));
    assert_eq!(bench.method("DELETE", &path, "").await.status, 404);
    assert_eq!(bench.method("DELETE", "/wasmbatch/v1/quarantine/sha256:ab", "").await.status, 400);
}
