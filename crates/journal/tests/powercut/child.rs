//! The recorded process: this test binary, with one test whose work a variable names.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::{Embedded, OpenError, Options};
use orderstream_powercut::{DiskRecorder, Notes};

use super::{busy, failing, open_only, steps};

/// The path of the journal in the recorded folder; the folders above it are made with it.
pub(super) const JOURNAL: &str = "data/journal";
/// The variable that names the journal's folder to the child.
const FOLDER: &str = "ORDERSTREAM_JOURNAL_POWERCUT_FOLDER";
/// The variable that names the child's work.
const WORK: &str = "ORDERSTREAM_JOURNAL_POWERCUT_WORK";
/// The size of a table in memory, bytes: small, so that the store writes a table every few appends,
/// and changes its files often.
const MEMTABLE_BYTES: u64 = 24 * 1024;

pub(super) fn open(dir: &Path) -> Result<Embedded, OpenError> {
    let location = FjallLocation::new(dir.join("store")).with_memtable_bytes(MEMTABLE_BYTES);
    Embedded::open_at(dir, Options::default(), Box::new(location))
}

#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = PathBuf::from(dir);
    let notes = Notes::of_this_process().unwrap().expect("the child is recorded");
    match std::env::var(WORK).unwrap().as_str() {
        "steps" => steps::work(&dir, &notes),
        "busy" => busy::work(&dir, notes),
        "open" => open_only::work(&dir, &notes),
        "append" => failing::work(&dir, notes),
        other => panic!("no such work: {other}"),
    }
}

/// Lets a recorded child work until it ends.
pub(super) fn run(recorder: &DiskRecorder, work: &str) -> ExitStatus {
    run_with(recorder, work, |_| {})
}

/// The same, on a disk that is prepared to fail.
pub(super) fn run_with(
    recorder: &DiskRecorder,
    work: &str,
    prepare: impl FnOnce(&DiskRecorder),
) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, recorder.folder().join(JOURNAL)).env(WORK, work);
    command.envs(recorder.variables().unwrap()).stdout(Stdio::null());
    prepare(recorder);
    command.spawn().unwrap().wait().unwrap()
}
