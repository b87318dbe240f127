//! The controller with its requestor: `plan` for each order, a tracker for each followed order.
//!
//! Two of these processes run; the lease gives one of them a new epoch at a time, but the other
//! learns of its loss late and keeps acting until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::command::{CommandKind, OrderOpening};
use orderstream_core::plan::{DesiredOrder, OrderObservation, ReconcileStep, plan};
use orderstream_core::spec::{SellerChoice, Verdict};
use orderstream_core::tracker::{TrackerInput, TrackerOutput};
use orderstream_core::{Command, Epoch, SellerId, Timestamp, Tracker, TrackerSnapshot};

use super::history::{Entry, Status};
use super::processor::WALL_0;
use super::sim::{Initiator, Sim, SimEvent, StreamMessage, StreamRequest};
use super::world::{Api, order_key};

const PROCESSOR: &str = "http://processor-0";
const CONNECT_MS: u64 = 1_500;

#[derive(Debug)]
struct FollowedOrder {
    id: u64,
    tracker: Tracker,
    /// The stream that is up or requested, and the time since when; absent while there is none.
    stream: Option<(u64, u64)>,
    /// That stream is up.
    is_up: bool,
    stopped: bool,
}

#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) up: bool,
    pub(crate) incarnation: u64,
    /// The epoch under which it believes that it leads; absent while it does not.
    pub(crate) epoch: Option<Epoch>,
    index: usize,
    follows: Vec<Option<FollowedOrder>>,
    desired: Vec<DesiredOrder>,
    in_flight: BTreeMap<(usize, String), usize>,
    located: bool,
}

fn opening(desired: &DesiredOrder) -> CommandKind {
    let choices = ["s0", "s1", "s2"].map(|name| {
        let seller = SellerId::new(name).unwrap();
        let names = &desired.spec.sellers.names;
        let is_chosen = names.is_empty() || names.contains(&seller);
        let verdict = if is_chosen { Verdict::Chosen } else { Verdict::NotNamed };
        SellerChoice { seller, verdict, distance_m: None, display_name: None }
    });
    let (incarnation, spec) = (desired.incarnation.clone(), desired.spec.clone());
    CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices: choices.into() }))
}

impl Operator {
    pub(crate) fn new(index: usize, api: &Api) -> Self {
        Self {
            up: true,
            incarnation: 1,
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
        let incarnation = self.incarnation + 1;
        *self = Self { up: false, incarnation, ..Self::new(self.index, api) };
        let down_ms = sim.rng.between(50, 4_000);
        sim.after(down_ms, SimEvent::StartOperator(self.index));
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
            if !sim.draw_fault(200) {
                self.desired[order] = api.orders[order].desired.clone();
            }
            self.reconcile(sim, api, order);
        }
        self.located = true;
    }

    fn reconcile(&mut self, sim: &mut Sim, api: &mut Api, order: usize) {
        let resource = &api.orders[order];
        if resource.removed {
            self.follows[order] = None;
            return;
        }
        let snapshot = self.follows[order].as_ref().map(|f| Arc::new(f.tracker.snapshot()));
        let phases = ["Finalised", "Expired", "Closed", "Cancelled"];
        let observed = OrderObservation {
            snapshot: snapshot.clone(),
            placement: resource.placement.clone(),
            ready: vec![PROCESSOR.to_owned()],
            located: self.located,
            published_terminal: phases.contains(&resource.status.phase),
        };
        let now = Timestamp(WALL_0 + i64::try_from(sim.now_ms).unwrap());
        for step in plan(&self.desired[order], &observed, now) {
            if sim.draw_fault(30) {
                // Interrupted between two steps, or refused by the API server: the next
                // reconciliation continues.
                return;
            }
            match step {
                ReconcileStep::Locate | ReconcileStep::RequeueAt(_) => {}
                ReconcileStep::Place(processor) => api.orders[order].placement = Some(processor),
                ReconcileStep::Start(_) => self.ensure(sim, order),
                ReconcileStep::SendCommand(command) => self.send_command(sim, order, *command),
                ReconcileStep::Stop => {
                    if let Some(follow) = &mut self.follows[order] {
                        follow.stopped = true;
                        follow.stream = None;
                    }
                }
                ReconcileStep::Publish => self.publish(sim, api, order, snapshot.as_deref()),
                ReconcileStep::Remove => api.orders[order].removed = true,
            }
        }
    }

    fn ensure(&mut self, sim: &mut Sim, order: usize) {
        let follow = self.follows[order].get_or_insert_with(|| FollowedOrder {
            id: sim.draw(),
            tracker: Tracker::new(order_key(order), self.desired[order].incarnation.clone()),
            stream: None,
            is_up: false,
            stopped: false,
        });
        let too_slow = |since: u64| !follow.is_up && sim.now_ms > since + CONNECT_MS;
        if follow.stream.is_some_and(|(_, since)| too_slow(since)) {
            let now = Timestamp(WALL_0 + i64::try_from(sim.now_ms).unwrap());
            let reason = "no stream in time".to_owned();
            follow.tracker.step(now, TrackerInput::Disconnected { reason });
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
        (follow.stream, follow.is_up) = (Some((stream, sim.now_ms)), false);
        sim.record(Entry::Resume { tracker: follow.id, order, after });
        let desired = &self.desired[order];
        let incarnation = Some(desired.incarnation.clone());
        let open = Command { incarnation, epoch: Some(epoch), ..Command::bare(opening(desired)) };
        let from = (self.index, self.incarnation);
        let request = StreamRequest { from, order, stream, epoch, after, open };
        sim.send(&SimEvent::OpenStream(request));
    }

    fn send_command(&mut self, sim: &mut Sim, order: usize, command: Command) {
        let name = command.key.as_ref().map(ToString::to_string).unwrap_or_default();
        if self.in_flight.contains_key(&(order, name.clone())) {
            return;
        }
        if let (CommandKind::FollowUp(added), Some(follow)) =
            (&command.kind, &mut self.follows[order])
        {
            follow.tracker.step(Timestamp(0), TrackerInput::FollowUpAdded(added.id.clone()));
        }
        let command = Command { epoch: self.epoch, ..command };
        let operation = sim.call(Initiator::Operator(self.index, self.incarnation), order, command);
        self.in_flight.insert((order, name), operation);
    }

    /// A command got its reply, or was given up: should it still be wanted, `plan` returns it
    /// again.
    pub(crate) fn command_finished(&mut self, operation: usize) {
        self.in_flight.retain(|_, flying| *flying != operation);
    }

    /// Writes the status, unless that would move it back.
    fn publish(
        &self,
        sim: &mut Sim,
        api: &mut Api,
        order: usize,
        snapshot: Option<&TrackerSnapshot>,
    ) {
        let Some(epoch) = self.epoch else { return };
        let status = Status {
            epoch,
            observed: self.desired[order].generation,
            last_seq: snapshot.map_or_else(Default::default, TrackerSnapshot::last_seq),
            phase: snapshot.map_or("Pending", |seen| seen.phase().as_str()),
        };
        let current = &mut api.orders[order].status;
        let is_regression = status.epoch < current.epoch
            || status.observed < current.observed
            || status.last_seq < current.last_seq;
        if !is_regression && *current != status {
            *current = status.clone();
            sim.record(Entry::Status { time_ms: sim.now_ms, order, status });
        }
    }

    /// Reports whether this is the stream over which it follows an order.
    pub(crate) fn has_stream(&self, order: usize, stream: u64) -> bool {
        let follow = self.follows[order].as_ref();
        follow.and_then(|follow| follow.stream).is_some_and(|(current, _)| current == stream)
    }

    pub(crate) fn receive(
        &mut self,
        sim: &mut Sim,
        api: &mut Api,
        order: usize,
        message: StreamMessage,
    ) {
        let epoch = self.epoch.unwrap_or_default();
        let now = Timestamp(WALL_0 + i64::try_from(sim.now_ms).unwrap());
        let Some(follow) = self.follows[order].as_mut() else { return };
        let input = match message {
            StreamMessage::Up => TrackerInput::Connected { processor: PROCESSOR.into(), epoch },
            StreamMessage::Event(event) => TrackerInput::Received(event),
            StreamMessage::End => {
                TrackerInput::Disconnected { reason: "the stream ended".to_owned() }
            }
        };
        match &input {
            TrackerInput::Connected { .. } => follow.is_up = true,
            TrackerInput::Disconnected { .. } => follow.stream = None,
            _ => {}
        }
        let event = match &input {
            TrackerInput::Received(event) => Some(Arc::clone(event)),
            _ => None,
        };
        let output = follow.tracker.step(now, input);
        if let (Some(event), TrackerOutput::Changed | TrackerOutput::Ended) = (event, output) {
            let (tracker, event) = (follow.id, (*event).clone());
            sim.record(Entry::Deliver { time_ms: sim.now_ms, tracker, order, event });
        }
        match output {
            TrackerOutput::ResumeAfter(_) => {
                follow.tracker.step(now, TrackerInput::Disconnected { reason: "a gap".to_owned() });
                self.connect(sim, order);
            }
            TrackerOutput::ReadAgain => self.connect(sim, order),
            TrackerOutput::Ended => self.reconcile(sim, api, order),
            TrackerOutput::Changed if sim.rng.chance(200) => self.reconcile(sim, api, order),
            TrackerOutput::Changed | TrackerOutput::Ignored => {}
        }
    }
}
