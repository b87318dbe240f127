//! Makes the planned faults, one after the other, and ends each.

use std::time::Duration;

use rustix::process::Signal;

use crate::history::{Fault as Line_, Gone, Line, Recorder};
use crate::plan::{Fault, Trouble, Weather};
use crate::world::World;

/// Makes them all; processes that end by themselves are recorded and restarted.
pub(super) async fn play(faults: &[Fault], world: &mut World, recorder: &Recorder) {
    for fault in faults {
        tokio::time::sleep(Duration::from_millis(fault.after_ms)).await;
        look_after(world, recorder).await;
        let t_start = recorder.now();
        let whom = trouble(fault, world, recorder).await;
        let what = format!("{:?}", fault.what);
        recorder.write(Line::Fault(Line_ { t_start, t_end: recorder.now(), what, whom }));
    }
    look_after(world, recorder).await;
}

/// Records processes that ended without a signal of the rig, and restarts them.
pub(super) async fn look_after(world: &mut World, recorder: &Recorder) {
    for role in world.roles() {
        if let Some(status) = role.ended() {
            let process = role.name().to_owned();
            recorder.write(Line::Gone(Gone { t: recorder.now(), process, status }));
            role.restart().await;
        }
    }
}

/// Makes one fault and ends it; returns the process, link or disk that had it.
async fn trouble(fault: &Fault, world: &mut World, recorder: &Recorder) -> String {
    let lasts = tokio::time::sleep(Duration::from_millis(fault.for_ms));
    match fault.what {
        Trouble::Kill(whom) => {
            let role = world.role(whom);
            role.kill().await;
            lasts.await;
            role.restart().await;
            role.name().to_owned()
        }
        Trouble::Terminate(whom) => {
            let role = world.role(whom);
            let name = role.name().to_owned();
            if let Some(status) = role.terminate().await {
                let process = name.clone();
                recorder.write(Line::Gone(Gone { t: recorder.now(), process, status }));
            }
            lasts.await;
            role.restart().await;
            name
        }
        Trouble::Stop(whom) => {
            let role = world.role(whom);
            role.signal(Signal::STOP);
            lasts.await;
            role.signal(Signal::CONT);
            role.name().to_owned()
        }
        Trouble::Link(link, weather) => {
            world.weather(link, weather);
            lasts.await;
            world.weather(link, Weather::Fair);
            format!("{link:?}")
        }
        Trouble::FullDisk(number) => {
            let was_filled = world.disk(number).fill();
            if was_filled {
                lasts.await;
            }
            world.disk(number).relieve();
            if was_filled {
                format!("disk {number}")
            } else {
                "skipped: no disk to fill".to_owned()
            }
        }
        Trouble::FewDescriptors(whom) => {
            let role = world.role(whom);
            role.take_descriptors();
            lasts.await;
            role.give_descriptors();
            role.name().to_owned()
        }
    }
}
