//! A node whose programs end at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt as _;
use wasmbatch_controller::{Clock, Controller, Handle, NetworkAccess};
use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending, Node, Report, Timestamp, Usage, Vcpus};
use wasmbatch_executor::{
    AttemptSink, AttemptSpec, Executor, ModuleKind, OutputStream, PrepareError, Prepared, Quarantined, Wall,
};
use wasmbatch_server::{Options, ServerState, router};

/// Time stands still, so that goldens have one.
#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }
}

/// Every program says hello and ends; its last argument is its exit code, or `wait` to never end
/// by itself.
struct QuickExecutor {
    sink: Arc<dyn AttemptSink>,
    quarantined: Mutex<Vec<Quarantined>>,
}

/// What every program uses.
const USAGE: Usage =
    Usage { cpu_microseconds: 1500, peak_memory_bytes: 65_536, fuel: Some(7), read_bytes: 0, written_bytes: 12 };

impl Executor for QuickExecutor {
    fn start(&self, spec: AttemptSpec) {
        let attempt = spec.attempt;
        self.sink.report(Report { attempt, event: AttemptEvent::Started { image_digest: None } });
        self.sink.output(attempt, OutputStream::Stdout, b"hello\nworld\n");
        let last = spec.arguments.last().map(String::as_str);
        if last != Some("wait") {
            let exit_code = last.and_then(|code| code.parse().ok()).unwrap_or(0);
            let ending = Ending::Exited { exit_code, reason: None };
            self.sink.report(Report { attempt, event: AttemptEvent::Ended { ending, usage: Some(USAGE) } });
        }
    }

    fn stop(&self, attempt: AttemptId) {
        self.sink.report(Report { attempt, event: AttemptEvent::ended(Ending::Stopped) });
    }

    fn prepare(&self, _digest: Digest) -> Result<Prepared, PrepareError> {
        Ok(Prepared { kind: ModuleKind::Module, compiled_bytes: 1, compile_duration: None })
    }

    fn walls(&self) -> Vec<Wall> {
        vec![
            Wall { name: "seccomp", state: Ok("filter".to_owned()) },
            Wall { name: "landlock", state: Err("the kernel has <none>".to_owned()) },
        ]
    }

    fn quarantined(&self) -> Vec<Quarantined> {
        self.quarantined.lock().unwrap().clone()
    }

    fn release(&self, digest: Digest) -> std::io::Result<bool> {
        let mut quarantined = self.quarantined.lock().unwrap();
        let before = quarantined.len();
        quarantined.retain(|module| module.digest != digest);
        Ok(quarantined.len() < before)
    }

    fn shutdown(&self) {}
}

pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) options: Options,
    _controller: Controller,
    pub(crate) handle: Handle,
    _drain: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `x-amzn-ErrorType`, empty without one.
    pub(crate) error_type: String,
    pub(crate) request_id: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Bench {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let controller_options = wasmbatch_controller::Options {
            data_dir: folder.path().to_owned(),
            node: Node { instance: "i-test".to_owned(), vcpus: Vcpus::whole(4), memory_mib: 4096, gpus: 0 },
            allowed_mounts: vec![PathBuf::from("/data")],
            job_network: NetworkAccess::None,
            inbox_capacity: 64,
            keep_finished: std::time::Duration::from_secs(7 * 24 * 3600),
        };
        let controller = Controller::start(controller_options, Arc::new(StillClock), |sink| {
            let digest = Digest::from_bytes([0xab; 32]);
            let module = Quarantined { digest, since: 1_700_000_000_000, reason: "called ptrace".to_owned() };
            Ok(Arc::new(QuickExecutor { sink, quarantined: Mutex::new(vec![module]) }) as Arc<dyn Executor>)
        })
        .unwrap();
        let handle = controller.handle();
        let (drain, draining) = watch::channel(false);
        let listen: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let options = Options { listen, ..Options::default() };
        let router = router(ServerState::new(options.clone(), handle.clone(), draining));
        Self { router, options, _controller: controller, handle, _drain: drain, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let header =
            |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            error_type: header("x-amzn-errortype"),
            request_id: header("x-amzn-requestid"),
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn post(&self, operation: &str, body: impl Into<Body>) -> Answer {
        self.send(
            Request::post(format!("/v1/{operation}"))
                .header("host", "127.0.0.1:8080")
                .header("content-type", "application/json")
                .body(body.into())
                .unwrap(),
        )
        .await
    }

    /// A call that succeeds.
    pub(crate) async fn call(&self, operation: &str, request: Value) -> Value {
        let answer = self.post(operation, request.to_string()).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
        answer.json()
    }

    /// The message of a call that is refused as a client's mistake.
    pub(crate) async fn refused(&self, operation: &str, request: Value) -> String {
        let answer = self.post(operation, request.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.error_type.as_str()), (400, "ClientException"), "{answer:?}");
        answer.message()
    }

    pub(crate) async fn logs(&self, operation: &str, body: impl Into<Body>) -> Answer {
        self.send(
            Request::post("/")
                .header("host", "localhost:8080")
                .header("content-type", "application/x-amz-json-1.1")
                .header("x-amz-target", format!("Logs_20140328.{operation}"))
                .body(body.into())
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn method(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "[::1]:8080");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn upload(&self, name: &str) {
        let answer = self.method("PUT", &format!("/wasmbatch/v1/modules/{name}"), "\0asm\u{1}\0\0\0").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Registers `d`, which runs `hello` with this command.
    pub(crate) async fn register(&self, command: &[&str]) -> Value {
        let container = serde_json::json!({
            "image": "hello", "command": command,
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        });
        let request = serde_json::json!({
            "jobDefinitionName": "d", "type": "container", "containerProperties": container,
        });
        self.call("registerjobdefinition", request).await
    }

    /// Submits `d` to the default queue; answers the job's id.
    pub(crate) async fn submit(&self, members: Value) -> String {
        let mut request = serde_json::json!({"jobName": "j", "jobQueue": "default", "jobDefinition": "d"});
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.call("submitjob", request).await["jobId"].as_str().unwrap().to_owned()
    }

    /// The job when it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let answer = self.method("GET", &format!("/wasmbatch/v1/jobs/{id}/wait?seconds=30"), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}
