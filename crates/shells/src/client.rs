//! REST clients: they send one command after the other, each repeated under its key until it is
//! answered.

use std::collections::VecDeque;

use axum::body::Body;
use http::{Method, Request, header};
use orderstream_torture::history::{Act, Line};
use orderstream_torture::op::{Op, Outcome, Over};
use orderstream_torture::plan::Step;
use orderstream_torture::send::http::Answer;
use orderstream_torture::send::{Call, requestor, rest};

use crate::host::Slot;
use crate::readers::Recorder;

/// The deadline of a client's request, milliseconds: longer than the requestor waits for a
/// processor.
const DEADLINE_MS: u64 = 4_000;
/// The back-off between two attempts, milliseconds.
const PAUSE_MS: u64 = 150;
/// The limit of attempts of one command while faults happen.
const ATTEMPTS: u32 = 3;

/// A receiver of requests: the world.
pub(crate) trait Asked {
    /// Sends a request over this interface; `None` when no process runs there.
    fn ask(&self, over: Over, request: Request<Body>) -> Option<Slot<Answer>>;
}

/// A command, and the number of its attempts.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) call: Call,
    pub(crate) over: Over,
    attempts_left: u32,
    /// Set when it is repeated although it was answered.
    again: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Waits { until_ms: u64 },
    Asked { t_call: u64, slot: Option<Slot<Answer>>, deadline_ms: u64 },
    Done,
}

impl Job {
    pub(crate) const fn new(call: Call, over: Over) -> Self {
        let state = State::Waits { until_ms: 0 };
        Self { call, over, attempts_left: ATTEMPTS, again: false, state }
    }

    /// Returns a job that is repeated until it is answered.
    pub(crate) const fn insistent(call: Call, over: Over) -> Self {
        let state = State::Waits { until_ms: 0 };
        Self { call, over, attempts_left: u32::MAX, again: false, state }
    }

    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Continues; returns the outcome of an attempt that ended.
    pub(crate) fn step(
        &mut self,
        (now_ms, client): (u64, &str),
        world: &impl Asked,
        recorder: &Recorder,
    ) -> Option<Outcome> {
        match &self.state {
            State::Waits { until_ms } if *until_ms <= now_ms => {
                let slot = request(&self.call, self.over).and_then(|it| world.ask(self.over, it));
                let deadline_ms = now_ms + DEADLINE_MS;
                self.state = State::Asked { t_call: recorder.now(), slot, deadline_ms };
                None
            }
            State::Waits { .. } | State::Done => None,
            State::Asked { t_call, slot, deadline_ms } => {
                let answer = slot.as_ref().map(|slot| slot.lock().take());
                let outcome = match answer {
                    None => Outcome::unknown("nobody is there"),
                    Some(Some(answer)) => answer.outcome(),
                    Some(None) if *deadline_ms <= now_ms => Outcome::unknown("no answer in time"),
                    Some(None) => return None,
                };
                recorder.write(Line::Act(self.line(client, (*t_call, recorder.now()), &outcome)));
                self.next(&outcome, now_ms);
                Some(outcome)
            }
        }
    }

    fn line(&self, client: &str, (t_call, t_ret): (u64, u64), outcome: &Outcome) -> Act {
        Act {
            t_call,
            t_ret,
            client: client.to_owned(),
            actor: self.call.actor.clone(),
            over: self.over,
            order: self.call.order.clone(),
            op: self.call.op.clone(),
            key: self.call.key.clone(),
            token: self.call.token.clone(),
            epoch: 0,
            result: outcome.clone(),
        }
    }

    fn next(&mut self, outcome: &Outcome, now_ms: u64) {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        // A refusal may be another one later: only what was done is answered alike.
        let is_repeated = matches!(outcome, Outcome::Ok { .. }) && self.again;
        let goes_on = !outcome.is_known() && self.attempts_left > 0;
        self.again &= !outcome.is_known();
        self.state = match is_repeated || goes_on {
            true => State::Waits { until_ms: now_ms + PAUSE_MS },
            false => State::Done,
        };
        if is_repeated {
            self.attempts_left = 1;
        }
    }
}

fn request(call: &Call, over: Over) -> Option<Request<Body>> {
    let (line, body) = match over {
        Over::Requestor => {
            let (path, body) = requestor::request(call)?;
            (format!("POST /api/v1/orders/{path}"), body)
        }
        Over::Rest(_) => rest::request(call)?,
        Over::Grpc(_) | Over::Bulk(_) | Over::Session(_) | Over::Cli => return None,
    };
    let (method, path) = line.split_once(' ')?;
    let request = Request::builder().method(Method::from_bytes(method.as_bytes()).ok()?).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    request.header("idempotency-key", &call.key).body(Body::from(body.to_string())).ok()
}

/// One client: its steps, and the command in progress.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    actor: String,
    steps: VecDeque<Step>,
    serial: u64,
    job: Option<Job>,
}

impl Actor {
    pub(crate) fn new(name: &str, actor: &str, steps: Vec<Step>) -> Self {
        let (name, actor) = (name.to_owned(), actor.to_owned());
        Self { name, actor, steps: steps.into(), serial: 0, job: None }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.job.is_none()
    }

    /// Continues; returns a call that was answered or given up, with its outcome.
    pub(crate) fn step(
        &mut self,
        now_ms: u64,
        orders: &[(String, Over)],
        world: &impl Asked,
        recorder: &Recorder,
    ) -> Option<(Call, Over, Outcome)> {
        if self.job.is_none() && self.steps.front().is_some_and(|step| step.at_ms <= now_ms) {
            let step = self.steps.pop_front()?;
            let (order, home) = orders.get(step.order)?;
            let over = if step.over == Over::Requestor { step.over } else { *home };
            self.serial += 1;
            let call = call((&self.name, &self.actor), order, &step.op, self.serial);
            self.job = Some(Job { again: step.again, ..Job::new(call, over) });
        }
        let job = self.job.as_mut()?;
        let outcome = job.step((now_ms, &self.name), world, recorder);
        let told = outcome.map(|outcome| (job.call.clone(), job.over, outcome));
        if job.is_done() {
            self.job = None;
        }
        told
    }
}

/// Returns a call with a key and a token that no other command has.
pub(crate) fn call((client, actor): (&str, &str), order: &str, op: &Op, serial: u64) -> Call {
    Call {
        actor: actor.to_owned(),
        order: order.to_owned(),
        op: op.clone(),
        key: format!("{client}-{serial}"),
        token: format!("{client}#{serial}"),
        epoch: 0,
    }
}
