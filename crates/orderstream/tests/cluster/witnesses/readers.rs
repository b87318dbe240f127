//! Witnesses that read an order's list: gRPC, server-sent events, REST page by page, commands.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use orderstream_client::FollowRole;
use serde_json::Value;

use super::list::Entry;
use super::stage::{ORDER, SellerEndpoints, Stage};
use crate::client::block_on;
use crate::http::get;
use crate::process::{BINARY, WAIT_TIMEOUT, pause, root, run, until};

/// The number of events after which a reader of server-sent events disconnects, and resumes.
const HANGS_UP_AFTER: usize = 7;

/// Follows over gRPC from the first event to the end, across every disconnect.
pub(super) fn follow(endpoints: &SellerEndpoints) -> JoinHandle<Vec<Entry>> {
    let endpoints = endpoints.clone();
    spawn(move || {
        block_on(async {
            let mut follower = endpoints.client().follow(endpoints.key(), FollowRole::Observer);
            let mut entries = Vec::new();
            while let Some(event) = follower.next().await.unwrap() {
                entries.push(Entry::of_event(&event));
            }
            entries
        })
    })
}

/// Follows server-sent events to the end; disconnects now and then, and resumes after the last id.
pub(super) fn listen(endpoints: &SellerEndpoints) -> JoinHandle<Vec<Entry>> {
    let endpoints = endpoints.clone();
    spawn(move || {
        let (mut entries, mut last, began) = (Vec::new(), None, Instant::now());
        while !listen_once(&endpoints, &mut last, &mut entries) {
            // As long as a follower over gRPC waits for the whole order.
            assert!(began.elapsed() < WAIT_TIMEOUT * 2, "the server-sent events never end");
            pause(Duration::from_millis(10));
        }
        entries
    })
}

/// Reads from one connection; returns whether the server reports the end. A connection that breaks
/// counts as a disconnect.
fn listen_once(
    endpoints: &SellerEndpoints,
    last: &mut Option<String>,
    entries: &mut Vec<Entry>,
) -> bool {
    let Ok(mut stream) = TcpStream::connect(endpoints.rest) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (host, tenant) = (endpoints.rest, &endpoints.tenant);
    let resume = last.as_ref().map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    let sent = write!(
        stream,
        "GET /orders/{ORDER}/events?tenant={tenant} HTTP/1.1\r\nhost: {host}\r\n\
         connection: close\r\n{resume}\r\n"
    );
    if sent.is_err() {
        return false;
    }
    let (mut id, mut event_type, mut count) = (None, None, 0);
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.starts_with("HTTP/1.1 204") {
            return true;
        }
        if let Some(text) = line.strip_prefix("id: ") {
            id = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("event: ") {
            event_type = Some(text.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let Ok(data) = serde_json::from_str::<Value>(data) else { return false };
            let entry = Entry::of_data(&data);
            assert_eq!(id, Some(entry.seq.to_string()));
            assert_eq!(event_type.as_ref(), Some(&entry.event_type));
            entries.push(entry);
            let seq = entries.last().map(|entry| entry.seq);
            assert_eq!(seq, Some(entries.len() as u64), "each once and in order");
            last.clone_from(&id);
            count += 1;
            if count == HANGS_UP_AFTER {
                return false;
            }
        }
    }
    false
}

/// Returns the list of an ended order after a sequence number, over REST.
pub(super) fn page(endpoints: &SellerEndpoints, after: usize) -> Vec<Entry> {
    let response =
        get(endpoints.rest, &endpoints.path("/events", &format!("&after={after}"))).unwrap();
    let data = response.text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| Entry::of_data(&serde_json::from_str(data).unwrap())).collect()
}

/// Returns a whole list that REST gives in pages of two.
pub(super) fn paged(endpoints: &SellerEndpoints, part: &str, field: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = endpoints.read(part, &format!("&limit=2{after}")).unwrap();
        all.extend(page[field].as_array().unwrap().iter().cloned());
        // For proposals it is an id, for the conversation a number.
        let next = &page["next"];
        if next.is_null() {
            return all;
        }
        after = format!("&after={}", next.to_string().trim_matches('"'));
    }
}

impl Stage {
    /// Runs a buyer's command without a cluster's rights; returns its JSON.
    pub(super) fn command(&self, line: &[&str]) -> Value {
        let endpoints = self.endpoints();
        let server = format!("http://{}", self.controller.address("requestor"));
        let rest = format!("http://{}", endpoints.rest);
        let flags =
            ["--server", &server, "--processor-rest", &rest, "--namespace", &endpoints.tenant];
        let output = run(&[line, &flags, &["-o", "json"]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line:?}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Starts `orderstream watch`, which prints every event until the end.
    pub(super) fn watch(&self) -> Watch {
        let endpoints = self.endpoints();
        let mut command = Command::new(BINARY);
        command.args(["watch", ORDER, "-o", "json", "--namespace", &endpoints.tenant]);
        command.args(["--server", &format!("http://{}", self.controller.address("requestor"))]);
        command.args(["--processor-rest", &format!("http://{}", endpoints.rest)]);
        let printed = self.dir.path().join("watched.json");
        command.stdout(File::create(&printed).unwrap()).current_dir(root());
        Watch { child: command.spawn().unwrap(), printed }
    }

    /// Reads the resource again and again until its order's end; returns every state once.
    pub(super) fn read_statuses(&self) -> JoinHandle<Vec<Value>> {
        let (server, namespace) = (self.bed.server, self.bed.namespace.clone());
        spawn(move || {
            let (mut resources, began) = (Vec::<Value>::new(), Instant::now());
            loop {
                assert!(began.elapsed() < WAIT_TIMEOUT * 2, "the status never has an end");
                let args = ["-n", &namespace, "get", "oreq", "tender", "-o", "json"];
                let output = server.kubectl_with(&args, "");
                let resource = serde_json::from_slice::<Value>(&output.stdout);
                let is_new = |resource: &Value| resources.last() != Some(resource);
                if let Some(resource) = resource.ok().filter(is_new) {
                    let is_end = resource["status"]["phase"] == "Finalised";
                    resources.push(resource);
                    if is_end {
                        return resources;
                    }
                }
                pause(Duration::from_millis(250));
            }
        })
    }
}

/// A command that prints every event until the end; killed when dropped.
pub(super) struct Watch {
    child: Child,
    printed: PathBuf,
}

impl Watch {
    /// Waits until it has printed an event: a watch that was never connected gives up at once.
    pub(super) fn until_connected(&self) {
        let printed = || std::fs::metadata(&self.printed).is_ok_and(|file| file.len() > 0);
        until("the watch prints", || printed().then_some(()));
    }

    /// Waits until it ends by itself; returns the events that it printed, one on each line.
    pub(super) fn entries(mut self) -> Vec<Entry> {
        let status = until("the watch ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "the order was finalised: {status:?}");
        let text = std::fs::read_to_string(&self.printed).unwrap();
        let data = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        data.map(|data| Entry::of_data(&data)).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; what counts is that it is not left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
