//! One run of a small world: an owner, two controllers, an API server, three sellers, a buyer, and
//! everything that can go wrong between them.

use orderstream_core::plan::DesiredOrder;
use orderstream_core::spec::SellerLimits;
use orderstream_core::{Epoch, Event, Incarnation, OrderKey, OrderSpec};

use super::clients::{Clients, seller};
use super::history::{Entry, FinalState, History, Status};
use super::operator::Operator;
use super::processor::Processor;
use super::sim::{Initiator, Sim, SimEvent};

const ORDERS: usize = 2;
const CALM_MS: u64 = 15_000;
const POLL_MS: u64 = 500;

/// An order's resource.
#[derive(Debug)]
pub(crate) struct OrderResource {
    pub(crate) desired: DesiredOrder,
    pub(crate) placement: Option<String>,
    pub(crate) status: Status,
    pub(crate) removed: bool,
}

/// The API server: it stores what is written to it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) orders: Vec<OrderResource>,
    /// The index of the leader, and its epoch.
    pub(crate) lease: (usize, u64),
}

pub(crate) fn order_key(order: usize) -> OrderKey {
    OrderKey::new("default", ["SB1", "SB2"][order]).unwrap()
}

fn order_resource(sim: &mut Sim, order: usize) -> OrderResource {
    let expires_in_ms = sim.rng.between(10, 60) * 1_000;
    let sealed = sim.rng.chance(250);
    let decide_within_ms = sim.rng.chance(500).then(|| sim.rng.between(0, 20) * 1_000);
    // Of the three sellers one may be left out.
    let names = if sim.rng.chance(300) { vec![seller(0), seller(1)] } else { Vec::new() };
    let open_to_all = sim.rng.chance(300);
    let sellers = SellerLimits { names, open_to_all, ..SellerLimits::default() };
    let ttl_ms = if sim.rng.chance(300) { 5_000 } else { 3_600_000 };
    let desired = DesiredOrder {
        key: order_key(order),
        incarnation: Incarnation::new(format!("uid-{order}")).unwrap(),
        spec: OrderSpec {
            expires_in_ms,
            decide_within_ms,
            sealed,
            sellers,
            ..OrderSpec::default()
        },
        follow_ups: Vec::new(),
        suspend: false,
        suspend_reason: None,
        cancel: false,
        cancel_reason: None,
        close: None,
        award: None,
        generation: 1,
        ttl_after_finished_ms: ttl_ms,
    };
    let status = Status { phase: "Pending", ..Status::default() };
    OrderResource { desired, placement: None, status, removed: false }
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
    let orders = (0..ORDERS).map(|order| order_resource(&mut sim, order)).collect();
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
    /// Draws every participant's actions and every fault, with their times.
    fn schedule(&mut self) {
        let sim = &mut self.sim;
        let until = sim.rng.between(8, 30) * 1_000;
        sim.at(0, SimEvent::PollProcessor);
        sim.at(0, SimEvent::PollOperator(0));
        sim.at(0, SimEvent::PollOperator(1));
        for _ in 0..sim.rng.between(5, 40) {
            let (at, who) = (sim.rng.below(until), sim.rng.index(3));
            sim.at(at, SimEvent::Seller(who));
        }
        for _ in 0..sim.rng.between(0, 12) {
            let at = sim.rng.below(until);
            sim.at(at, SimEvent::Buyer);
        }
        // One world in eight has no faults at all, so that promptness can be checked too.
        if sim.rng.chance(125) {
            sim.calm = true;
        } else {
            for _ in 0..sim.rng.between(1, 10) {
                let at = sim.rng.below(until);
                let event = match sim.rng.below(10) {
                    0..=3 => SimEvent::CrashProcessor,
                    4..=5 => SimEvent::CrashOperator(sim.rng.index(2)),
                    6..=8 => SimEvent::TakeOver,
                    _ => SimEvent::ClockJump,
                };
                sim.at(at, event);
            }
        }
        sim.at(until, SimEvent::Calm);
    }

    fn run(&mut self) {
        let mut end = u64::MAX;
        while let Some(event) = self.sim.next() {
            if self.sim.now_ms > end {
                break;
            }
            if matches!(event, SimEvent::Calm) {
                self.sim.calm = true;
                end = self.sim.now_ms + CALM_MS;
                self.processor.start();
                // Should the lease's holder have died, the other one takes over.
                self.take_over();
            } else {
                self.handle(event);
            }
            // A process can end between any two steps.
            if self.sim.draw_fault(2) {
                self.processor.crash(&mut self.sim);
            }
        }
    }

    fn handle(&mut self, event: SimEvent) {
        let sim = &mut self.sim;
        match event {
            SimEvent::Sync(incarnation) => self.processor.sync(sim, incarnation),
            SimEvent::PollProcessor => {
                self.processor.poll(sim);
                sim.after(POLL_MS, SimEvent::PollProcessor);
            }
            SimEvent::PollOperator(index) => {
                self.operators[index].poll(sim, &mut self.api);
                sim.after(POLL_MS, SimEvent::PollOperator(index));
            }
            SimEvent::Request(operation) => self.processor.request(sim, operation),
            SimEvent::Response(operation, result) => self.response(operation, &result),
            SimEvent::Timeout(operation) => self.timeout(operation),
            SimEvent::OpenStream(request) => self.processor.open_stream(sim, request),
            SimEvent::DeliverMessage { to: (index, incarnation), order, stream, message } => {
                let operator = &mut self.operators[index];
                let is_running = operator.up && operator.incarnation == incarnation;
                if is_running && operator.has_stream(order, stream) {
                    operator.receive(sim, &mut self.api, order, message);
                }
            }
            SimEvent::Seller(index) => self.clients.seller(sim, &self.api, index),
            SimEvent::Buyer => self.clients.buyer(sim, &mut self.api),
            SimEvent::CrashProcessor => self.processor.crash(sim),
            SimEvent::StartProcessor => self.processor.start(),
            SimEvent::CrashOperator(index) => self.operators[index].crash(sim, &self.api),
            SimEvent::StartOperator(index) => {
                self.operators[index].up = true;
                if self.api.lease.0 == index {
                    // The same holder again, but another start of it: a new epoch.
                    self.grant_lease(index);
                }
            }
            SimEvent::TakeOver => self.take_over(),
            SimEvent::LeaseObserved(index, epoch) => self.observe_lease(index, epoch),
            SimEvent::ClockJump => {
                sim.fault("clock jump");
                let hour = 3_600_000;
                let forward = sim.rng.chance(500);
                self.processor.clock_offset += if forward { hour } else { -hour };
            }
            SimEvent::Calm => {}
        }
    }

    fn response(
        &mut self,
        operation: usize,
        result: &Result<orderstream_core::Reply, orderstream_core::Reason>,
    ) {
        match self.sim.operations[operation].initiator {
            Initiator::Client => {}
            Initiator::Operator(index, incarnation) => {
                let operator = &mut self.operators[index];
                if !operator.up || operator.incarnation != incarnation {
                    return;
                }
                operator.command_finished(operation);
            }
        }
        self.sim.returned(operation, result);
        self.clients.learn(&self.sim, operation, result);
    }

    fn timeout(&mut self, operation: usize) {
        if let Initiator::Operator(index, incarnation) = self.sim.operations[operation].initiator {
            let operator = &mut self.operators[index];
            if !operator.up || operator.incarnation != incarnation {
                return;
            }
            if self.sim.operations[operation].tries >= 4 {
                operator.command_finished(operation);
                return;
            }
        }
        self.sim.timeout(operation);
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
        let epoch = self.api.lease.1;
        self.sim.after(late, SimEvent::LeaseObserved(1 - other, epoch));
    }

    fn grant_lease(&mut self, index: usize) {
        self.api.lease = (index, self.api.lease.1 + 1);
        let epoch = self.api.lease.1;
        self.operators[index].lead(Some(Epoch(epoch)));
    }

    fn observe_lease(&mut self, index: usize, epoch: u64) {
        if self.api.lease.0 != index && self.api.lease.1 >= epoch {
            self.operators[index].lead(None);
        }
    }

    fn finish(mut self) -> History {
        let mut history = std::mem::take(&mut self.sim.history);
        history.calm_ms = CALM_MS;
        history.owner_clock = self.processor.clock(&self.sim).0;
        for (order, resource) in self.api.orders.into_iter().enumerate() {
            let list: Vec<Event> =
                self.processor.list(order).iter().map(|event| (**event).clone()).collect();
            let list = list.into_iter().take_while(|e| e.seq <= self.processor.through(order));
            history.finals.push(FinalState {
                list: list.collect(),
                desired: resource.desired,
                status: resource.status,
                removed: resource.removed,
            });
        }
        history.entries.push(Entry::Fault { time_ms: self.sim.now_ms, fault: "end" });
        history
    }
}
