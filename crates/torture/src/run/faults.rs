//! Injects the planned faults, one after the other, and ends each.

use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::ProcessFleet;
use crate::history::{FaultSpan as Line_, HistoryLine, HistoryRecorder, UnexpectedExit};
use crate::plan::{InjectedFault, LinkCondition, PlannedFault};

/// Injects all faults; processes that end by themselves are recorded and restarted.
pub(super) async fn inject_all(
    faults: &[PlannedFault],
    fleet: &mut ProcessFleet,
    recorder: &HistoryRecorder,
) {
    for fault in faults {
        tokio::time::sleep(Duration::from_millis(fault.after_ms)).await;
        restart_ended(fleet, recorder).await;
        let started_at = recorder.now();
        let target = inject(fault, fleet, recorder).await;
        let kind = format!("{:?}", fault.kind);
        recorder.write(HistoryLine::Fault(Line_ {
            started_at,
            ended_at: recorder.now(),
            kind,
            target,
        }));
    }
    restart_ended(fleet, recorder).await;
}

/// Records processes that ended without a signal of the rig, and restarts them.
pub(super) async fn restart_ended(fleet: &mut ProcessFleet, recorder: &HistoryRecorder) {
    for role in fleet.roles() {
        if let Some(status) = role.take_exit_status() {
            let process = role.name().to_owned();
            recorder.write(HistoryLine::Exit(UnexpectedExit {
                detected_at: recorder.now(),
                process,
                status,
            }));
            role.restart().await;
        }
    }
}

/// Injects one fault and ends it; returns the affected process, link or disk.
async fn inject(
    fault: &PlannedFault,
    fleet: &mut ProcessFleet,
    recorder: &HistoryRecorder,
) -> String {
    let duration = tokio::time::sleep(Duration::from_millis(fault.for_ms));
    match fault.kind {
        InjectedFault::Kill(target) => {
            let role = fleet.role(target);
            role.kill().await;
            duration.await;
            role.restart().await;
            role.name().to_owned()
        }
        InjectedFault::Terminate(target) => {
            let role = fleet.role(target);
            let name = role.name().to_owned();
            if let Some(status) = role.terminate().await {
                let process = name.clone();
                recorder.write(HistoryLine::Exit(UnexpectedExit {
                    detected_at: recorder.now(),
                    process,
                    status,
                }));
            }
            duration.await;
            role.restart().await;
            name
        }
        InjectedFault::Stop(target) => {
            let role = fleet.role(target);
            role.signal(Signal::STOP);
            duration.await;
            role.signal(Signal::CONT);
            role.name().to_owned()
        }
        InjectedFault::Link(link, condition) => {
            fleet.set_condition(link, condition);
            duration.await;
            fleet.set_condition(link, LinkCondition::Healthy);
            format!("{link:?}")
        }
        InjectedFault::FullDisk(number) => {
            let was_filled = fleet.disk(number).fill();
            if was_filled {
                duration.await;
            }
            fleet.disk(number).free();
            if was_filled {
                format!("disk {number}")
            } else {
                "skipped: no disk to fill".to_owned()
            }
        }
        InjectedFault::FewDescriptors(target) => {
            let role = fleet.role(target);
            role.limit_descriptors();
            duration.await;
            role.restore_descriptors();
            role.name().to_owned()
        }
    }
}
