//! Tests of buyers on a cluster, against a scripted API server.

use std::collections::VecDeque;

use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::object::ObjectKey;
use crate::watch::ObservedRequest as Watched;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    /// It is done, and the response is lost.
    ResponseLost,
    /// It is done, and the API server responds that it timed out.
    DoneAndTimedOut,
    /// The request is lost.
    Lost,
}

/// One resource behind an API server. Its operator observes every write at once.
struct Cluster {
    stored: Mutex<Option<Value>>,
    /// The outcomes of the next requests; all others get a response.
    fates: Mutex<VecDeque<Fate>>,
    operate: fn(&mut Value),
    cache: Arc<RwLock<Cache>>,
}

const ID: &str = "OR-1";

fn key() -> OrderKey {
    OrderKey::new("default", ID).unwrap()
}

impl Cluster {
    /// Makes a cluster with an order, and the buyer that serves from it.
    fn with_order(operate: fn(&mut Value)) -> (Arc<Self>, ClusterBuyer) {
        let (cluster, buyer) = Self::empty(operate);
        let status = json!({ "observedGeneration": 1, "phase": "Open" });
        cluster.put(json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": { "name": "or-1", "namespace": "default", "uid": "u1", "generation": 1,
                "resourceVersion": "1" },
            "spec": { "orderReqId": ID }, "status": status,
        }));
        (cluster, buyer)
    }

    fn empty(operate: fn(&mut Value)) -> (Arc<Self>, ClusterBuyer) {
        Self::of_controller("orderstream", operate)
    }

    fn of_controller(name: &str, operate: fn(&mut Value)) -> (Arc<Self>, ClusterBuyer) {
        let cache = Arc::new(RwLock::new(Cache::default()));
        let cluster = Arc::new(Self {
            stored: Mutex::new(None),
            fates: Mutex::new(VecDeque::new()),
            operate,
            cache: Arc::clone(&cache),
        });
        let serving = Arc::clone(&cluster);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let serving = Arc::clone(&serving);
            async move { serving.serve(request).await }
        });
        let client = Client::new(service, "default");
        (cluster, ClusterBuyer::new(client, cache, name, TenantScope::All))
    }

    fn fated(&self, fates: &[Fate]) {
        *self.fates.lock() = fates.iter().copied().collect();
    }

    fn put(&self, resource: Value) {
        *self.stored.lock() = Some(resource.clone());
        let resource = serde_json::from_value(resource).unwrap();
        let read = Watched { resource, is_status_ours: true };
        drop(self.cache.write().apply(ObjectKey::of(&read.resource.metadata), read));
    }

    /// Stores a write, of a buyer or as of `kubectl`, with the next version and generation.
    fn write(&self, mut desired: Value) -> Value {
        let stored = self.stored.lock().clone();
        let number = |path: &str| {
            let value = stored.as_ref().and_then(|held| held.pointer(path)).cloned();
            value.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()))
        };
        let is_edit = stored.as_ref().is_none_or(|held| held["spec"] != desired["spec"]);
        let generation = number("/metadata/generation").unwrap_or(0) + i64::from(is_edit);
        let version = number("/metadata/resourceVersion").unwrap_or(0) + 1;
        desired["metadata"]["generation"] = json!(generation);
        desired["metadata"]["resourceVersion"] = json!(version.to_string());
        if is_edit {
            (self.operate)(&mut desired);
        }
        self.put(desired.clone());
        desired
    }

    async fn serve(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, std::io::Error> {
        let fate = self.fates.lock().pop_front().unwrap_or(Fate::Answered);
        let connection_lost = || std::io::Error::other("the connection is gone");
        if fate == Fate::Lost {
            return Err(connection_lost());
        }
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let stored = self.stored.lock().clone();
        let (code, reply) = match head.method.as_str() {
            "GET" => stored.map_or_else(|| (404, json!({})), |held| (200, held)),
            "POST" if stored.is_some() => (409, json!({})),
            _ => {
                let desired: Value = serde_json::from_slice(&body).unwrap();
                let version = |value: &Value| value["metadata"]["resourceVersion"].clone();
                match stored.is_some_and(|held| version(&held) != version(&desired)) {
                    true => (409, json!({})),
                    false => (200, self.write(desired)),
                }
            }
        };
        match fate {
            Fate::ResponseLost => Err(connection_lost()),
            Fate::DoneAndTimedOut => Ok(response(504, &json!({}))),
            Fate::Answered | Fate::Lost => Ok(response(code, &reply)),
        }
    }
}

fn response(code: u16, body: &Value) -> http::Response<Body> {
    let mut body = body.clone();
    if code >= 400 {
        body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "message": "no", "reason": "No", "metadata": {} });
    }
    http::Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

/// Simulates an operator whose processor carries out every edit at once.
fn prompt(resource: &mut Value) {
    // An end stays as it is.
    if resource["status"]["phase"] == json!("Finalised") {
        return;
    }
    let spec = &resource["spec"];
    let phase = match (spec["award"].is_null(), spec["suspend"] == json!(true)) {
        (false, _) => "Finalised",
        (true, true) => "Paused",
        (true, false) => "Open",
    };
    let generation = resource["metadata"]["generation"].clone();
    resource["status"] = json!({ "observedGeneration": generation, "phase": phase });
}

/// Simulates an operator that is down: the status stays as it is.
fn away(_: &mut Value) {}

fn award() -> BuyerCommand {
    BuyerCommand::Finalise { award: None, reason: None, undo_within_ms: None }
}

async fn send_command(
    buyer: &ClusterBuyer,
    command: BuyerCommand,
) -> Result<BuyerCommandReply, BuyerError> {
    buyer.submit_command(key(), command, None).await
}

async fn outcome_of(buyer: &ClusterBuyer, command: &str) -> Result<CommandOutcome, Reason> {
    let command_key = IdempotencyKey::new(command).unwrap();
    match buyer.command_status(key(), command_key).await {
        Ok(asked) => asked.map(|asked| asked.outcome).ok_or(Reason::CommandNotFound),
        Err(BuyerError::Refused(refusal)) => Err(refusal.reason),
        Err(error) => panic!("{error}"),
    }
}

/// A later edit of the resource makes the outcome unknown, and never another one.
#[tokio::test(start_paused = true)]
async fn repeated_award_after_end_keeps_reply() {
    let (cluster, buyer) = Cluster::with_order(prompt);
    for _ in 0..2 {
        assert_eq!(send_command(&buyer, award()).await, Ok(BuyerCommandReply::Done));
        assert_eq!(outcome_of(&buyer, "award").await, Ok(CommandOutcome::Done));
    }
    let other = send_command(&buyer, BuyerCommand::Pause(None)).await;
    assert!(matches!(&other, Err(BuyerError::Refused(no)) if no.reason == Reason::OrderEnded));
    // Another client prolongs the resource's retention; the order's end does not depend on that
    // edit.
    let mut edited = cluster.stored.lock().clone().unwrap();
    edited["spec"]["ttlAfterFinished"] = json!("2d");
    cluster.write(edited);
    assert_eq!(
        outcome_of(&buyer, "award").await,
        Err(Reason::CommandNotFound),
        "it cannot tell any more"
    );
    assert_eq!(
        send_command(&buyer, award()).await,
        Ok(BuyerCommandReply::Pending(IdempotencyKey::new("award").unwrap()))
    );
}

/// The edit is written once, wherever its response is lost.
#[tokio::test(start_paused = true)]
async fn lost_edit_responses_are_read_back() {
    for fate in [Fate::ResponseLost, Fate::DoneAndTimedOut, Fate::Lost] {
        let (cluster, buyer) = Cluster::with_order(prompt);
        cluster.fated(&[Fate::Answered, fate]);
        assert_eq!(send_command(&buyer, award()).await, Ok(BuyerCommandReply::Done), "{fate:?}");
        let generation = cluster.stored.lock().as_ref().unwrap()["metadata"]["generation"].clone();
        assert_eq!(generation, 2, "{fate:?}: it is written once");
    }
}

/// An edit that was certainly not sent is reported as not stored.
#[tokio::test(start_paused = true)]
async fn unconfirmed_edits_are_pending_not_failed() {
    let (cluster, buyer) = Cluster::with_order(prompt);
    cluster.fated(&[Fate::Answered, Fate::ResponseLost, Fate::Lost]);
    let pending = BuyerCommandReply::Pending(IdempotencyKey::new("award").unwrap());
    assert_eq!(send_command(&buyer, award()).await, Ok(pending));
    assert_eq!(outcome_of(&buyer, "award").await, Ok(CommandOutcome::Done), "it is told there");
    // A request that was not sent is not stored.
    let (cluster, buyer) = Cluster::with_order(prompt);
    cluster.fated(&[Fate::Lost]);
    assert!(matches!(send_command(&buyer, award()).await, Err(BuyerError::NotStored(_))));
    assert_eq!(outcome_of(&buyer, "award").await, Err(Reason::CommandNotFound));
}

#[tokio::test(start_paused = true)]
async fn unconfirmed_create_is_started_or_unknown() {
    let spec = OrderSpec::default;
    let (cluster, buyer) = Cluster::empty(prompt);
    cluster.fated(&[Fate::ResponseLost]);
    assert_eq!(buyer.initiate(key(), spec()).await, Ok(InitiateOutcome::Started));
    let (cluster, buyer) = Cluster::empty(prompt);
    cluster.fated(&[Fate::ResponseLost, Fate::Lost]);
    let unknown = buyer.initiate(key(), spec()).await;
    assert!(matches!(&unknown, Err(BuyerError::Refused(no)) if no.reason == Reason::Unreachable));
}

/// The resource names the controller that takes it, unless that is the default one.
#[tokio::test(start_paused = true)]
async fn initiated_orders_name_their_controller() {
    for (name, expected) in [("orderstream", Value::Null), ("team-b", json!("team-b"))] {
        let (cluster, buyer) = Cluster::of_controller(name, prompt);
        let started = buyer.initiate(key(), OrderSpec::default()).await;
        assert_eq!(started, Ok(InitiateOutcome::Started));
        let stored = cluster.stored.lock().clone().unwrap();
        assert_eq!(stored["spec"]["controllerName"], expected);
    }
}

/// The cache of a controller has only its own resources, and the API server has all of them.
#[tokio::test(start_paused = true)]
async fn orders_of_other_controllers_are_unknown() {
    let (cluster, buyer) = Cluster::of_controller("team-b", prompt);
    *cluster.stored.lock() = Some(json!({
        "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": { "name": "or-1", "namespace": "default", "uid": "u1", "generation": 1,
            "resourceVersion": "1" },
        "spec": { "orderReqId": ID },
    }));
    let reason = |refused: Option<BuyerError>| match refused {
        Some(BuyerError::Refused(refusal)) => refusal.reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(send_command(&buyer, award()).await.err()), Reason::OrderNotFound);
    assert_eq!(outcome_of(&buyer, "award").await, Err(Reason::OrderNotFound));
    let initiated = buyer.initiate(key(), OrderSpec::default()).await;
    assert_eq!(reason(initiated.err()), Reason::OrderExists);
}

/// Nobody would take such an order, or another controller does.
#[tokio::test(start_paused = true)]
async fn unwatched_namespaces_are_not_written() {
    let (cluster, buyer) = Cluster::empty(prompt);
    let buyer = ClusterBuyer { scope: TenantScope::AllBut(vec![key().tenant]), ..buyer };
    let initiated = buyer.initiate(key(), OrderSpec::default()).await;
    let refused = |error: BuyerError| {
        let BuyerError::Refused(refusal) = error else { panic!("{error}") };
        refusal.reason
    };
    assert_eq!(refused(initiated.unwrap_err()), Reason::InvalidField);
    let commanded = send_command(&buyer, award()).await;
    assert_eq!(refused(commanded.unwrap_err()), Reason::OrderNotFound);
    assert!(cluster.stored.lock().is_none());
}

/// The key of the reply finds the outcome; the same id with another message is a conflict.
#[tokio::test(start_paused = true)]
async fn longest_id_finds_pending_follow_up() {
    let (_cluster, buyer) = Cluster::with_order(away);
    let id = FollowUpId::new("x".repeat(128)).unwrap();
    let message =
        orderstream_core::spec::Message { message: "When?".to_owned(), ..Default::default() };
    let follow_up_of = |id: &FollowUpId| FollowUpDraft {
        id: Some(id.clone()),
        audience: Vec::new(),
        message: message.clone(),
        answers: None,
    };
    let (_, reply) = buyer.follow_up(key(), follow_up_of(&id)).await.expect("it is written");
    let BuyerCommandReply::Pending(under) = reply else { panic!("{reply:?}") };
    assert_eq!(outcome_of(&buyer, under.as_str()).await, Ok(CommandOutcome::Pending));
    let mut other = follow_up_of(&id);
    other.message.message = "Where?".to_owned();
    let refused = buyer.follow_up(key(), other).await;
    assert!(matches!(&refused, Err(BuyerError::Refused(no))
        if no.reason == Reason::IdempotencyConflict));
}
