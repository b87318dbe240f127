//! The recorded process: this test binary, running one test whose task is named by a variable.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use orderstream_journal::engine::fjall::FjallLocation;
use orderstream_journal::{Embedded, OpenError, Options};
use orderstream_powercut::{DiskRecorder, Notes};

use super::{busy, failing, open_only, steps};

/// The path of the journal in the recorded folder; its parents are created with it.
pub(super) const JOURNAL: &str = "data/journal";
/// The variable that names the journal's folder to the child.
const FOLDER: &str = "ORDERSTREAM_JOURNAL_POWERCUT_FOLDER";
/// The variable that names the child's task.
const WORK: &str = "ORDERSTREAM_JOURNAL_POWERCUT_WORK";
/// The size of the memtable, bytes: small, so that the store flushes a table every few appends and
/// changes its files often.
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

/// Runs a recorded child until it ends.
pub(super) fn run(recorder: &DiskRecorder, work: &str) -> ExitStatus {
    run_with(recorder, work, |_| {})
}

/// Runs a recorded child on a disk that is prepared to fail.
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
