//! Cases about processes and incarnations: a full disk, kills of the requestor, and open
//! connections when a processor drains.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{CaseContext, award};
use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::fleet::ProcessFleet;
use crate::history::{ClientAttempt, FaultSpan, HistoryLine};
use crate::name;
use crate::plan::{SELLERS, TargetProcess};
use crate::read::poll::{PolledPage, poll_order_list, poll_page};
use crate::read::{Follower, TrackerClaim, track};
use crate::run::await_opening;
use crate::send::{channel, http};

/// The number of kills of the requestor.
const KILLS: usize = 4;
/// The timeout for the second opening.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(4);
/// The number of clients that send requests concurrently while a processor drains.
const CLIENTS: usize = 16;
/// The time for which the clients send requests, before SIGTERM and again after it.
const LOAD_TIME: Duration = Duration::from_millis(700);

/// Awards an order, and opens it again as another incarnation while the disk is full. Whether the
/// new incarnation is refused or opened, the former one loses nothing.
pub(super) async fn reopening(case: &mut CaseContext<'_>, fleet: &ProcessFleet) {
    let order = case.plan.orders[0].id.clone();
    track_incarnation(case, 3, "life-1");
    await_opening(&case.dispatcher.context, &order).await;
    for (index, seller) in SELLERS.iter().enumerate() {
        case.propose(0, &format!("p{index}"), seller).await;
    }
    case.send(0, award("p0"), ClientInterface::Grpc(0), "buyer").await;
    let recorder = case.dispatcher.context.recorder.clone();
    let started_at = recorder.now();
    let kind = if fleet.disk(0).fill() {
        track_incarnation(case, 5, "life-2");
        tokio::time::sleep(REOPEN_TIMEOUT).await;
        "FullDisk"
    } else {
        "skipped: no disk to fill"
    };
    fleet.disk(0).free();
    let (kind, target) = (kind.to_owned(), "disk 0".to_owned());
    recorder.write(HistoryLine::Fault(FaultSpan {
        started_at,
        ended_at: recorder.now(),
        kind,
        target,
    }));
    await_opening(&case.dispatcher.context, &order).await;
}

/// Starts one of the rig's trackers for this incarnation of the first order.
fn track_incarnation(case: &mut CaseContext<'_>, epoch: u64, incarnation: &str) {
    let order = &case.plan.orders[0];
    let opening = order.opening.clone();
    let follower = Follower {
        name: format!("tracker-{epoch}"),
        order: format!("{}@{incarnation}", name::id(&order.id)),
        recorder: case.dispatcher.context.recorder.clone(),
    };
    let address = case.dispatcher.context.addresses.grpc[0];
    case.readers.spawn(async move {
        let tracking = track(channel(address), follower, TrackerClaim { epoch, opening });
        drop(tokio::time::timeout(2 * REOPEN_TIMEOUT, tracking).await);
    });
}

/// Polls as buyers do while the requestor is killed and restarted; some orders have ended before.
pub(super) async fn requestor_kills(case: &mut CaseContext<'_>, fleet: &mut ProcessFleet) {
    case.open().await;
    let context = case.dispatcher.context.clone();
    let requestor = context.addresses.requestor;
    for order in 0..case.plan.orders.len() {
        for (index, seller) in SELLERS.iter().enumerate() {
            case.propose(order, &format!("p{index}"), seller).await;
        }
        case.send(order, ClientCommand::FollowUp, ClientInterface::Requestor, "buyer").await;
        if order.is_multiple_of(4) {
            case.send(order, award("p1"), ClientInterface::Requestor, "buyer").await;
        }
    }
    for order in &case.plan.orders {
        let recorder = context.recorder.clone();
        case.readers.spawn(poll_page(requestor, PolledPage::Tracking, order.id.clone(), recorder));
    }
    case.readers.spawn(poll_order_list(requestor, context.recorder.clone()));
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let started_at = context.recorder.now();
        let role = fleet.role(TargetProcess::Requestor);
        role.kill().await;
        role.restart().await;
        let (kind, target) = ("Kill".to_owned(), "requestor".to_owned());
        let ended_at = context.recorder.now();
        context.recorder.write(HistoryLine::Fault(FaultSpan {
            started_at,
            ended_at,
            kind,
            target,
        }));
        // An ended order accepts nothing more, even after a restart.
        let ended = 4 * (kill % 2);
        case.send(ended, ClientCommand::FollowUp, ClientInterface::Requestor, "buyer").await;
    }
}

/// Sends requests from many clients on separate connections, without a relay, while the processor
/// gets SIGTERM: each connected client gets a response.
pub(super) async fn drain(case: &mut CaseContext<'_>, fleet: &mut ProcessFleet) {
    case.open().await;
    let context = case.dispatcher.context.clone();
    let address = fleet.role(TargetProcess::Processor(0)).address("rest");
    let order = case.plan.orders[0].id.clone();
    for _ in 0..3 {
        let mut clients = JoinSet::new();
        let until = Instant::now() + 2 * LOAD_TIME;
        for number in 0..CLIENTS {
            let (recorder, order) = (context.recorder.clone(), order.clone());
            clients.spawn(async move {
                for serial in 0.. {
                    if Instant::now() >= until {
                        return;
                    }
                    let called_at = recorder.now();
                    let path = format!("/api/v1/orders/{order}");
                    let result = match http::get(address, &path).await {
                        Ok(_) => ClientOutcome::SUCCESS,
                        Err(error) if error.contains("refused") => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        }
                        Err(error) => ClientOutcome::Fail { reason: format!("CUT: {error}") },
                    };
                    // Only failures are recorded.
                    if let ClientOutcome::Fail { .. } = result {
                        recorder.write(HistoryLine::Attempt(ClientAttempt {
                            called_at,
                            returned_at: recorder.now(),
                            client: "drain".to_owned(),
                            actor: "looker".to_owned(),
                            interface: ClientInterface::Rest(0),
                            order: order.clone(),
                            command: ClientCommand::See,
                            key: String::new(),
                            token: format!("drain-{number}#{serial}@{called_at}"),
                            epoch: 0,
                            result,
                        }));
                    }
                }
            });
        }
        tokio::time::sleep(LOAD_TIME).await;
        let started_at = context.recorder.now();
        let role = fleet.role(TargetProcess::Processor(0));
        role.terminate().await;
        while clients.join_next().await.is_some() {}
        fleet.role(TargetProcess::Processor(0)).restart().await;
        let (kind, target) = ("Terminate".to_owned(), "processor-0".to_owned());
        let ended_at = context.recorder.now();
        context.recorder.write(HistoryLine::Fault(FaultSpan {
            started_at,
            ended_at,
            kind,
            target,
        }));
    }
}
