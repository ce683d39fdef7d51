//! The listener over real sockets: limits, patience, the end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmbatch_server::{Limits, Options, ServeError, serve};

use crate::bench::Bench;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    pub(crate) bench: Bench,
}

pub(crate) async fn run(limits: Limits) -> Running {
    let bench = Bench::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let options = Options { limits, ..bench.options.clone() };
    let served = serve(listener, options, bench.handle.clone(), async move {
        let _ = stopped.await;
    });
    #[expect(clippy::disallowed_methods, reason = "the test joins it in `end`")]
    let server = tokio::spawn(served);
    Running { address, stop, server, bench }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.server).await.unwrap().unwrap().unwrap();
        drop(self.bench);
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

fn post(address: SocketAddr, path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_oversized_body_gets_its_answer_before_the_connection_closes() {
    let running = run(Limits::default()).await;
    let mut stream = running.connect().await;
    let body = vec![b' '; 8 * 1024 * 1024];
    stream.write_all(post(running.address, "/v1/describejobs", body.len()).as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("x-amzn-errortype: ClientException"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn an_oversized_module_gets_its_answer_too() {
    let running = run(Limits { module_bytes: 1000, ..Limits::default() }).await;
    for length in ["Content-Length: 300000", "Transfer-Encoding: chunked"] {
        let mut stream = running.connect().await;
        let head = format!(
            "PUT /wasmbatch/v1/modules/big HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{length}\r\n\r\n",
            running.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let body = vec![b'x'; 300_000];
        if length.starts_with("Transfer") {
            stream.write_all(b"493e0\r\n").await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        } else {
            stream.write_all(&body).await.unwrap();
        }
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("at most 1000 bytes"), "{answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered_and_headers_that_never_come_are_not_waited_for() {
    let short = Duration::from_millis(100);
    let running = run(Limits { body_time: short, header_time: short, ..Limits::default() }).await;
    let mut slow = running.connect().await;
    slow.write_all(post(running.address, "/v1/describejobs", 10).as_bytes()).await.unwrap();
    let answer = read_to_end(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut silent = running.connect().await;
    silent.write_all(b"POST /v1/desc").await.unwrap();
    let answer = read_to_end(&mut silent).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_told_to_come_back() {
    let running = run(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = running.connect().await;
    first.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", running.address).as_bytes()).await.unwrap();
    let mut buffer = [0; 12];
    first.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
    let mut second = running.connect().await;
    second.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", running.address).as_bytes()).await.unwrap();
    let answer = read_to_end(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("Too Many Requests"), "{answer}");
    drop(first);
    running.end().await;
}

#[tokio::test]
async fn those_who_wait_are_answered_when_the_server_ends() {
    let running = run(Limits::default()).await;
    running.bench.upload("hello").await;
    running.bench.register(&["wait"]).await;
    let id = running.bench.submit(serde_json::json!({})).await;
    let mut stream = running.connect().await;
    let head = format!("GET /wasmbatch/v1/jobs/{id}/wait HTTP/1.1\r\nHost: {}\r\n\r\n", running.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut other = running.connect().await;
    // An answer to a later request says that the server has read the first one's connection.
    other.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", running.address).as_bytes()).await.unwrap();
    let mut buffer = [0; 12];
    other.read_exact(&mut buffer).await.unwrap();
    running.end().await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&id), "{answer}");
}

#[tokio::test]
async fn a_listener_beyond_loopback_is_refused() {
    let bench = Bench::start();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, bench.options.clone(), bench.handle.clone(), std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(_))));
}
