//! A process that only opens the journal and notes the lists that it finds.

use std::path::Path;

use orderstream_journal::Journal as _;
use orderstream_powercut::Notes;

use super::child::open;

/// Runs the child's part. The list ends that it has noted must survive.
pub(super) fn work(dir: &Path, notes: &Notes) {
    let journal = open(dir).unwrap();
    for (list, last) in journal.lists().unwrap() {
        let list = String::from_utf8(list).unwrap();
        notes.note(&format!("kept {} {last}", list.trim_start_matches("list-"))).unwrap();
    }
    notes.note("seen").unwrap();
    journal.close();
}
