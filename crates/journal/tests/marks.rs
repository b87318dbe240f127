//! Damage in the file of marks: it stops nothing, and takes nothing for lost or for there that is not so.

use std::fs;

use orderstream_journal::Journal as _;
use orderstream_journal::engine::fjall::FjallPlace;
use orderstream_journal::engine::{Op, Opening, Place as _};

use crate::on_disk::{ROUNDS, files, in_the_log, open, refused, restore};
use crate::support::{append, lists, payloads};

/// Bytes of the first entry of the marks, behind which nothing of a small file is known to be synced.
const LAYOUT_LEN: usize = 17;

#[test]
fn marks_that_are_gone_or_damaged_alone_stop_nothing_and_are_told_of() {
    let dir = in_the_log();
    let pristine = files(dir.path());
    let marks = dir.path().join("journal.marks");
    let bytes = fs::read(&marks).unwrap();
    fs::remove_file(&marks).unwrap();
    let journal = open(dir.path());
    assert_eq!(refused(&journal, "no marks"), [""; 0]);
    let told = journal.damage().files;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].to_string(), format!("{}: it is missing", marks.display()));
    journal.close();
    assert!(open(dir.path()).damage().is_none(), "they were written anew");
    for at in 0..bytes.len() {
        restore(dir.path(), &pristine);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&marks, &flipped).unwrap();
        let journal = open(dir.path());
        assert_eq!(refused(&journal, &format!("byte {at} of the marks")), [""; 0]);
        assert_eq!(journal.damage().files.len(), usize::from(at < LAYOUT_LEN), "byte {at}");
        assert_eq!(append(&journal, "a", ROUNDS, &["3"]), Ok(ROUNDS + 1));
        journal.close();
    }
}

#[test]
fn journal_without_marks_of_an_earlier_release_opens_as_it_is() {
    let dir = in_the_log();
    fs::remove_file(dir.path().join("journal.marks")).unwrap();
    let store = FjallPlace::new(dir.path().join("store")).open(Opening::First).unwrap();
    store.commit(vec![Op::Delete(b"m".to_vec())]).unwrap();
    drop(store);
    let journal = open(dir.path());
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    assert_eq!(refused(&journal, "an earlier release"), [""; 0]);
    assert_eq!(append(&journal, "a", ROUNDS, &["3"]), Ok(ROUNDS + 1));
    journal.close();
    assert!(open(dir.path()).damage().is_none());
}

#[test]
fn removed_list_is_never_taken_for_a_lost_one() {
    let dir = in_the_log();
    let stale = fs::read(dir.path().join("journal.marks")).unwrap();
    let journal = open(dir.path());
    journal.remove(b"b").unwrap();
    journal.remove(b"c").unwrap();
    append(&journal, "c", 0, &["again"]).unwrap();
    journal.close();
    // A power cut may take what was not synced of the marks.
    fs::write(dir.path().join("journal.marks"), stale).unwrap();
    let journal = open(dir.path());
    assert!(journal.damage().is_none(), "{:?}", journal.damage());
    assert_eq!(lists(&journal), [("a".to_owned(), ROUNDS), ("c".to_owned(), 1)]);
    journal.close();
    let journal = open(dir.path());
    append(&journal, "b", 0, &["again"]).unwrap();
    journal.close();
    let journal = open(dir.path());
    assert_eq!(payloads(&journal, "b", 0), ["again"]);
}
