//! A registry behind TLS. The certificates are for loopback only and good until 2126; their keys are
//! no secret.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::Test;
use crate::node::Node;
use crate::pulls::small;
use crate::registry::Registry;

pub(crate) const TESTS: &[Test] =
    &[("certificates_are_held_against_the_owners", certificates_are_held_against_the_owners)];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/images/tls").join(name)
}

/// Decrypts for a registry; says where.
fn front(registry: &Registry) -> String {
    let certificates = CertificateDer::pem_file_iter(file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let behind = registry.host.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut question = Vec::new();
            let mut reader = BufReader::new(&mut stream);
            // Who doesn't trust the certificate is gone here.
            while reader.read_until(b'\n', &mut question).is_ok_and(|read| read > 2) {}
            if question.is_empty() {
                continue;
            }
            let mut upstream = TcpStream::connect(&behind).unwrap();
            upstream.write_all(&question).unwrap();
            let mut answer = Vec::new();
            let _ = upstream.read_to_end(&mut answer);
            let _ = stream.write_all(&answer);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    address
}

fn certificates_are_held_against_the_owners() {
    let registry = Registry::start();
    registry.image("a", "1", &small("x"), json!({}));
    let address = front(&registry);
    let name = format!("{address}/a:1");
    let said = Node::new(&registry).error(&name);
    assert_eq!(said, format!("{address} cannot be reached: invalid peer certificate: UnknownIssuer"));
    let node = Node::with(&registry, |options| options.registry_ca = Some(file("ca.pem")));
    node.image(&name);
    assert!(registry.asked("/blobs/") == 2);
    // A name that the certificate isn't for.
    let port = address.rsplit_once(':').unwrap().1;
    let other = format!("ip6-localhost.invalid:{port}/a:1");
    assert!(node.error(&other).contains("cannot be reached"));
    // Encrypted and not aren't mixed up.
    let said = node.error(&format!("localhost.:{port}/a:1"));
    assert!(said.contains("invalid reference") || said.contains("cannot be reached"), "{said}");
}
