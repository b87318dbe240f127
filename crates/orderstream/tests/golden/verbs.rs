//! The script's commands: every verb of buyers and sellers that prints JSON, for an order without
//! an order request and for one that has one.

use serde_json::Value;

use super::stage::{Side, Stage};
use crate::process::until;

/// The manifest of the desk's second incarnation.
const DESK: &str = "\
apiVersion: orderstream.dev/v1alpha1
kind: OrderRequest
metadata: {name: desk}
spec:
  title: A desk, again
  items: [{sku: DESK, quantity: 1}]
  sellers: {names: [north]}
  notificationType: Webhook
";

/// Runs all of them.
pub(super) fn play(stage: &mut Stage) {
    explain(stage);
    at_the_requestor(stage);
    with_an_order_request(stage);
    second_incarnation(stage);
}

/// Runs the commands that need no server.
fn explain(stage: &mut Stage) {
    let wrong = DESK.replace("Webhook", "Pigeon");
    std::fs::write(stage.dir().join("wrong.yaml"), wrong).unwrap();
    std::fs::write(stage.dir().join("desk.yaml"), DESK).unwrap();
    for line in [
        "explain locked -o json",
        "explain LOKED",
        "lint {dir}/desk.yaml -o json",
        "lint {dir}/wrong.yaml -o json",
        "submit --name x --title X --item A:1:t --dry-run -o json",
        "notify preview awarded --channel Webhook",
        "notify preview invitation --channel SMS",
        "notify preview invitation --channel Email --part html",
        "journal verify {dir}/processor -o json",
    ] {
        stage.verb(line);
    }
    let templates = stage.verb("notify list").stdout;
    for template in String::from_utf8(templates).unwrap().lines() {
        stage.verb(&format!("notify preview {template} --language de"));
        stage.verb(&format!("notify preview {template}"));
    }
}

/// Runs the commands of an order without an order request, each under a key.
fn at_the_requestor(stage: &mut Stage) {
    let sellers = serde_json::json!({"names": ["north"], "open_to_all": true});
    let body = serde_json::json!({"order_req_id": "typed", "sellers": sellers});
    stage.send(super::stage::buyers("POST /api/v1/orders/initiate").json(body));
    stage.settle("typed");
    stage.verb("wait typed --for phase=Open");
    for (number, line) in [
        "seen typed --seller north",
        "propose typed --proposal-id p-1 --seller north --currency EUR --line CHAIR:40:pieces=5200.00 \
         --note 'from stock' --delivery-date 2099-01-15 --attach https://example.com/a.pdf",
        "propose typed --proposal-id p-2 --seller west --price 6000 --currency EUR",
        "amend typed p-1 --seller north --delivery-date 2099-01-08",
        "lock typed p-1 --seller north --for 2m",
        "unlock typed p-1 --seller north",
        "withdraw typed p-2 --seller west --reason 'sold out'",
        "question typed 'With assembly?' --question-id q-1 --seller north",
        "ask typed 'Yes, by you.' --answers q-1",
        "answer typed v-9 'Fine.' --seller north",
        "decline typed --seller east --reason far",
        "pause typed --reason lunch",
        "resume typed",
        "extend typed --expires-in 2h",
        "award typed p-1 --undo-within 1h",
        "undo-award typed --reason 'a slip'",
        "award typed --none --reason 'none fits'",
    ]
    .iter()
    .enumerate()
    {
        // Keys are numbered from 1, and a follow-up's is its id.
        stage.verb_under_key(&format!("{line} --key v-{} -o json", number + 1));
        stage.settle("typed");
        if line.starts_with("decline") {
            for verb in ["status", "compare", "conversation"] {
                stage.verb(&format!("{verb} typed -o json"));
            }
            for line in ["compare typed -o csv", "compare typed", "why typed"] {
                stage.verb(line);
            }
        }
    }
    for line in [
        "close typed -o json",
        "propose typed --seller west --price 1 --currency EUR -o json",
        "award nowhere p-1 -o json",
        "extend typed --by soon -o json",
    ] {
        stage.verb(line);
    }
}

/// Runs commands that edit an order request, and deletes it.
fn with_an_order_request(stage: &mut Stage) {
    stage.verb(
        "submit --name desk --title 'A desk' --item DESK:1 --seller north --place 48.137,11.576 \
         --address 'Marienplatz 1' --message 'Soon, please.' --expires-in 1h -o json",
    );
    settle(stage);
    for line in [
        "get desk -o json",
        "pause desk --reason lunch --key e-1 -o json",
        "resume desk --key e-2 -o json",
        "extend desk --expires-in 2h --key e-3 -o json",
        "propose desk --proposal-id p-1 --seller north --price 1 --currency EUR --key e-4 -o json",
        "ask desk 'Which wood?' --key e-5 -o json",
        "award desk p-1 --undo-within 1h --key e-6 -o json",
        "undo-award desk --key e-7 -o json",
    ] {
        stage.verb(line);
        settle(stage);
    }
    stage.verb("get desk -o json");
    stage.verb("delete desk");
    stage.verb("wait desk --for delete");
    stage.until_phase("desk", "Cancelled");
    stage.verb("get desk -o json");
}

/// Applies the same name again, and ends its order; the order request stays.
fn second_incarnation(stage: &mut Stage) {
    stage.verb("apply -f {dir}/desk.yaml -o json");
    settle(stage);
    stage.verb(
        "propose desk --proposal-id p-1 --seller north --price 2 --currency EUR --key e-1 -o json",
    );
    settle(stage);
    stage.verb("award desk p-1 --reason 'the only one' --key e-2 -o json");
    settle(stage);
    for line in ["watch desk -o json", "status desk -o json"] {
        stage.verb(line);
    }
    let order = stage.read(Side::Sellers, "/api/v1/orders/desk");
    let former = order["former_incarnations"][0]["incarnation"].as_str().unwrap().to_owned();
    until("all are told of the first life's end", || {
        let path = format!("/api/v1/orders/desk/notifications?incarnation={former}");
        (stage.read(Side::Sellers, &path)["waiting"] == 0).then_some(())
    });
    stage.verb(&format!("status desk --incarnation {former} -o json"));
}

/// Waits until the order request shows all of its order, and its own last edit.
fn settle(stage: &Stage) {
    const PATH: &str = "/apis/orderstream.dev/v1alpha1/namespaces/default/orderrequests/desk";
    until("the desk has an order", || {
        let resource = stage.read(Side::Buyers, PATH);
        let order = stage.read(Side::Sellers, "/api/v1/orders/desk");
        (order["incarnation"] == resource["metadata"]["uid"]).then_some(())
    });
    stage.settle("desk");
    until("the order request shows its order", || {
        let resource = stage.read(Side::Buyers, PATH);
        let order = stage.read(Side::Sellers, "/api/v1/orders/desk");
        let status = &resource["status"];
        let is_over = !order["ended_at"].is_null();
        let is_current = status["tracker"]["lastSeq"] == order["last_seq"]
            && status["observedGeneration"] == resource["metadata"]["generation"]
            && status["completionTime"].is_null() != is_over
            && status["tracker"]["streamActive"] != is_over;
        (is_current && condition(status, "Reconciling") == "False").then_some(())
    });
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let all = status["conditions"].as_array().into_iter().flatten();
    let found = all.into_iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}
