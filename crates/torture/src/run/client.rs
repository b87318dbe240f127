//! Clients: they send one command after the other, each repeated under its key until it is
//! answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Stage;
use crate::history::{Act, Line};
use crate::op::{Op, Outcome, Over};
use crate::plan::{Client, Keys, Plan};
use crate::send::session::Session;
use crate::send::{Call, channel};

/// The limit of attempts of one command while faults happen.
const ATTEMPTS: usize = 3;
/// The back-off between two attempts.
const PAUSE: Duration = Duration::from_millis(150);

/// Commands that were sent, by token: the ones without a known outcome are repeated at the end.
pub type Attempts = BTreeMap<String, (Call, Over, Outcome)>;

/// The source of the clients' keys and tokens, and the record of their commands.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The shared parts of the run.
    pub stage: Stage,
    orders: Arc<[String]>,
    keys: Keys,
    sent: Arc<Mutex<Attempts>>,
    serials: Arc<Mutex<BTreeMap<String, u64>>>,
    /// The first client of each actor; only its keys are bare numbers.
    firsts: Arc<BTreeMap<String, String>>,
}

impl Desk {
    /// Returns a desk for the orders and clients of a plan.
    pub fn new(stage: &Stage, plan: &Plan) -> Self {
        let mut firsts = BTreeMap::new();
        for client in &plan.clients {
            firsts.entry(client.actor.clone()).or_insert_with(|| client.name.clone());
        }
        Self {
            stage: stage.clone(),
            orders: plan.orders.iter().map(|order| order.id.clone()).collect(),
            keys: plan.keys,
            sent: Arc::default(),
            serials: Arc::default(),
            firsts: Arc::new(firsts),
        }
    }

    /// Returns all commands so far, by token.
    pub fn sent(&self) -> Attempts {
        self.sent.lock().clone()
    }

    /// Returns a call with a key and a token that no other command has.
    pub fn call(&self, order: usize, op: &Op, client: &str, actor: &str) -> Call {
        let serial = {
            let mut serials = self.serials.lock();
            let serial = serials.entry(client.to_owned()).or_default();
            *serial += 1;
            *serial
        };
        let is_bare = self.keys == Keys::Counted
            && self.firsts.get(actor).is_some_and(|first| first == client);
        let key = if is_bare { serial.to_string() } else { format!("{client}-{serial}") };
        Call {
            actor: actor.to_owned(),
            order: self.orders[order].clone(),
            op: op.clone(),
            key,
            token: format!("{client}#{serial}"),
            epoch: 0,
        }
    }

    /// Sends a buyer's command until it is answered, a bounded number of times.
    pub async fn attempt(&self, order: usize, op: &Op, over: Over, client: &str) {
        let call = self.call(order, op, client, "buyer");
        self.insist(&call, over, client, &mut None).await;
    }

    /// Sends a call until it is answered, a bounded number of times.
    pub async fn insist(
        &self,
        call: &Call,
        over: Over,
        client: &str,
        session: &mut Option<Session>,
    ) -> Outcome {
        let mut outcome = Outcome::unknown("not sent");
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            outcome = self.once(call, over, client, session).await;
            if outcome.is_known() {
                break;
            }
        }
        outcome
    }

    /// Sends a call once, and records its outcome.
    pub async fn once(
        &self,
        call: &Call,
        over: Over,
        client: &str,
        session: &mut Option<Session>,
    ) -> Outcome {
        let t_call = self.stage.recorder.now();
        let result = match (over, session) {
            (Over::Session(_), Some(session)) => session.send(call).await,
            (over, _) => self.stage.sender.send(call, over).await,
        };
        self.stage.recorder.write(Line::Act(Act {
            t_call,
            t_ret: self.stage.recorder.now(),
            client: client.to_owned(),
            actor: call.actor.clone(),
            over,
            order: call.order.clone(),
            op: call.op.clone(),
            key: call.key.clone(),
            token: call.token.clone(),
            epoch: call.epoch,
            result: result.clone(),
        }));
        let mut sent = self.sent.lock();
        let known = sent.get(&call.token).is_some_and(|(_, _, before)| before.is_known());
        if !known {
            sent.insert(call.token.clone(), (call.clone(), over, result.clone()));
        }
        result
    }
}

/// Runs one client to the end of its steps.
pub(super) async fn act(desk: Desk, client: Client, began: Instant) {
    let Client { name, actor, steps } = client;
    let mut session = steps.iter().find_map(|step| {
        let Over::Session(at) = step.over else { return None };
        let channel = channel(desk.stage.addresses.grpc[at]);
        Some(Session::new(channel, &actor, &name, &desk.stage.recorder))
    });
    for step in steps {
        let moment = began + Duration::from_millis(step.at_ms);
        match &mut session {
            Some(session) => session.listen(moment).await,
            None => tokio::time::sleep_until(moment).await,
        }
        let call = desk.call(step.order, &step.op, &name, &actor);
        let outcome = desk.insist(&call, step.over, &name, &mut session).await;
        if step.again && outcome.is_known() {
            desk.once(&call, step.over, &name, &mut session).await;
        }
    }
}
