//! A disk without room for one sync while a journal is made and takes its first append: what is
//! acknowledged survives a power cut all the same, and the journal is there once the disk works
//! again.

use std::path::Path;

use bytes::Bytes;
use orderstream_journal::{Append, AppendReceipt, Journal as _};
use orderstream_powercut::{
    DiskChange, DiskRecorder, FaultEffect, Notes, Operation, PowerCut, RecordedDisk, SyscallFault,
    Trace, TraceRecord, scratch,
};

use super::child::{self, JOURNAL, open};
use super::folder_after_cut;

/// The list that the child appends to.
const LIST: &[u8] = b"list-0";

/// Runs the child's part: one append, whose acknowledgement it notes.
pub(super) fn work(dir: &Path, notes: Notes) {
    let journal = open(dir).unwrap();
    let lists = journal.lists().unwrap();
    let expected = lists.iter().find(|(list, _)| list == LIST).map_or(0, |(_, last)| *last);
    let done = Box::new(move |outcome: Result<AppendReceipt, _>| {
        outcome.unwrap();
        notes.note("acknowledged").unwrap();
    });
    let (list, records) = (Bytes::from_static(LIST), vec![Bytes::from_static(b"1")]);
    journal.submit(Append { list, expected, records, done }).unwrap();
    journal.close();
}

fn is_acknowledgement(record: &TraceRecord) -> bool {
    matches!(record, TraceRecord::Note(text) if text == "acknowledged")
}

fn is_failure(record: &TraceRecord) -> bool {
    matches!(record, TraceRecord::Change(DiskChange::SyncFailed { .. }))
}

/// Records the child on a disk that has no room for the sync after `skip` others.
fn failing_sync(recorder: &DiskRecorder, skip: u32) -> Trace {
    child::run_with(recorder, "append", |recorder| {
        recorder
            .inject_fault(&SyscallFault {
                operation: Operation::Sync,
                skip,
                times: 1,
                effect: FaultEffect::Full,
                path_filter: "",
            })
            .unwrap();
    });
    recorder.trace().unwrap()
}

/// The syncs are those of the folders above the journal, of its store and of its marks.
#[test]
fn records_survive_cuts_after_failed_syncs() {
    if !super::is_supported() {
        return;
    }
    // Each of the folders, and some of the many syncs after them.
    for skip in (0..4).chain((4..).step_by(7)) {
        let dir = scratch().unwrap();
        let start = RecordedDisk::synced(dir.path()).unwrap();
        let recorder = DiskRecorder::new(dir.path()).unwrap();
        let trace = failing_sync(&recorder, skip);
        let failure = trace.records.iter().position(is_failure);
        if trace.records.iter().all(|record| !is_acknowledgement(record)) {
            assert!(failure.is_some(), "sync {skip}: nothing failed, and nothing is acknowledged");
            assert!(child::run(&recorder, "append").success(), "the disk works after sync {skip}");
        }
        let trace = recorder.trace().unwrap();
        let acknowledged = trace.records.iter().position(is_acknowledgement).unwrap();
        let cut = folder_after_cut(&start, &trace, acknowledged, PowerCut::WORST);
        let journal = open(&cut.path().join(JOURNAL)).unwrap();
        assert!(!journal.read(LIST, 0, 9).unwrap().is_empty(), "after sync {skip} had failed");
        journal.close();
        if failure.is_none_or(|failure| failure > acknowledged) {
            assert!(skip > 20, "there are syncs before the acknowledgement: {skip}");
            return;
        }
    }
}
