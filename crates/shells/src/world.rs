//! Runs a plan: the time of all clocks, and the effect of a tick.

mod finish;
mod node;
mod pages;

use std::collections::BTreeMap;

use axum::body::Body;
use http::Request;
use orderstream_core::OrderKey;
use orderstream_core::placement::choose;
use orderstream_torture::history::{self, Line};
use orderstream_torture::op::{Op, Outcome, Over};
use orderstream_torture::plan::Weather;
use orderstream_torture::send::Call;
use orderstream_torture::send::http::Answer;

use self::node::Node;
use self::pages::Pages;
use crate::TICK_MS;
use crate::client::{Actor, Asked, Job, call};
use crate::host::{Host, Slot};
use crate::network::Network;
use crate::parts::Ground;
use crate::plan::{Fault, PROCESSORS, Part, Plan, What};
use crate::readers::{Pace, Recorder, connections, observe};

/// The results of a plan.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The history.
    pub lines: Vec<Line>,
    /// The duration in the time of the world, milliseconds.
    pub took_ms: u64,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Ran {
    // What the services draw for their pauses.
    fastrand::seed(plan.seed);
    let mut world = World::new(plan);
    world.act();
    world.finish();
    Ran { lines: world.recorder.lines(), took_ms: world.now_ms }
}

/// Commands that were sent, by token, with their outcome.
type Sent = BTreeMap<String, (Call, Over, Outcome)>;

struct World<'a> {
    plan: &'a Plan,
    now_ms: u64,
    rng: fastrand::Rng,
    nodes: Nodes,
    network: Network,
    urls: Vec<String>,
    readers: Host,
    recorder: Recorder,
    /// Each order's id, and the interface of its sellers.
    orders: Vec<(String, Over)>,
    pages: Pages,
    sent: Sent,
    /// Faults that have not begun; `lasting` has those that have not ended.
    faults: Vec<Fault>,
    lasting: Vec<Fault>,
}

/// The processors, and the requestor after them.
struct Nodes(Vec<Node>);

impl Nodes {
    fn of(&mut self, part: Part) -> &mut Node {
        &mut self.0[match part {
            Part::Processor(at) => at,
            Part::Requestor => PROCESSORS,
        }]
    }
}

impl Asked for Nodes {
    fn ask(&self, over: Over, request: Request<Body>) -> Option<Slot<Answer>> {
        let at = if let Over::Rest(at) = over { at } else { PROCESSORS };
        self.0[at].ask(request)
    }
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let urls: Vec<String> = (0..PROCESSORS).map(|at| format!("http://p{at}:50051")).collect();
        let network = Network::default();
        let ground = |node: &Node| Ground {
            clock: node.clock.clone(),
            network: network.clone(),
            urls: urls.clone(),
        };
        let parts = (0..PROCESSORS).map(Part::Processor).chain([Part::Requestor]);
        let mut nodes = Vec::new();
        for part in parts {
            let mut node = Node::new(
                part,
                match part {
                    Part::Processor(_) => plan.processors_sync,
                    Part::Requestor => plan.requestor_syncs,
                },
            );
            node.boot(0, &ground(&node));
            nodes.push(node);
        }
        let home = |(id, _): &(String, _)| {
            let key = OrderKey::new("default", id).expect("a key");
            let chosen = choose(&key, &urls).expect("there are processors");
            let at = urls.iter().position(|url| url == chosen).expect("it is one of them");
            (id.clone(), Over::Rest(at))
        };
        let orders: Vec<_> = plan.orders.iter().map(home).collect();
        let world = Self {
            plan,
            now_ms: 0,
            rng: fastrand::Rng::with_seed(plan.seed),
            nodes: Nodes(nodes),
            pages: Pages::new(&orders),
            network,
            urls,
            readers: Host::boot(),
            recorder: Recorder::default(),
            orders,
            sent: BTreeMap::new(),
            faults: plan.faults.clone(),
            lasting: Vec::new(),
        };
        world.read();
        world
    }

    /// Starts two readers of every order, one of which is slow.
    fn read(&self) {
        for (order, home) in &self.orders {
            for (pace, name) in [(Pace::Keen, "keen"), (Pace::Slow, "slow")] {
                let Over::Rest(at) = home else { continue };
                let made = self.readers.within(|| connections(&self.network, &self.urls[*at]));
                let names = (format!("{name}#{order}"), order.clone());
                self.readers.spawn(observe(made, self.recorder.clone(), names, pace));
            }
        }
    }

    /// Runs clients and faults, until both are over.
    fn act(&mut self) {
        let mut openers: Vec<Job> = Vec::new();
        for (place, (id, opening)) in self.plan.orders.iter().enumerate() {
            let opening = Op::Open(opening.clone());
            let call = call(("opener", "buyer"), id, &opening, place as u64 + 1);
            openers.push(Job::insistent(call, Over::Requestor));
        }
        let plan = self.plan;
        let clients = plan.clients.iter();
        let mut clients: Vec<Actor> =
            clients.map(|it| Actor::new(&it.name, &it.actor, it.steps.clone())).collect();
        let is_over = |clients: &[Actor], world: &Self| {
            world.is_late() || (clients.iter().all(Actor::is_done) && world.is_well())
        };
        while !is_over(&clients, self) {
            self.tick();
            for opener in &mut openers {
                opener.step((self.now_ms, "opener"), &self.nodes, &self.recorder);
            }
            for client in &mut clients {
                let told = client.step(self.now_ms, &self.orders, &self.nodes, &self.recorder);
                if let Some((call, over, outcome)) = told {
                    self.note(call, over, outcome);
                }
            }
        }
        for opener in openers.into_iter().filter(|opener| !opener.is_done()) {
            let (call, over) = (opener.call.clone(), opener.over);
            self.note(call, over, Outcome::unknown("not opened yet"));
        }
    }

    fn note(&mut self, call: Call, over: Over, outcome: Outcome) {
        let known = self.sent.get(&call.token).is_some_and(|(_, _, before)| before.is_known());
        if !known {
            self.sent.insert(call.token.clone(), (call, over, outcome));
        }
    }

    fn is_well(&self) -> bool {
        self.faults.is_empty() && self.lasting.is_empty() && self.nodes.0.iter().all(Node::is_up)
    }

    /// Reports whether the run has to end; the judge finds what is missing then.
    const fn is_late(&self) -> bool {
        self.now_ms > finish::LATEST_MS
    }

    /// Runs one tick of everything.
    fn tick(&mut self) {
        self.now_ms += TICK_MS;
        self.recorder.set(self.now_ms);
        self.break_and_mend();
        for node in &mut self.nodes.0 {
            let ground = Ground {
                clock: node.clock.clone(),
                network: self.network.clone(),
                urls: self.urls.clone(),
            };
            node.look_after(self.now_ms, &ground);
        }
        self.network.pump();
        self.nodes.0.iter().for_each(|node| node.pump(self.now_ms, &mut self.rng));
        self.pages.step(self.now_ms, &self.nodes, &self.recorder);
        self.nodes.0.iter().for_each(|node| node.tick(self.now_ms));
        self.readers.tick();
    }

    fn break_and_mend(&mut self) {
        let now_ms = self.now_ms;
        for fault in self.lasting.extract_if(.., |it| it.at_ms + it.for_ms <= now_ms) {
            match fault.what {
                What::Link(at, _) => self.network.set(&self.urls[at], Weather::Fair),
                What::Disk(part, _) => self.nodes.of(part).device.disk.set(None),
                What::Crash(_)
                | What::Stop(_)
                | What::Freeze(_)
                | What::Hold(_)
                | What::Clock(..) => {}
            }
        }
        for fault in self.faults.extract_if(.., |it| it.at_ms <= now_ms) {
            let until_ms = now_ms + fault.for_ms;
            match fault.what {
                What::Crash(part) => self.nodes.of(part).crash(until_ms),
                What::Stop(part) => self.nodes.of(part).stop(now_ms, fault.for_ms),
                What::Freeze(part) => self.nodes.of(part).freeze(until_ms),
                What::Hold(part) => self.nodes.of(part).hold(until_ms),
                What::Link(at, weather) => self.network.set(&self.urls[at], weather),
                What::Disk(part, trouble) => {
                    self.nodes.of(part).device.disk.set(Some(trouble));
                }
                What::Clock(part, by_ms) => self.nodes.of(part).clock.jump(by_ms),
            }
            self.recorder.write(Line::Fault(history::Fault {
                t_start: now_ms * 1_000,
                t_end: until_ms * 1_000,
                what: format!("{:?}", fault.what),
                whom: String::new(),
            }));
            self.lasting.push(fault);
        }
    }
}
