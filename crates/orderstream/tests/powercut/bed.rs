//! `dev` on a folder that is recorded and cut, and a server that receives its notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use orderstream_powercut::{Notes, Recorder};
use parking_lot::Mutex;

use crate::process::Role;

/// The parts of the test that stay the same from one cut to the next.
#[derive(Debug)]
pub(super) struct Bed {
    /// The server that receives the notifications.
    pub(super) ear: Ear,
    /// Addresses and settings, outside of what is cut.
    dir: tempfile::TempDir,
    /// The addresses that the first process bound: the order store names its processor by one of
    /// them.
    bound: OnceLock<BTreeMap<String, SocketAddr>>,
}

impl Bed {
    pub(super) fn new() -> Self {
        let (ear, dir) = (Ear::start(), tempfile::tempdir().unwrap());
        let settings = format!("sinks: ['http://{}/sink']\n", ear.address);
        std::fs::write(dir.path().join("notify.yaml"), settings).unwrap();
        Self { ear, dir, bound: OnceLock::new() }
    }

    /// Starts `dev` on a folder and waits until it has bound its ports.
    pub(super) fn start(&self, folder: &Path, variables: Vec<(&'static str, PathBuf)>) -> Role {
        let (data, notify) = (folder.join("data"), self.dir.path().join("notify.yaml"));
        let mut args = vec!["dev", "--data-dir", data.to_str().unwrap(), "--sellers", "0"];
        args.extend(["--notify-config", notify.to_str().unwrap(), "--webhook-allow-local"]);
        let places = ["grpc", "rest", "requestor", "metrics"].map(|name| {
            let bound = self.bound.get().and_then(|bound| bound.get(name));
            let place = bound.map_or_else(|| "127.0.0.1:0".to_owned(), ToString::to_string);
            (format!("--{name}-addr"), place)
        });
        for (flag, place) in &places {
            args.extend([flag.as_str(), place.as_str()]);
        }
        // What the one before wrote when it was ready says nothing of this one.
        drop(std::fs::remove_file(self.dir.path().join("dev.addresses")));
        let dev = Role::start_with(&args, self.dir.path(), variables);
        self.bound.get_or_init(|| dev.bound.clone());
        dev
    }
}

/// A server that accepts every notification, and records its id before it responds.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    ids: BTreeSet<String>,
    notes: Option<Notes>,
}

impl Ear {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(Mutex::default()));
        let heard = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A process that was killed takes its connections with it.
                drop(hear(&heard, stream));
            }
        });
        Self { address, state }
    }

    /// Forgets the notifications so far, and records the next ones in this trace.
    pub(super) fn listen(&self, recorder: Option<&Recorder>) {
        let notes = recorder.map(|recorder| recorder.notes().unwrap());
        *self.state.lock() = Heard { ids: BTreeSet::new(), notes };
    }

    /// Returns the ids of all notifications that were received.
    pub(super) fn heard(&self) -> BTreeSet<String> {
        self.state.lock().ids.clone()
    }
}

/// Receives one request, on a connection of its own.
fn hear(heard: &Mutex<Heard>, stream: std::io::Result<TcpStream>) -> std::io::Result<()> {
    let mut stream = stream?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut bytes = Vec::new();
    let id = loop {
        let mut part = [0; 4096];
        let got = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..got]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length: usize = header("content-length: ").unwrap_or("0").parse().unwrap();
            if body.len() >= length {
                break header("webhook-id: ").unwrap_or_default().to_owned();
            }
        }
        if got == 0 {
            return Ok(());
        }
    };
    {
        let mut heard = heard.lock();
        if let Some(notes) = &heard.notes {
            notes.note(&format!("heard {id}"))?;
        }
        heard.ids.insert(id);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
}
