//! The data on disk: the lists of a journal as text, and copies of the roles' folders.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use orderstream_journal::{Embedded, Journal as _, Options};
use serde_json::Value;

use super::transcript::{Transcript, json_or_text, quoted};

/// Files that only mark a folder as opened by a process.
const LOCKS: [&str; 2] = ["journal.lock", "lock"];

/// Returns the lists of a journal that no process has open, sorted by name.
pub(super) fn lists(dir: &Path) -> Vec<(String, Vec<Bytes>)> {
    let journal = Embedded::open(dir, Options::default()).unwrap();
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    let names = journal.lists().unwrap().into_iter().map(|(name, _)| name);
    let read = |name: Vec<u8>| {
        let records = journal.read(&name, 0, usize::MAX).unwrap();
        let records = records.into_iter().map(|record| record.payload).collect();
        (String::from_utf8(name).unwrap().replace('\n', "/"), records)
    };
    let mut lists: Vec<_> = names.map(read).collect();
    lists.sort();
    journal.close();
    lists
}

/// Adds all that a journal holds to a transcript, without what depends on the time of writing.
pub(super) fn append_lists(transcript: &mut Transcript, role: &str, dir: &Path) {
    for (name, records) in lists(dir) {
        let mut records: Vec<String> = records.iter().map(record_json).collect();
        match name.split('/').collect::<Vec<_>>()[..] {
            // Only the last snapshot is current, and the number of snapshots depends on the time.
            ["n" | "o", ..] => drop(records.drain(..records.len() - 1)),
            ["requestor", "shown", ..] => records = vec![last_of(&records, "desk")],
            // A command's reply and the order's end may come in either order.
            ["requestor", "orders", ..] => records.sort(),
            _ => {}
        }
        let records = format!("[{}]", records.join(","));
        transcript.add(&[("stored", quoted(role)), ("list", quoted(&name)), ("records", records)]);
    }
}

/// Returns a record as JSON: itself, or the number that it is.
fn record_json(record: &Bytes) -> String {
    match <[u8; 8]>::try_from(record.as_ref()) {
        Ok(number) => u64::from_be_bytes(number).to_string(),
        Err(_) => json_or_text(&String::from_utf8_lossy(record)),
    }
}

/// Returns the last record of an order that is open. Its other records, and whether its end was
/// recorded, depend on the time.
fn last_of(records: &[String], id: &str) -> String {
    let is_of = |record: &&String| {
        let record: Value = serde_json::from_str(record).unwrap();
        record["order_req_id"] == id && record["shown"]["order"]["phase"] == "Open"
    };
    records.iter().rfind(is_of).unwrap().clone()
}

/// Copies a role's folder, without locks, and without the zeros behind the last written byte of a
/// log.
pub(super) fn save_folder(from: &Path, to: &Path) {
    copy(from, to, &|path, bytes| {
        let is_log = path.extension().is_some_and(|extension| extension == "jnl");
        let written_len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if is_log { bytes[..written_len].to_vec() } else { bytes }
    });
}

/// Copies a checked-in folder, to start a role on it. The completion times of its order requests
/// become far future ones, so that none is removed, whatever today's date is.
pub(super) fn restore(from: &Path, to: &Path) {
    copy(from, to, &|path, bytes| {
        if path.extension().is_none_or(|extension| extension != "json") {
            return bytes;
        }
        let mut resource: Value = serde_json::from_slice(&bytes).unwrap();
        resource["status"]["completionTime"] = "2999-01-01T00:00:00Z".into();
        serde_json::to_vec_pretty(&resource).unwrap()
    });
}

/// Copies files, and the folders that hold any: git has no empty ones.
fn copy(from: &Path, to: &Path, change: &dyn Fn(&Path, Vec<u8>) -> Vec<u8>) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let target = to.join(&name);
        if path.is_dir() {
            copy(&path, &target, change);
        } else if !LOCKS.iter().any(|lock| name == *lock) {
            fs::create_dir_all(to).unwrap();
            fs::write(target, change(&path, fs::read(&path).unwrap())).unwrap();
        }
    }
}
