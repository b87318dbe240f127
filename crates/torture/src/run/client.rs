//! Clients: they send one command after the other, and retry each under its key until it has a
//! reply.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::RigContext;
use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::history::{ClientAttempt, HistoryLine};
use crate::plan::{KeyScheme, PlannedClient, TorturePlan};
use crate::send::session::RecordingSession;
use crate::send::{ClientRequest, channel};

/// The largest number of attempts of one command while faults occur.
const ATTEMPTS_MAX: usize = 3;
/// The back-off between two attempts.
const BACKOFF: Duration = Duration::from_millis(150);

/// The sent commands, by token: those without a known outcome are repeated at the end.
pub type Attempts = BTreeMap<String, (ClientRequest, ClientInterface, ClientOutcome)>;

/// Assigns the clients' keys and tokens, and records their commands.
#[derive(Clone, Debug)]
pub struct ClientDispatcher {
    /// The shared parts of the run.
    pub context: RigContext,
    orders: Arc<[String]>,
    keys: KeyScheme,
    sent: Arc<Mutex<Attempts>>,
    serials: Arc<Mutex<BTreeMap<String, u64>>>,
    /// The first client of each actor; only the keys of first clients are bare numbers.
    first_clients: Arc<BTreeMap<String, String>>,
}

impl ClientDispatcher {
    /// Creates a dispatcher for the orders and clients of a plan.
    pub fn new(context: &RigContext, plan: &TorturePlan) -> Self {
        let mut first_clients = BTreeMap::new();
        for client in &plan.clients {
            first_clients.entry(client.actor.clone()).or_insert_with(|| client.name.clone());
        }
        Self {
            context: context.clone(),
            orders: plan.orders.iter().map(|order| order.id.clone()).collect(),
            keys: plan.keys,
            sent: Arc::default(),
            serials: Arc::default(),
            first_clients: Arc::new(first_clients),
        }
    }

    /// Returns all commands so far, by token.
    pub fn sent(&self) -> Attempts {
        self.sent.lock().clone()
    }

    /// Returns a call with a unique key and token.
    pub fn call(
        &self,
        order: usize,
        command: &ClientCommand,
        client: &str,
        actor: &str,
    ) -> ClientRequest {
        let serial = {
            let mut serials = self.serials.lock();
            let serial = serials.entry(client.to_owned()).or_default();
            *serial += 1;
            *serial
        };
        let is_bare = self.keys == KeyScheme::Sequential
            && self.first_clients.get(actor).is_some_and(|first| first == client);
        let key = if is_bare { serial.to_string() } else { format!("{client}-{serial}") };
        ClientRequest {
            actor: actor.to_owned(),
            order: self.orders[order].clone(),
            command: command.clone(),
            key,
            token: format!("{client}#{serial}"),
            epoch: 0,
        }
    }

    /// Sends a buyer's command until it has a reply, a bounded number of times.
    pub async fn send_as_buyer(
        &self,
        order: usize,
        command: &ClientCommand,
        interface: ClientInterface,
        client: &str,
    ) {
        let call = self.call(order, command, client, "buyer");
        self.send_with_retries(&call, interface, client, &mut None).await;
    }

    /// Sends a call until it has a reply, a bounded number of times.
    pub async fn send_with_retries(
        &self,
        call: &ClientRequest,
        interface: ClientInterface,
        client: &str,
        session: &mut Option<RecordingSession>,
    ) -> ClientOutcome {
        let mut outcome = ClientOutcome::unknown("not sent");
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                tokio::time::sleep(BACKOFF).await;
            }
            outcome = self.send_once(call, interface, client, session).await;
            if outcome.is_known() {
                break;
            }
        }
        outcome
    }

    /// Sends a call once, and records its outcome.
    pub async fn send_once(
        &self,
        call: &ClientRequest,
        interface: ClientInterface,
        client: &str,
        session: &mut Option<RecordingSession>,
    ) -> ClientOutcome {
        let called_at = self.context.recorder.now();
        let result = match (interface, session) {
            (ClientInterface::Session(_), Some(session)) => session.send(call).await,
            (interface, _) => self.context.sender.send(call, interface).await,
        };
        self.context.recorder.write(HistoryLine::Attempt(ClientAttempt {
            called_at,
            returned_at: self.context.recorder.now(),
            client: client.to_owned(),
            actor: call.actor.clone(),
            interface,
            order: call.order.clone(),
            command: call.command.clone(),
            key: call.key.clone(),
            token: call.token.clone(),
            epoch: call.epoch,
            result: result.clone(),
        }));
        let mut sent = self.sent.lock();
        let known = sent.get(&call.token).is_some_and(|(_, _, before)| before.is_known());
        if !known {
            sent.insert(call.token.clone(), (call.clone(), interface, result.clone()));
        }
        result
    }
}

/// Runs one client to the end of its steps.
pub(super) async fn run_client(
    dispatcher: ClientDispatcher,
    client: PlannedClient,
    began: Instant,
) {
    let PlannedClient { name, actor, steps } = client;
    let mut session = steps.iter().find_map(|step| {
        let ClientInterface::Session(at) = step.interface else { return None };
        let channel = channel(dispatcher.context.addresses.grpc[at]);
        Some(RecordingSession::new(channel, &actor, &name, &dispatcher.context.recorder))
    });
    for step in steps {
        let moment = began + Duration::from_millis(step.at_ms);
        match &mut session {
            Some(session) => session.listen(moment).await,
            None => tokio::time::sleep_until(moment).await,
        }
        let call = dispatcher.call(step.order, &step.command, &name, &actor);
        let outcome =
            dispatcher.send_with_retries(&call, step.interface, &name, &mut session).await;
        if step.is_repeated && outcome.is_known() {
            dispatcher.send_once(&call, step.interface, &name, &mut session).await;
        }
    }
}
