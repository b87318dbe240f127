//! One run of a small world: an owner, two controllers, an API server, three sellers, a buyer, and
//! everything that can go wrong between them.

use orderstream_core::plan::Desired;
use orderstream_core::{Epoch, Event, Incarnation, OrderKey, OrderSpec};

use super::clients::Clients;
use super::history::{Entry, Final, History, Status};
use super::operator::Operator;
use super::processor::Processor;
use super::sim::{Asker, Happening, Sim};

const ORDERS: usize = 2;
const CALM_MS: u64 = 15_000;
const POLL_MS: u64 = 500;

/// An order's resource.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) desired: Desired,
    pub(crate) placement: Option<String>,
    pub(crate) status: Status,
    pub(crate) removed: bool,
}

/// The API server: it keeps what was written to it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) orders: Vec<Held>,
    /// The index of the leader, and its epoch.
    pub(crate) lease: (usize, u64),
}

pub(crate) fn order_key(order: usize) -> OrderKey {
    OrderKey::new("default", ["SB1", "SB2"][order]).unwrap()
}

fn held(sim: &mut Sim, order: usize) -> Held {
    let expires_in_ms = sim.rng.between(10, 60) * 1_000;
    let sealed = sim.rng.chance(250);
    let keeps_ms = if sim.rng.chance(300) { 5_000 } else { 3_600_000 };
    let desired = Desired {
        key: order_key(order),
        incarnation: Incarnation::new(format!("uid-{order}")).unwrap(),
        spec: OrderSpec { expires_in_ms, sealed, ..OrderSpec::default() },
        follow_ups: Vec::new(),
        suspend: false,
        suspend_reason: None,
        cancel: false,
        cancel_reason: None,
        close: None,
        award: None,
        generation: 1,
        ttl_after_finished_ms: keeps_ms,
    };
    let status = Status { phase: "Pending", ..Status::default() };
    Held { desired, placement: None, status, removed: false }
}

#[derive(Debug)]
struct World {
    sim: Sim,
    api: Api,
    processor: Processor,
    operators: Vec<Operator>,
    clients: Clients,
}

/// Plays one run and returns its history.
pub(crate) fn play(seed: u64) -> History {
    let mut sim = Sim::new(seed);
    let orders = (0..ORDERS).map(|order| held(&mut sim, order)).collect();
    let api = Api { orders, lease: (0, 1) };
    let mut operators = vec![Operator::new(0, &api), Operator::new(1, &api)];
    operators[0].lead(Some(Epoch(1)));
    let processor = Processor::new(ORDERS);
    let mut world = World { sim, api, processor, operators, clients: Clients::default() };
    world.schedule();
    world.run();
    world.finish()
}

impl World {
    /// Draws every player's actions and every fault, with their times.
    fn schedule(&mut self) {
        let sim = &mut self.sim;
        let until = sim.rng.between(8, 30) * 1_000;
        sim.at(0, Happening::PollProcessor);
        sim.at(0, Happening::PollOperator(0));
        sim.at(0, Happening::PollOperator(1));
        for _ in 0..sim.rng.between(5, 40) {
            let (at, who) = (sim.rng.below(until), sim.rng.index(3));
            sim.at(at, Happening::Seller(who));
        }
        for _ in 0..sim.rng.between(0, 12) {
            let at = sim.rng.below(until);
            sim.at(at, Happening::Buyer);
        }
        // A world in eight has no faults at all, so that promptness can be judged too.
        if sim.rng.chance(125) {
            sim.calm = true;
        } else {
            for _ in 0..sim.rng.between(1, 10) {
                let at = sim.rng.below(until);
                let what = match sim.rng.below(10) {
                    0..=3 => Happening::CrashProcessor,
                    4..=5 => Happening::CrashOperator(sim.rng.index(2)),
                    6..=8 => Happening::TakeOver,
                    _ => Happening::ClockJump,
                };
                sim.at(at, what);
            }
        }
        sim.at(until, Happening::Calm);
    }

    fn run(&mut self) {
        let mut end = u64::MAX;
        while let Some(what) = self.sim.next() {
            if self.sim.t > end {
                break;
            }
            if matches!(what, Happening::Calm) {
                self.sim.calm = true;
                end = self.sim.t + CALM_MS;
                self.processor.start();
                // Should the lease's holder have died, the other one takes over.
                self.take_over();
            } else {
                self.happen(what);
            }
            // A process can end between any two steps.
            if self.sim.trouble(2) {
                self.processor.crash(&mut self.sim);
            }
        }
    }

    fn happen(&mut self, what: Happening) {
        let sim = &mut self.sim;
        match what {
            Happening::Sync(life) => self.processor.sync(sim, life),
            Happening::PollProcessor => {
                self.processor.poll(sim);
                sim.after(POLL_MS, Happening::PollProcessor);
            }
            Happening::PollOperator(index) => {
                self.operators[index].poll(sim, &mut self.api);
                sim.after(POLL_MS, Happening::PollOperator(index));
            }
            Happening::Request(op) => self.processor.request(sim, op),
            Happening::Response(op, result) => self.response(op, &result),
            Happening::Timeout(op) => self.timeout(op),
            Happening::OpenStream(request) => self.processor.open_stream(sim, request),
            Happening::Hear { to: (index, life), order, stream, what } => {
                let operator = &mut self.operators[index];
                if operator.up && operator.life == life {
                    operator.hear(sim, &mut self.api, (order, stream, what));
                }
            }
            Happening::Seller(index) => self.clients.seller(sim, &self.api, index),
            Happening::Buyer => self.clients.buyer(sim, &mut self.api),
            Happening::CrashProcessor => self.processor.crash(sim),
            Happening::StartProcessor => self.processor.start(),
            Happening::CrashOperator(index) => self.operators[index].crash(sim, &self.api),
            Happening::StartOperator(index) => {
                self.operators[index].up = true;
                if self.api.lease.0 == index {
                    // The same holder again, but another start of it: a new epoch.
                    self.grant_lease(index);
                }
            }
            Happening::TakeOver => self.take_over(),
            Happening::LeaseNoticed(index, seen) => self.notice_lease(index, seen),
            Happening::ClockJump => {
                sim.fault("clock jump");
                let hour = 3_600_000;
                let forward = sim.rng.chance(500);
                self.processor.clock_offset += if forward { hour } else { -hour };
            }
            Happening::Calm => {}
        }
    }

    fn response(
        &mut self,
        op: usize,
        result: &Result<orderstream_core::Answer, orderstream_core::Reason>,
    ) {
        match self.sim.ops[op].asker {
            Asker::Client => {}
            Asker::Operator(index, life) => {
                let operator = &mut self.operators[index];
                if !operator.up || operator.life != life {
                    return;
                }
                operator.acted(op);
            }
        }
        self.sim.returned(op, result);
        self.clients.learn(&self.sim, op, result);
    }

    fn timeout(&mut self, op: usize) {
        if let Asker::Operator(index, life) = self.sim.ops[op].asker {
            let operator = &mut self.operators[index];
            if !operator.up || operator.life != life {
                return;
            }
            if self.sim.ops[op].tries >= 4 {
                operator.acted(op);
                return;
            }
        }
        self.sim.timeout(op);
    }

    /// Gives the lease to the other operator; the former holder learns of it late.
    fn take_over(&mut self) {
        let other = 1 - self.api.lease.0;
        if !self.operators[other].up {
            return;
        }
        self.sim.fault("take-over");
        self.grant_lease(other);
        let late = if self.sim.calm { 0 } else { self.sim.rng.below(8_000) };
        let seen = self.api.lease.1;
        self.sim.after(late, Happening::LeaseNoticed(1 - other, seen));
    }

    fn grant_lease(&mut self, index: usize) {
        self.api.lease = (index, self.api.lease.1 + 1);
        let seen = self.api.lease.1;
        self.operators[index].lead(Some(Epoch(seen)));
    }

    fn notice_lease(&mut self, index: usize, seen: u64) {
        if self.api.lease.0 != index && self.api.lease.1 >= seen {
            self.operators[index].lead(None);
        }
    }

    fn finish(mut self) -> History {
        let mut history = std::mem::take(&mut self.sim.history);
        history.calm_ms = CALM_MS;
        history.owner_clock = self.processor.clock(&self.sim).0;
        for (order, held) in self.api.orders.into_iter().enumerate() {
            let list: Vec<Event> =
                self.processor.list(order).iter().map(|event| (**event).clone()).collect();
            let list = list.into_iter().take_while(|e| e.seq <= self.processor.through(order));
            history.finals.push(Final {
                list: list.collect(),
                desired: held.desired,
                status: held.status,
                removed: held.removed,
            });
        }
        history.entries.push(Entry::Fault { t: self.sim.t, what: "end" });
        history
    }
}
