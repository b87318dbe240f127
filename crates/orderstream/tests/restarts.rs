//! `kill -9` of the process that buyers poll: nothing that they read is taken back, and ended
//! orders stay, with their award.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{HttpResponse, get, post, send};
use crate::process::{Pair, dev, pause, until};

const ORDERS: usize = 4;
const KILLS: usize = 5;
const ENDED: &str = "ended";

fn initiate(requestor: SocketAddr, id: &str) {
    let body = json!({ "order_req_id": id, "session_id": "s" }).to_string();
    let response = post(requestor, "/api/v1/orders/initiate", &body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
}

fn propose(processor: SocketAddr, order: &str, id: &str) -> bool {
    let body = json!({ "order_req_id": order, "proposal_id": id,
        "seller": format!("seller-of-{id}"), "price": "10.50", "currency": "EUR" });
    post(processor, "/api/v1/proposals", &body.to_string())
        .is_ok_and(|response| response.status == 201)
}

fn tracking(requestor: SocketAddr, id: &str) -> std::io::Result<HttpResponse> {
    get(requestor, &format!("/api/v1/orders/tracking/{id}"))
}

fn rank(phase: &str) -> u8 {
    match phase {
        "Pending" => 0,
        "Open" | "Paused" | "Deciding" => 1,
        _ => 2,
    }
}

/// The last replies that a buyer received about each order.
#[derive(Debug, Default)]
struct Memory {
    orders: BTreeMap<String, Value>,
    total: u64,
    regressions: Vec<String>,
}

impl Memory {
    fn observe(&mut self, id: &str, response: &HttpResponse) {
        if response.status != 200 {
            self.regressions.push(format!("{id}: {response:?}"));
            return;
        }
        let now = response.json();
        if let Some(before) = self.orders.get(id)
            && regressed(before, &now)
        {
            self.regressions.push(format!("{id}: {before}\n  then {now}"));
        }
        self.orders.insert(id.to_owned(), now);
    }

    fn observe_total(&mut self, response: &HttpResponse) {
        let total = response.json()["total_orders"].as_u64().unwrap_or_default();
        if total < self.total {
            self.regressions.push(format!("{} orders, then {}", self.total, response.text));
        }
        self.total = total;
    }
}

fn regressed(before: &Value, now: &Value) -> bool {
    let grows =
        ["last_seq", "epoch", "proposals_received", "notes_count", "reconnects", "expires_at_ms"];
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let phase = |value: &Value| rank(value["phase"].as_str().unwrap_or_default());
    grows.iter().any(|field| number(&now[field]) < number(&before[field]))
        || phase(now) < phase(before)
        || (!before["award"].is_null() && now["award"] != before["award"])
        || (!before["best_proposal"].is_null() && now["best_proposal"].is_null())
        || (before["last_seq"] == now["last_seq"]
            && before["best_proposal"] != now["best_proposal"])
}

/// Polls all orders without a pause, and counts its rounds.
fn poller(
    requestor: SocketAddr,
    ids: Vec<String>,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
) -> JoinHandle<Memory> {
    std::thread::spawn(move || {
        let mut memory = Memory::default();
        while !stop.load(Ordering::Relaxed) {
            let mut is_whole = true;
            for id in &ids {
                match tracking(requestor, id) {
                    Ok(response) => memory.observe(id, &response),
                    // It is being started again.
                    Err(_) => is_whole = false,
                }
            }
            match get(requestor, "/api/v1/orders/tracking/status") {
                Ok(response) => memory.observe_total(&response),
                Err(_) => is_whole = false,
            }
            rounds.fetch_add(usize::from(is_whole), Ordering::Relaxed);
            pause(Duration::from_millis(1));
        }
        memory
    })
}

/// Waits until the poller has polled every order again.
fn until_polled(rounds: &AtomicUsize) {
    let before = rounds.load(Ordering::Relaxed);
    until("all is looked at", || (rounds.load(Ordering::Relaxed) > before + 1).then_some(()));
}

#[test]
fn killed_requestor_takes_nothing_back() {
    let mut pair = Pair::start();
    let (requestor, rest) = (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let mut ids: Vec<String> = (0..ORDERS).map(|number| format!("o{number}")).collect();
    ids.push(ENDED.to_owned());
    for id in &ids {
        initiate(requestor, id);
        until("the order takes proposals", || propose(rest, id, "first").then_some(()));
    }
    let award = json!({ "proposal_id": "first" }).to_string();
    let response = post(requestor, &format!("/api/v1/orders/award/{ENDED}"), &award).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let poller = poller(requestor, ids.clone(), Arc::clone(&stop), Arc::clone(&rounds));
    for round in 0..KILLS {
        for id in &ids[..ORDERS] {
            assert!(propose(rest, id, &format!("p{round}")));
        }
        until_polled(&rounds);
        // In the last round the processor stays down until the requestor was read.
        let is_alone = round + 1 == KILLS;
        if is_alone {
            pair.processor.kill();
        }
        pair.requestor.kill();
        pair.requestor.restart();
        until_polled(&rounds);
        if is_alone {
            pair.processor.restart();
        }
    }
    until("all orders are followed again", || {
        let status = get(requestor, "/api/v1/orders/tracking/status").ok()?.json();
        (status["active_streams"] == ORDERS && status["total_orders"] == ids.len()).then_some(())
    });
    until_polled(&rounds);
    stop.store(true, Ordering::Relaxed);
    let memory = poller.join().unwrap();
    assert!(memory.regressions.is_empty(), "taken back: {:#?}", memory.regressions);
    for id in &ids[..ORDERS] {
        let order = &memory.orders[id];
        assert_eq!(order["proposals_received"], KILLS + 1, "{order}");
    }
    let ended = &memory.orders[ENDED];
    assert_eq!(
        (&ended["phase"], &ended["award"]["proposal_id"]),
        (&json!("Finalised"), &json!("first"))
    );
    let body = json!({ "order_req_id": ENDED, "message": "still there?" }).to_string();
    let response = post(requestor, "/api/v1/orders/followup", &body).unwrap();
    assert_eq!(
        (response.status, &response.json()["reason"]),
        (409, &json!("ORDER_ENDED")),
        "{response:?}"
    );
    let page = get(requestor, "/api/v1/orders?phase=Finalised").unwrap().json();
    assert_eq!(page["orders"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["orders"][0]["order_req_id"], ENDED);
}

const RESOURCE: &str = "/apis/orderstream.dev/v1alpha1/namespaces/default/orderrequests/chairs";

fn status(dev: SocketAddr) -> Value {
    let response = get(dev, RESOURCE).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["status"].clone()
}

fn seq_of(status: &Value) -> u64 {
    status["tracker"]["lastSeq"].as_u64().unwrap_or_default()
}

/// Reads the resource's status and the order over REST, and checks both against the last ones.
fn observe_resource(dev: SocketAddr, memory: &mut Memory, before: &Value) -> Value {
    let now = status(dev);
    let number = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_u64);
    for path in ["/tracker/lastSeq", "/stream/epoch", "/proposals/received", "/tracker/reconnects"]
    {
        assert!(number(&now, path) >= number(before, path), "{path}: {before}\n  then {now}");
    }
    let phase = |status: &Value| rank(status["phase"].as_str().unwrap_or_default());
    assert!(before.is_null() || phase(&now) >= phase(before), "{before}\n  then {now}");
    memory.observe("chairs", &tracking(dev, "chairs").unwrap());
    memory.observe_total(&get(dev, "/api/v1/orders/tracking/status").unwrap());
    now
}

#[test]
fn killed_dev_takes_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = dev(dir.path(), &[]);
    let manifest = json!({ "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": { "name": "chairs" },
        "spec": { "title": "Chairs", "items": [{ "sku": "CHAIR", "quantity": "4" }] } });
    let at = dev.address("requestor");
    let applied = send(at, &format!("PUT {RESOURCE}"), &[], &manifest.to_string()).unwrap();
    assert_eq!(applied.status, 201, "{applied:?}");
    let (mut memory, mut before) = (Memory::default(), Value::Null);
    for round in 0..KILLS {
        let (requestor, rest) = (dev.address("requestor"), dev.address("rest"));
        // Before anything else: the first state shown after a start is not an earlier one.
        before = observe_resource(requestor, &mut memory, &before);
        let seq = seq_of(&before);
        until("the order takes proposals", || {
            propose(rest, "chairs", &format!("p{round}")).then_some(())
        });
        before = until("the proposal is shown", || {
            let now = observe_resource(requestor, &mut memory, &before);
            (seq_of(&now) > seq && now["proposals"]["received"] == round + 1).then_some(now)
        });
        dev.kill();
        dev.restart();
    }
    let requestor = dev.address("requestor");
    let mut end = manifest;
    end["spec"]["award"] = json!({ "proposalId": "p0" });
    let ended = send(requestor, &format!("PUT {RESOURCE}"), &[], &end.to_string()).unwrap();
    assert_eq!(ended.status, 200, "{ended:?}");
    before = until("its end is shown", || {
        let now = observe_resource(requestor, &mut memory, &before);
        (now["phase"] == "Finalised").then_some(now)
    });
    dev.kill();
    dev.restart();
    let requestor = dev.address("requestor");
    observe_resource(requestor, &mut memory, &before);
    assert_eq!(memory.orders["chairs"]["phase"], "Finalised");
    assert!(memory.regressions.is_empty(), "taken back: {:#?}", memory.regressions);
    let body = json!({ "order_req_id": "chairs", "message": "still there?" }).to_string();
    let response = post(requestor, "/api/v1/orders/followup", &body).unwrap();
    assert_eq!(
        (response.status, &response.json()["reason"]),
        (409, &json!("ORDER_ENDED")),
        "{response:?}"
    );
}
