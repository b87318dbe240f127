//! Simulated REST clients: they send one command after the other, and retry each under its key
//! until it has a reply.

use std::collections::VecDeque;

use axum::body::Body;
use http::{Method, Request, header};
use orderstream_torture::command::{ClientCommand, ClientInterface, ClientOutcome};
use orderstream_torture::history::{ClientAttempt, HistoryLine};
use orderstream_torture::plan::PlannedCommand;
use orderstream_torture::send::http::PlainResponse;
use orderstream_torture::send::{ClientRequest, requestor, rest};

use crate::host::ResultSlot;
use crate::readers::SimulationRecorder;

/// The timeout of a client's request, milliseconds: longer than the requestor waits for a
/// processor.
const DEADLINE_MS: u64 = 4_000;
/// The back-off between two attempts, milliseconds.
const BACKOFF_MS: u64 = 150;
/// The largest number of attempts of one command while faults occur.
const ATTEMPTS: u32 = 3;

/// A receiver of requests: the simulated world.
pub(crate) trait RequestTarget {
    /// Sends a request over this interface; `None` if no process serves it.
    fn send(
        &self,
        over: ClientInterface,
        request: Request<Body>,
    ) -> Option<ResultSlot<PlainResponse>>;
}

/// A command with its attempts.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) call: ClientRequest,
    pub(crate) over: ClientInterface,
    attempts_left: u32,
    /// Set if the command is to be repeated although it had a reply.
    again: bool,
    state: JobState,
}

#[derive(Debug)]
enum JobState {
    BackingOff { until_ms: u64 },
    InFlight { t_call: u64, slot: Option<ResultSlot<PlainResponse>>, deadline_ms: u64 },
    Done,
}

impl Job {
    pub(crate) const fn new(call: ClientRequest, over: ClientInterface) -> Self {
        let state = JobState::BackingOff { until_ms: 0 };
        Self { call, over, attempts_left: ATTEMPTS, again: false, state }
    }

    /// Returns a job that is retried until it has a reply.
    pub(crate) const fn insistent(call: ClientRequest, over: ClientInterface) -> Self {
        let state = JobState::BackingOff { until_ms: 0 };
        Self { call, over, attempts_left: u32::MAX, again: false, state }
    }

    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, JobState::Done)
    }

    /// Runs the job's next step; returns the outcome of an attempt that ended.
    pub(crate) fn step(
        &mut self,
        now_ms: u64,
        client: &str,
        target: &impl RequestTarget,
        recorder: &SimulationRecorder,
    ) -> Option<ClientOutcome> {
        match &self.state {
            JobState::BackingOff { until_ms } if *until_ms <= now_ms => {
                let slot = request(&self.call, self.over).and_then(|it| target.send(self.over, it));
                let deadline_ms = now_ms + DEADLINE_MS;
                self.state = JobState::InFlight { t_call: recorder.now(), slot, deadline_ms };
                None
            }
            JobState::BackingOff { .. } | JobState::Done => None,
            JobState::InFlight { t_call, slot, deadline_ms } => {
                let response = slot.as_ref().map(|slot| slot.lock().take());
                let outcome = match response {
                    None => ClientOutcome::unknown("nobody is there"),
                    Some(Some(response)) => response.outcome(),
                    Some(None) if *deadline_ms <= now_ms => {
                        ClientOutcome::unknown("no answer in time")
                    }
                    Some(None) => return None,
                };
                let line = self.line(client, *t_call, recorder.now(), &outcome);
                recorder.write(HistoryLine::Attempt(line));
                self.next(&outcome, now_ms);
                Some(outcome)
            }
        }
    }

    fn line(
        &self,
        client: &str,
        called_at: u64,
        returned_at: u64,
        outcome: &ClientOutcome,
    ) -> ClientAttempt {
        ClientAttempt {
            called_at,
            returned_at,
            client: client.to_owned(),
            actor: self.call.actor.clone(),
            interface: self.over,
            order: self.call.order.clone(),
            command: self.call.command.clone(),
            key: self.call.key.clone(),
            token: self.call.token.clone(),
            epoch: 0,
            result: outcome.clone(),
        }
    }

    fn next(&mut self, outcome: &ClientOutcome, now_ms: u64) {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        // A repetition may be refused differently later; only a successful command must get the
        // same reply.
        let is_repeated = matches!(outcome, ClientOutcome::Ok { .. }) && self.again;
        let goes_on = !outcome.is_known() && self.attempts_left > 0;
        self.again &= !outcome.is_known();
        self.state = match is_repeated || goes_on {
            true => JobState::BackingOff { until_ms: now_ms + BACKOFF_MS },
            false => JobState::Done,
        };
        if is_repeated {
            self.attempts_left = 1;
        }
    }
}

fn request(call: &ClientRequest, over: ClientInterface) -> Option<Request<Body>> {
    let (line, body) = match over {
        ClientInterface::Requestor => {
            let (path, body) = requestor::request(call)?;
            (format!("POST /api/v1/orders/{path}"), body)
        }
        ClientInterface::Rest(_) => rest::request(call)?,
        ClientInterface::Grpc(_)
        | ClientInterface::Bulk(_)
        | ClientInterface::Session(_)
        | ClientInterface::Cli => return None,
    };
    let (method, path) = line.split_once(' ')?;
    let request = Request::builder().method(Method::from_bytes(method.as_bytes()).ok()?).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    request.header("idempotency-key", &call.key).body(Body::from(body.to_string())).ok()
}

/// A client with its steps and the command in progress.
#[derive(Debug)]
pub(crate) struct SimulatedClient {
    pub(crate) name: String,
    actor: String,
    steps: VecDeque<PlannedCommand>,
    serial: u64,
    job: Option<Job>,
}

impl SimulatedClient {
    pub(crate) fn new(name: &str, actor: &str, steps: Vec<PlannedCommand>) -> Self {
        let (name, actor) = (name.to_owned(), actor.to_owned());
        Self { name, actor, steps: steps.into(), serial: 0, job: None }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.job.is_none()
    }

    /// Runs the client's next step; returns a call that had a reply or was given up, with its
    /// outcome.
    pub(crate) fn step(
        &mut self,
        now_ms: u64,
        orders: &[(String, ClientInterface)],
        target: &impl RequestTarget,
        recorder: &SimulationRecorder,
    ) -> Option<(ClientRequest, ClientInterface, ClientOutcome)> {
        if self.job.is_none() && self.steps.front().is_some_and(|step| step.at_ms <= now_ms) {
            let step = self.steps.pop_front()?;
            let (order, home) = orders.get(step.order)?;
            let over =
                if step.interface == ClientInterface::Requestor { step.interface } else { *home };
            self.serial += 1;
            let call = call(&self.name, &self.actor, order, &step.command, self.serial);
            self.job = Some(Job { again: step.is_repeated, ..Job::new(call, over) });
        }
        let job = self.job.as_mut()?;
        let outcome = job.step(now_ms, &self.name, target, recorder);
        let ended = outcome.map(|outcome| (job.call.clone(), job.over, outcome));
        if job.is_done() {
            self.job = None;
        }
        ended
    }
}

/// Returns a call with a unique key and token.
pub(crate) fn call(
    client: &str,
    actor: &str,
    order: &str,
    op: &ClientCommand,
    serial: u64,
) -> ClientRequest {
    ClientRequest {
        actor: actor.to_owned(),
        order: order.to_owned(),
        command: op.clone(),
        key: format!("{client}-{serial}"),
        token: format!("{client}#{serial}"),
        epoch: 0,
    }
}
