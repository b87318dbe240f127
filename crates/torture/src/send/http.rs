//! A plain HTTP/1.1 client with one connection per request, like `curl`.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::command::ClientOutcome;

/// The largest response that is read, bytes.
const RESPONSE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A response of a server.
#[derive(Clone, Debug)]
pub struct PlainResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl PlainResponse {
    /// Returns the body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Returns the outcome of a command. 202 means that it is stored and not decided yet.
    pub fn outcome(&self) -> ClientOutcome {
        let body = self.json();
        match self.status {
            202 => ClientOutcome::unknown("202"),
            200..=299 => ClientOutcome::Ok { seq: body["seq"].as_u64() },
            status => match body["reason"].as_str() {
                Some(reason) => ClientOutcome::refused(reason),
                None => ClientOutcome::unknown(format!("status {status}")),
            },
        }
    }
}

/// Sends one request, such as `POST /path`; `headers` are complete lines.
///
/// # Errors
/// When the connection fails, or the response is truncated.
pub async fn send(
    address: SocketAddr,
    request: &str,
    headers: &[String],
    body: &str,
) -> Result<PlainResponse, String> {
    let cut = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(cut)?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.map_err(cut)?;
    let mut bytes = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut bytes).await.map_err(cut)?;
    parse(&bytes).ok_or_else(|| format!("the answer was cut after {} bytes", bytes.len()))
}

/// Requests a page.
///
/// # Errors
/// When the connection fails, or the response is truncated.
pub async fn get(address: SocketAddr, path: &str) -> Result<PlainResponse, String> {
    send(address, &format!("GET {path}"), &[], "").await
}

fn parse(bytes: &[u8]) -> Option<PlainResponse> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let text = if lower.contains("transfer-encoding: chunked") {
        unchunk(body)?
    } else if status == 204 {
        String::new()
    } else {
        let length: usize =
            lower.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        body.get(..length)?.to_owned()
    };
    Some(PlainResponse { status, text })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_responses_are_none() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(whole).map(|answer| answer.text), Some("{}".to_owned()));
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_none(), "{length} bytes");
        }
        let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(parse(chunks).map(|answer| answer.text), Some("{}".to_owned()));
    }

    #[test]
    fn undecided_commands_are_unknown() {
        let outcome =
            |status, text: &str| PlainResponse { status, text: text.to_owned() }.outcome();
        assert_eq!(outcome(201, r#"{"seq":4}"#), ClientOutcome::Ok { seq: Some(4) });
        assert!(!outcome(202, "{}").is_known());
        assert!(!outcome(503, r#"{"reason":"STORAGE_UNAVAILABLE"}"#).is_known());
        assert!(outcome(409, r#"{"reason":"ORDER_ENDED"}"#).is_known());
    }
}
