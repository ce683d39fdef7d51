//! A registry in this process, on a loopback port, that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wasmbatch_core::Digest;

use crate::archive::{digest, gzip, zstd};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The length that is announced, if not the body's; `None` in it for no length at all.
    pub(crate) length: Option<Option<usize>>,
    /// How long after each part of the body.
    pub(crate) pause: Duration,
    /// How much at a time.
    pub(crate) part: usize,
    /// Whether the body begins anew when it ends.
    pub(crate) endless: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            length: None,
            pause: Duration::ZERO,
            part: 1 << 20,
            endless: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Behaviour = Box<dyn FnMut(&Request, Reply) -> Reply + Send>;

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    requests: Vec<Request>,
    behaviour: Option<Behaviour>,
}

/// It goes on until the test process ends.
#[derive(Clone)]
pub(crate) struct Registry {
    state: Arc<Mutex<State>>,
    pub(crate) host: String,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let registry = Self { state: Arc::default(), host };
        let served = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (served, stream) = (served.clone(), stream.unwrap());
                std::thread::spawn(move || served.serve(stream));
            }
        });
        registry
    }

    /// Has this decide what is answered, given what would be.
    pub(crate) fn behave(&self, behaviour: impl FnMut(&Request, Reply) -> Reply + Send + 'static) {
        self.state.lock().unwrap().behaviour = Some(Box::new(behaviour));
    }

    pub(crate) fn behave_well(&self) {
        self.state.lock().unwrap().behaviour = None;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How many requests had this in their path.
    pub(crate) fn asked(&self, part: &str) -> usize {
        self.requests().iter().filter(|request| request.path.contains(part)).count()
    }

    pub(crate) fn forget_requests(&self) {
        self.state.lock().unwrap().requests.clear();
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = digest(bytes);
        self.state.lock().unwrap().blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    pub(crate) fn forget_blob(&self, digest: &Digest) {
        self.state.lock().unwrap().blobs.remove(&digest.to_string());
    }

    pub(crate) fn bytes(&self, blob: &Digest) -> Vec<u8> {
        self.state.lock().unwrap().blobs[&blob.to_string()].clone()
    }

    /// What it would answer about this.
    pub(crate) fn usual(&self, path: &str) -> Reply {
        let request = Request { method: "GET".to_owned(), path: path.to_owned(), headers: BTreeMap::new() };
        self.state.lock().unwrap().usual(&request)
    }

    /// Puts a manifest at `repository:tag`, and by its digest.
    pub(crate) fn manifest(&self, repository: &str, tag: &str, kind: &str, manifest: &Value) -> Digest {
        let text = serde_json::to_vec(manifest).unwrap();
        let digest = digest(&text);
        let mut state = self.state.lock().unwrap();
        for version in [tag.to_owned(), digest.to_string()] {
            let path = format!("/v2/{repository}/manifests/{version}");
            state.manifests.insert(path, (kind.to_owned(), text.clone()));
        }
        digest
    }

    /// Puts an image of these layers, each a tar that is stored in turn as gzip, zstd and as it is.
    pub(crate) fn image(&self, repository: &str, tag: &str, layers: &[Vec<u8>], config: Value) -> Digest {
        let manifest = self.image_manifest(layers, config);
        self.manifest(repository, tag, MANIFEST, &manifest)
    }

    pub(crate) fn image_manifest(&self, layers: &[Vec<u8>], config: Value) -> Value {
        let stored = layers.iter().zip([0, 1, 2].into_iter().cycle()).map(|(tar, way)| match way {
            0 => (gzip(tar), format!("{LAYER}+gzip")),
            1 => (zstd(tar), format!("{LAYER}+zstd")),
            _ => (tar.clone(), LAYER.to_owned()),
        });
        let stored: Vec<Value> = stored
            .map(|(bytes, kind)| {
                json!({"mediaType": kind, "digest": self.blob(&bytes).to_string(), "size": bytes.len()})
            })
            .collect();
        let diff_ids: Vec<String> = layers.iter().map(|tar| digest(tar).to_string()).collect();
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).unwrap();
        json!({
            "schemaVersion": 2,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.blob(&config).to_string(), "size": config.len(),
            },
            "layers": stored,
        })
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let request = Request { method, path, headers };
        let reply = self.reply(&request);
        // Who asked may have gone.
        let _ = write_reply(stream, &request, &reply);
    }

    fn reply(&self, request: &Request) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.clone());
        let reply = state.usual(request);
        match &mut state.behaviour {
            Some(behaviour) => behaviour(request, reply),
            None => reply,
        }
    }
}

impl State {
    fn usual(&self, request: &Request) -> Reply {
        let path = request.path.as_str();
        if let Some((kind, text)) = self.manifests.get(path) {
            let digest = digest(text).to_string();
            let reply = Reply::new(200, text.clone()).header("content-type", kind);
            return reply.header("docker-content-digest", &digest);
        }
        let blob = path.split_once("/blobs/").and_then(|(_, digest)| self.blobs.get(digest));
        let Some(blob) = blob else {
            let code = if path.contains("/blobs/") { "BLOB_UNKNOWN" } else { "MANIFEST_UNKNOWN" };
            let body = json!({"errors": [{"code": code, "message": "nothing here"}]});
            return Reply::new(404, serde_json::to_vec(&body).unwrap());
        };
        let from = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Reply::new(206, &blob[from..]).header("content-range", &range)
            }
            None => Reply::new(200, blob.clone()),
        }
    }
}

fn write_reply(mut stream: TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = reply.length.unwrap_or(Some(reply.body.len())) {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    loop {
        for part in reply.body.chunks(reply.part) {
            stream.write_all(part)?;
            std::thread::sleep(reply.pause);
        }
        if !reply.endless {
            return stream.flush();
        }
    }
}
