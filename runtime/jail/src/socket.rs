//! Socket pairs that carry bytes and descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Descriptors that one message may carry; the kernel's own bound is 253.
pub const MAX_DESCRIPTORS: usize = 64;

/// A connected pair of stream sockets, both closed on exec.
///
/// # Errors
/// Those of socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Writes all of `bytes`; `descriptors` travel with the first of them. Blocks while the peer
/// doesn't read. A peer that is gone is `BrokenPipe`, never a signal.
///
/// # Errors
/// Those of sendmsg(2); more than [`MAX_DESCRIPTORS`] descriptors or no byte to carry them.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > MAX_DESCRIPTORS || (bytes.is_empty() && !descriptors.is_empty()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut rest = bytes;
    let mut descriptors = descriptors;
    while !rest.is_empty() {
        let sent = match send_once(socket, rest, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            sent => sent?,
        };
        rest = &rest[sent..];
        descriptors = &[];
    }
    Ok(())
}

fn send_once(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if descriptors.is_empty() {
        return Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(
        control.push(SendAncillaryMessage::ScmRights(descriptors)),
        "the buffer has room for the most descriptors a message may carry"
    );
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Reads some bytes; 0 is the end. Descriptors that come with them are closed at once: this is how
/// to read from a peer that has none to give.
///
/// # Errors
/// Those of recv(2).
pub fn receive_bytes(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok((_, received)) => return Ok(received),
        }
    }
}

/// Reads some bytes, and the descriptors that come with them onto the end of `descriptors`; 0 is
/// the end.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(message) => break message.bytes,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received)
}

/// Makes a read that gets nothing for this long fail with `WouldBlock`.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_receive_timeout(socket: impl AsFd, timeout: Duration) -> io::Result<()> {
    Ok(set_socket_timeout(socket, Timeout::Recv, Some(timeout))?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn descriptors_arrive_with_the_bytes_they_were_sent_with() {
        let (ours, theirs) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        send(ours.as_fd(), b"one", &[file.as_fd(), ours.as_fd()]).unwrap();
        let (mut buffer, mut descriptors) = ([0; 16], Vec::new());
        assert_eq!(receive(theirs.as_fd(), &mut buffer, &mut descriptors).unwrap(), 3);
        assert_eq!(descriptors.len(), 2);
        let mut text = String::new();
        std::fs::File::from(descriptors.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
    }

    #[test]
    fn a_reader_of_bytes_gets_no_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let (kept, given) = pair().unwrap();
        send(ours.as_fd(), b"one", &[given.as_fd()]).unwrap();
        drop(given);
        let mut buffer = [0; 16];
        assert_eq!(receive_bytes(theirs.as_fd(), &mut buffer).unwrap(), 3);
        // The last copy of the descriptor is gone: its peer sees the end.
        assert_eq!(receive_bytes(kept.as_fd(), &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_gone_peer_is_an_error_and_no_signal() {
        let (ours, theirs) = pair().unwrap();
        drop(theirs);
        let error = send(ours.as_fd(), b"x", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_read_with_a_timeout_ends() {
        let (ours, _theirs) = pair().unwrap();
        set_receive_timeout(&ours, Duration::from_millis(1)).unwrap();
        let error = receive_bytes(ours.as_fd(), &mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
