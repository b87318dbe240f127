//! A receiver of signed webhooks: when called, it accepts the waiting requests, and checks each
//! signature according to Standard Webhooks.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// The largest request, bytes: far more than an invitation has.
const REQUEST_BYTES_MAX: u64 = 256 * 1024;
/// The read and write timeout of a connection: less than the 15 s of a sender's attempt.
const IO_TIMEOUT: Duration = Duration::from_secs(5);

/// A received message with a valid signature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VerifiedWebhook {
    /// The path of the request.
    pub(super) path: String,
    /// The body, a `CloudEvent`.
    pub(super) event: Value,
}

/// A listening socket, and the messages received so far.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    key: Vec<u8>,
    received: Vec<VerifiedWebhook>,
    rejected: Vec<String>,
}

impl Listener {
    /// Listens on this machine's address in the network of the peer.
    pub(super) fn open(peer: &str, secret: &str) -> anyhow::Result<Self> {
        let peer: IpAddr = peer.parse().with_context(|| format!("{peer} is not an address"))?;
        let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        // Connecting a datagram socket sends nothing; it only selects the route.
        let route = UdpSocket::bind(any)?;
        route.connect((peer, 9))?;
        let socket = TcpListener::bind((route.local_addr()?.ip(), 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let key = secret.strip_prefix("whsec_").context("the secret's prefix")?;
        let key = STANDARD.decode(key)?;
        Ok(Self { socket, address, key, received: Vec::new(), rejected: Vec::new() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the faults of rejected messages, in their signature or form.
    pub(super) fn rejected(&self) -> &[String] {
        &self.rejected
    }

    /// Accepts the requests that wait on the socket; returns all messages received so far. Senders
    /// wait until the next call, so it must be called often.
    pub(super) fn receive(&mut self) -> anyhow::Result<&[VerifiedWebhook]> {
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => match receive_one(stream, &self.key) {
                    Ok(webhook) => self.received.push(webhook),
                    Err(error) => self.rejected.push(format!("{error:#}")),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(&self.received),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads one request, responds to it and closes the connection.
fn receive_one(mut stream: TcpStream, key: &[u8]) -> anyhow::Result<VerifiedWebhook> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    let request = ListenerRequest::read(&mut stream)?;
    let event = request.event(key)?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    Ok(VerifiedWebhook { path: request.path, event })
}

/// An HTTP request.
#[derive(Debug, Default)]
struct ListenerRequest {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl ListenerRequest {
    fn read(stream: &mut impl std::io::Read) -> anyhow::Result<Self> {
        let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).context("no request line")?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length: u64 = headers.get("content-length").context("no length")?.parse()?;
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        ensure!(body.len() as u64 == length, "the request is cut off, or too long");
        Ok(Self { path, headers, body })
    }

    fn header(&self, name: &str) -> anyhow::Result<&str> {
        self.headers.get(name).map(String::as_str).with_context(|| format!("no header {name}"))
    }

    /// Returns the event, if one of the signatures is valid for it.
    fn event(&self, key: &[u8]) -> anyhow::Result<Value> {
        let id = self.header("webhook-id")?;
        let signed = [id, ".", self.header("webhook-timestamp")?, "."].concat();
        let is_valid = |signature: &str| {
            let code = signature.strip_prefix("v1,").and_then(|code| STANDARD.decode(code).ok());
            let mac = Hmac::<Sha256>::new_from_slice(key).ok();
            code.zip(mac).is_some_and(|(code, mut mac)| {
                mac.update(signed.as_bytes());
                mac.update(&self.body);
                mac.verify_slice(&code).is_ok()
            })
        };
        if !self.header("webhook-signature")?.split(' ').any(is_valid) {
            bail!("the signature is wrong: {self:?}");
        }
        let kind = self.header("content-type")?;
        ensure!(kind.starts_with("application/cloudevents+json"), "it is {kind}");
        let event: Value = serde_json::from_slice(&self.body)?;
        ensure!(event["specversion"] == "1.0" && event["id"] == id, "{event}");
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// Creates a request as a processor sends it, signed with the key in `SECRET`.
    fn signed_request(listener: &Listener, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&listener.key).unwrap();
        mac.update(format!("m1.1614265330.{body}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        format!(
            "POST /listening HTTP/1.1\r\nhost: x\r\nContent-Type: application/cloudevents+json\r\n\
             webhook-id: m1\r\nwebhook-timestamp: 1614265330\r\n\
             webhook-signature: v1,AAAA v1,{signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn send(listener: &Listener, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(listener.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    #[test]
    fn the_standards_example_signature_is_valid() {
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ("content-type", "application/cloudevents+json"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let body = br#"{"test": 2432232314}"#.to_vec();
        let request = ListenerRequest { headers, body, ..ListenerRequest::default() };
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        // The body is signed, but is not an event.
        let error = request.event(&key).unwrap_err().to_string();
        assert_eq!(error, r#"{"test":2432232314}"#);
    }

    #[test]
    fn waiting_messages_are_received_and_answered() {
        let mut listener = Listener::open("127.0.0.1", SECRET).unwrap();
        assert_eq!(listener.receive().unwrap(), []);
        let body = r#"{"specversion":"1.0","id":"m1"}"#;
        let mut stream = send(&listener, &signed_request(&listener, body));
        let received = listener.receive().unwrap();
        let event = serde_json::from_str(body).unwrap();
        assert_eq!(received, [VerifiedWebhook { path: "/listening".to_owned(), event }]);
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
    }

    #[test]
    fn changed_or_truncated_messages_are_refused() {
        let mut listener = Listener::open("127.0.0.1", SECRET).unwrap();
        let valid = signed_request(&listener, r#"{"specversion":"1.0","id":"m1"}"#);
        for (invalid, expected) in [
            (valid.replace("\"1.0\"", "\"1.1\""), "the signature is wrong"),
            (valid.replace("webhook-id: m1", "webhook-id: m2"), "the signature is wrong"),
            (valid.replace("webhook-signature", "other"), "no header webhook-signature"),
            (valid.replace("content-length", "other"), "no length"),
            (valid.replace("+json", "+xml"), "it is application/cloudevents+xml"),
            (valid[..valid.len() - 1].to_owned(), "the request is cut off"),
        ] {
            drop(send(&listener, &invalid));
            assert_eq!(listener.receive().unwrap(), []);
            let message = listener.rejected().last().unwrap();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(listener.rejected().len(), 6);
    }
}
