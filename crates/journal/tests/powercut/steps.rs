//! A power cut at every position of a small workload: the journal is in the state before or after
//! the step that was in progress, and in no other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use fastrand::Rng;
use orderstream_journal::{Append, Embedded, Journal, ReadError};
use orderstream_powercut::{DiskRecorder, Notes, PowerCut, RecordedDisk, TraceRecord, scratch};

use super::child::{self, JOURNAL, open};
use super::{CUTS_VARIABLE, SEED_VARIABLE, changes, describe_cut, folder_after_cut, setting};

/// The number of steps.
const STEPS: usize = 40;

/// The content of a journal: the records of each list.
type State = BTreeMap<String, Vec<Bytes>>;

#[derive(Clone, Debug)]
enum Step {
    /// Appends records to lists, each list once, in one call.
    Append(BTreeMap<&'static str, Vec<Bytes>>),
    Remove(&'static str),
    /// The journal is closed and opened again.
    Open,
}

/// Returns the steps of a seed, with the content of the journal after each of them.
fn steps(seed: u64) -> Vec<(Step, State)> {
    let (mut rng, mut state) = (Rng::with_seed(seed), State::new());
    let mut steps = Vec::new();
    for number in 0..STEPS {
        let list = *rng.choice(&["a", "b", "c", "d"]).unwrap();
        let step = match rng.u8(..10) {
            0 if state.contains_key(list) => Step::Remove(list),
            1 => Step::Open,
            kind => {
                let lists = if kind < 4 { vec![list, "group"] } else { vec![list] };
                let mut records = |list| {
                    let record = |at| payload(&mut rng, &format!("{number} {list} {at} "));
                    (0..1 + number % 3).map(record).collect()
                };
                Step::Append(lists.into_iter().map(|list| (list, records(list))).collect())
            }
        };
        match &step {
            Step::Append(appends) => {
                for (list, records) in appends {
                    state.entry((*list).to_owned()).or_default().extend(records.iter().cloned());
                }
            }
            Step::Remove(list) => drop(state.remove(*list)),
            Step::Open => {}
        }
        steps.push((step, state.clone()));
    }
    steps
}

/// Returns a record of a few bytes or a few pages, which contains its own name.
fn payload(rng: &mut Rng, name: &str) -> Bytes {
    let len = if rng.u8(..4) == 0 { rng.usize(..20_000) } else { rng.usize(..300) };
    let mut text = name.repeat(1 + len / name.len());
    text.truncate(len);
    Bytes::from(text)
}

/// Runs the child's part.
pub(super) fn work(dir: &Path, notes: &Notes) {
    let mut journal = open(dir).unwrap();
    let mut lens = BTreeMap::<&str, u64>::new();
    for (step, _) in steps(setting(SEED_VARIABLE, 1)) {
        notes.note("begin").unwrap();
        match step {
            Step::Append(appends) => append(&journal, &mut lens, appends),
            Step::Remove(list) => {
                journal.remove(list.as_bytes()).unwrap();
                lens.remove(list);
            }
            Step::Open => {
                journal.close();
                journal = open(dir).unwrap();
            }
        }
        notes.note("done").unwrap();
    }
    journal.close();
}

fn append(
    journal: &Embedded,
    lens: &mut BTreeMap<&'static str, u64>,
    appends: BTreeMap<&'static str, Vec<Bytes>>,
) {
    let (sender, receiver) = mpsc::channel();
    let appends = appends.into_iter().map(|(list, records)| {
        let len = lens.entry(list).or_default();
        let (expected, sender) = (*len, sender.clone());
        *len += records.len() as u64;
        let done = Box::new(move |outcome: Result<_, _>| sender.send(outcome.is_ok()).unwrap());
        Append { list: Bytes::from_static(list.as_bytes()), expected, records, done }
    });
    journal.submit_all(appends.collect()).unwrap();
    drop(sender);
    assert!(receiver.iter().all(|is_done| is_done), "the disk is fine");
}

/// Returns the content of a journal; an error if it reports damage.
fn state(journal: &Embedded) -> Result<State, ReadError> {
    let mut state = State::new();
    for (list, last) in journal.lists()? {
        let records = journal.read(&list, 0, usize::MAX)?;
        assert_eq!(records.len() as u64, last);
        let payloads = records.into_iter().map(|record| record.payload).collect();
        state.insert(String::from_utf8(list).unwrap(), payloads);
    }
    Ok(state)
}

/// Every completed step survives, and no step survives in part.
#[test]
fn power_cuts_leave_whole_steps() {
    if !super::is_supported() {
        return;
    }
    let (dir, seed) = (scratch().unwrap(), setting(SEED_VARIABLE, 1));
    let start = RecordedDisk::synced(dir.path()).unwrap();
    let recorder = DiskRecorder::new(dir.path()).unwrap();
    assert!(child::run(&recorder, "steps").success());
    let trace = recorder.trace().unwrap();
    let states: Vec<_> = std::iter::once(State::new())
        .chain(steps(seed).into_iter().map(|(_, state)| state))
        .collect();
    let more = setting(CUTS_VARIABLE, 60) / 120;
    // While the store is created, everything is new, and little of it is synced.
    let made =
        trace.records.iter().position(|record| matches!(record, TraceRecord::Note(_))).unwrap();
    let mut rng = Rng::with_seed(seed);
    for (position, _) in changes(&trace) {
        let first = if rng.bool() { PowerCut::WORST } else { PowerCut { seed: rng.u64(1..) } };
        let more = more + if position < made { 4 } else { 0 };
        let drawn = (0..more).map(|_| PowerCut { seed: rng.u64(1..) });
        for drawn in std::iter::once(first).chain(drawn.collect::<Vec<_>>()) {
            let dir = folder_after_cut(&start, &trace, position, drawn);
            let context = describe_cut(&trace, position, drawn, seed);
            let journal =
                open(&dir.path().join(JOURNAL)).unwrap_or_else(|e| panic!("{e}: {context}"));
            let found = state(&journal).unwrap_or_else(|e| panic!("{e}: {context}"));
            let count_notes =
                |word| trace.notes_before(position).filter(|note| *note == word).count();
            let (done, begun) = (count_notes("done"), count_notes("begin"));
            assert!(states[done..=begun].contains(&found), "{done} steps were done: {context}");
        }
    }
}
