//! The protocol of iperf3, as far as its tests of TCP and UDP with the default settings need it, over netlane's
//! sockets (`src/iperf_api.c` of iperf 3.12 is where it is defined).
//!
//! A control connection carries states, a byte each, and JSON behind its length. The client leads up to the test, the
//! server tells the states. Each stream begins with the client's cookie, so that the server knows whose it is.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netlane_posix::{Netlane, TcpListener, TcpStream, UdpSocket};
use serde_json::{Value, json};

/// The port of both iperf3's control connection and its streams.
pub const PORT: u16 = 5201;

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// How long data flows.
    pub duration: Duration,
    /// How many streams carry it.
    pub streams: usize,
    /// Whether it flows from the server to the client.
    pub reverse: bool,
}

/// What our side of a test has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Bytes that we have sent or received.
    pub bytes: u64,
    /// What the other side says about the test.
    pub theirs: Value,
}

/// Serves one test to whoever comes first.
///
/// # Errors
/// Those of the sockets, and [`InvalidData`](io::ErrorKind::InvalidData) where the client breaks the protocol.
pub fn serve(net: &Netlane, listener: &TcpListener) -> io::Result<Outcome> {
    let mut control = Control { stream: listener.accept()?.0 };
    let cookie = read_cookie(&mut control.stream)?;
    // A client of UDP may be faster than we are.
    let udp = UdpSocket::bind(net, listener.local_addr()?)?;
    control.tell(PARAM_EXCHANGE)?;
    let parameters = control.receive_json()?;
    let test = Test::from_json(&parameters);
    control.tell(CREATE_STREAMS)?;
    if parameters["udp"] == true {
        return serve_udp(control, udp, test);
    }
    let mut streams = Vec::new();
    for _ in 0..test.streams {
        let (mut stream, _) = listener.accept()?;
        if read_cookie(&mut stream)? != cookie {
            return Err(broken("a stranger's stream"));
        }
        streams.push(Stream::new(stream)?);
    }
    control.tell(TEST_START)?;
    let moving = Moving::start(streams, test.reverse);
    control.tell(TEST_RUNNING)?;
    control.expect(TEST_END)?;
    let moved = moving.stop();
    control.tell(EXCHANGE_RESULTS)?;
    let theirs = control.receive_json()?;
    control.send_json(&results(&moved, test.duration))?;
    control.tell(DISPLAY_RESULTS)?;
    control.expect(IPERF_DONE)?;
    Ok(Outcome { bytes: moved.iter().sum(), theirs })
}

/// Has the server at `address` take part in a test over TCP.
///
/// # Errors
/// Those of the sockets, and [`InvalidData`](io::ErrorKind::InvalidData) where the server breaks the protocol.
pub fn run(net: &Netlane, address: SocketAddr, test: Test) -> io::Result<Outcome> {
    let cookie = *b"netlanenetlanenetlanenetlanenetlanen\0";
    let mut control = Control { stream: TcpStream::connect(net, address)? };
    control.stream.write_all(&cookie)?;
    control.expect(PARAM_EXCHANGE)?;
    control.send_json(&test.to_json())?;
    control.expect(CREATE_STREAMS)?;
    let mut streams = Vec::new();
    for _ in 0..test.streams {
        let mut stream = TcpStream::connect(net, address)?;
        stream.write_all(&cookie)?;
        streams.push(Stream::new(stream)?);
    }
    control.expect(TEST_START)?;
    control.expect(TEST_RUNNING)?;
    let moving = Moving::start(streams, !test.reverse);
    thread::sleep(test.duration);
    control.tell(TEST_END)?;
    // A server that sends ends its streams now.
    let moved = if test.reverse { moving.wait() } else { moving.stop() };
    control.expect(EXCHANGE_RESULTS)?;
    control.send_json(&results(&moved, test.duration))?;
    let theirs = control.receive_json()?;
    control.expect(DISPLAY_RESULTS)?;
    control.tell(IPERF_DONE)?;
    Ok(Outcome { bytes: moved.iter().sum(), theirs })
}

/// Receives datagrams from a client until it says that the test has ended.
fn serve_udp(mut control: Control, udp: UdpSocket, test: Test) -> io::Result<Outcome> {
    let mut datagram = [0; 2048];
    for _ in 0..test.streams {
        // Each stream says hello, and is answered.
        let (_, client) = udp.recv_from(&mut datagram)?;
        udp.send_to(&UDP_REPLY.to_ne_bytes(), client)?;
    }
    control.tell(TEST_START)?;
    control.tell(TEST_RUNNING)?;
    let done = Arc::new(AtomicBool::new(false));
    let receiver = thread::spawn({
        let done = Arc::clone(&done);
        move || receive_datagrams(&udp, &done)
    });
    control.expect(TEST_END)?;
    done.store(true, Ordering::SeqCst);
    let bytes = receiver.join().expect("a thread that receives")?;
    control.tell(EXCHANGE_RESULTS)?;
    let theirs = control.receive_json()?;
    control.send_json(&results(&[bytes], test.duration))?;
    control.tell(DISPLAY_RESULTS)?;
    control.expect(IPERF_DONE)?;
    Ok(Outcome { bytes, theirs })
}

fn receive_datagrams(udp: &UdpSocket, done: &AtomicBool) -> io::Result<u64> {
    let mut datagram = [0; 2048];
    let mut bytes = 0;
    udp.set_read_timeout(Some(Duration::from_millis(100)))?;
    loop {
        match udp.recv_from(&mut datagram) {
            Ok((len, _)) => bytes += len as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if done.load(Ordering::SeqCst) {
                    return Ok(bytes);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

impl Test {
    fn from_json(parameters: &Value) -> Self {
        Self {
            duration: Duration::from_secs(parameters["time"].as_u64().unwrap_or(0)),
            streams: parameters["parallel"].as_u64().map_or(1, |streams| streams.clamp(1, 128) as usize),
            reverse: parameters["reverse"] == true,
        }
    }

    fn to_json(self) -> Value {
        let mut parameters = json!({
            "tcp": true,
            "omit": 0,
            "time": self.duration.as_secs(),
            "parallel": self.streams,
            "len": BLOCK,
            "pacing_timer": 1000,
            "client_version": "3.12",
        });
        if self.reverse {
            parameters["reverse"] = true.into();
        }
        parameters
    }
}

/// Our results: iperf3 wants to know a number for each of its streams.
fn results(moved: &[u64], duration: Duration) -> Value {
    // It counts its streams so: 1, 3, 4, 5, …
    let ids = std::iter::once(1).chain(3..);
    let streams: Vec<Value> = std::iter::zip(ids, moved)
        .map(|(id, bytes): (u64, _)| {
            json!({
                "id": id, "bytes": bytes, "retransmits": -1, "jitter": 0, "errors": 0, "packets": 0,
                "start_time": 0, "end_time": duration.as_secs_f64(),
            })
        })
        .collect();
    json!({
        "cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0,
        "sender_has_retransmits": -1, "streams": streams,
    })
}

/// The control connection.
struct Control {
    stream: TcpStream,
}

impl Control {
    fn tell(&mut self, state: i8) -> io::Result<()> {
        self.stream.write_all(&state.to_ne_bytes())
    }

    fn expect(&mut self, state: i8) -> io::Result<()> {
        let mut told = [0];
        self.stream.read_exact(&mut told)?;
        if i8::from_ne_bytes(told) == state { Ok(()) } else { Err(broken(&format!("{told:?}, not {state}"))) }
    }

    fn send_json(&mut self, value: &Value) -> io::Result<()> {
        let text = value.to_string();
        self.stream.write_all(&(text.len() as u32).to_be_bytes())?;
        self.stream.write_all(text.as_bytes())
    }

    fn receive_json(&mut self) -> io::Result<Value> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len);
        if len > LONGEST_JSON {
            return Err(broken(&format!("{len} bytes of JSON")));
        }
        let mut text = vec![0; len as usize];
        self.stream.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// A stream, and a handle by which to end it.
struct Stream {
    stream: TcpStream,
    other: TcpStream,
}

impl Stream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        Ok(Self { other: stream.try_clone()?, stream })
    }
}

/// Streams on which data flows, a thread for each.
struct Moving {
    streams: Vec<(TcpStream, Arc<AtomicU64>, JoinHandle<()>)>,
}

impl Moving {
    fn start(streams: Vec<Stream>, send: bool) -> Self {
        let start = |Stream { mut stream, other }| {
            let moved = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&moved);
            let thread = thread::spawn(move || {
                let mut block = vec![0; BLOCK];
                let mut next = || if send { stream.write(&block) } else { stream.read(&mut block) };
                // The end comes from either side, in order or not.
                while let Ok(bytes @ 1..) = next() {
                    count.fetch_add(bytes as u64, Ordering::Relaxed);
                }
            });
            (other, moved, thread)
        };
        Self { streams: streams.into_iter().map(start).collect() }
    }

    /// Ends the streams, and tells how much each has moved.
    fn stop(self) -> Vec<u64> {
        for (stream, _, _) in &self.streams {
            // One that the other side has ended already is no error.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.wait()
    }

    /// Waits until the other side has ended the streams, and tells how much each has moved.
    fn wait(self) -> Vec<u64> {
        let finish = |(_stream, moved, thread): (TcpStream, Arc<AtomicU64>, JoinHandle<()>)| {
            thread.join().expect("a thread that moves data");
            moved.load(Ordering::Relaxed)
        };
        self.streams.into_iter().map(finish).collect()
    }
}

fn read_cookie(stream: &mut TcpStream) -> io::Result<[u8; COOKIE]> {
    let mut cookie = [0; COOKIE];
    stream.read_exact(&mut cookie)?;
    Ok(cookie)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("iperf3's protocol is broken: {what}"))
}

/// Bytes of a cookie: 36 characters and a zero.
const COOKIE: usize = 37;
/// Bytes that a stream moves at a time.
const BLOCK: usize = 128 * 1024;
const LONGEST_JSON: u32 = 1 << 20;
/// What a stream of UDP is answered, so that it knows that it exists.
const UDP_REPLY: u32 = 0x3938_3736;

// `src/iperf_api.h`.
const TEST_START: i8 = 1;
const TEST_RUNNING: i8 = 2;
const TEST_END: i8 = 4;
const PARAM_EXCHANGE: i8 = 9;
const CREATE_STREAMS: i8 = 10;
const EXCHANGE_RESULTS: i8 = 13;
const DISPLAY_RESULTS: i8 = 14;
const IPERF_DONE: i8 = 16;
