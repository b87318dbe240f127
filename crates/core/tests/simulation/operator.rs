//! The controller with its requestor: `plan` for each order, a tracker for each followed order.
//!
//! Two of these processes run; the lease gives one of them a new epoch at a time, but the other
//! learns of its loss late and acts on until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::command::{Act, Opening};
use orderstream_core::plan::{Desired, Seen, Step, plan};
use orderstream_core::spec::{SellerChoice, Verdict};
use orderstream_core::tracker::{Input, Output};
use orderstream_core::{Command, Epoch, SellerId, Snapshot, Timestamp, Tracker};

use super::history::{Entry, Status};
use super::processor::WALL_0;
use super::sim::{Asker, Happening, Heard, Sim, StreamRequest};
use super::world::{Api, order_key};

const PROCESSOR: &str = "http://processor-0";
const CONNECT_MS: u64 = 1_500;

#[derive(Debug)]
struct Follow {
    id: u64,
    tracker: Tracker,
    /// The stream that is up or asked for, and the time since when; absent while there is none.
    stream: Option<(u64, u64)>,
    stopped: bool,
}

#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) up: bool,
    pub(crate) life: u64,
    /// The epoch under which it believes that it leads; absent while it does not.
    pub(crate) epoch: Option<Epoch>,
    index: usize,
    follows: Vec<Option<Follow>>,
    desired: Vec<Desired>,
    in_flight: BTreeMap<(usize, String), usize>,
    located: bool,
}

fn opening(desired: &Desired) -> Act {
    let choices = ["s0", "s1", "s2"].map(|seller| SellerChoice {
        seller: SellerId::new(seller).unwrap(),
        verdict: Verdict::Chosen,
        distance_m: None,
    });
    let (incarnation, spec) = (desired.incarnation.clone(), desired.spec.clone());
    Act::Open(Box::new(Opening { incarnation, spec, choices: choices.into() }))
}

impl Operator {
    pub(crate) fn new(index: usize, api: &Api) -> Self {
        Self {
            up: true,
            life: 1,
            epoch: None,
            index,
            follows: api.orders.iter().map(|_| None).collect(),
            desired: api.orders.iter().map(|held| held.desired.clone()).collect(),
            in_flight: BTreeMap::new(),
            located: false,
        }
    }

    pub(crate) fn crash(&mut self, sim: &mut Sim, api: &Api) {
        if !self.up {
            return;
        }
        sim.fault("operator crash");
        let life = self.life + 1;
        *self = Self { up: false, life, ..Self::new(self.index, api) };
        let down_ms = sim.rng.between(50, 4_000);
        sim.after(down_ms, Happening::StartOperator(self.index));
    }

    /// Receives the lease under this epoch, or loses it.
    pub(crate) fn lead(&mut self, epoch: Option<Epoch>) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.in_flight.clear();
            for follow in &mut self.follows {
                *follow = None;
            }
        }
    }

    /// Reconciles every order once.
    pub(crate) fn poll(&mut self, sim: &mut Sim, api: &mut Api) {
        if !self.up || self.epoch.is_none() {
            return;
        }
        for order in 0..self.follows.len() {
            // A watch cache may lag.
            if !sim.trouble(200) {
                self.desired[order] = api.orders[order].desired.clone();
            }
            self.reconcile(sim, api, order);
        }
        self.located = true;
    }

    fn reconcile(&mut self, sim: &mut Sim, api: &mut Api, order: usize) {
        let held = &api.orders[order];
        if held.removed {
            self.follows[order] = None;
            return;
        }
        let snapshot = self.follows[order].as_ref().map(|f| Arc::new(f.tracker.snapshot()));
        let phases = ["Finalised", "Expired", "Closed", "Cancelled"];
        let seen = Seen {
            snapshot: snapshot.clone(),
            placement: held.placement.clone(),
            ready: vec![PROCESSOR.to_owned()],
            located: self.located,
            published_terminal: phases.contains(&held.status.phase),
        };
        let now = Timestamp(WALL_0 + i64::try_from(sim.t).unwrap());
        for step in plan(&self.desired[order], &seen, now) {
            if sim.trouble(30) {
                // Cut between two steps, or the API server refuses: the next look goes on.
                return;
            }
            match step {
                Step::Locate | Step::RequeueAt(_) => {}
                Step::Place(processor) => api.orders[order].placement = Some(processor),
                Step::Start(_) => self.ensure(sim, order),
                Step::Act(command) => self.act(sim, order, *command),
                Step::Stop => {
                    if let Some(follow) = &mut self.follows[order] {
                        follow.stopped = true;
                        follow.stream = None;
                    }
                }
                Step::Publish => self.publish(sim, api, order, snapshot.as_deref()),
                Step::Remove => api.orders[order].removed = true,
            }
        }
    }

    fn ensure(&mut self, sim: &mut Sim, order: usize) {
        let follow = self.follows[order].get_or_insert_with(|| Follow {
            id: sim.draw(),
            tracker: Tracker::new(order_key(order), self.desired[order].incarnation.clone()),
            stream: None,
            stopped: false,
        });
        let is_up = follow.tracker.snapshot().stream.active;
        let too_slow = |since: u64| !is_up && sim.t > since + CONNECT_MS;
        if follow.stream.is_some_and(|(_, since)| too_slow(since)) {
            follow.stream = None;
        }
        if follow.stream.is_none() && !follow.stopped {
            self.connect(sim, order);
        }
    }

    fn connect(&mut self, sim: &mut Sim, order: usize) {
        let (Some(epoch), Some(follow)) = (self.epoch, self.follows[order].as_mut()) else {
            return;
        };
        let (stream, after) = (sim.draw(), follow.tracker.resume_after());
        follow.stream = Some((stream, sim.t));
        sim.note(Entry::Resume { tracker: follow.id, order, after });
        let desired = &self.desired[order];
        let incarnation = Some(desired.incarnation.clone());
        let open = Command { incarnation, epoch: Some(epoch), ..Command::bare(opening(desired)) };
        let from = (self.index, self.life);
        let request = StreamRequest { from, order, stream, epoch, after, open };
        sim.send(&Happening::OpenStream(request));
    }

    fn act(&mut self, sim: &mut Sim, order: usize, command: Command) {
        let name = command.key.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.in_flight.contains_key(&(order, name.clone())) {
            return;
        }
        if let (Act::FollowUp(added), Some(follow)) = (&command.act, &mut self.follows[order]) {
            follow.tracker.step(Timestamp(0), Input::NoteAdded(added.id.clone()));
        }
        let command = Command { epoch: self.epoch, ..command };
        let op = sim.call(Asker::Operator(self.index, self.life), order, command);
        self.in_flight.insert((order, name), op);
    }

    /// A command was replied to, or given up: should it still be wanted, `plan` returns it again.
    pub(crate) fn acted(&mut self, op: usize) {
        self.in_flight.retain(|_, flying| *flying != op);
    }

    /// Writes the status, unless that would move it back.
    fn publish(&self, sim: &mut Sim, api: &mut Api, order: usize, seen: Option<&Snapshot>) {
        let Some(epoch) = self.epoch else { return };
        let status = Status {
            epoch,
            observed: self.desired[order].generation,
            last_seq: seen.map_or_else(Default::default, Snapshot::last_seq),
            phase: seen.map_or("Pending", |seen| seen.phase().as_str()),
        };
        let held = &mut api.orders[order].status;
        let back = status.epoch < held.epoch
            || status.observed < held.observed
            || status.last_seq < held.last_seq;
        if !back && *held != status {
            *held = status.clone();
            sim.note(Entry::Status { t: sim.t, order, status });
        }
    }

    pub(crate) fn hear(
        &mut self,
        sim: &mut Sim,
        api: &mut Api,
        (order, stream, what): (usize, u64, Heard),
    ) {
        let epoch = self.epoch.unwrap_or_default();
        let now = Timestamp(WALL_0 + i64::try_from(sim.t).unwrap());
        let Some(follow) = self.follows[order].as_mut() else { return };
        if follow.stream.is_none_or(|(current, _)| current != stream) {
            return;
        }
        let input = match what {
            Heard::Up => Input::Connected { processor: PROCESSOR.into(), epoch },
            Heard::Event(event) => Input::Received(event),
            Heard::End => Input::Disconnected { reason: "the stream ended".to_owned() },
        };
        if matches!(input, Input::Disconnected { .. }) {
            follow.stream = None;
        }
        let event = match &input {
            Input::Received(event) => Some(Arc::clone(event)),
            _ => None,
        };
        let output = follow.tracker.step(now, input);
        if let (Some(event), Output::Changed | Output::Ended) = (event, output) {
            let (tracker, event) = (follow.id, (*event).clone());
            sim.note(Entry::Deliver { t: sim.t, tracker, order, event });
        }
        match output {
            Output::ResumeAfter(_) => {
                follow.tracker.step(now, Input::Disconnected { reason: "a gap".to_owned() });
                self.connect(sim, order);
            }
            Output::Ended => self.reconcile(sim, api, order),
            Output::Changed if sim.rng.chance(200) => self.reconcile(sim, api, order),
            Output::Changed | Output::Ignored => {}
        }
    }
}
