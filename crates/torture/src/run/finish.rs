//! The end of a run: commands without a known outcome are repeated, every order is ended, and
//! everything is read once more.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Desk;
use super::faults::look_after;
use crate::event::Event;
use crate::history::{Figures, Found, Line, List};
use crate::name;
use crate::op::{Op, Over};
use crate::plan::{Owner, Plan};
use crate::read::list;
use crate::read::pages::{figures, orders_listed, read, sse_list};
use crate::read::poll::{Page, look, roll};
use crate::send::channel;
use crate::send::session::Session;
use crate::world::World;

/// The time after the last fault in which every command's outcome has to be known. Far above the
/// promised 10 s, since several runs share the machine.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);
/// The time after the last fault in which an order has to end.
const ENDED_WITHIN: Duration = Duration::from_secs(25);
/// The time in which views have to show the end.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);
/// The time in which the servers have to end the streams of readers that are gone.
const QUIET_WITHIN: Duration = Duration::from_secs(15);
/// The deadline for the last reading of a list.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// The pause between two polls.
const PAUSE: Duration = Duration::from_millis(100);
/// The limit of commands that are repeated at one time.
const AT_ONCE: usize = 8;

/// Ends all orders and reads everything.
pub async fn finish(plan: &Plan, world: &mut World, desk: &Desk, mut readers: JoinSet<()>) {
    settle(desk).await;
    end_all(plan, desk).await;
    settle(desk).await;
    let lists = read_lists(plan, desk).await;
    show(plan, desk, &lists).await;
    readers.shutdown().await;
    look_after(world, &desk.stage.recorder).await;
    measure(world, desk).await;
}

/// Repeats every command without a known outcome under its key, until it is known or the time is
/// over.
async fn settle(desk: &Desk) {
    let until = Instant::now() + KNOWN_WITHIN;
    let open = desk.sent().into_values().filter(|(_, _, outcome)| !outcome.is_known());
    let mut tasks = JoinSet::new();
    for (call, over, _) in open {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await;
        }
        let desk = desk.clone();
        tasks.spawn(async move {
            let mut session = None;
            if let Over::Session(at) = over {
                let channel = channel(desk.stage.addresses.grpc[at]);
                let name = format!("again-{}", call.token);
                session = Some(Session::new(channel, &call.actor, &name, &desk.stage.recorder));
            }
            while Instant::now() < until {
                if desk.once(&call, over, "again", &mut session).await.is_known() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Ends every order: by its deadline where that is near, else by commands that compete.
async fn end_all(plan: &Plan, desk: &Desk) {
    let mut orders = JoinSet::new();
    for place in 0..plan.orders.len() {
        let (desk, order) = (desk.clone(), plan.orders[place].clone());
        let steps = plan.ends[place].clone();
        orders.spawn(async move {
            let until = Instant::now() + ENDED_WITHIN;
            let is_short = order.opening.expires_in_ms == crate::plan::SHORT_LIFE_MS;
            let mut was_ended = is_short && !order.opening.sealed;
            while Instant::now() < until {
                match state(&desk, &order.id).await {
                    State::Ended => return,
                    State::Open if !was_ended => {
                        was_ended = true;
                        let competing = steps.iter().map(|step| {
                            let call = desk.call(place, &step.op, "ender", "buyer");
                            let (desk, over) = (desk.clone(), step.over);
                            async move { desk.insist(&call, over, "ender", &mut None).await }
                        });
                        futures_util::future::join_all(competing).await;
                        if state(&desk, &order.id).await == State::Open {
                            // An award that can still be undone is in the way of others, not of this.
                            desk.attempt(place, &Op::Cancel, Over::Grpc(order.home), "closer")
                                .await;
                        }
                    }
                    State::Open | State::Sealed | State::Silent => {}
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    while orders.join_next().await.is_some() {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Sealed,
    Ended,
    Silent,
}

async fn state(desk: &Desk, order: &str) -> State {
    for address in &desk.stage.addresses.rest {
        let path = format!("/api/v1/orders/{}{}", name::id(order), name::query(order));
        let Ok(answer) = crate::send::http::get(*address, &path).await else { continue };
        let body = answer.json();
        if answer.status == 200 {
            let is_over = !matches!(body["phase"].as_str(), Some("Open" | "Paused"));
            // Without a decision yet: `sealed` is true until the opening.
            let is_sealed = body["sealed"] == true;
            return match (is_over, is_sealed) {
                (true, _) => State::Ended,
                (false, true) => State::Sealed,
                (false, false) => State::Open,
            };
        }
    }
    State::Silent
}

/// Reads every order's list over gRPC and as server-sent events, at every processor.
async fn read_lists(plan: &Plan, desk: &Desk) -> BTreeMap<String, Vec<Event>> {
    let (recorder, addresses) = (&desk.stage.recorder, &desk.stage.addresses);
    let mut lists = BTreeMap::new();
    for order in &plan.orders {
        let until = Instant::now() + READ_WITHIN;
        // The processor that has it is asked first by gRPC, which is not handed on.
        let mut best = Err("nobody was asked".to_owned());
        while best.is_err() && Instant::now() < until {
            for grpc in &addresses.grpc {
                let answer = list(channel(*grpc), &order.id, READ_WITHIN).await;
                if answer.is_ok() || best.is_err() {
                    best = answer;
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
            recorder.write(Line::List(List { order, by, events }));
        };
        write("grpc", best);
        for (place, rest) in addresses.rest.iter().enumerate() {
            let events = tokio::time::timeout(READ_WITHIN, sse_list(*rest, &order.id)).await;
            write(&format!("sse {place}"), events.unwrap_or_else(|_| Err("no end".to_owned())));
            if let Ok(Ok(pages)) = tokio::time::timeout(READ_WITHIN, read(*rest, &order.id)).await {
                recorder.write(Line::Pages(pages));
            }
        }
    }
    lists
}

/// Waits until views show each order's end, and records the last reading of each.
async fn show(plan: &Plan, desk: &Desk, lists: &BTreeMap<String, Vec<Event>>) {
    let (recorder, addresses) = (&desk.stage.recorder, &desk.stage.addresses);
    let until = Instant::now() + SHOWN_WITHIN;
    for order in &plan.orders {
        let last = lists.get(&order.id).and_then(|list| list.last()).map_or(0, |event| event.seq);
        let mut pages = vec![(Page::Order, addresses.rest[0])];
        if order.owner == Owner::Requestor {
            pages.push((Page::Tracking, addresses.requestor));
        }
        for (page, address) in pages {
            loop {
                let view = look(address, page, &order.id, recorder).await;
                let is_there = view.as_ref().is_some_and(
                    |view| matches!(&view.found, Found::Order(seen) if seen.last_seq >= last),
                );
                if is_there || Instant::now() >= until {
                    if let Some(view) = view {
                        recorder.write(Line::View(crate::history::View { is_last: true, ..view }));
                    }
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    if let Some(roll) = roll(addresses.requestor, recorder).await {
        recorder.write(Line::Roll(roll));
    }
}

/// Records each process's metrics, once the streams of all readers have ended there.
async fn measure(world: &mut World, desk: &Desk) {
    let addresses = desk.stage.addresses.clone();
    let until = Instant::now() + QUIET_WITHIN;
    for (place, role) in world.roles().enumerate() {
        let Some((process, address)) = addresses.metrics.get(place) else { continue };
        let series = loop {
            let series = figures(*address).await.unwrap_or_default();
            let open: f64 = crate::check::in_flight(&series);
            if (open <= 0.0 && !series.is_empty()) || Instant::now() >= until {
                break series;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let orders = match addresses.rest.get(place) {
            Some(rest) => orders_listed(*rest).await,
            None => None,
        };
        desk.stage.recorder.write(Line::Figures(Figures {
            process: process.clone(),
            series,
            rss_kb: role.rss_kb(),
            descriptors: role.descriptors_open(),
            orders,
        }));
    }
}
