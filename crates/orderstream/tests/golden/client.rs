//! An HTTP request with its whole response, names and values of headers as received. A stream of
//! events without an end is read up to the event that is wanted.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;

use serde_json::Value;

use crate::http::begin;

/// Headers that describe the transfer of a response, and not its content.
const TRANSFER_HEADERS: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// A response of a server.
#[derive(Debug)]
pub(super) struct FullResponse {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

impl FullResponse {
    /// Returns the body as JSON; null where it is not JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Sends a request, and reads until the server ends the response or `enough` accepts its body.
pub(super) fn exchange(
    address: SocketAddr,
    request: &str,
    headers: &[String],
    body: &str,
    enough: impl Fn(&str) -> bool,
) -> io::Result<FullResponse> {
    let mut stream = begin(address, request, headers, body)?;
    let (mut bytes, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let len = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..len]);
        let response = parse(&String::from_utf8_lossy(&bytes));
        let is_enough = response.as_ref().is_some_and(|answer| enough(&answer.text));
        if len == 0 || is_enough {
            return response.ok_or_else(|| io::Error::other("the answer was cut"));
        }
    }
}

/// Sends a request without a body.
pub(super) fn get(address: SocketAddr, path: &str) -> io::Result<FullResponse> {
    exchange(address, &format!("GET {path}"), &[], "", |_| false)
}

/// Parses a response as far as it was received; absent before its head is whole.
fn parse(text: &str) -> Option<FullResponse> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let is_chunked = headers.contains_key("transfer-encoding");
    let text = if is_chunked { unchunked(body) } else { body.to_owned() };
    let mut headers = headers;
    headers.retain(|name, _| !TRANSFER_HEADERS.contains(&name.as_str()));
    Some(FullResponse { status, headers, text })
}

/// Joins the chunks that were received whole.
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
