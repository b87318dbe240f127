//! The content of a journal's folder: arbitrary bytes as the store's write-ahead log.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use orderstream_journal::salvage::verify;
use orderstream_journal::{Embedded, Journal as _, Options, append};

/// A journal's folder, created once per thread, and its log without the preallocated space.
struct JournalTemplate {
    dir: tempfile::TempDir,
    log: PathBuf,
}

thread_local! {
    static TEMPLATE: RefCell<Option<JournalTemplate>> = const { RefCell::new(None) };
}

/// Checks that a folder with an arbitrary log is verified and opened, or refused with a reason, and
/// that its readable lists have no gap.
pub(crate) fn any_log(data: &[u8]) {
    let copy = tempfile::tempdir().expect("a directory is made");
    let log = TEMPLATE.with_borrow_mut(|slot| {
        let template = slot.get_or_insert_with(JournalTemplate::make);
        copy_tree(template.dir.path(), copy.path());
        template.log.clone()
    });
    fs::write(copy.path().join(log), data).expect("the log is written");
    match verify(copy.path()) {
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Embedded::open(copy.path(), Options::default()) {
        Ok(journal) => {
            for (list, last) in journal.lists().expect("lists can be read") {
                if let Ok(records) = journal.read(&list, 0, usize::MAX) {
                    let numbers: Vec<u64> = records.iter().map(|record| record.seq).collect();
                    assert!(numbers.iter().copied().eq(1..=last), "{numbers:?} of {last}");
                }
            }
            journal.close();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

impl JournalTemplate {
    fn make() -> Self {
        let dir = tempfile::tempdir().expect("a directory is made");
        let journal = Embedded::open(dir.path(), Options::default()).expect("a journal opens");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for number in 0..3 {
            let records = vec![Bytes::from(format!("record {number}"))];
            let list = Bytes::from_static(b"list");
            runtime.block_on(append(&journal, list, number, records)).expect("an append is taken");
        }
        journal.close();
        let log = find_log(dir.path()).expect("a journal has a log");
        let log = log.strip_prefix(dir.path()).expect("it is in the folder").to_owned();
        fs::write(dir.path().join(&log), b"").expect("the log is emptied");
        Self { dir, log }
    }
}

fn find_log(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find_log(&path),
        false => path.extension().is_some_and(|it| it == "jnl").then_some(path),
    })
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is made");
    for entry in fs::read_dir(from).expect("a directory is listed") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_tree(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file is copied");
        }
    }
}
