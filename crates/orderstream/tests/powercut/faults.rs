//! A disk that fails under a real process: writes and syncs end in an error, the first or a later
//! one, and a failed sync drops what it did not write. No command gets a reply of success unless
//! the disk has it, a refusal names the time to retry, and the process recovers by itself.

use fastrand::Rng;
use orderstream_powercut::{DiskRecorder, FaultEffect, Operation, PowerCut, SyscallFault, scratch};

use super::bed::Bed;
use super::history::{History, LoadCommand, TraceEntry, draw_index};
use super::judge::judge;
use super::load::{Ports, send};
use super::{CUTS_VARIABLE, SEED_VARIABLE, describe_cut, is_supported, new_recorder, setting};
use crate::http::get;
use crate::process::until;

const ORDER: &str = "F";
/// The number of clients that send commands at the same time while the disk fails.
const CLIENTS: u32 = 4;

/// One fault, and the process whose folder it is in.
#[derive(Clone, Copy, Debug)]
struct Round {
    on: Operation,
    outcome: FaultEffect,
    skip: u32,
    /// A part of the paths that fail: the processor's journal or the requestor's store.
    place: &'static str,
}

fn rounds() -> Vec<Round> {
    let mut rounds = Vec::new();
    for on in [Operation::Write, Operation::Sync] {
        for outcome in [FaultEffect::IoError, FaultEffect::Full] {
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
fn send_until_done(ports: Ports, recorder: &DiskRecorder, command: &LoadCommand) -> u32 {
    let mut refused = 0;
    recorder.note(&TraceEntry::Requested(command.clone()).text()).unwrap();
    let seq = until(&format!("{command:?} is done"), || {
        let response = send(ports, command).unwrap();
        match response.status {
            200..=202 => Some(response.json()["seq"].as_u64()),
            503 => {
                assert!(response.head.contains("retry-after: "), "{command:?}: {response:?}");
                refused += 1;
                None
            }
            // The requestor's response, word for word that of the original system.
            500 if response.text.contains("Failed to update order request status") => {
                refused += 1;
                None
            }
            _ => panic!("{command:?}: {response:?}"),
        }
    });
    recorder.note(&TraceEntry::Replied(command.clone(), seq).text()).unwrap();
    refused
}

/// Makes the disk fail, and has the clients send commands until it has failed.
fn run_round(ports: Ports, recorder: &DiskRecorder, number: usize, round: Round) -> u32 {
    let Round { on, outcome, skip, place } = round;
    recorder
        .inject_fault(&SyscallFault {
            operation: on,
            skip,
            times: 2,
            effect: outcome,
            path_filter: place,
        })
        .unwrap();
    let run_client = |client: u32| {
        let mut refused = 0;
        for serial in 0.. {
            let (order, id) = (ORDER.to_owned(), format!("{number}-{client}-{serial}"));
            let command = if place == "data/requestor" {
                LoadCommand::FollowUp { order, id }
            } else {
                LoadCommand::Propose { order, id, price: "10.50".to_owned() }
            };
            refused += send_until_done(ports, recorder, &command);
            if recorder.hits().unwrap() > 0 {
                break;
            }
        }
        refused
    };
    let refused = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || run_client(client))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    recorder.clear_fault().unwrap();
    refused
}

#[test]
fn failing_disks_lose_nothing_acknowledged() {
    if !is_supported() {
        return;
    }
    let (folder, bed) = (scratch().unwrap(), Bed::new());
    let (start, recorder) = new_recorder(folder.path());
    bed.sink.listen(Some(&recorder));
    let dev = bed.start(recorder.folder(), recorder.variables().unwrap());
    let ports = Ports::of(&dev);
    send_until_done(ports, &recorder, &LoadCommand::Initiate { order: ORDER.to_owned() });
    until("the order is open", || {
        let response = get(ports.rest, &format!("/api/v1/orders/{ORDER}")).ok()?;
        (response.status == 200).then_some(())
    });
    let mut refused = 0;
    for (number, round) in rounds().into_iter().enumerate() {
        let round_refusals = run_round(ports, &recorder, number, round);
        println!("{round:?}: {round_refusals} refused");
        refused += round_refusals;
    }
    assert!(refused > 0, "the faults were met by those who asked");
    let award = LoadCommand::Award { order: ORDER.to_owned(), id: "0-0-0".to_owned() };
    send_until_done(ports, &recorder, &award);
    drop(dev);
    let trace = recorder.trace().unwrap();
    let end = trace.records.len();
    judge(&bed, recorder.folder(), &History::before(&trace, end), "after a restart");
    let seed = setting(SEED_VARIABLE, 1);
    for seed in seed..seed + setting(CUTS_VARIABLE, 40).div_ceil(8) {
        let mut rng = Rng::with_seed(seed);
        let (index, cut) = (draw_index(&trace, &mut rng), PowerCut { seed: rng.u64(1..) });
        for cut in [PowerCut::WORST, cut] {
            let mut disk = start.clone();
            disk.replay(&trace, 0, index);
            let folder = scratch().unwrap();
            disk.after_cut(cut).write(folder.path()).unwrap();
            let description = describe_cut(&trace, index, cut, seed);
            judge(&bed, folder.path(), &History::before(&trace, index), &description);
        }
    }
}
