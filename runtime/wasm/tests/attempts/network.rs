//! What guests reach of the network.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use wasmbatch_executor::{NetworkAccess, Program};

use crate::Test;
use crate::guests::command;
use crate::node::{Node, exited, spec_of};

pub(crate) const TESTS: &[Test] = &[
    (
        "without_a_network_all_of_it_is_refused_and_nothing_traps",
        without_a_network_all_of_it_is_refused_and_nothing_traps,
    ),
    ("with_the_hosts_network_sockets_work", with_the_hosts_network_sockets_work),
    ("what_imports_the_network_starts_without_it", what_imports_the_network_starts_without_it),
];

const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/prebuilt/network.wasm");

fn run(network: NetworkAccess, target: &str) -> String {
    let node = Node::new();
    let mut spec = spec_of(Program::Stored { digest: node.put(&std::fs::read(GUEST).unwrap()) });
    spec.network = network;
    spec.arguments = ["network", target].map(str::to_owned).to_vec();
    let (story, ending) = node.run(spec);
    assert_eq!(ending, exited(0));
    String::from_utf8(story.stdout).unwrap()
}

fn without_a_network_all_of_it_is_refused_and_nothing_traps() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let said = run(NetworkAccess::None, &target);
    let refused = "connection: PermissionDenied\nlistener: Err(PermissionDenied)\ndatagram: Err(PermissionDenied)\n";
    assert!(said.starts_with(refused), "{said}");
    assert!(said.lines().nth(3).unwrap().starts_with("name: Err("), "{said}");
}

fn with_the_hosts_network_sockets_work() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut greeting = [0; 6];
        stream.read_exact(&mut greeting).unwrap();
        stream.write_all(b"and to you").unwrap();
        greeting
    });
    let said = run(NetworkAccess::Host, &target);
    assert_eq!(said, "connection: Ok(10) and to you\nlistener: Ok(())\ndatagram: Ok(())\nname: Ok(true)\n");
    assert_eq!(&server.join().unwrap(), b"hello\n");
}

fn what_imports_the_network_starts_without_it() {
    let node = Node::new();
    let before = r#"
      (import "wasi:http/types@0.2.0" (instance (export "fields" (type (sub resource)))))
      (import "wasi:http/outgoing-handler@0.2.0" (instance))
      (import "wasi:sockets/network@0.2.0" (instance (export "network" (type (sub resource)))))
      (import "wasi:sockets/instance-network@0.2.0" (instance))
      (import "wasi:sockets/tcp@0.2.0" (instance (export "tcp-socket" (type (sub resource)))))
      (import "wasi:sockets/tcp-create-socket@0.2.0" (instance))
      (import "wasi:sockets/udp@0.2.0" (instance (export "udp-socket" (type (sub resource)))))
      (import "wasi:sockets/udp-create-socket@0.2.0" (instance))
      (import "wasi:sockets/ip-name-lookup@0.2.0" (instance))"#;
    let wat = command("wasi:cli/run@0.2.6", before, r#"(func (export "run") (result i32) (i32.const 0))"#, "");
    assert_eq!(node.run_wat(&wat).1, exited(0));
    // Preview 1 has a few functions of sockets.
    let module = r#"(module
      (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "sock_recv" (func (param i32 i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "sock_send" (func (param i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "sock_shutdown" (func (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (call $accept (i32.const 3) (i32.const 0) (i32.const 0)))))"#;
    // 57 is ENOTSOCK.
    assert_eq!(node.run_wat(module).1, exited(57));
}
