//! SIGTERM with clients that have just connected, on every port of every process: each request that
//! is sent in time gets its response, and none is cut.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Pair, Role, WAIT_TIMEOUT, dev, pause};

/// The number of connections of each kind that are open when the signal comes; below the 64 that a
/// port of metrics accepts, together with the clients that come and go.
const OPEN: usize = 24;
/// The number of clients of each port that connect, send a request and disconnect, repeatedly.
const COMING: usize = 4;
/// The time for which they do so before the signal.
const BEFORE: Duration = Duration::from_millis(300);
/// The limit for a client between connection and request, half of what the server waits for a last
/// request: one that its own machine held up for longer may find the server gone.
const IN_TIME: Duration = Duration::from_millis(125);

/// A port's protocol.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    fn request(self) -> Vec<u8> {
        match self {
            Self::Http => b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n".to_vec(),
            Self::Grpc => {
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
                // POST, http, /x, authority a; ends its headers and its stream.
                let block = [0x83, 0x86, 0x04, 2, b'/', b'x', 0x01, 1, b'a'];
                bytes.extend([0, 0, 9, 1, 5, 0, 0, 0, 1]);
                bytes.extend(block);
                bytes
            }
        }
    }

    /// Reports whether these bytes are a reply, or prove that nothing was done.
    fn is_response(self, bytes: &[u8]) -> bool {
        match self {
            Self::Http => is_whole(bytes),
            Self::Grpc => frames(bytes).any(|(kind, stream, payload)| match kind {
                HEADERS => stream == 1,
                // No stream was served: a client may send its request elsewhere.
                GOAWAY => payload.starts_with(&[0; 4]),
                _ => false,
            }),
        }
    }
}

/// Reports whether these bytes are an HTTP/1.1 response with all of its body.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    head.starts_with("http/1.1 ") && body.len() >= length
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// Returns the kind, stream and payload of each whole HTTP/2 frame.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((head[3], head[8], payload))
    })
}

/// The outcomes of the clients' requests.
#[derive(Clone, Copy, Debug, Default)]
struct RequestOutcomes {
    answered: usize,
    cut: usize,
    /// Requests that were cut, but whose client had been held up.
    late: usize,
}

impl RequestOutcomes {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.cut += other.cut;
        self.late += other.late;
    }

    /// Reads the response to a request that was sent this long after the connection was made.
    fn count(&mut self, stream: &mut TcpStream, protocol: Protocol, sent_after: Duration) {
        match read_response(stream, protocol) {
            true => self.answered += 1,
            false if sent_after > IN_TIME => self.late += 1,
            false => self.cut += 1,
        }
    }
}

fn read_response(stream: &mut TcpStream, protocol: Protocol) -> bool {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while !protocol.is_response(&bytes) {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return false,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
    true
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, WAIT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    Ok(stream)
}

/// Connects, sends a request and disconnects, until the port is closed.
fn reconnect_until_closed(
    address: SocketAddr,
    protocol: Protocol,
    stopped: &AtomicBool,
) -> RequestOutcomes {
    let mut outcomes = RequestOutcomes::default();
    while !stopped.load(Ordering::Relaxed) {
        let Ok(mut stream) = connect(address) else { break };
        let connected = Instant::now();
        let _reported_by_the_response = stream.write_all(&protocol.request());
        outcomes.count(&mut stream, protocol, connected.elapsed());
    }
    outcomes
}

/// Stops a process while its clients are active.
fn stop(mut role: Role, ports: &[(&str, Protocol)]) -> RequestOutcomes {
    let ports: Vec<_> =
        ports.iter().map(|(name, protocol)| (role.address(name), *protocol)).collect();
    let mut open = Vec::new();
    for (address, protocol) in &ports {
        for _ in 0..OPEN {
            open.push((connect(*address).unwrap(), *protocol));
        }
        if let Protocol::Http = protocol {
            for _ in 0..OPEN / 2 {
                let mut reused = connect(*address).unwrap();
                reused.write_all(&protocol.request()).unwrap();
                assert!(read_response(&mut reused, *protocol));
                open.push((reused, *protocol));
            }
        }
    }
    let (mut outcomes, stopped) = (RequestOutcomes::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let mut coming = Vec::new();
        for (address, protocol) in &ports {
            for _ in 0..COMING {
                coming.push(scope.spawn(|| reconnect_until_closed(*address, *protocol, &stopped)));
            }
        }
        pause(BEFORE);
        let began = Instant::now();
        role.terminate();
        let mut sent = Vec::new();
        for (mut stream, protocol) in open {
            let _reported_by_the_response = stream.write_all(&protocol.request());
            sent.push((stream, protocol, began.elapsed()));
        }
        for (mut stream, protocol, after) in sent {
            outcomes.count(&mut stream, protocol, after);
        }
        let status = role.wait();
        assert!(status.success(), "{status}");
        stopped.store(true, Ordering::Relaxed);
        coming.into_iter().for_each(|client| outcomes.add(client.join().unwrap()));
    });
    outcomes
}

#[test]
fn sigterm_cuts_no_accepted_request() {
    use Protocol::{Grpc, Http};
    let mut outcomes = RequestOutcomes::default();
    for _ in 0..3 {
        let Pair { processor, requestor, dir: _dir } = Pair::start();
        let of_requestor = [("requestor", Http), ("metrics", Http)];
        outcomes.add(stop(requestor, &of_requestor));
        outcomes.add(stop(processor, &[("grpc", Grpc), ("rest", Http), ("metrics", Http)]));
        let dir = tempfile::tempdir().unwrap();
        let of_dev = [("grpc", Grpc), ("rest", Http), ("requestor", Http), ("metrics", Http)];
        outcomes.add(stop(dev(dir.path(), &[]), &of_dev));
    }
    println!("{outcomes:?}");
    assert_eq!(outcomes.cut, 0, "{outcomes:?}");
    assert!(outcomes.answered > 1_000 && outcomes.late < outcomes.answered / 20, "{outcomes:?}");
}
