//! Python's socket module at the kernel's end, as client and as server.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use netlane_interop::namespace::with_programs;
use netlane_interop::program::{Program, command};
use netlane_interop::wire::{KERNEL, NETLANE, Wire, at_kernel, at_netlane};
use netlane_posix::{KeepAlive, TcpListener, TcpStream};

const PORT: u16 = 6000;
/// What both sides say where it does not matter what.
const MESSAGE: &[u8] = b"forty-two bytes that say nothing at all...";

/// Python connects to netlane, and does this with the socket `s`.
fn client(script: &str) -> (Wire, Program, TcpStream) {
    let wire = Wire::new();
    let listener = TcpListener::bind(wire.net(), at_netlane(PORT)).expect("a listener");
    let python = python(&format!("s = socket.create_connection(('{NETLANE}', {PORT}), 20)\n{script}"));
    let (stream, _) = listener.accept().expect("a connection");
    (wire, python, stream)
}

/// netlane connects to Python, which does this with the socket `s`.
fn server(script: &str) -> (Wire, Program, TcpStream) {
    let wire = Wire::new();
    let mut python = python(&format!(
        "l = socket.create_server(('{KERNEL}', {PORT}))\nprint('listening')\ns, _ = l.accept()\ns.settimeout(20)\n{script}"
    ));
    python.wait_for("listening");
    let stream = TcpStream::connect(wire.net(), at_kernel(PORT)).expect("a connection");
    (wire, python, stream)
}

fn python(script: &str) -> Program {
    let mut python = command("python3 -u -c");
    python.arg(format!("{PRELUDE}\n{script}"));
    Program::start(python)
}

const PRELUDE: &str = "
import os, socket, struct

def rest(s):
    'Receives to the end of the stream.'
    received = bytearray()
    while chunk := s.recv(65536):
        received += chunk
    return bytes(received)

def exactly(s, n):
    'Receives n bytes.'
    received = b''
    while len(received) < n and (chunk := s.recv(n - len(received))):
        received += chunk
    return received

def reset(s):
    'Resets the connection.'
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
";

/// Sends a million bytes and half-closes, then receives to the end.
const ASK: &str = "
sent = os.urandom(1000000)
s.sendall(sent)
s.shutdown(socket.SHUT_WR)
assert rest(s) == sent[::-1]
print('content')";

/// Receives to the end, then answers.
const ANSWER: &str = "
received = rest(s)
s.sendall(received[::-1])
s.close()
print('content')";

#[test]
fn python_half_closes_as_client_and_gets_its_answer() {
    with_programs(&["python3"], || {
        let (_wire, python, stream) = client(ASK);
        answer(stream);
        assert_eq!(python.succeed(), "content\n");
    });
}

#[test]
fn python_half_closes_as_server_and_gets_its_answer() {
    with_programs(&["python3"], || {
        let (_wire, python, stream) = server(ASK);
        answer(stream);
        assert!(python.succeed().ends_with("content\n"));
    });
}

#[test]
fn netlane_half_closes_as_client_and_gets_its_answer() {
    with_programs(&["python3"], || {
        let (_wire, python, stream) = server(ANSWER);
        ask(stream);
        assert!(python.succeed().ends_with("content\n"));
    });
}

#[test]
fn netlane_half_closes_as_server_and_gets_its_answer() {
    with_programs(&["python3"], || {
        let (_wire, python, stream) = client(ANSWER);
        ask(stream);
        assert_eq!(python.succeed(), "content\n");
    });
}

fn answer(mut stream: TcpStream) {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("all arrives");
    assert_eq!(received.len(), 1_000_000);
    received.reverse();
    stream.write_all(&received).expect("room to write");
}

fn ask(mut stream: TcpStream) {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    stream.write_all(&sent).expect("room to write");
    stream.shutdown(Shutdown::Write).expect("a connection");
    let error = stream.write(b"more").expect_err("the stream has ended");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("all arrives");
    received.reverse();
    assert!(received == sent, "{} bytes come back as they went", received.len());
}

#[test]
fn python_resets_and_netlane_is_told_once() {
    with_programs(&["python3"], || {
        let (_wire, python, mut stream) = client("reset(s)");
        let error = stream.read(&mut [0; 16]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        assert_eq!(stream.read(&mut [0; 16]).expect("the end"), 0);
        let error = stream.write(MESSAGE).expect_err("a connection that has ended");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
        assert_eq!(python.succeed(), "");
    });
}

#[test]
fn netlane_resets_and_python_is_told_once() {
    with_programs(&["python3"], || {
        let (_wire, python, mut stream) = client(
            "
s.sendall(b'connected')
try:
    s.recv(16)
    print('nothing happened')
except ConnectionResetError:
    print('reset')
print(s.recv(16))
try:
    s.send(b'more')
except BrokenPipeError:
    print('broken')",
        );
        stream.read_exact(&mut [0; 9]).expect("Python knows that it is connected");
        stream.set_linger(Some(Duration::ZERO)).expect("a connection");
        drop(stream);
        assert_eq!(python.succeed(), "reset\nb''\nbroken\n");
    });
}

#[test]
fn bytes_that_nobody_read_turn_a_close_into_a_reset() {
    with_programs(&["python3"], || {
        let (_wire, python, stream) = client(&format!(
            "
s.sendall(b'x' * {len})
try:
    print(s.recv(16))
except ConnectionResetError:
    print('reset')",
            len = MESSAGE.len()
        ));
        let mut first = [0; 1];
        stream.peek(&mut first).expect("bytes to read");
        drop(stream);
        assert_eq!(python.succeed(), "reset\n");
    });
}

#[test]
fn what_is_urgent_arrives_in_its_place() {
    with_programs(&["python3"], || {
        let (_wire, python, mut stream) =
            client("s.sendall(b'before ')\ns.send(b'!', socket.MSG_OOB)\ns.sendall(b' after')\ns.close()");
        let mut received = String::new();
        stream.read_to_string(&mut received).expect("all arrives");
        assert_eq!(received, "before ! after");
        assert_eq!(python.succeed(), "");
    });
}

#[test]
fn small_messages_go_back_and_forth_without_delay() {
    with_programs(&["python3"], || {
        let (_wire, python, mut stream) = client(&format!(
            "
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for i in range(1000):
    s.sendall(b'x')
    s.sendall(b'y' * {len})
    assert exactly(s, {len} + 1) == b'x' + b'y' * {len}
print('content')",
            len = MESSAGE.len() - 1
        ));
        stream.set_nodelay(true).expect("a connection");
        let mut message = vec![0; MESSAGE.len()];
        for _ in 0..1000 {
            stream.read_exact(&mut message).expect("a message");
            stream.write_all(&message[..1]).expect("room to write");
            stream.write_all(&message[1..]).expect("room to write");
        }
        // Nagle and delayed acknowledgements together would take 40 ms each time: 40 s, and Python waits for 20.
        assert_eq!(python.succeed(), "content\n");
    });
}

#[test]
fn keep_alives_are_answered_both_ways() {
    with_programs(&["python3"], || {
        // Linux counts in seconds: two probes of Python's are under way before it says more.
        let (wire, python, mut stream) = client(
            "
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1)
print(s.recv(16))
s.sendall(b'still here')
s.close()",
        );
        stream.set_keepalive(Some(OFTEN)).expect("a connection");
        // Unanswered, one of our probes would end the connection, or one of Python's.
        while wire.counted("tcp_keepalive_probes") < 4 {
            std::thread::yield_now();
        }
        stream.write_all(b"and there?").expect("a connection that lives");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("a connection that lives");
        assert_eq!(said, "still here");
        assert_eq!(python.succeed(), "b'and there?'\n");
    });
}

/// Linux answers segments without data that are old, as these are, every 500 ms (`tcp_invalid_ratelimit`).
const OFTEN: KeepAlive =
    KeepAlive { idle: Duration::from_millis(600), interval: Duration::from_millis(600), probes: 1 };
