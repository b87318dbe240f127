//! One HTTP request with its whole answer, names and values of headers as they came. A stream of
//! events that does not end is read as far as it is wanted.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;

use serde_json::Value;

use crate::http::begin;

/// Headers that say how an answer travels, and not what it says.
const OF_THE_WAY: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

impl Answer {
    /// The body as JSON; nothing where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Sends a request, and reads until the server ends the answer or `enough` says so of its body.
pub(super) fn exchange(
    address: SocketAddr,
    request: &str,
    (headers, body): (&[String], &str),
    enough: impl Fn(&str) -> bool,
) -> io::Result<Answer> {
    let mut stream = begin(address, request, headers, body)?;
    let (mut bytes, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let len = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..len]);
        let answer = parse(&String::from_utf8_lossy(&bytes));
        let is_enough = answer.as_ref().is_some_and(|answer| enough(&answer.text));
        if len == 0 || is_enough {
            return answer.ok_or_else(|| io::Error::other("the answer was cut"));
        }
    }
}

/// A request without a body.
pub(super) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(address, &format!("GET {path}"), (&[], ""), |_| false)
}

/// An answer as far as it came; nothing before its head is whole.
fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let is_chunked = headers.contains_key("transfer-encoding");
    let text = if is_chunked { unchunked(body) } else { body.to_owned() };
    let mut headers = headers;
    headers.retain(|name, _| !OF_THE_WAY.contains(&name.as_str()));
    Some(Answer { status, headers, text })
}

/// The chunks that came whole.
fn unchunked(mut rest: &str) -> String {
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n")
        && let Ok(size) = usize::from_str_radix(size.trim(), 16)
        && let Some(chunk) = after.get(..size)
        && let Some(next) = after.get(size..).and_then(|next| next.strip_prefix("\r\n"))
    {
        text.push_str(chunk);
        rest = next;
    }
    text
}
