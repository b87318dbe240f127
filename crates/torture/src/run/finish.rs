//! The end of a run: commands without a known outcome are repeated, every order is ended, and
//! everything is read a last time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::ClientDispatcher;
use super::faults::restart_ended;
use crate::command::{ClientCommand, ClientInterface};
use crate::event::ComparableEvent;
use crate::fleet::ProcessFleet;
use crate::history::{EventListReading, HistoryLine, PageLookup, ProcessMeasurements};
use crate::name;
use crate::plan::{TorturePlan, TrackerPlan};
use crate::read::list;
use crate::read::pages::{metrics, orders_listed, read_pages, sse_list};
use crate::read::poll::{PolledPage, read_order_list, read_page};
use crate::send::channel;
use crate::send::session::RecordingSession;

/// The time after the last fault within which every command's outcome must be known. Far above the
/// guaranteed 10 s, because several runs share the machine.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);
/// The time after the last fault within which an order must end.
const ENDED_WITHIN: Duration = Duration::from_secs(25);
/// The time within which pages must show the end.
const DISPLAYED_WITHIN: Duration = Duration::from_secs(20);
/// The time within which servers must end the streams of disconnected readers.
const QUIET_WITHIN: Duration = Duration::from_secs(15);
/// The timeout for the last read of a list.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The largest number of commands that are repeated concurrently.
const AT_ONCE: usize = 8;

/// Ends all orders and reads everything.
pub async fn finish(
    plan: &TorturePlan,
    fleet: &mut ProcessFleet,
    dispatcher: &ClientDispatcher,
    mut readers: JoinSet<()>,
) {
    settle(dispatcher).await;
    end_all(plan, dispatcher).await;
    settle(dispatcher).await;
    let lists = read_lists(plan, dispatcher).await;
    record_final_pages(plan, dispatcher, &lists).await;
    readers.shutdown().await;
    restart_ended(fleet, &dispatcher.context.recorder).await;
    measure(fleet, dispatcher).await;
}

/// Repeats every command without a known outcome under its key, until its outcome is known or the
/// time is up.
async fn settle(dispatcher: &ClientDispatcher) {
    let until = Instant::now() + KNOWN_WITHIN;
    let open = dispatcher.sent().into_values().filter(|(_, _, outcome)| !outcome.is_known());
    let mut tasks = JoinSet::new();
    for (call, interface, _) in open {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await;
        }
        let dispatcher = dispatcher.clone();
        tasks.spawn(async move {
            let mut session = None;
            if let ClientInterface::Session(at) = interface {
                let channel = channel(dispatcher.context.addresses.grpc[at]);
                let name = format!("again-{}", call.token);
                session = Some(RecordingSession::new(
                    channel,
                    &call.actor,
                    &name,
                    &dispatcher.context.recorder,
                ));
            }
            while Instant::now() < until {
                if dispatcher.send_once(&call, interface, "again", &mut session).await.is_known() {
                    return;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Ends every order: by its deadline if that is near, otherwise with competing commands.
async fn end_all(plan: &TorturePlan, dispatcher: &ClientDispatcher) {
    let mut orders = JoinSet::new();
    for index in 0..plan.orders.len() {
        let (dispatcher, order) = (dispatcher.clone(), plan.orders[index].clone());
        let steps = plan.ends[index].clone();
        orders.spawn(async move {
            let until = Instant::now() + ENDED_WITHIN;
            let is_short = order.opening.expires_in_ms == crate::plan::SHORT_LIFETIME_MS;
            let mut was_ended = is_short && !order.opening.sealed;
            let mut was_decided = false;
            while Instant::now() < until {
                match poll_phase(&dispatcher, &order.id).await {
                    PolledPhase::Ended => return,
                    phase @ (PolledPhase::Open | PolledPhase::Deciding)
                        if !was_ended || (phase == PolledPhase::Deciding && !was_decided) =>
                    {
                        was_ended = true;
                        was_decided = phase == PolledPhase::Deciding;
                        let competing = steps.iter().map(|step| {
                            let call = dispatcher.call(index, &step.command, "ender", "buyer");
                            let (dispatcher, interface) = (dispatcher.clone(), step.interface);
                            async move {
                                dispatcher
                                    .send_with_retries(&call, interface, "ender", &mut None)
                                    .await
                            }
                        });
                        futures_util::future::join_all(competing).await;
                        let phase = poll_phase(&dispatcher, &order.id).await;
                        if matches!(phase, PolledPhase::Open | PolledPhase::Deciding) {
                            // A pending award blocks the other commands, but not this one.
                            dispatcher
                                .send_as_buyer(
                                    index,
                                    &ClientCommand::Cancel,
                                    ClientInterface::Grpc(order.home),
                                    "closer",
                                )
                                .await;
                        }
                    }
                    PolledPhase::Open
                    | PolledPhase::Deciding
                    | PolledPhase::Sealed
                    | PolledPhase::Unreachable => {}
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
    }
    while orders.join_next().await.is_some() {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PolledPhase {
    Open,
    Deciding,
    Sealed,
    Ended,
    Unreachable,
}

async fn poll_phase(dispatcher: &ClientDispatcher, order: &str) -> PolledPhase {
    for address in &dispatcher.context.addresses.rest {
        let path = format!("/api/v1/orders/{}{}", name::id(order), name::query(order));
        let Ok(response) = crate::send::http::get(*address, &path).await else { continue };
        let body = response.json();
        if response.status == 200 {
            // The order has no decision yet: `sealed` is true until the opening.
            let is_sealed = body["sealed"] == true;
            return match body["phase"].as_str() {
                Some("Deciding") => PolledPhase::Deciding,
                Some("Open" | "Paused") if is_sealed => PolledPhase::Sealed,
                Some("Open" | "Paused") => PolledPhase::Open,
                _ => PolledPhase::Ended,
            };
        }
    }
    PolledPhase::Unreachable
}

/// Reads every order's list over gRPC and as server-sent events, at every processor.
async fn read_lists(
    plan: &TorturePlan,
    dispatcher: &ClientDispatcher,
) -> BTreeMap<String, Vec<ComparableEvent>> {
    let (recorder, addresses) = (&dispatcher.context.recorder, &dispatcher.context.addresses);
    let mut lists = BTreeMap::new();
    for order in &plan.orders {
        let until = Instant::now() + READ_WITHIN;
        // gRPC calls are not forwarded, so the processors are tried in turn until the owner returns
        // the list.
        let mut best = Err("nobody was asked".to_owned());
        while best.is_err() && Instant::now() < until {
            for grpc in &addresses.grpc {
                let result = list(channel(*grpc), &order.id, READ_WITHIN).await;
                if result.is_ok() || best.is_err() {
                    best = result;
                }
                if best.is_ok() {
                    break;
                }
            }
            if best.as_ref().is_err_and(|reason| reason == "ORDER_NOT_FOUND") {
                break;
            }
        }
        if let Ok(events) = &best {
            lists.insert(order.id.clone(), events.clone());
        }
        let write = |by: &str, events| {
            let (order, by) = (order.id.clone(), by.to_owned());
            recorder.write(HistoryLine::List(EventListReading { order, by, events }));
        };
        write("grpc", best);
        for (index, rest) in addresses.rest.iter().enumerate() {
            let events = tokio::time::timeout(READ_WITHIN, sse_list(*rest, &order.id)).await;
            write(&format!("sse {index}"), events.unwrap_or_else(|_| Err("no end".to_owned())));
            if let Ok(Ok(pages)) =
                tokio::time::timeout(READ_WITHIN, read_pages(*rest, &order.id)).await
            {
                recorder.write(HistoryLine::Pages(pages));
            }
        }
    }
    lists
}

/// Waits until pages show each order's end, and records the last read of each.
async fn record_final_pages(
    plan: &TorturePlan,
    dispatcher: &ClientDispatcher,
    lists: &BTreeMap<String, Vec<ComparableEvent>>,
) {
    let (recorder, addresses) = (&dispatcher.context.recorder, &dispatcher.context.addresses);
    let until = Instant::now() + DISPLAYED_WITHIN;
    for order in &plan.orders {
        let last = lists.get(&order.id).and_then(|list| list.last()).map_or(0, |event| event.seq);
        let mut pages = vec![(PolledPage::Order, addresses.rest[0])];
        if order.tracker == TrackerPlan::Requestor {
            pages.push((PolledPage::Tracking, addresses.requestor));
        }
        for (page, address) in pages {
            loop {
                let reading = read_page(address, page, &order.id, recorder).await;
                let is_there = reading.as_ref().is_some_and(
                    |view| matches!(&view.result, PageLookup::Order(seen) if seen.last_seq >= last),
                );
                if is_there || Instant::now() >= until {
                    if let Some(reading) = reading {
                        recorder.write(HistoryLine::Page(crate::history::PageReading {
                            is_last: true,
                            ..reading
                        }));
                    }
                    break;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }
    if let Some(reading) = read_order_list(addresses.requestor, recorder).await {
        recorder.write(HistoryLine::OrderList(reading));
    }
}

/// Records each process's metrics, once the streams of all readers have ended.
async fn measure(fleet: &mut ProcessFleet, dispatcher: &ClientDispatcher) {
    let addresses = dispatcher.context.addresses.clone();
    let until = Instant::now() + QUIET_WITHIN;
    for (index, role) in fleet.roles().enumerate() {
        let Some((process, address)) = addresses.metrics.get(index) else { continue };
        let series = loop {
            let series = metrics(*address).await.unwrap_or_default();
            let open: f64 = crate::check::in_flight(&series);
            if (open <= 0.0 && !series.is_empty()) || Instant::now() >= until {
                break series;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        let orders = match addresses.rest.get(index) {
            Some(rest) => orders_listed(*rest).await,
            None => None,
        };
        dispatcher.context.recorder.write(HistoryLine::Measurements(ProcessMeasurements {
            process: process.clone(),
            series,
            rss_kb: role.rss_kb(),
            descriptors: role.descriptors_open(),
            orders,
        }));
    }
}
