//! Connections.

use netlane_runtime::{Readiness, RecvError, SendError, Socket, TcpState};

use crate::two_hosts::{TwoHosts, soon};

/// Writes all of `bytes`.
pub(crate) fn write_all(socket: &Socket, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(SendError::WouldBlock) => {
                socket.wait(Readiness::WRITABLE, soon()).expect("room to write");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads until `out` is full, or to the end of the stream, and returns how much that was.
pub(crate) fn read_full(socket: &Socket, out: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < out.len() {
        match socket.try_read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(RecvError::WouldBlock) => {
                socket.wait(Readiness::READABLE, soon()).expect("bytes to read");
            }
            Err(error) => panic!("{error}"),
        }
    }
    filled
}

#[test]
fn what_is_said_is_echoed() {
    let hosts = TwoHosts::start();
    let (client, server) = hosts.connection();
    assert_eq!(client.peer_addr(), server.local_addr());
    assert_eq!(server.peer_addr(), client.local_addr());
    assert_eq!(client.state(), Ok(TcpState::Established));
    write_all(&client, b"hello");
    let mut bytes = [0; 5];
    assert_eq!(read_full(&server, &mut bytes), 5);
    write_all(&server, &bytes);
    assert_eq!(read_full(&client, &mut bytes), 5);
    assert_eq!(&bytes, b"hello");
}
