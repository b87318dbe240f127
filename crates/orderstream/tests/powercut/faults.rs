//! A disk that fails under a real process: writes and syncs end in an error, the first or a later
//! one, and a failed sync drops what it did not write. No command is answered with success unless
//! the disk has it, a refusal says when to retry, and the process recovers by itself.

use fastrand::Rng;
use orderstream_powercut::{Cut, Fault, Operation, Outcome, Recorder, scratch};

use super::bed::Bed;
use super::history::{Act, History, Noted, draw_place};
use super::judge::judge;
use super::load::{Ports, send};
use super::{CUTS_VARIABLE, SEED_VARIABLE, is_supported, new_recorder, setting, told};
use crate::http::get;
use crate::process::until;

const ORDER: &str = "F";
/// The number of clients that send commands at the same time while the disk fails.
const CLIENTS: u32 = 4;

/// One fault, and the process whose folder it is in.
#[derive(Clone, Copy, Debug)]
struct Round {
    on: Operation,
    outcome: Outcome,
    skip: u32,
    /// A part of the paths that fail: the processor's journal or the requestor's store.
    place: &'static str,
}

fn rounds() -> Vec<Round> {
    let mut rounds = Vec::new();
    for on in [Operation::Write, Operation::Sync] {
        for outcome in [Outcome::Broken, Outcome::Full] {
            for (skip, place) in
                [(0, "data/processor"), (3, "data/processor"), (0, "data/requestor")]
            {
                rounds.push(Round { on, outcome, skip, place });
            }
        }
    }
    rounds
}

/// Repeats a command until it is done; returns the number of refusals.
fn done(ports: Ports, recorder: &Recorder, act: &Act) -> u32 {
    let mut refused = 0;
    recorder.note(&Noted::Asked(act.clone()).text()).unwrap();
    let seq = until(&format!("{act:?} is done"), || {
        let answer = send(ports, act).unwrap();
        match answer.status {
            200..=202 => Some(answer.json()["seq"].as_u64()),
            503 => {
                assert!(answer.head.contains("retry-after: "), "{act:?}: {answer:?}");
                refused += 1;
                None
            }
            // The requestor's answer, word for word that of the system before it.
            500 if answer.text.contains("Failed to update order request status") => {
                refused += 1;
                None
            }
            _ => panic!("{act:?}: {answer:?}"),
        }
    });
    recorder.note(&Noted::Answered(act.clone(), seq).text()).unwrap();
    refused
}

/// Makes the disk fail, and has the clients send commands until it has failed.
fn endure(ports: Ports, recorder: &Recorder, number: usize, round: Round) -> u32 {
    let Round { on, outcome, skip, place } = round;
    recorder.fail(&Fault { on, skip, times: 2, outcome, place }).unwrap();
    let ask = |client: u32| {
        let mut refused = 0;
        for serial in 0.. {
            let (order, id) = (ORDER.to_owned(), format!("{number}-{client}-{serial}"));
            let act = if place == "data/requestor" {
                Act::FollowUp { order, id }
            } else {
                Act::Propose { order, id, price: "10.50".to_owned() }
            };
            refused += done(ports, recorder, &act);
            if recorder.hits().unwrap() > 0 {
                break;
            }
        }
        refused
    };
    let refused = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    recorder.heal().unwrap();
    refused
}

#[test]
fn failing_disks_lose_nothing_acknowledged() {
    if !is_supported() {
        return;
    }
    let (folder, bed) = (scratch().unwrap(), Bed::new());
    let (start, recorder) = new_recorder(folder.path());
    bed.ear.listen(Some(&recorder));
    let dev = bed.start(recorder.folder(), recorder.variables().unwrap());
    let ports = Ports::of(&dev);
    done(ports, &recorder, &Act::Initiate { order: ORDER.to_owned() });
    until("the order is open", || {
        let answer = get(ports.rest, &format!("/api/v1/orders/{ORDER}")).ok()?;
        (answer.status == 200).then_some(())
    });
    let mut refused = 0;
    for (number, round) in rounds().into_iter().enumerate() {
        let now = endure(ports, &recorder, number, round);
        println!("{round:?}: {now} refused");
        refused += now;
    }
    assert!(refused > 0, "the faults were met by those who asked");
    let award = Act::Award { order: ORDER.to_owned(), id: "0-0-0".to_owned() };
    done(ports, &recorder, &award);
    drop(dev);
    let trace = recorder.trace().unwrap();
    let end = trace.records.len();
    judge(&bed, recorder.folder(), &History::before(&trace, end), "after a restart");
    let seed = setting(SEED_VARIABLE, 1);
    for seed in seed..seed + setting(CUTS_VARIABLE, 40).div_ceil(8) {
        let mut rng = Rng::with_seed(seed);
        let (place, cut) = (draw_place(&trace, &mut rng), Cut { seed: rng.u64(1..) });
        for cut in [Cut::WORST, cut] {
            let mut disk = start.clone();
            disk.replay(&trace, 0, place);
            let folder = scratch().unwrap();
            disk.after_cut(cut).write(folder.path()).unwrap();
            let told = told(&trace, place, cut, seed);
            judge(&bed, folder.path(), &History::before(&trace, place), &told);
        }
    }
}
