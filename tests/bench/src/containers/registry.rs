//! As much of a registry as a pull wants, on a loopback port.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::archive::Made;

pub(crate) const REPOSITORY: &str = "bench/large";

type Pages = BTreeMap<String, (&'static str, Vec<u8>)>;

/// Serves until this process ends; says where.
pub(crate) fn serve(image: &Made) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let host = listener.local_addr()?.to_string();
    let pages = image.pages(REPOSITORY).into_iter().map(|(path, kind, bytes)| (path, (kind, bytes)));
    let pages: Arc<Pages> = Arc::new(pages.collect());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = Arc::clone(&pages);
            // Who asked may have gone.
            std::thread::spawn(move || drop(answer(stream, &pages)));
        }
    });
    Ok(host)
}

fn answer(mut stream: TcpStream, pages: &Pages) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().context("a method")?.to_owned(), words.next().context("a path")?.to_owned());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
    }
    let Some((kind, bytes)) = pages.get(&path) else {
        stream.write_all(b"HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(());
    };
    let head = format!(
        "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Type: {kind}\r\nDocker-Content-Digest: {}\r\n\
         Content-Length: {}\r\n\r\n",
        super::archive::digest(bytes),
        bytes.len()
    );
    stream.write_all(head.as_bytes())?;
    if method != "HEAD" {
        stream.write_all(bytes)?;
    }
    Ok(())
}
