//! curl, and Python's HTTP server, at the kernel's end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::thread;

use netlane_examples::http;
use netlane_interop::bytes::{Summary, receive, send};
use netlane_interop::namespace::with_programs;
use netlane_interop::program::{Program, command, start};
use netlane_interop::wire::{KERNEL, NETLANE, Wire, at_kernel, at_netlane};
use netlane_posix::{TcpListener, TcpStream};
use tempfile::TempDir;

#[test]
fn curl_fetches_real_files_from_netlane() {
    with_programs(&["curl"], || {
        let (wire, site, here) = (Wire::new(), Site::new(), folder());
        serve(&wire, &site.root);
        for name in &site.names {
            let fetched = here.path().join("fetched");
            let mut curl = command("curl --silent --show-error --fail --output");
            curl.arg(&fetched).arg(format!("http://{NETLANE}/{name}"));
            assert_eq!(Program::start(curl).succeed(), "");
            assert_eq!(summary(&fetched), summary(&site.root.join(name)), "{name}");
        }
    });
}

#[test]
fn curl_fetches_many_files_at_once_and_over_one_connection() {
    with_programs(&["curl"], || {
        let (wire, site, here) = (Wire::new(), Site::new(), folder());
        serve(&wire, &site.root);
        for at_once in ["--parallel --parallel-max 20", ""] {
            let mut curl = command(&format!("curl --silent --show-error --fail {at_once}"));
            for copy in 0..20 {
                curl.arg("--output").arg(here.path().join(format!("{copy}")));
                curl.arg(format!("http://{NETLANE}/Cargo.lock"));
            }
            let before = wire.counted("tcp_passive_opens");
            // With --parallel, it draws a progress bar in silence too.
            drop(Program::start(curl).succeed());
            let sent = summary(&site.root.join("Cargo.lock"));
            for copy in 0..20 {
                assert_eq!(summary(&here.path().join(format!("{copy}"))), sent);
            }
            let connections = wire.counted("tcp_passive_opens") - before;
            assert_eq!(connections == 1, at_once.is_empty(), "{connections} connections");
        }
    });
}

#[test]
fn netlane_fetches_real_files_from_python() {
    with_programs(&["python3"], || {
        let (wire, site) = (Wire::new(), Site::new());
        let root = site.root.display();
        let mut server = start(&format!("python3 -u -m http.server --bind {KERNEL} --directory {root} 8000"));
        server.wait_for("Serving HTTP");
        for name in &site.names {
            let mut stream = TcpStream::connect(wire.net(), at_kernel(8000)).expect("a connection");
            write!(stream, "GET /{name} HTTP/1.0\r\n\r\n").expect("room for a request");
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).expect("a status");
            assert!(line.contains("200 OK"), "{line}");
            while line != "\r\n" {
                line.clear();
                assert!(stream.read_line(&mut line).expect("a header") > 0);
            }
            let fetched = receive(&mut stream).expect("all arrives");
            assert_eq!(fetched, summary(&site.root.join(name)), "{name}");
        }
    });
}

/// A folder of real files.
struct Site {
    _folder: TempDir,
    root: PathBuf,
    names: Vec<&'static str>,
}

impl Site {
    fn new() -> Self {
        let folder = folder();
        let root = folder.path().to_owned();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).expect("a copy");
        // This very program: tens of megabytes.
        fs::copy(std::env::current_exe().expect("a program"), root.join("program")).expect("a copy");
        File::create(root.join("empty")).expect("a file");
        send(&mut File::create(root.join("noise")).expect("a file"), 3 << 20).expect("room on the disk");
        Self { _folder: folder, root, names: vec!["Cargo.lock", "program", "empty", "noise"] }
    }
}

/// Serves the files of a folder, each connection with a thread of its own, for as long as the test lives.
fn serve(wire: &Wire, root: &Path) {
    let listener = TcpListener::bind(wire.net(), at_netlane(80)).expect("a listener");
    let root = root.to_owned();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let root = root.clone();
            thread::spawn(move || http::serve(stream, root.as_path()).expect("a client that behaves"));
        }
    });
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn summary(file: &Path) -> Summary {
    receive(&mut File::open(file).expect("a file")).expect("a file")
}
