//! Runs seeds; `SHELLS_SEEDS=A-B` replaces the default ones. A failing seed prints the command that
//! reproduces it.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use orderstream_shells::plan::{FaultWindow, HostFault, HostRole};
use orderstream_shells::{HostDiskFault, plan, run};
use orderstream_torture::check::check;
use orderstream_torture::plan::LinkCondition;
use orderstream_torture::report::report;
use orderstream_torture::seeds::parse;

/// The seeds of every build.
const SEEDS: RangeInclusive<u64> = 1..=40;
/// The number of seeds that run concurrently, each in a thread of its own.
const AT_ONCE: usize = 2;

/// Every event also arrives at its readers.
#[test]
fn every_answer_holds_despite_faults() {
    let seeds = match std::env::var("SHELLS_SEEDS") {
        Ok(text) => parse(&text).unwrap(),
        Err(_) => SEEDS,
    };
    let next = AtomicU64::new(*seeds.start());
    let reports: Vec<String> = std::thread::scope(|scope| {
        let player = || {
            let mut reports = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > *seeds.end() {
                    return reports;
                }
                reports.extend(play(seed));
            }
        };
        let players: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(player)).collect();
        players.into_iter().flat_map(|player| player.join().unwrap()).collect()
    });
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

#[test]
fn default_seeds_have_every_fault() {
    let faults: Vec<FaultWindow> = SEEDS.flat_map(|seed| plan(seed).faults).collect();
    let any = |is: fn(&HostFault) -> bool| faults.iter().any(|fault| is(&fault.kind));
    assert!(any(|what| matches!(what, HostFault::Crash(HostRole::Requestor))));
    assert!(any(|what| matches!(what, HostFault::Crash(HostRole::Processor(_)))));
    assert!(any(|what| matches!(what, HostFault::Stop(HostRole::Requestor))));
    assert!(any(|what| matches!(what, HostFault::Stop(HostRole::Processor(_)))));
    assert!(any(|what| matches!(what, HostFault::Freeze(HostRole::Requestor))));
    assert!(any(|what| matches!(what, HostFault::Freeze(HostRole::Processor(_)))));
    assert!(any(|what| matches!(what, HostFault::Hold(_))));
    assert!(any(|what| matches!(what, HostFault::Clock(_, ..0))));
    assert!(any(|what| matches!(what, HostFault::Clock(_, 1..))));
    for weather in [
        LinkCondition::Cut,
        LinkCondition::Stalled,
        LinkCondition::HalfOpen,
        LinkCondition::Bytewise,
    ] {
        let is =
            |fault: &FaultWindow| matches!(fault.kind, HostFault::Link(_, it) if it == weather);
        assert!(faults.iter().any(is), "{weather:?}");
    }
    let disk_faults = [
        HostDiskFault::Full,
        HostDiskFault::WriteFails,
        HostDiskFault::SyncFails,
        HostDiskFault::SyncFailsAndLoses,
    ];
    for disk_fault in disk_faults {
        let is =
            |fault: &FaultWindow| matches!(fault.kind, HostFault::Disk(_, it) if it == disk_fault);
        assert!(faults.iter().any(is), "{disk_fault:?}");
    }
}

/// Runs a seed; returns a report if it has findings.
fn play(seed: u64) -> Option<String> {
    let plan = plan(seed);
    let ran = run(&plan);
    let findings = check(&ran.lines);
    let replay =
        format!("SHELLS_SEEDS={seed} cargo test -p orderstream-shells --test main every_answer");
    (!findings.is_empty()).then(|| report(&findings, &ran.lines, &replay))
}
