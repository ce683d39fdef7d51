//! The typed client against the listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use wasmbatch_client::model::TextMap;
use wasmbatch_client::model::job::{EndJobRequest, SubmitJobRequest};
use wasmbatch_client::model::queue::DescribeJobQueuesRequest;
use wasmbatch_client::{Client, WaitOutcome};
use wasmbatch_server::Limits;

use crate::listener::{Running, run};

async fn start() -> (Running, Client) {
    let running = run(Limits::default()).await;
    let client = Client::new(&format!("http://{}", running.address)).unwrap();
    (running, client)
}

fn submit() -> SubmitJobRequest {
    let text = |text: &str| Some(text.to_owned());
    SubmitJobRequest {
        job_name: text("j"),
        job_queue: text("default"),
        job_definition: text("d"),
        ..SubmitJobRequest::default()
    }
}

#[tokio::test]
async fn a_module_is_uploaded_with_progress_and_forgotten() {
    let (running, client) = start().await;
    let sent = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&sent);
    let chunks = [Bytes::from_static(b"\0asm"), Bytes::from_static(b"\x01\0\0\0")].map(Ok);
    let body = futures_util::stream::iter(chunks);
    let module = client
        .put_module("team/hello:1", Some(8), body, move |total| seen.store(total, Ordering::SeqCst))
        .await
        .unwrap();
    assert_eq!((module.name.as_str(), module.size, sent.load(Ordering::SeqCst)), ("team/hello:1", 8, 8));
    assert_eq!(client.module("team/hello:1").await.unwrap().digest, module.digest);
    assert_eq!(client.list_modules(None).await.unwrap().modules.len(), 1);
    client.delete_module("team/hello:1").await.unwrap();
    assert_eq!(client.delete_module("team/hello:1").await.unwrap_err().api().unwrap().status, 404);
    running.end().await;
}

#[tokio::test]
async fn a_jobs_log_is_followed_over_its_attempts_to_its_end() {
    let (running, client) = start().await;
    running.bench.upload("hello").await;
    running.bench.register(&["1"]).await;
    let mut request = submit();
    request.retry_strategy =
        Some(wasmbatch_client::model::definition::RetryStrategy { attempts: Some(2), evaluate_on_exit: None });
    let id = client.submit_job(&request).await.unwrap().job_id;
    let lines: Vec<_> = client
        .follow_log(&id)
        .map(|followed| followed.map(|followed| (followed.attempt, followed.event.message)).unwrap())
        .collect()
        .await;
    let line = |attempt, text: &str| (attempt, text.to_owned());
    assert_eq!(lines, [line(1, "hello"), line(1, "world"), line(2, "hello"), line(2, "world")]);
    let none: Vec<_> = client.follow_log("00000000-0000-4000-8000-000000000000").collect().await;
    assert_eq!(none.len(), 1);
    assert_eq!(none[0].as_ref().unwrap_err().api().unwrap().status, 404);
    running.end().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_job_or_with_patience() {
    let (running, client) = start().await;
    running.bench.upload("hello").await;
    running.bench.register(&["wait"]).await;
    let id = client.submit_job(&submit()).await.unwrap().job_id;
    let outcome = client.wait_for_job(&id, Some(Duration::ZERO)).await.unwrap();
    assert!(matches!(outcome, WaitOutcome::NotYet(_)));
    let end = EndJobRequest { job_id: Some(id.clone()), reason: Some("enough".to_owned()) };
    let (outcome, terminated) = tokio::join!(client.wait_for_job(&id, None), client.terminate_job(&end));
    terminated.unwrap();
    let WaitOutcome::Ended(detail) = outcome.unwrap() else { panic!("nothing bounds the wait but the job") };
    assert_eq!(detail.status_reason.as_deref(), Some("enough"));
    running.end().await;
}

#[tokio::test]
async fn refusals_and_tags_come_through() {
    let (running, client) = start().await;
    let error = client.submit_job(&submit()).await.unwrap_err();
    let error = error.api().unwrap();
    assert_eq!((error.status, error.code.as_str()), (400, "ClientException"));
    assert!(error.request_id.is_some());
    let queues = client.describe_job_queues(&DescribeJobQueuesRequest::default()).await.unwrap().job_queues;
    let arn = &queues[0].job_queue_arn;
    client.tag_resource(arn, TextMap::from([("a/b".to_owned(), "1 2".to_owned())])).await.unwrap();
    assert_eq!(client.list_tags_for_resource(arn).await.unwrap()["a/b"], "1 2");
    client.untag_resource(arn, &["a/b"]).await.unwrap();
    assert!(client.list_tags_for_resource(arn).await.unwrap().is_empty());
    assert_eq!(client.node().await.unwrap().instance, "i-test");
    running.end().await;
}

#[tokio::test]
async fn a_node_that_is_not_there_is_a_transport_error() {
    let client = Client::new("http://127.0.0.1:1").unwrap();
    let error = client.node().await.unwrap_err();
    assert!(matches!(error, wasmbatch_client::Error::Transport(_)), "{error:?}");
}
