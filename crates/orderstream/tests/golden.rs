//! Goldens: what the binary stores, sends and answers, held against what it did when that was
//! checked in. They fail when a name, a number or a text moves that somebody else may have kept.
//!
//! - `live` plays a script against fresh processes. Every answer and every webhook is compared with
//!   `golden/transcript.jsonl`, and every record that was stored with `golden/records.jsonl`. What
//!   differs from run to run is masked.
//! - `stored` starts processes on copies of two folders that a former binary left,
//!   `golden/processor` and `golden/requestor`. All that can be read of them, and what requests are
//!   answered that are asked again under their keys (`golden/requests.jsonl`), is compared with
//!   `golden/stored.jsonl`. Nothing of it is masked.
//!
//! A change that is meant is recorded with a variable, and the diff shows all that moved:
//!
//! - `ORDERSTREAM_GOLDEN=write` writes the transcript, the records, and the answers about the
//!   folders that are there.
//! - `ORDERSTREAM_GOLDEN=folders` also puts new folders in place of those, with what the script left
//!   and what it asked under keys. Then what former binaries stored is proven by nothing any more:
//!   it is for what the folders lack, and not for making `stored` pass.
//!
//! A processor keeps ended orders for 999 days at most: by then the folders have to be new ones.

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

/// What is answered of what is stored.
const STORED: &str = "stored.jsonl";

/// What is to be done with what is checked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It is compared.
    Compare,
    /// What is answered is written.
    Answers,
    /// What is answered and what is stored is written.
    All,
}

impl Mode {
    fn of_variable() -> Self {
        match std::env::var("ORDERSTREAM_GOLDEN").as_deref() {
            Ok("write") => Self::Answers,
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
    receiver.tell(&mut stage.transcript);
    for role in stored::ROLES {
        stage.verb(&format!("journal verify {{dir}}/{role} -o json"));
    }
    if mode == Mode::All {
        keep(&stage);
    }
    let mut records = stage.transcript.followed();
    for role in stored::ROLES {
        disk::tell(&mut records, role, &dir.path().join(role));
    }
    stage.transcript.hold_against("transcript.jsonl", mode);
    records.hold_against("records.jsonl", mode);
    if mode == Mode::All {
        stored::read().hold_against(STORED, mode);
    }
}

#[test]
fn stored() {
    match Mode::of_variable() {
        // The folders are being written.
        Mode::All => eprintln!("`live` writes what is stored"),
        mode @ (Mode::Compare | Mode::Answers) => stored::read().hold_against(STORED, mode),
    }
}

/// Keeps the folders, and what was asked under keys.
fn keep(stage: &Stage) {
    for role in stored::ROLES {
        let kept = folder().join(role);
        if kept.exists() {
            fs::remove_dir_all(&kept).unwrap();
        }
        disk::keep(&stage.dir().join(role), &kept);
    }
    let notes = stage.noted().iter().map(|note| format!("{note}\n")).collect::<String>();
    fs::write(folder().join(stored::REQUESTS), notes).unwrap();
}
