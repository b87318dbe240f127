//! Runs a plan: advances the time of all clocks, and applies the effects of each tick.

mod finish;
mod node;
mod pages;

use std::collections::BTreeMap;

use axum::body::Body;
use http::Request;
use orderstream_core::OrderKey;
use orderstream_core::placement::choose;
use orderstream_torture::command::{ClientCommand, ClientInterface, ClientOutcome};
use orderstream_torture::history::{self, HistoryLine};
use orderstream_torture::plan::LinkCondition;
use orderstream_torture::send::ClientRequest;
use orderstream_torture::send::http::PlainResponse;

use self::node::HostNode;
use self::pages::PagePollers;
use crate::TICK_MS;
use crate::client::{Job, RequestTarget, SimulatedClient, call};
use crate::host::{Host, ResultSlot};
use crate::network::Network;
use crate::parts::HostEnvironment;
use crate::plan::{FaultWindow, HostFault, HostRole, PROCESSORS, SimulationPlan};
use crate::readers::{Pace, SimulationRecorder, connections, observe};

/// The results of running a plan.
#[derive(Clone, Debug)]
pub struct SimulationRun {
    /// The history.
    pub lines: Vec<HistoryLine>,
    /// The duration in simulated time, milliseconds.
    pub took_ms: u64,
}

/// Runs a plan to its end.
pub fn run(plan: &SimulationPlan) -> SimulationRun {
    // Seeds the jitter of the services' back-offs.
    fastrand::seed(plan.seed);
    let mut world = SimulatedWorld::new(plan);
    world.run_clients();
    world.finish();
    SimulationRun { lines: world.recorder.lines(), took_ms: world.now_ms }
}

/// The sent commands, by token, with their outcomes.
type SentCalls = BTreeMap<String, (ClientRequest, ClientInterface, ClientOutcome)>;

struct SimulatedWorld<'a> {
    plan: &'a SimulationPlan,
    now_ms: u64,
    rng: fastrand::Rng,
    nodes: Nodes,
    network: Network,
    urls: Vec<String>,
    readers: Host,
    recorder: SimulationRecorder,
    /// Each order's id, and the interface that its sellers use.
    orders: Vec<(String, ClientInterface)>,
    pages: PagePollers,
    sent: SentCalls,
    /// The faults that have not started; `active_faults` has those that have started and not ended.
    faults: Vec<FaultWindow>,
    active_faults: Vec<FaultWindow>,
}

/// The processors, and the requestor after them.
struct Nodes(Vec<HostNode>);

impl Nodes {
    fn of(&mut self, role: HostRole) -> &mut HostNode {
        &mut self.0[match role {
            HostRole::Processor(at) => at,
            HostRole::Requestor => PROCESSORS,
        }]
    }
}

impl RequestTarget for Nodes {
    fn send(
        &self,
        over: ClientInterface,
        request: Request<Body>,
    ) -> Option<ResultSlot<PlainResponse>> {
        let at = if let ClientInterface::Rest(at) = over { at } else { PROCESSORS };
        self.0[at].send(request)
    }
}

impl<'a> SimulatedWorld<'a> {
    fn new(plan: &'a SimulationPlan) -> Self {
        let urls: Vec<String> = (0..PROCESSORS).map(|at| format!("http://p{at}:50051")).collect();
        let network = Network::default();
        let environment = |node: &HostNode| HostEnvironment {
            clock: node.clock.clone(),
            network: network.clone(),
            urls: urls.clone(),
        };
        let roles = (0..PROCESSORS).map(HostRole::Processor).chain([HostRole::Requestor]);
        let mut nodes = Vec::new();
        for role in roles {
            let mut node = HostNode::new(
                role,
                match role {
                    HostRole::Processor(_) => plan.processors_sync,
                    HostRole::Requestor => plan.requestor_syncs,
                },
            );
            node.boot(0, &environment(&node));
            nodes.push(node);
        }
        let home = |(id, _): &(String, _)| {
            let key = OrderKey::new("default", id).expect("a key");
            let chosen = choose(&key, &urls).expect("there are processors");
            let at = urls.iter().position(|url| url == chosen).expect("it is one of them");
            (id.clone(), ClientInterface::Rest(at))
        };
        let orders: Vec<_> = plan.orders.iter().map(home).collect();
        let world = Self {
            plan,
            now_ms: 0,
            rng: fastrand::Rng::with_seed(plan.seed),
            nodes: Nodes(nodes),
            pages: PagePollers::new(&orders),
            network,
            urls,
            readers: Host::boot(),
            recorder: SimulationRecorder::default(),
            orders,
            sent: BTreeMap::new(),
            faults: plan.faults.clone(),
            active_faults: Vec::new(),
        };
        world.start_readers();
        world
    }

    /// Starts two readers of every order; one of them is slow.
    fn start_readers(&self) {
        for (order, home) in &self.orders {
            for (pace, name) in [(Pace::Keen, "keen"), (Pace::Slow, "slow")] {
                let ClientInterface::Rest(at) = home else { continue };
                let reader_connections =
                    self.readers.within(|| connections(&self.network, &self.urls[*at]));
                let (recorder, name) = (self.recorder.clone(), format!("{name}#{order}"));
                let reader = observe(reader_connections, recorder, name, order.clone(), pace);
                self.readers.spawn(reader);
            }
        }
    }

    /// Runs clients and faults until both have ended.
    fn run_clients(&mut self) {
        let mut openers: Vec<Job> = Vec::new();
        for (index, (id, opening)) in self.plan.orders.iter().enumerate() {
            let opening = ClientCommand::Open(opening.clone());
            let call = call("opener", "buyer", id, &opening, index as u64 + 1);
            openers.push(Job::insistent(call, ClientInterface::Requestor));
        }
        let plan = self.plan;
        let clients = plan.clients.iter();
        let mut clients: Vec<SimulatedClient> =
            clients.map(|it| SimulatedClient::new(&it.name, &it.actor, it.steps.clone())).collect();
        let is_over = |clients: &[SimulatedClient], world: &Self| {
            world.is_late() || (clients.iter().all(SimulatedClient::is_done) && world.is_healthy())
        };
        while !is_over(&clients, self) {
            self.tick();
            for opener in &mut openers {
                opener.step(self.now_ms, "opener", &self.nodes, &self.recorder);
            }
            for client in &mut clients {
                let ended = client.step(self.now_ms, &self.orders, &self.nodes, &self.recorder);
                if let Some((call, over, outcome)) = ended {
                    self.record_call(call, over, outcome);
                }
            }
        }
        for opener in openers.into_iter().filter(|opener| !opener.is_done()) {
            let (call, over) = (opener.call.clone(), opener.over);
            self.record_call(call, over, ClientOutcome::unknown("not opened yet"));
        }
    }

    fn record_call(&mut self, call: ClientRequest, over: ClientInterface, outcome: ClientOutcome) {
        let known = self.sent.get(&call.token).is_some_and(|(_, _, before)| before.is_known());
        if !known {
            self.sent.insert(call.token.clone(), (call, over, outcome));
        }
    }

    fn is_healthy(&self) -> bool {
        self.faults.is_empty()
            && self.active_faults.is_empty()
            && self.nodes.0.iter().all(HostNode::is_up)
    }

    /// Reports whether the run has reached its time limit; the checker then finds what is missing.
    const fn is_late(&self) -> bool {
        self.now_ms > finish::RUN_LIMIT_MS
    }

    /// Runs one tick of all components.
    fn tick(&mut self) {
        self.now_ms += TICK_MS;
        self.recorder.set(self.now_ms);
        self.apply_faults();
        for node in &mut self.nodes.0 {
            let environment = HostEnvironment {
                clock: node.clock.clone(),
                network: self.network.clone(),
                urls: self.urls.clone(),
            };
            node.supervise(self.now_ms, &environment);
        }
        self.network.pump();
        self.nodes.0.iter().for_each(|node| node.pump(self.now_ms, &mut self.rng));
        self.pages.step(self.now_ms, &self.nodes, &self.recorder);
        self.nodes.0.iter().for_each(|node| node.tick(self.now_ms));
        self.readers.tick();
    }

    fn apply_faults(&mut self) {
        let now_ms = self.now_ms;
        for fault in self.active_faults.extract_if(.., |it| it.at_ms + it.for_ms <= now_ms) {
            match fault.kind {
                HostFault::Link(at, _) => self.network.set(&self.urls[at], LinkCondition::Healthy),
                HostFault::Disk(part, _) => self.nodes.of(part).journal.disk.set(None),
                HostFault::Crash(_)
                | HostFault::Stop(_)
                | HostFault::Freeze(_)
                | HostFault::Hold(_)
                | HostFault::Clock(..) => {}
            }
        }
        for fault in self.faults.extract_if(.., |it| it.at_ms <= now_ms) {
            let until_ms = now_ms + fault.for_ms;
            match fault.kind {
                HostFault::Crash(part) => self.nodes.of(part).crash(until_ms),
                HostFault::Stop(part) => self.nodes.of(part).stop(now_ms, fault.for_ms),
                HostFault::Freeze(part) => self.nodes.of(part).freeze(until_ms),
                HostFault::Hold(part) => self.nodes.of(part).hold(until_ms),
                HostFault::Link(at, weather) => self.network.set(&self.urls[at], weather),
                HostFault::Disk(part, trouble) => {
                    self.nodes.of(part).journal.disk.set(Some(trouble));
                }
                HostFault::Clock(part, by_ms) => self.nodes.of(part).clock.jump(by_ms),
            }
            self.recorder.write(HistoryLine::Fault(history::FaultSpan {
                started_at: now_ms * 1_000,
                ended_at: until_ms * 1_000,
                kind: format!("{:?}", fault.kind),
                target: String::new(),
            }));
            self.active_faults.push(fault);
        }
    }
}
