//! Tenders by manifest, with the sellers as resources of the cluster.

use orderstream_testbed::ProxyFault;
use serde_json::{Value, json};

use super::bed::{Bed, condition, shared};
use crate::http::{HttpResponse, get, post};
use crate::process::until;

/// Prices that appear nowhere else.
const PRICES: [&str; 2] = ["8123.45", "9456.78"];

/// Sellers around Munich, one for each verdict.
const SELLERS: &str = "
{name: near, spec: {location: {latitude: 48.14, longitude: 11.58}, categories: [furniture], languages: [de]}}
{name: next, spec: {location: {latitude: 48.37, longitude: 10.90}, categories: [furniture]}}
{name: quiet, spec: {location: {latitude: 47.86, longitude: 12.12}, categories: [furniture]}}
{name: berlin, spec: {location: {latitude: 52.52, longitude: 13.40}, categories: [furniture]}}
{name: steel, spec: {location: {latitude: 48.14, longitude: 11.58}, categories: [steel]}}
{name: full, spec: {location: {latitude: 48.14, longitude: 11.58}, categories: [furniture], capacity: 1}}
{name: asleep, spec: {location: {latitude: 48.14, longitude: 11.58}, categories: [furniture], suspended: true}}
{name: rival, spec: {location: {latitude: 48.14, longitude: 11.58}, categories: [furniture]}}
{name: nowhere, spec: {categories: [furniture]}}
";

fn apply_sellers(bed: &Bed) {
    let line = |line: &str| {
        let seller: Value = serde_saphyr::from_str(line).unwrap();
        let (name, spec) = (&seller["name"], &seller["spec"]);
        let seller = json!({ "apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": { "name": name }, "spec": spec });
        format!("---\n{seller}\n")
    };
    bed.apply(&SELLERS.lines().filter(|it| !it.is_empty()).map(line).collect::<String>());
}

/// Makes a bed whose processor has the cluster's sellers.
fn bed() -> Option<Bed> {
    let bed = Bed::make_with_sellers()?;
    apply_sellers(&bed);
    until("the processor knows its sellers", || is_ready(&bed).then_some(()));
    Some(bed)
}

fn is_ready(bed: &Bed) -> bool {
    let response = get(bed.processor.address("metrics"), "/readyz");
    response.is_ok_and(|answer| answer.status == 200)
}

fn seller(bed: &Bed, name: &str) -> Value {
    let text = bed.kubectl(&["get", "seller", name, "-o", "json"]);
    serde_json::from_str(&text).unwrap()
}

fn until_open_orders(bed: &Bed, name: &str, open: u32) -> Value {
    until(&format!("{name} takes part in {open}"), || {
        let seller = seller(bed, name);
        (seller["status"]["openOrders"] == open).then_some(seller)
    })
}

fn propose(bed: &Bed, id: &str, seller: &str, price: &str) {
    let response = propose_to(bed, id, seller, price);
    assert_eq!(response.status, 201, "{response:?}");
}

fn propose_to(bed: &Bed, id: &str, seller: &str, price: &str) -> HttpResponse {
    let body = json!({ "tenant": bed.namespace, "order_req_id": "tender", "proposal_id": id,
        "seller": seller, "price": price, "currency": "EUR" });
    post(bed.sellers(), "/api/v1/proposals", &body.to_string()).unwrap()
}

fn order(bed: &Bed, name: &str, spec: &Value) {
    let order = json!({ "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": { "name": name }, "spec": spec });
    bed.apply(&order.to_string());
}

/// Returns everything about the order that can be read before its opening.
fn everything(bed: &Bed, controller: &crate::process::Role) -> String {
    let read = |address, path: &str| format!("{:?}\n", get(address, path).unwrap());
    let of_order = format!("/api/v1/orders/tender?tenant={}", bed.namespace);
    let proposals = format!("/api/v1/orders/tender/proposals?tenant={}", bed.namespace);
    let tracked = format!("/api/v1/orders/tracking/{}%2Ftender", bed.namespace);
    [
        bed.kubectl(&["get", "oreq", "tender", "-o", "json", "--show-managed-fields"]),
        bed.kubectl(&["get", "oreq", "tender", "-o", "wide"]),
        bed.kubectl(&["get", "events", "-o", "json"]),
        bed.kubectl(&["get", "sellers", "-o", "json"]),
        read(bed.sellers(), &of_order),
        read(bed.sellers(), &proposals),
        read(controller.address("requestor"), &tracked),
        read(bed.processor.address("metrics"), "/metrics"),
        read(controller.address("metrics"), "/metrics"),
        bed.processor_log(),
    ]
    .concat()
}

/// It is opened at its time, and its first award is undone.
#[test]
fn patches_lead_a_sealed_tender_to_award() {
    let Some(bed) = bed() else { return };
    let controller = bed.controller();
    order(&bed, "busy", &json!({ "expiresIn": "1h", "sellers": { "names": ["full"] } }));
    bed.until_phase("busy", "Open");
    until_open_orders(&bed, "full", 1);
    let tender = json!({
        "title": "Chairs", "category": "furniture", "sealed": true, "expiresIn": "20s",
        "delivery": { "latitude": 48.137, "longitude": 11.576 },
        "sellers": { "maxDistanceKm": 100, "excluded": ["rival"] },
        "buyer": { "channels": [{ "type": "Email", "address": "buyer@shop.example" }] },
    });
    order(&bed, "tender", &tender);
    bed.until_phase("tender", "Open");
    chosen_for_a_reason(&bed);

    propose(&bed, "p1", "near", PRICES[0]);
    propose(&bed, "p2", "next", PRICES[1]);
    let declined = json!({ "tenant": bed.namespace, "seller": "quiet", "reason": "too busy" });
    let path = "/api/v1/orders/tender/decline";
    assert_eq!(post(bed.sellers(), path, &declined.to_string()).unwrap().status, 200);
    let resource = bed.until_status("tender", "both proposals are counted", |status| {
        status["proposals"]["received"] == 2
    });
    assert_eq!(resource["status"]["proposals"].get("best"), None);
    let sellers = &resource["status"]["sellers"];
    let counted = ["selected", "seen", "declined", "proposed"].map(|name| sellers[name].clone());
    assert_eq!(counted, [3, 0, 0, 0].map(Value::from), "{sellers}");
    let everything = everything(&bed, &controller);
    for hidden in PRICES.iter().chain(&["too busy"]) {
        assert!(!everything.contains(hidden), "{hidden} can be read before the opening");
    }

    opened(&bed);
    awarded(&bed);
    until_open_orders(&bed, "near", 0);
    until_open_orders(&bed, "full", 1);
    for reason in ["ProposalsOpened", "AwardPending", "Finalised"] {
        until(reason, || {
            let events = bed.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
            events.contains(reason).then_some(())
        });
    }
}

/// Checks that every seller has its expected verdict, and that the chosen ones count the order.
fn chosen_for_a_reason(bed: &Bed) {
    let order = bed.order_at_processor("tender").unwrap();
    let mut verdicts: Vec<_> = order["sellers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["seller"].as_str().unwrap(), it["reason"].as_str().unwrap()))
        .collect();
    verdicts.sort_unstable();
    let expected = [
        ("asleep", "Suspended"),
        ("berlin", "TooFar"),
        ("full", "Full"),
        ("near", "Chosen"),
        ("next", "Chosen"),
        ("nowhere", "PlaceUnknown"),
        ("quiet", "Chosen"),
        ("rival", "Excluded"),
        ("steel", "WrongCategory"),
    ];
    assert_eq!(verdicts, expected);
    until_open_orders(bed, "near", 1);
}

/// Checks that at the deadline all can be read at once, and no further proposal is accepted.
fn opened(bed: &Bed) {
    let resource = bed.until_phase("tender", "Deciding");
    let status = &resource["status"];
    let tracker = &status["tracker"];
    assert_eq!((&tracker["stream"], &tracker["reconnects"]), (&json!("Active"), &json!(0)));
    assert_eq!(status["stream"]["attempts"], 0, "an opening is no fault: {status}");
    assert_eq!(status["decideBy"], status["expiresAt"]);
    assert_eq!(status["proposals"]["best"]["price"], format!("{} EUR", PRICES[0]));
    assert_eq!(status["sellers"]["proposed"], 2);
    assert_eq!(status["sellers"]["declined"], 1);
    assert_eq!(condition(status, "Ready"), "True");
    assert!(status.to_string().contains("a decision is awaited"), "{status}");
    let late = propose_to(bed, "late", "quiet", "1");
    assert_eq!((late.status, &late.json()["reason"]), (409, &json!("DEADLINE_PASSED")));
    // A request that is no longer possible is not repeated: it is refused once.
    bed.patch("tender", r#"{"suspend":true}"#);
    bed.patch("tender", r#"{"suspend":false}"#);
}

/// Awards and undoes, then awards again, which takes effect.
fn awarded(bed: &Bed) {
    bed.patch("tender", r#"{"award":{"proposalId":"p2","undoWithin":"1h"}}"#);
    let resource = bed.until_status("tender", "the award waits", |status| {
        status["award"]["pendingUntil"].is_string()
    });
    assert!(resource["status"].to_string().contains("AwardPending"), "{resource}");
    let other = r#"{"spec":{"award":{"proposalId":"p1"}}}"#;
    let args = ["-n", &bed.namespace, "patch", "oreq", "tender", "--type=merge", "-p", other];
    let refused = bed.server.kubectl_with(&args, "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("or undo it first"), "{refused:?}");

    bed.patch("tender", r#"{"award":{"undo":true}}"#);
    bed.until_status("tender", "the award is undone", |status| {
        status.get("award").is_none() && status["tracker"]["lastEvent"]["type"] == "AwardUndone"
    });
    bed.patch("tender", r#"{"award":{"proposalId":"p1","undo":null,"undoWithin":null}}"#);
    bed.until_phase("tender", "Finalised");
    let order = bed.order_at_processor("tender").unwrap();
    assert!(order["award"].to_string().contains("p1"), "{order}");
}

/// The controller may miss the steps between: only the manifest's last state counts.
#[test]
fn awards_replaced_unobserved_take_effect() {
    let Some(bed) = bed() else { return };
    let mut controller = bed.controller();
    order(&bed, "tender", &json!({ "expiresIn": "1h" }));
    bed.until_phase("tender", "Open");
    propose(&bed, "p1", "near", "10");
    propose(&bed, "p2", "next", "20");
    bed.patch("tender", r#"{"award":{"proposalId":"nobodys"}}"#);
    bed.until_status("tender", "the award is refused", |status| {
        condition(status, "Stalled") == "True"
    });
    bed.patch("tender", r#"{"award":{"undo":true}}"#);
    bed.patch("tender", r#"{"award":{"proposalId":"p1","undoWithin":"1h","undo":null}}"#);
    bed.until_status("tender", "the award waits, and what was refused is forgotten", |status| {
        status["award"]["pendingUntil"].is_string() && condition(status, "Stalled") == "False"
    });
    controller.kill();
    bed.patch("tender", r#"{"award":{"undo":true}}"#);
    bed.patch("tender", r#"{"award":{"proposalId":"p2","undoWithin":null,"undo":null}}"#);
    controller.restart();
    bed.until_phase("tender", "Finalised");
    let order = bed.order_at_processor("tender").unwrap();
    assert!(order["award"].to_string().contains("p2"), "{order}");
}

#[test]
fn closing_by_manifest_is_final() {
    let Some(bed) = bed() else { return };
    let _controller = bed.controller();
    order(&bed, "tender", &json!({ "expiresIn": "1h" }));
    bed.until_phase("tender", "Open");
    bed.patch("tender", r#"{"close":{"reason":"no budget"}}"#);
    bed.until_phase("tender", "Closed");
    let reopen = r#"{"spec":{"close":null}}"#;
    let args = ["-n", &bed.namespace, "patch", "oreq", "tender", "--type=merge", "-p", reopen];
    let refused = bed.server.kubectl_with(&args, "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be taken back"));
}

#[test]
fn manifests_answer_sellers_questions() {
    let Some(bed) = bed() else { return };
    let _controller = bed.controller();
    order(&bed, "tender", &json!({ "expiresIn": "1h", "sealed": true }));
    bed.until_phase("tender", "Open");
    let question = json!({ "tenant": bed.namespace, "seller": "near", "question_id": "q1",
        "message": "With arms?" });
    let path = "/api/v1/orders/tender/questions";
    let response = post(bed.sellers(), path, &question.to_string()).unwrap();
    assert!(response.status < 300, "{response:?}");
    let follow_ups = json!({ "followUps": [
        { "id": "f1", "answers": "q9", "message": { "message": "To nobody" } },
        { "id": "f2", "answers": "q1", "audience": ["near"], "message": { "message": "Yes" } },
    ] });
    bed.patch("tender", &follow_ups.to_string());
    let resource = bed.until_status("tender", "the answer is sent, the other refused", |status| {
        status["followUps"]["lastId"] == "f2" && condition(status, "Stalled") == "True"
    });
    assert_eq!(resource["status"]["followUps"]["sent"], 1);
    assert!(resource["status"].to_string().contains("q9, which no seller asked"), "{resource}");
}

#[test]
fn kubectl_prints_promised_seller_columns() {
    let Some(bed) = bed() else { return };
    let _controller = bed.controller();
    let asleep = until_open_orders(&bed, "asleep", 0);
    assert_eq!(asleep["status"]["phase"], "Suspended");
    let table = bed.kubectl(&["get", "oseller", "full"]);
    let cells = |line: usize| -> Vec<&str> {
        table.lines().nth(line).unwrap_or_default().split_whitespace().collect()
    };
    let columns = [
        "NAME",
        "DISPLAY",
        "CATEGORIES",
        "CURRENCY",
        "CAPACITY",
        "OPEN",
        "SUSPENDED",
        "READY",
        "AGE",
    ];
    assert_eq!(cells(0), columns, "{table}");
    let selected = |selector: &str| {
        bed.kubectl(&["get", "oseller", "--field-selector", selector, "-o", "name"])
    };
    assert_eq!(selected("spec.suspended=true").trim(), "seller.orderstream.dev/asleep");
    assert_eq!(selected("status.phase=Suspended").trim(), "seller.orderstream.dev/asleep");
    let args = ["wait", "--for=condition=Ready", "seller/near", "--timeout=10s"];
    assert!(bed.kubectl(&args).contains("condition met"));
}

/// Returns the number of sellers that an order invited, once it is open.
fn selected(bed: &Bed, name: &str) -> Value {
    let resource = bed.until_phase(name, "Open");
    resource["status"]["sellers"]["selected"].clone()
}

/// A processor that knows none yet opens no order.
#[test]
fn outages_leave_processors_their_known_sellers() {
    let Some(server) = shared() else { return };
    let (proxy, kubeconfig) = server.proxy();
    proxy.set(ProxyFault::Down);
    let Some(bed) = Bed::make_with_sellers_by(&kubeconfig) else { return };
    apply_sellers(&bed);
    let _controller = bed.controller();
    order(&bed, "early", &json!({ "expiresIn": "1h", "category": "furniture" }));
    bed.until_status("early", "why it is not opened is told", |status| {
        status.to_string().contains("the sellers are not known yet")
    });
    assert!(!is_ready(&bed));
    assert_eq!(bed.order_at_processor("early"), None, "it would have invited nobody, for ever");

    proxy.set(ProxyFault::None);
    assert_eq!(selected(&bed, "early"), 7);
    assert!(is_ready(&bed));
    proxy.set(ProxyFault::Down);
    bed.kubectl(&["delete", "seller", "near"]);
    order(&bed, "later", &json!({ "expiresIn": "1h", "category": "furniture" }));
    assert_eq!(selected(&bed, "later"), 6, "those that it knew but for the one that is full");
    proxy.set(ProxyFault::None);
    let mut tries = 0;
    until("the deletion is known", || {
        tries += 1;
        let name = format!("try-{tries}");
        order(&bed, &name, &json!({ "expiresIn": "1h", "category": "furniture" }));
        (selected(&bed, &name) == 5).then_some(())
    });
}
