//! `dev` on a folder that is recorded and cut, and a server that receives its notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use orderstream_powercut::{DiskRecorder, Notes};
use parking_lot::Mutex;

use crate::process::Role;

/// The parts of the test that stay the same from one cut to the next.
#[derive(Debug)]
pub(super) struct Bed {
    /// The server that receives the notifications.
    pub(super) sink: SinkServer,
    /// Addresses and settings, outside of the folder that is cut.
    dir: tempfile::TempDir,
    /// The addresses that the first process bound: the order store names its processor by one of
    /// them.
    bound: OnceLock<BTreeMap<String, SocketAddr>>,
}

impl Bed {
    pub(super) fn new() -> Self {
        let (sink, dir) = (SinkServer::start(), tempfile::tempdir().unwrap());
        let settings = format!("sinks: ['http://{}/sink']\n", sink.address);
        std::fs::write(dir.path().join("notify.yaml"), settings).unwrap();
        Self { sink, dir, bound: OnceLock::new() }
    }

    /// Starts `dev` on a folder and waits until it has bound its ports.
    pub(super) fn start(&self, folder: &Path, variables: Vec<(&'static str, PathBuf)>) -> Role {
        let (data, notify) = (folder.join("data"), self.dir.path().join("notify.yaml"));
        let mut args = vec!["dev", "--data-dir", data.to_str().unwrap(), "--sellers", "0"];
        args.extend(["--notify-config", notify.to_str().unwrap(), "--webhook-allow-local"]);
        let addresses = ["grpc", "rest", "requestor", "metrics"].map(|name| {
            let bound = self.bound.get().and_then(|bound| bound.get(name));
            let address = bound.map_or_else(|| "127.0.0.1:0".to_owned(), ToString::to_string);
            (format!("--{name}-addr"), address)
        });
        for (flag, address) in &addresses {
            args.extend([flag.as_str(), address.as_str()]);
        }
        // The file of the previous process must not count for this one.
        drop(std::fs::remove_file(self.dir.path().join("dev.addresses")));
        let dev = Role::start_with(&args, self.dir.path(), variables);
        self.bound.get_or_init(|| dev.bound.clone());
        dev
    }
}

/// A server that accepts every notification, and records its id before it responds.
#[derive(Debug)]
pub(super) struct SinkServer {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<SinkState>>,
}

#[derive(Debug, Default)]
struct SinkState {
    ids: BTreeSet<String>,
    notes: Option<Notes>,
}

impl SinkServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(Mutex::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A process that was killed closes its connections.
                drop(receive(&shared, stream));
            }
        });
        Self { address, state }
    }

    /// Forgets the notifications so far, and records the next ones in this trace.
    pub(super) fn listen(&self, recorder: Option<&DiskRecorder>) {
        let notes = recorder.map(|recorder| recorder.notes().unwrap());
        *self.state.lock() = SinkState { ids: BTreeSet::new(), notes };
    }

    /// Returns the ids of all notifications that were received.
    pub(super) fn received(&self) -> BTreeSet<String> {
        self.state.lock().ids.clone()
    }
}

/// Receives one request, on a connection of its own.
fn receive(state: &Mutex<SinkState>, stream: std::io::Result<TcpStream>) -> std::io::Result<()> {
    let mut stream = stream?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut bytes = Vec::new();
    let id = loop {
        let mut part = [0; 4096];
        let read_len = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..read_len]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length: usize = header("content-length: ").unwrap_or("0").parse().unwrap();
            if body.len() >= length {
                break header("webhook-id: ").unwrap_or_default().to_owned();
            }
        }
        if read_len == 0 {
            return Ok(());
        }
    };
    {
        let mut state = state.lock();
        if let Some(notes) = &state.notes {
            notes.note(&format!("heard {id}"))?;
        }
        state.ids.insert(id);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
}
