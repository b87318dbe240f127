//! Power cuts under load, while tables are written, merged and dropped for many lists: also while a
//! process recovers from the kill of another process, and while it recovers from a power cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};

use bytes::Bytes;
use fastrand::Rng;
use orderstream_journal::{Append, AppendError, AppendReceipt, Embedded, Journal};
use orderstream_powercut::{
    DiskChange, DiskRecorder, FaultEffect, Notes, Operation, PowerCut, RecordedDisk, SyscallFault,
    Trace, TraceRecord, scratch,
};

use super::child::{self, JOURNAL, open};
use super::{CUTS_VARIABLE, SEED_VARIABLE, changes, describe_cut, folder_after_cut, setting};

/// The number of lists that are appended to concurrently.
const LISTS: u64 = 8;
/// The total number of the child's appends; it appends more if the store has not merged tables by
/// then.
const APPENDS: u64 = 240;
/// The number of appends after which the child ends in any case.
const APPENDS_MAX: u64 = 20 * APPENDS;
/// The first table of the store that holds records.
const FIRST_TABLE: &str = "store/keyspaces/1/tables/1";
/// The duration of a sync, microseconds, so that appends accumulate.
const SYNC_US: u32 = 300;

/// The number of records of each list.
type Lens = BTreeMap<u64, u64>;

/// Returns the payload of a record; the child and the test compute the same one.
fn payload(list: u64, seq: u64) -> Bytes {
    let text = format!("list {list} record {seq} ");
    let len = usize::try_from((seq * 37 + list * 101) % 1500).unwrap();
    Bytes::from(text.repeat(1 + len / text.len()))
}

fn name(list: u64) -> Bytes {
    Bytes::from(format!("list-{list}"))
}

struct Child {
    journal: Embedded,
    notes: Notes,
    /// The first table, which is dropped after it has been merged with others.
    table: PathBuf,
    sent: AtomicU64,
    #[expect(dead_code, reason = "held: when all lists have ended, nobody holds it")]
    ended: Sender<()>,
}

/// Runs the child's part: appends to every list, one append after the other, each of one to three
/// records.
pub(super) fn work(dir: &Path, notes: Notes) {
    let (ended, all_ended) = mpsc::channel();
    let journal = open(dir).unwrap();
    let (table, sent) = (dir.join(FIRST_TABLE), AtomicU64::new(0));
    let child = Arc::new(Child { journal: journal.clone(), notes, table, sent, ended });
    for list in 0..LISTS {
        append_next(&child, list, 0);
    }
    drop(child);
    assert!(all_ended.recv().is_err(), "nothing is sent, and every list has ended");
    journal.close();
}

fn append_next(child: &Arc<Child>, list: u64, last: u64) {
    let sent = child.sent.fetch_add(1, Ordering::SeqCst);
    if sent >= APPENDS_MAX || (sent >= APPENDS && !child.table.exists()) {
        return;
    }
    let records: Vec<_> = (last + 1..=last + 1 + list % 3).map(|seq| payload(list, seq)).collect();
    let handle = Arc::clone(child);
    child.notes.note(&format!("begun {list} {}", last + records.len() as u64)).unwrap();
    let done = Box::new(move |outcome: Result<AppendReceipt, _>| {
        let last = outcome.expect("the disk is fine").last();
        handle.notes.note(&format!("kept {list} {last}")).unwrap();
        append_next(&handle, list, last);
    });
    child.journal.submit(Append { list: name(list), expected: last, records, done }).unwrap();
}

/// Returns the lengths of the lists that a trace notes under this label before a position.
fn noted_lengths(trace: &Trace, position: usize, label: &str) -> Lens {
    let mut lens = Lens::new();
    for note in trace.notes_before(position) {
        let mut fields = note.split(' ');
        if fields.next() == Some(label) {
            let mut number = || fields.next().unwrap().parse().unwrap();
            lens.insert(number(), number());
        }
    }
    lens
}

/// The smallest and the largest valid length of each list.
#[derive(Clone, Debug)]
struct LengthBounds {
    acknowledged: Lens,
    submitted: Lens,
}

impl LengthBounds {
    fn at(trace: &Trace, position: usize) -> Self {
        Self {
            acknowledged: noted_lengths(trace, position, "kept"),
            submitted: noted_lengths(trace, position, "begun"),
        }
    }

    /// Checks that every acknowledged record exists with its bytes and without a gap, that no
    /// record exists that was not submitted, that no append exists in part, and that the list can
    /// be appended to.
    fn verify(&self, dir: &Path, context: &str) {
        let journal = open(dir).unwrap_or_else(|error| panic!("{error}: {context}"));
        for list in 0..LISTS {
            let records = journal.read(&name(list), 0, usize::MAX);
            let records = records.unwrap_or_else(|error| panic!("{error}: {context}"));
            let found = records.len() as u64;
            for (seq, record) in (1..).zip(&records) {
                assert_eq!(record.seq, seq, "list {list} has a gap: {context}");
                assert_eq!(
                    record.payload,
                    payload(list, seq),
                    "list {list} record {seq}: {context}"
                );
            }
            let of = |lens: &Lens| lens.get(&list).copied().unwrap_or(0);
            let (acknowledged, submitted) = (of(&self.acknowledged), of(&self.submitted));
            assert!(
                found >= acknowledged,
                "list {list}: {acknowledged} were kept, {found} are there: {context}"
            );
            assert!(
                found <= submitted,
                "list {list}: {submitted} were begun, {found} are there: {context}"
            );
            assert_eq!(found % (1 + list % 3), 0, "list {list} has an append in part: {context}");
            let appended = append(&journal, list, found);
            assert_eq!(appended, Ok(found + 1), "list {list} does not go on: {context}");
        }
        journal.close();
    }
}

/// Appends the next record, and returns its number.
fn append(journal: &Embedded, list: u64, found: u64) -> Result<u64, AppendError> {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |outcome: Result<AppendReceipt, _>| {
        sender.send(outcome.map(|appended| appended.last())).unwrap();
    });
    let records = vec![payload(list, found + 1)];
    journal.submit(Append { list: name(list), expected: found, records, done })?;
    receiver.recv().unwrap()
}

/// Draws a position for a cut: anywhere, or where it is likely to expose a fault.
fn draw_position(trace: &Trace, rng: &mut Rng) -> usize {
    let after_acknowledgements = || {
        let notes = trace.records.iter().enumerate();
        let acknowledgements = notes.filter(
            |(_, record)| matches!(record, TraceRecord::Note(text) if text.starts_with("kept")),
        );
        acknowledgements.map(|(place, _)| place + 1).collect()
    };
    let of = |is: fn(&DiskChange) -> bool| {
        changes(trace).filter(|(_, change)| is(change)).map(|(place, _)| place + 1).collect()
    };
    let positions: Vec<usize> = match rng.u8(..5) {
        0 => after_acknowledgements(),
        1 => changes(trace)
            .filter(|(_, change)| matches!(change, DiskChange::Sync { .. }))
            .map(|(place, _)| place)
            .collect(),
        2 => of(|change| matches!(change, DiskChange::Rename { .. } | DiskChange::Remove { .. })),
        3 => {
            of(|change| matches!(change, DiskChange::Create { .. } | DiskChange::MakeFolder { .. }))
        }
        _ => (0..=trace.records.len()).collect(),
    };
    rng.choice(&positions).copied().unwrap_or(trace.records.len())
}

/// Records a child until it ends, or until it is killed before a sync of its log.
fn record(recorder: &DiskRecorder, killed_at: Option<u32>) {
    if let Some(skip) = killed_at {
        child::run_with(recorder, "busy", |recorder| {
            recorder
                .inject_fault(&SyscallFault {
                    operation: Operation::Sync,
                    skip,
                    times: 1,
                    effect: FaultEffect::Killed,
                    path_filter: ".jnl",
                })
                .unwrap();
        });
        assert_eq!(recorder.hits().unwrap(), 1, "it was killed");
        // The next process opens the journal as it is, and notes the lists that it finds.
        assert!(child::run(recorder, "open").success());
    } else {
        assert!(child::run(recorder, "busy").success());
    }
}

fn new_recorder(dir: &Path) -> (RecordedDisk, DiskRecorder) {
    let recorder = DiskRecorder::new(dir).unwrap().with_sync_us(SYNC_US);
    (RecordedDisk::synced(dir).unwrap(), recorder)
}

/// Everything that was acknowledged exists.
#[test]
fn power_cuts_under_load_lose_nothing() {
    if !super::is_supported() {
        return;
    }
    let (dir, seed) = (scratch().unwrap(), setting(SEED_VARIABLE, 1));
    let (start, recorder) = new_recorder(dir.path());
    record(&recorder, None);
    let trace = recorder.trace().unwrap();
    let is_table = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("tables"));
    let mut tables = changes(&trace)
        .filter(|(_, change)| matches!(change, DiskChange::Remove { path, .. } if is_table(path)));
    assert!(tables.next().is_some(), "tables were merged, and dropped");
    for seed in seed..seed + setting(CUTS_VARIABLE, 60) {
        let mut rng = Rng::with_seed(seed);
        let position = draw_position(&trace, &mut rng);
        let drawn =
            if rng.u8(..3) == 0 { PowerCut::WORST } else { PowerCut { seed: rng.u64(1..) } };
        let dir = folder_after_cut(&start, &trace, position, drawn);
        let context = describe_cut(&trace, position, drawn, seed);
        LengthBounds::at(&trace, position).verify(&dir.path().join(JOURNAL), &context);
    }
}

/// Everything that another process read in between exists.
#[test]
fn power_cuts_after_kills_lose_nothing() {
    if !super::is_supported() {
        return;
    }
    let seed = setting(SEED_VARIABLE, 1);
    for seed in seed..seed + setting(CUTS_VARIABLE, 60).div_ceil(20) {
        let (dir, mut rng) = (scratch().unwrap(), Rng::with_seed(seed));
        let (start, recorder) = new_recorder(dir.path());
        record(&recorder, Some(rng.u32(5..40)));
        let trace = recorder.trace().unwrap();
        let is_reopened =
            |record: &TraceRecord| matches!(record, TraceRecord::Note(text) if text == "seen");
        let reopened_at =
            trace.records.iter().position(is_reopened).expect("it was opened again") + 1;
        for drawn in [PowerCut::WORST, PowerCut { seed }] {
            let dir = folder_after_cut(&start, &trace, reopened_at, drawn);
            let context = describe_cut(&trace, reopened_at, drawn, seed);
            LengthBounds::at(&trace, reopened_at).verify(&dir.path().join(JOURNAL), &context);
        }
    }
}

#[test]
fn power_cuts_during_recovery_lose_nothing() {
    if !super::is_supported() {
        return;
    }
    let (dir, seed) = (scratch().unwrap(), setting(SEED_VARIABLE, 1));
    let (start, recorder) = new_recorder(dir.path());
    record(&recorder, None);
    let trace = recorder.trace().unwrap();
    for seed in seed..seed + setting(CUTS_VARIABLE, 60).div_ceil(6) {
        let mut rng = Rng::with_seed(seed);
        let position = draw_position(&trace, &mut rng);
        let first = folder_after_cut(&start, &trace, position, PowerCut { seed: rng.u64(1..) });
        let (start, second_recorder) = new_recorder(first.path());
        assert!(child::run(&second_recorder, "open").success(), "seed {seed}");
        let (second, bounds) =
            (second_recorder.trace().unwrap(), LengthBounds::at(&trace, position));
        for _ in 0..3 {
            let (position, drawn) =
                (rng.usize(..=second.records.len()), PowerCut { seed: rng.u64(1..) });
            let dir = folder_after_cut(&start, &second, position, drawn);
            let mut bounds = bounds.clone();
            bounds.acknowledged.extend(noted_lengths(&second, position, "kept"));
            bounds.verify(&dir.path().join(JOURNAL), &describe_cut(&second, position, drawn, seed));
        }
    }
}
