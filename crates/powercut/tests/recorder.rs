//! Records a real process: replaying the trace yields the folder that the process left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use orderstream_powercut::{
    DiskChange, DiskRecorder, FaultEffect, Notes, Operation, PowerCut, RecordedDisk, SyscallFault,
    TraceRecord, is_supported, scratch,
};

/// The environment variable with the folder, for the recorded process.
const FOLDER: &str = "ORDERSTREAM_POWERCUT_TEST_FOLDER";

/// The recorded process: it changes files in every way that the standard library and the journal's
/// dependencies do.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = PathBuf::from(dir);
    let notes = Notes::of_this_process().unwrap().unwrap();
    notes.note("begin").unwrap();
    fs::create_dir_all(dir.join("a/b")).unwrap();
    let mut file = File::create(dir.join("a/file")).unwrap();
    file.write_all(b"hello, world").unwrap();
    file.seek(SeekFrom::Start(7)).unwrap();
    file.write_all(b"W").unwrap();
    file.write_all_at(b"far", 9000).unwrap();
    file.sync_data().unwrap();
    file.set_len(9001).unwrap();
    let parts = [std::io::IoSlice::new(b"two "), std::io::IoSlice::new(b"parts")];
    assert_eq!(file.write_vectored(&parts).unwrap(), 9);
    let mut log = File::options().append(true).create(true).open(dir.join("log")).unwrap();
    log.write_all(b"first").unwrap();
    log.write_all(b"second").unwrap();
    // Renames the file without libc.
    let mut persisted = tempfile::NamedTempFile::new_in(dir.join("a")).unwrap();
    persisted.write_all(b"kept").unwrap();
    persisted.as_file().sync_all().unwrap();
    persisted.persist(dir.join("log")).unwrap();
    fs::hard_link(dir.join("a/file"), dir.join("a/b/second name")).unwrap();
    fs::write(dir.join("gone"), b"gone").unwrap();
    fs::remove_file(dir.join("gone")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    fs::remove_dir(dir.join("empty")).unwrap();
    fs::write(dir.join("a/file"), b"short").unwrap();
    File::open(&dir).unwrap().sync_all().unwrap();
    notes.note("end").unwrap();
}

fn run(recorder: &DiskRecorder, fault: Option<&SyscallFault<'_>>) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--test-threads=1"]).env(FOLDER, recorder.folder());
    command.envs(recorder.variables().unwrap());
    if let Some(fault) = fault {
        recorder.inject_fault(fault).unwrap();
    }
    command.output().unwrap().status
}

/// Returns all paths in a folder, with the content of the files.
fn all(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all(&path));
            found.push((path, None));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, Some(bytes)));
        }
    }
    found.sort();
    found
}

/// Returns the same, with paths relative to the folder.
fn below(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let cut = |path: PathBuf| path.strip_prefix(dir).unwrap().to_owned();
    all(dir).into_iter().map(|(path, bytes)| (cut(path), bytes)).collect()
}

#[test]
fn replayed_traces_equal_the_folder() {
    if !is_supported() {
        println!("skipped: processes cannot be recorded on this machine");
        return;
    }
    let dir = scratch().unwrap();
    fs::write(dir.path().join("before"), b"was there").unwrap();
    let mut disk = RecordedDisk::synced(dir.path()).unwrap();
    let recorder = DiskRecorder::new(dir.path()).unwrap();
    assert!(run(&recorder, None).success());
    let trace = recorder.trace().unwrap();
    let notes: Vec<_> = trace.notes_before(trace.records.len()).collect();
    assert_eq!(notes, ["begin", "end"]);
    let has = |is: fn(&DiskChange) -> bool| {
        let changes = trace.records.iter();
        changes.filter(|record| matches!(record, TraceRecord::Change(change) if is(change))).count()
    };
    assert_eq!(has(|change| matches!(change, DiskChange::Rename { .. })), 1, "made without libc");
    assert_eq!(has(|change| matches!(change, DiskChange::Sync { .. })), 3);
    disk.replay(&trace, 0, trace.records.len());
    // A seed that leaves everything on disk.
    let image = |seed| {
        let dir = scratch().unwrap();
        disk.after_cut(PowerCut { seed }).write(dir.path()).unwrap();
        below(dir.path())
    };
    let left = below(dir.path());
    assert!((1..2000).any(|seed| image(seed) == left), "{left:#?}");
    assert!((1..200).any(|seed| image(seed) != left), "and others that do not");
}

#[test]
fn operations_fail_by_their_fault() {
    if !is_supported() {
        println!("skipped: processes cannot be recorded on this machine");
        return;
    }
    for (on, outcome, place) in [
        (Operation::Write, FaultEffect::IoError, "a/file"),
        (Operation::Write, FaultEffect::Full, "log"),
        (Operation::Sync, FaultEffect::IoError, ""),
        (Operation::Name, FaultEffect::Full, "empty"),
        (Operation::Any, FaultEffect::Killed, ""),
    ] {
        let dir = scratch().unwrap();
        let recorder = DiskRecorder::new(dir.path()).unwrap();
        let status = run(
            &recorder,
            Some(&SyscallFault {
                operation: on,
                skip: 0,
                times: 2,
                effect: outcome,
                path_filter: place,
            }),
        );
        assert!(!status.success(), "{on:?} {outcome:?}");
        assert!(recorder.hits().unwrap() >= 1, "{on:?} {outcome:?}");
        let trace = recorder.trace().unwrap();
        let failed = |record: &TraceRecord| {
            matches!(record, TraceRecord::Change(DiskChange::SyncFailed { .. }))
        };
        assert_eq!(trace.records.iter().any(failed), on == Operation::Sync);
    }
}
