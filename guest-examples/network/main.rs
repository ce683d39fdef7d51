//! Says what becomes of a connection, a listener, a datagram and a name: one line each.
//!
//! `network HOST:PORT` connects to that address and passes on what the other side says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn main() {
    let target = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9".to_owned());
    match TcpStream::connect(&target) {
        Ok(mut stream) => {
            let mut text = String::new();
            let said = stream.write_all(b"hello\n").and_then(|()| stream.read_to_string(&mut text));
            println!("connection: {said:?} {}", text.trim());
        }
        Err(error) => println!("connection: {:?}", error.kind()),
    }
    let listener = TcpListener::bind("127.0.0.1:0").map(|_| ()).map_err(|error| error.kind());
    println!("listener: {listener:?}");
    let datagram = UdpSocket::bind("127.0.0.1:0").map(|_| ()).map_err(|error| error.kind());
    println!("datagram: {datagram:?}");
    let name = "localhost:80".to_socket_addrs().map(|addresses| addresses.count() > 0);
    println!("name: {:?}", name.map_err(|error| error.kind()));
}
