//! A plain HTTP/1.1 client with deadlines and one connection for each request, as `curl` has.

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The deadline to connect, and of each read and write.
const DEADLINE: Duration = Duration::from_secs(30);

/// A response of a server.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) text: String,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// Sends one request, and reads the response; `headers` are whole lines.
pub(crate) fn send(
    address: SocketAddr,
    request: &str,
    headers: &[&str],
    body: &str,
) -> io::Result<HttpResponse> {
    let mut bytes = Vec::new();
    begin(address, request, headers, body)?.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| io::Error::other("the answer was cut"))
}

/// Sends a request, after which the server closes the connection; returns the stream for its
/// response.
pub(crate) fn begin(
    address: SocketAddr,
    request: &str,
    headers: &[impl Display],
    body: &str,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )?;
    Ok(stream)
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<HttpResponse> {
    send(address, &format!("GET {path}"), &[], "")
}

pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<HttpResponse> {
    send(address, &format!("POST {path}"), &["content-type: application/json"], body)
}

fn parse(bytes: &[u8]) -> Option<HttpResponse> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let text = if lower.contains("transfer-encoding: chunked") {
        unchunk(body)?
    } else {
        let length: usize =
            lower.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        body.get(..length)?.to_owned()
    };
    Some(HttpResponse { status, head: lower, text })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
