//! Golden tests: what the binary stores, sends and replies, compared with what it did when that was
//! checked in. They fail when a name, a number or a text changes that others may have stored.
//!
//! - `live` runs a script against fresh processes. Every response and every webhook is compared
//!   with `golden/transcript.jsonl`, and every stored record with `golden/records.jsonl`. Values
//!   that differ from run to run are masked.
//! - `stored` starts processes on copies of two folders that a former binary left,
//!   `golden/processor` and `golden/requestor`. All that can be read of them, and the replies to
//!   requests that are repeated under their keys (`golden/requests.jsonl`), are compared with
//!   `golden/stored.jsonl`. None of these values is masked.
//!
//! An intended change is recorded with a variable, and the diff shows all that changed:
//!
//! - `ORDERSTREAM_GOLDEN=write` writes the transcript, the records, and the replies about the
//!   existing folders.
//! - `ORDERSTREAM_GOLDEN=folders` also replaces the folders by those that the script left, and the
//!   requests by those that it made under keys. Then nothing proves any more that the data of
//!   former binaries can be read: it is for contents that the folders lack, and not for making
//!   `stored` pass.
//!
//! A processor keeps ended orders for 999 days at most: the folders have to be replaced by then.

mod client;
mod disk;
mod mask;
mod receiver;
mod refusals;
mod script;
mod stage;
mod stored;
mod transcript;
mod verbs;

use std::fs;

use receiver::Receiver;
use stage::Stage;
use transcript::folder;

/// The file with the replies about the checked-in folders.
const STORED: &str = "stored.jsonl";

/// The use of the golden files in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Compares with them.
    Compare,
    /// Writes the transcript, the records, and the replies about the existing folders.
    Replies,
    /// Writes the folders and the requests too.
    All,
}

impl Mode {
    fn of_variable() -> Self {
        match std::env::var("ORDERSTREAM_GOLDEN").as_deref() {
            Ok("write") => Self::Replies,
            Ok("folders") => Self::All,
            Ok(other) => panic!("ORDERSTREAM_GOLDEN is '{other}'; give write or folders"),
            Err(_) => Self::Compare,
        }
    }
}

#[test]
fn live() {
    let mode = Mode::of_variable();
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start());
    let mut stage = Stage::fresh(dir.path(), &receiver);
    script::play(&mut stage, &receiver);
    stage.stop();
    receiver.append_webhooks(&mut stage.transcript);
    for role in stored::ROLES {
        stage.verb(&format!("journal verify {{dir}}/{role} -o json"));
    }
    if mode == Mode::All {
        replace_folders(&stage);
    }
    let mut records = stage.transcript.successor();
    for role in stored::ROLES {
        disk::append_lists(&mut records, role, &dir.path().join(role));
    }
    stage.transcript.compare_with("transcript.jsonl", mode);
    records.compare_with("records.jsonl", mode);
    if mode == Mode::All {
        stored::read().compare_with(STORED, mode);
    }
}

#[test]
fn stored() {
    match Mode::of_variable() {
        // The folders are being written.
        Mode::All => eprintln!("`live` writes what is stored"),
        mode @ (Mode::Compare | Mode::Replies) => stored::read().compare_with(STORED, mode),
    }
}

/// Replaces the checked-in folders, and the requests that were made under keys.
fn replace_folders(stage: &Stage) {
    for role in stored::ROLES {
        let target = folder().join(role);
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        disk::save_folder(&stage.dir().join(role), &target);
    }
    let requests =
        stage.repeatable().iter().map(|request| format!("{request}\n")).collect::<String>();
    fs::write(folder().join(stored::REQUESTS), requests).unwrap();
}
