//! What the server is told at start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address listened on. `serve` replaces it with the listener's own, so that port 0 works.
    pub listen: SocketAddr,
    /// Region of ARNs for requests that are not signed for one. Default `us-east-1`.
    pub region: String,
    /// Account of ARNs, 12 digits. Default `000000000000`.
    pub account_id: String,
    /// Bounds on what clients can make the server hold.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            limits: Limits::default(),
        }
    }
}

/// Bounds on what clients can make the server hold.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest JSON body in bytes. Default 1 MiB.
    pub body_bytes: usize,
    /// Largest module in bytes. Default 512 MiB.
    pub module_bytes: u64,
    /// Largest archive of images in bytes. Default 32 GiB.
    pub image_bytes: u64,
    /// Time for a JSON body to arrive whole. Default 20 s.
    pub body_time: Duration,
    /// Longest silence within an upload. Default 30 s.
    pub upload_silence: Duration,
    /// Time for the headers of a request, counted from the connection's last answer. Default 60 s.
    pub header_time: Duration,
    /// Connections served at once; those beyond are told to come back. Default 1024.
    pub connections: usize,
    /// Requests worked on at once, without those that wait. Default 512.
    pub requests: usize,
    /// Requests that wait for a job at once. Default 512.
    pub waiters: usize,
    /// Time for requests under way when the server shuts down. Default 10 s.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            module_bytes: 512 * 1024 * 1024,
            image_bytes: 32 << 30,
            body_time: Duration::from_secs(20),
            upload_silence: Duration::from_secs(30),
            header_time: Duration::from_secs(60),
            connections: 1024,
            requests: 512,
            waiters: 512,
            drain_time: Duration::from_secs(10),
        }
    }
}

/// The address can be reached from other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {0}: whoever reaches it could run jobs, and nothing checks who they are yet; \
     listen on a loopback address and use an SSH tunnel from elsewhere"
)]
pub struct NotLoopback(pub SocketAddr);

/// Refuses addresses beyond this machine, until there is authentication.
///
/// # Errors
/// The address is not a loopback one.
pub fn check_listen(address: SocketAddr) -> Result<(), NotLoopback> {
    if is_loopback(address.ip()) { Ok(()) } else { Err(NotLoopback(address)) }
}

/// Loopback, also when IPv4 is written in IPv6.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        for address in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:8080", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check_listen(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["0.0.0.0:80", "[::]:80", "192.168.1.1:80", "[::ffff:10.0.0.1]:1"] {
            assert!(check_listen(address.parse().unwrap()).is_err(), "{address}");
        }
    }
}
