//! A plain HTTP/1.1 client, one connection per request, like `curl`; and a reader of server-sent
//! events.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use crate::rig::within;

/// A response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Returns the stable reason of a problem; checks its media type.
    pub(crate) fn reason(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        assert_eq!(self.json()["status"], self.status, "{self:?}");
        self.json()["reason"].as_str().unwrap().to_owned()
    }
}

/// Sends one request; `headers` are whole lines.
pub(crate) async fn send(
    address: SocketAddr,
    request: &str,
    headers: &[&str],
    body: &str,
) -> HttpResponse {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = head(address, request, headers, body.len());
        // A server that refuses may respond and close before it has read everything.
        let written = stream.write_all(format!("{head}{body}").as_bytes()).await;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        parse(&bytes).unwrap_or_else(|| panic!("{request}: {written:?} {read:?} {bytes:?}"))
    };
    within(request, exchange).await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> HttpResponse {
    send(address, &format!("GET {path}"), &[], "").await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &Value) -> HttpResponse {
    let headers = ["content-type: application/json"];
    send(address, &format!("POST {path}"), &headers, &body.to_string()).await
}

/// Sends a post under an idempotency key.
pub(crate) async fn post_once(
    address: SocketAddr,
    path: &str,
    key: &str,
    body: &Value,
) -> HttpResponse {
    let key = format!("idempotency-key: {key}");
    let headers = ["content-type: application/json", &key];
    send(address, &format!("POST {path}"), &headers, &body.to_string()).await
}

fn head(address: SocketAddr, request: &str, headers: &[&str], length: usize) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n"
    )
}

fn parse(bytes: &[u8]) -> Option<HttpResponse> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    let length: usize =
        head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let text = body.get(..length)?.to_owned();
    Some(HttpResponse { status, head, text })
}

/// Returns the first line of a response that may have no body.
pub(crate) async fn status(address: SocketAddr, path: &str, header: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = head(address, &format!("GET {path}"), &[header], 0);
        stream.write_all(head.as_bytes()).await.unwrap();
        BufReader::new(stream).lines().next_line().await.unwrap().unwrap()
    };
    within(path, exchange).await
}

/// One server-sent event.
#[derive(Debug, Default)]
pub(crate) struct Sse {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// An open stream of server-sent events.
pub(crate) struct SseStream {
    /// The head of the response, each line with a line break, in lower case.
    pub(crate) head: String,
    lines: Lines<BufReader<TcpStream>>,
}

impl SseStream {
    pub(crate) async fn open(address: SocketAddr, path: &str, headers: &[&str]) -> Self {
        let open = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = head(address, &format!("GET {path}"), headers, 0);
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            let status = lines.next_line().await.unwrap().unwrap();
            assert!(status.contains(" 200 "), "{status}");
            let mut head = format!("{status}\n").to_ascii_lowercase();
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if line.is_empty() {
                    break;
                }
                head.push_str(&line.to_ascii_lowercase());
                head.push('\n');
            }
            Self { head, lines }
        };
        within(path, open).await
    }

    /// Returns the next event; `None` after the stream's last.
    pub(crate) async fn next(&mut self) -> Option<Sse> {
        within("a server-sent event", self.read()).await
    }

    async fn read(&mut self) -> Option<Sse> {
        let mut sse = Sse::default();
        loop {
            let line = self.lines.next_line().await.unwrap()?;
            // The chunk sizes between the fields have no colon.
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut sse.id),
                Some(("event", event)) => event.clone_into(&mut sse.event),
                Some(("data", data)) => sse.data = serde_json::from_str(data).unwrap(),
                _ if line.is_empty() && !sse.data.is_null() => return Some(sse),
                _ => {}
            }
        }
    }
}
