//! Server-sent events through a real nginx with its usual settings, which collects responses in
//! buffers. Without nginx a test prints that it is skipped; with `CI=true` it fails.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{get, post};
use crate::process::{Role, dev, until};

/// The limit of the time in which an event passes. A buffer would hold it back until more than it
/// comes, and not even one comment after [`SILENCE`] would be enough.
const AT_ONCE: Duration = Duration::from_secs(5);
/// The silence after which a comment is sent.
const SILENCE: Duration = Duration::from_secs(15);

/// A running nginx; stopped when dropped.
struct Nginx {
    child: Child,
    socket: PathBuf,
}

impl Nginx {
    /// Starts nginx in a folder, on a socket in it, before a port of plain HTTP; `None` where there
    /// is no nginx.
    fn start(dir: &Path, upstream: std::net::SocketAddr) -> Option<Self> {
        let program = program()?;
        let (config, log, socket) =
            (dir.join("nginx.conf"), dir.join("error.log"), dir.join("nginx.sock"));
        std::fs::write(&config, settings(dir, &socket, upstream)).unwrap();
        let child = Command::new(program)
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(&log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Self { child, socket };
        until("nginx listens", || {
            if let Some(status) = nginx.child.try_wait().unwrap() {
                panic!("nginx ended: {status}: {}", std::fs::read_to_string(&log).unwrap());
            }
            UnixStream::connect(&nginx.socket).ok()
        });
        Some(nginx)
    }

    /// Requests a path; returns the stream for its response.
    fn get(&self, path: &str, headers: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: shop.example\r\naccept: text/event-stream\r\n\
             {headers}connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may be gone already; what counts is that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the nginx of this machine; its folder is not in the path of everybody.
fn program() -> Option<&'static str> {
    let is_there = |program: &&str| {
        Command::new(program).arg("-v").output().is_ok_and(|output| output.status.success())
    };
    let found = ["nginx", "/usr/sbin/nginx"].into_iter().find(is_there);
    if found.is_none() {
        let text = "no nginx; install Debian's package `nginx`";
        let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!is_required, "{text}");
        println!("SKIPPED, {text}");
    }
    found
}

/// Returns the settings: one process, its files in one folder, and for the location nothing but
/// where it leads.
fn settings(dir: &Path, socket: &Path, upstream: std::net::SocketAddr) -> String {
    let (dir, socket) = (dir.display(), socket.display());
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/nginx.pid;\nevents {{}}\nhttp {{\n\
         access_log off;\ngzip on;\n{folders}\
         server {{ listen unix:{socket}; location / {{ proxy_pass http://{upstream}; }} }}\n}}\n"
    )
}

/// Reads until a text is there, after what was read before; fails after a time.
fn read_until(stream: &mut UnixStream, text: &mut String, expected: &str, within: Duration) {
    let (began, mut buffer) = (Instant::now(), [0; 4_096]);
    let from = text.len();
    while !text[from..].contains(expected) {
        let left = within.saturating_sub(began.elapsed());
        assert!(!left.is_zero(), "'{expected}' did not come within {within:?}: {text}");
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the response ended before '{expected}': {text}"),
            Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error} before '{expected}': {text}"),
        }
    }
}

/// Opens an order, and waits until it is at its processor.
fn open_order(dev: &Role) {
    let body = json!({"order_req_id": "NGX", "session_id": "s", "notification_type": "email"});
    let path = "/api/v1/orders/initiate";
    let response = post(dev.address("requestor"), path, &body.to_string()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    until("the order is at its processor", || {
        (get(dev.address("rest"), "/api/v1/orders/NGX").unwrap().status == 200).then_some(())
    });
}

fn propose(dev: &Role, id: &str, seller: &str) {
    let body = json!({"order_req_id": "NGX", "proposal_id": id, "seller": seller, "price": "10",
                      "currency": "EUR"});
    let response = post(dev.address("rest"), "/api/v1/proposals", &body.to_string()).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
}

/// Takes longer than other tests: it waits for a comment.
#[test]
fn events_pass_nginx_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &[]);
    let Some(nginx) = Nginx::start(dir.path(), dev.address("rest")) else { return };
    open_order(&dev);
    let (mut stream, mut text) = (nginx.get("/api/v1/orders/NGX/events", ""), String::new());
    read_until(&mut stream, &mut text, "event: OrderOpened", AT_ONCE);
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    propose(&dev, "p-1", "acme");
    read_until(&mut stream, &mut text, "event: NewProposal", AT_ONCE);
    read_until(&mut stream, &mut text, "\n:\n\n", SILENCE + AT_ONCE);
    propose(&dev, "p-2", "north");
    read_until(&mut stream, &mut text, "event: NewProposal", AT_ONCE);
}

/// An `EventSource` reconnects with the id of its last event, in a header or in the query; before
/// its first event the id is empty.
#[test]
fn resumptions_pass_nginx() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &[]);
    let Some(nginx) = Nginx::start(dir.path(), dev.address("rest")) else { return };
    open_order(&dev);
    propose(&dev, "p-1", "acme");
    let path = "/api/v1/orders/NGX/events";
    for (query, headers, first) in [
        ("", "last-event-id: 1\r\n", 2),
        ("?lastEventId=1", "", 2),
        ("?lastEventId=", "last-event-id:\r\n", 1),
    ] {
        let mut stream = nginx.get(&format!("{path}{query}"), headers);
        let mut text = String::new();
        read_until(&mut stream, &mut text, "event: NewProposal", AT_ONCE);
        let id = text.split("\nid: ").nth(1).and_then(|rest| rest.split('\n').next());
        assert_eq!(
            id.map(str::trim),
            Some(first.to_string().as_str()),
            "{query} {headers}: {text}"
        );
    }
}
