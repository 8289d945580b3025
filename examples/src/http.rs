//! Serves files, or what else a site has, over HTTP/1.1 (RFC 9112) on any stream of bytes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;

/// Answers requests for what a site offers until the peer ends the stream, or asks for that. It knows `GET` and `HEAD`.
///
/// # Errors
/// Those of the stream, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if a body was shorter than the site said.
pub fn serve(mut stream: impl Read + Write, site: &(impl Site + ?Sized)) -> io::Result<()> {
    let mut received = Vec::new();
    loop {
        let request = match next_request(&mut stream, &mut received)? {
            Received::Request(request) => request,
            Received::End => return Ok(()),
            Received::Malformed(status) => return refuse(&mut stream, status),
        };
        answer(&mut stream, site, &request)?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

/// What a server offers.
pub trait Site {
    /// What stands at a path, which is decoded and mostly begins with a slash.
    fn find(&self, path: &str) -> Option<Resource>;
}

/// Something that can be had from a server.
pub struct Resource {
    /// Its type, for the `Content-Type` header.
    pub content_type: &'static str,
    /// How many bytes it has.
    pub len: u64,
    /// Its bytes.
    pub body: Box<dyn Read>,
}

/// The files below a directory. A directory stands for its `index.html`. A path that leads out, also through a symbolic
/// link, is not found.
impl Site for Path {
    fn find(&self, path: &str) -> Option<Resource> {
        let root = self.canonicalize().ok()?;
        let mut found = root.join(path.trim_start_matches('/')).canonicalize().ok()?;
        if !found.starts_with(&root) {
            return None;
        }
        if found.is_dir() {
            found = found.join("index.html").canonicalize().ok().filter(|index| index.starts_with(&root))?;
        }
        // A pipe or a device would block, or never end.
        let len = found.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        let file = File::open(&found).ok()?;
        Some(Resource { content_type: content_type(&found), len, body: Box::new(file) })
    }
}

/// What a request says that matters here.
struct Request {
    head_only: bool,
    path: String,
    keep_alive: bool,
}

enum Received {
    Request(Request),
    /// The peer sends no more.
    End,
    /// The peer sends what this server does not take: answer so, and close.
    Malformed(Status),
}

/// Reads up to the end of a request's head. What comes behind it stays in `received`.
fn next_request(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<Received> {
    loop {
        if let Some((len, outcome)) = parse(received) {
            received.drain(..len);
            return Ok(outcome);
        }
        if received.len() >= LONGEST_HEAD {
            return Ok(Received::Malformed(Status::HeadTooLarge));
        }
        let before = received.len();
        received.resize(LONGEST_HEAD, 0);
        let outcome = stream.read(&mut received[before..]);
        received.truncate(before + *outcome.as_ref().unwrap_or(&0));
        if outcome? == 0 {
            return Ok(Received::End);
        }
    }
}

/// The first request and the length of its head, or `None` while its end is missing.
fn parse(received: &[u8]) -> Option<(usize, Received)> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(received) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some((0, Received::Malformed(Status::HeadTooLarge))),
        Err(_) => return Some((0, Received::Malformed(Status::BadRequest))),
    };
    Some((len, understand(&request).map_or_else(Received::Malformed, Received::Request)))
}

fn understand(request: &httparse::Request) -> Result<Request, Status> {
    let has = |name: &str, token: &str| {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let mut tokens = named.flat_map(|header| header.value.split(|&byte| byte == b','));
        tokens.any(|value| token.is_empty() || value.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    let is_1_1 = request.version == Some(1);
    // RFC 9112 §3.2: a request of this version names its host.
    if is_1_1 && !has("host", "") {
        return Err(Status::BadRequest);
    }
    // Where a body's end is not looked for, nothing behind it can be understood.
    if has("transfer-encoding", "") || (has("content-length", "") && !has("content-length", "0")) {
        return Err(Status::ContentTooLarge);
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Status::MethodNotAllowed),
    };
    // RFC 9112 §9.3: connections persist from HTTP/1.1 on.
    let keep_alive = if is_1_1 { !has("connection", "close") } else { has("connection", "keep-alive") };
    Ok(Request { head_only, path: request.path.unwrap_or("/").to_owned(), keep_alive })
}

fn answer(stream: &mut impl Write, site: &(impl Site + ?Sized), request: &Request) -> io::Result<()> {
    let path = request.path.split(['?', '#']).next().unwrap_or_default();
    let found = percent_decode_str(path).decode_utf8().ok().and_then(|path| site.find(&path));
    let Some(Resource { content_type, len, body }) = found else {
        return write_text(stream, Status::NotFound, request.keep_alive, request.head_only);
    };
    let mut out = BufWriter::with_capacity(CHUNK, stream);
    write_head(&mut out, Status::Ok, content_type, len, request.keep_alive)?;
    if !request.head_only {
        let sent = io::copy(&mut body.take(len), &mut out)?;
        if sent < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    out.flush()
}

fn refuse(stream: &mut impl Write, status: Status) -> io::Result<()> {
    write_text(stream, status, false, false)
}

/// An answer whose body is its own status.
fn write_text(stream: &mut impl Write, status: Status, keep_alive: bool, head_only: bool) -> io::Result<()> {
    let body = format!("{}\n", status.text());
    let mut out = BufWriter::new(stream);
    write_head(&mut out, status, "text/plain; charset=utf-8", body.len() as u64, keep_alive)?;
    if !head_only {
        out.write_all(body.as_bytes())?;
    }
    out.flush()
}

fn write_head(
    out: &mut impl Write,
    status: Status,
    content_type: &str,
    len: u64,
    keep_alive: bool,
) -> io::Result<()> {
    write!(out, "HTTP/1.1 {}\r\n", status.text())?;
    write!(out, "Date: {}\r\n", httpdate::fmt_http_date(SystemTime::now()))?;
    write!(out, "Server: netlane\r\n")?;
    write!(out, "Content-Type: {content_type}\r\nContent-Length: {len}\r\n")?;
    if status == Status::MethodNotAllowed {
        write!(out, "Allow: GET, HEAD\r\n")?;
    }
    write!(out, "Connection: {}\r\n\r\n", if keep_alive { "keep-alive" } else { "close" })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    ContentTooLarge,
    HeadTooLarge,
}

impl Status {
    /// RFC 9110 §15 and RFC 6585 §5.
    fn text(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
        }
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("txt" | "md" | "toml" | "rs") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        _ => "application/octet-stream",
    }
}

const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
/// How much of a body is read and written at a time, in bytes.
const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests;
