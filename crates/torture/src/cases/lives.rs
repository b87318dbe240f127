//! Cases about processes and incarnations: a full disk, a requestor that is killed, connections
//! that are open when a processor drains.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Scene, award};
use crate::history::{Act, Fault, Line};
use crate::name;
use crate::op::{Op, Outcome, Over};
use crate::plan::{SELLERS, Whom};
use crate::read::poll::{Page, watch, watch_roll};
use crate::read::{Claim, Follower, track};
use crate::run::await_opening;
use crate::send::{channel, http};
use crate::world::World;

/// The number of kills of the requestor.
const KILLS: usize = 4;
/// The limit of time for the second opening.
const TRIES: Duration = Duration::from_secs(4);
/// The number of clients that send requests at one time while a processor drains.
const PRESS: usize = 16;
/// The time for which they send, before SIGTERM and again after it.
const PRESSED: Duration = Duration::from_millis(700);

/// Awards an order, and opens it again as another incarnation while the disk is full. Whether the
/// new incarnation is refused or begins, the former one loses nothing.
pub(super) async fn relife(scene: &mut Scene<'_>, world: &World) {
    let order = scene.plan.orders[0].id.clone();
    own(scene, 3, "life-1");
    await_opening(&scene.desk.stage, &order).await;
    for (place, seller) in SELLERS.iter().enumerate() {
        scene.propose(0, &format!("p{place}"), seller).await;
    }
    scene.act(0, award("p0"), Over::Grpc(0), "buyer").await;
    let recorder = scene.desk.stage.recorder.clone();
    let t_start = recorder.now();
    let what = if world.disk(0).fill() {
        own(scene, 5, "life-2");
        tokio::time::sleep(TRIES).await;
        "FullDisk"
    } else {
        "skipped: no disk to fill"
    };
    world.disk(0).relieve();
    let (what, whom) = (what.to_owned(), "disk 0".to_owned());
    recorder.write(Line::Fault(Fault { t_start, t_end: recorder.now(), what, whom }));
    await_opening(&scene.desk.stage, &order).await;
}

/// Starts one of the rig's trackers for this incarnation of the first order.
fn own(scene: &mut Scene<'_>, epoch: u64, life: &str) {
    let order = &scene.plan.orders[0];
    let opening = order.opening.clone();
    let follower = Follower {
        name: format!("tracker-{epoch}"),
        order: format!("{}@{life}", name::id(&order.id)),
        recorder: scene.desk.stage.recorder.clone(),
    };
    let address = scene.desk.stage.addresses.grpc[0];
    scene.readers.spawn(async move {
        let tries = track(channel(address), follower, Claim { epoch, opening });
        drop(tokio::time::timeout(2 * TRIES, tries).await);
    });
}

/// Polls as buyers while the requestor is killed and restarted; some orders have ended before.
pub(super) async fn goback(scene: &mut Scene<'_>, world: &mut World) {
    scene.open().await;
    let stage = scene.desk.stage.clone();
    let requestor = stage.addresses.requestor;
    for order in 0..scene.plan.orders.len() {
        for (place, seller) in SELLERS.iter().enumerate() {
            scene.propose(order, &format!("p{place}"), seller).await;
        }
        scene.act(order, Op::FollowUp, Over::Requestor, "buyer").await;
        if order.is_multiple_of(4) {
            scene.act(order, award("p1"), Over::Requestor, "buyer").await;
        }
    }
    for order in &scene.plan.orders {
        let recorder = stage.recorder.clone();
        scene.readers.spawn(watch(requestor, Page::Tracking, order.id.clone(), recorder));
    }
    scene.readers.spawn(watch_roll(requestor, stage.recorder.clone()));
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let t_start = stage.recorder.now();
        let role = world.role(Whom::Requestor);
        role.kill().await;
        role.restart().await;
        let (what, whom) = ("Kill".to_owned(), "requestor".to_owned());
        let t_end = stage.recorder.now();
        stage.recorder.write(Line::Fault(Fault { t_start, t_end, what, whom }));
        // An order that has ended takes nothing more, also after a restart.
        let ended = 4 * (kill % 2);
        scene.act(ended, Op::FollowUp, Over::Requestor, "buyer").await;
    }
}

/// Sends requests of many clients on connections of their own, without a relay, while the processor
/// gets SIGTERM: each that was connected gets a response.
pub(super) async fn drain(scene: &mut Scene<'_>, world: &mut World) {
    scene.open().await;
    let stage = scene.desk.stage.clone();
    let address = world.role(Whom::Processor(0)).address("rest");
    let order = scene.plan.orders[0].id.clone();
    for _ in 0..3 {
        let mut press = JoinSet::new();
        let until = Instant::now() + 2 * PRESSED;
        for number in 0..PRESS {
            let (recorder, order) = (stage.recorder.clone(), order.clone());
            press.spawn(async move {
                for serial in 0.. {
                    if Instant::now() >= until {
                        return;
                    }
                    let t_call = recorder.now();
                    let path = format!("/api/v1/orders/{order}");
                    let result = match http::get(address, &path).await {
                        Ok(_) => Outcome::DONE,
                        Err(error) if error.contains("refused") => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        }
                        Err(error) => Outcome::Fail { reason: format!("CUT: {error}") },
                    };
                    // Only what went wrong is worth a line.
                    if let Outcome::Fail { .. } = result {
                        recorder.write(Line::Act(Act {
                            t_call,
                            t_ret: recorder.now(),
                            client: "drain".to_owned(),
                            actor: "looker".to_owned(),
                            over: Over::Rest(0),
                            order: order.clone(),
                            op: Op::See,
                            key: String::new(),
                            token: format!("drain-{number}#{serial}@{t_call}"),
                            epoch: 0,
                            result,
                        }));
                    }
                }
            });
        }
        tokio::time::sleep(PRESSED).await;
        let t_start = stage.recorder.now();
        let role = world.role(Whom::Processor(0));
        role.terminate().await;
        while press.join_next().await.is_some() {}
        world.role(Whom::Processor(0)).restart().await;
        let (what, whom) = ("Terminate".to_owned(), "processor-0".to_owned());
        let t_end = stage.recorder.now();
        stage.recorder.write(Line::Fault(Fault { t_start, t_end, what, whom }));
    }
}
