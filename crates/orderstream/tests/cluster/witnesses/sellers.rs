//! The sellers, each on a thread of its own: over REST, by commands, in sessions, in one call for
//! many. A request to a processor that was killed is repeated until it has a reply.

use std::process::Output;
use std::thread::{JoinHandle, spawn};

use orderstream_client::{
    EventKind, FollowUpId, Heard, IdempotencyKey, OrderKey, ProposalId, ProposalInput,
    ProposalLineInput, Proposed, SellerId, SellerSession, Submission, Tenant,
};
use serde_json::{Value, json};

use super::stage::{ORDER, Place};
use crate::client::block_on;
use crate::http::{Answer, send};
use crate::process::{run, until};

/// The follow-up to all, which answers the question of `session`.
pub(super) const TO_ALL: &str = "f-to-all";
/// The follow-up to `asker` alone.
pub(super) const TO_ONE: &str = "f-to-one";
/// The question of `asker`.
pub(super) const QUESTION: &str = "q-asker";

impl Place {
    /// Sends a request, and repeats it until the processor replies.
    fn ask(&self, request: &str, headers: &[&str], body: &Value) -> Answer {
        let text = body.to_string();
        until(request, || {
            let answer = send(self.rest, request, headers, &text).ok()?;
            (answer.status != 503).then_some(answer)
        })
    }

    fn done(&self, request: &str, key: &str, body: &Value) {
        let answer = self.ask(request, &[&format!("idempotency-key: {key}")], body);
        assert!(answer.status < 300, "{request}: {answer:?}");
    }

    fn refused(&self, request: &str, body: &Value, (status, reason): (u16, &str)) {
        let answer = self.ask(request, &[], body);
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (status, &json!(reason)),
            "{answer:?}"
        );
    }

    /// Checks that a proposal is refused with this reason while none is accepted.
    pub(super) fn too_late(&self, reason: &str) {
        self.refused("POST /api/v1/proposals", &self.whole("late", "1.00"), (409, reason));
    }

    /// Runs a seller's command, repeated until it succeeds; a refusal fails the test.
    fn command(&self, line: &[&str]) -> String {
        let url = format!("http://{}", self.rest);
        let place = ["--processor-rest", &url, "--namespace", &self.tenant];
        let args = [line, &place].concat();
        let answered = |output: Output| {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_wrong = matches!(output.status.code(), Some(2 | 4));
            assert!(!is_wrong, "{line:?}: {error}");
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        until(&format!("{line:?}"), || answered(run(&args)))
    }

    /// Returns a seller's proposal for the whole order.
    fn whole(&self, seller: &str, price: &str) -> Value {
        json!({ "tenant": self.tenant, "order_req_id": ORDER, "proposal_id": format!("p-{seller}"),
            "seller": seller, "price": price, "currency": "EUR" })
    }

    fn per_line(&self, seller: &str, total: &str, [chairs, tables]: [&str; 2]) -> Value {
        let mut body = self.whole(seller, total);
        body["lines"] = json!([
            { "sku": "CHAIR", "quantity": "40", "unit": "pieces", "price": chairs },
            { "sku": "TABLE", "quantity": "10", "unit": "pieces", "price": tables },
        ]);
        body
    }
}

/// The commands of one seller, up to the buyer's first message.
type Acts = fn(&Place);
/// The sellers that begin at once.
pub(super) const FIRST: [Acts; 6] = [rest, repeats, withdraws, miscounts, locks, steel];
/// The sellers that begin while the processor is down.
pub(super) const LATER: [Acts; 5] = [batches, typist, asker, declines, stutters];

/// Starts sellers, each on its thread.
pub(super) fn trade(place: &Place, sellers: &[Acts]) -> Vec<JoinHandle<()>> {
    let begin = |acts: &Acts| {
        let (acts, place) = (*acts, place.clone());
        spawn(move || acts(&place))
    };
    sellers.iter().map(begin).collect()
}

/// Proposes per line over REST, and amends the price under the version that it knows.
fn rest(place: &Place) {
    let first = place.per_line("rest", "6600.00", ["5200.00", "1400.00"]);
    place.done("POST /api/v1/proposals", "rest-1", &first);
    let mut better = place.per_line("rest", "6400.00", ["5000.00", "1400.00"]);
    better["delivery_date"] = json!("2027-01-20");
    let answer = place.ask(
        "PUT /api/v1/proposals/p-rest",
        &["idempotency-key: rest-2", "if-match: \"1\""],
        &better,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Repeats one proposal: under its key, under another one, and with another content.
fn repeats(place: &Place) {
    let body = place.whole("repeats", "7000.00");
    for _ in 0..3 {
        place.done("POST /api/v1/proposals", "repeats-1", &body);
    }
    place.done("POST /api/v1/proposal-submissions", "repeats-2", &body);
    let other = place.whole("repeats", "6999.00");
    place.refused("POST /api/v1/proposals", &other, (409, "PROPOSAL_EXISTS"));
    let answer = place.ask("POST /api/v1/proposals", &["idempotency-key: repeats-1"], &other);
    assert_eq!(answer.status, 409, "a key is for one content: {answer:?}");
}

fn withdraws(place: &Place) {
    place.done("POST /api/v1/proposals", "withdraws-1", &place.whole("withdraws", "5000.00"));
    let body = json!({ "tenant": place.tenant, "order_req_id": ORDER, "reason": "sold out" });
    place.done("POST /api/v1/proposals/p-withdraws/withdraw", "withdraws-2", &body);
}

/// Proposes lines that do not add up, and is refused each time.
fn miscounts(place: &Place) {
    let body = place.per_line("miscounts", "100.00", ["60.00", "41.00"]);
    for _ in 0..2 {
        place.refused("POST /api/v1/proposals", &body, (422, "INVALID_FIELD"));
    }
}

fn declines(place: &Place) {
    let body = json!({ "tenant": place.tenant, "seller": "declines", "reason": "too small" });
    place.done(&format!("POST /api/v1/orders/{ORDER}/decline"), "declines-1", &body);
}

/// Receives its invitation at the third attempt; then it reads it, and does nothing more.
fn stutters(place: &Place) {
    until("stutters is told", || (place.state_of("stutters")? == "Notified").then_some(()));
    let body = json!({ "tenant": place.tenant, "seller": "stutters" });
    place.done(&format!("POST /api/v1/orders/{ORDER}/seen"), "stutters-1", &body);
}

/// Proposes without an invitation.
fn steel(place: &Place) {
    place.done("POST /api/v1/proposals", "steel-1", &place.whole("steel", "9900.00"));
}

fn proposed(seller: &str, price: &str, lines: &[(&str, &str, &str)]) -> Proposed {
    let line = |(sku, quantity, price): &(&str, &str, &str)| ProposalLineInput {
        sku: (*sku).to_owned(),
        quantity: (*quantity).to_owned(),
        unit: Some("pieces".to_owned()),
        price: (*price).to_owned(),
    };
    Proposed::try_from(ProposalInput {
        proposal_id: Some(format!("p-{seller}")),
        seller: seller.to_owned(),
        price: price.to_owned(),
        currency: "EUR".to_owned(),
        lines: lines.iter().map(line).collect(),
        ..ProposalInput::default()
    })
    .unwrap()
}

fn session_of(place: &Place, seller: &str) -> SellerSession {
    let tenant = Tenant::new(place.tenant.as_str()).unwrap();
    place.client().seller(SellerId::new(seller).unwrap()).in_tenant(tenant)
}

/// Proposes in a session, holds the edit lock while another seller tries it, amends, and releases
/// it.
fn locks(place: &Place) {
    let (order, id) = (place.key(), ProposalId::new("p-locks").unwrap());
    let rival = json!({ "tenant": place.tenant, "order_req_id": ORDER, "holder": "rest" });
    block_on(async {
        let mut session = session_of(place, "locks");
        session.propose(&order, proposed("locks", "7100.00", &[])).await.unwrap();
        session.lock(&order, &id, 600_000).await.unwrap();
        place.refused("POST /api/v1/proposals/p-locks/edit-lock", &rival, (423, "LOCKED"));
        session.amend(&order, proposed("locks", "7050.00", &[]), 1).await.unwrap();
        session.unlock(&order, &id).await.unwrap();
    });
}

/// Proposes for two sellers of one agent in one call; the part for an unknown order is refused
/// alone.
fn batches(place: &Place) {
    let key = |name: &str| Some(IdempotencyKey::new(name).unwrap());
    let of = |seller: &str, price: &str| Submission {
        key: key(seller),
        ..Submission::new(place.key(), proposed(seller, price, &[("TABLE", "10", price)]))
    };
    let elsewhere = OrderKey::new(&place.tenant, "RFQ-78").unwrap();
    let all = [
        of("batch-a", "1500.00"),
        of("batch-b", "1450.00"),
        Submission::new(elsewhere, proposed("batch-b", "1.00", &[])),
    ];
    block_on(async {
        let client = place.client();
        loop {
            // A call that broke is made again: the keys say what was done already.
            let call = client.submit(futures_util::stream::iter(all.clone())).await;
            let Ok(summary) = call else { continue };
            let taken = summary.results.iter().filter(|(_, result)| result.is_ok()).count();
            if taken == 2 {
                break assert_eq!((summary.accepted, summary.refused), (2, 1), "{summary:?}");
            }
        }
    });
}

/// Proposes per line, locks, amends and unlocks by commands.
fn typist(place: &Place) {
    let seller = ["--seller", "typist"];
    let command = |line: &[&str], key: &str| {
        place.command(&[line, &seller, &["--key", key]].concat());
    };
    let lines = ["--line", "CHAIR:40:pieces=5300.00", "--line", "TABLE:10:pieces=1350.00"];
    let propose = ["propose", ORDER, "--proposal-id", "p-typist", "--currency", "EUR"];
    command(&[&propose[..], &lines].concat(), "typist-1");
    command(&["lock", ORDER, "p-typist", "--for", "10m"], "typist-2");
    let lines = ["--line", "CHAIR:40:pieces=5300.00", "--line", "TABLE:10:pieces=1300.00"];
    command(&[&["amend", ORDER, "p-typist"][..], &lines].concat(), "typist-3");
    command(&["unlock", ORDER, "p-typist"], "typist-4");
}

/// Asks by commands, and proposes without waiting for the answer.
fn asker(place: &Place) {
    let seller = ["--seller", "asker"];
    let ask = ["question", ORDER, "In oak?", "--question-id", QUESTION, "--key", "asker-1"];
    place.command(&[&ask[..], &seller].concat());
    let price = ["--price", "7300.00", "--currency", "EUR", "--key", "asker-2"];
    let propose = ["propose", ORDER, "--proposal-id", "p-asker"];
    place.command(&[&propose[..], &price, &seller].concat());
}

/// Answers by a command the follow-up that was for it alone.
pub(super) fn thank(place: &Place) {
    let answer = ["answer", ORDER, TO_ONE, "Thank you.", "--seller", "asker", "--key", "asker-3"];
    place.command(&answer);
}

/// Holds a session from the first event to the last; returns the sequence numbers of its events.
pub(super) fn stay(place: &Place) -> JoinHandle<Vec<u64>> {
    let place = place.clone();
    spawn(move || block_on(stayed(&place)))
}

async fn stayed(place: &Place) -> Vec<u64> {
    let (order, mut seqs) = (place.key(), Vec::new());
    let mut session = session_of(place, "session");
    loop {
        let Heard::Event(heard) = session.next().await.unwrap() else { continue };
        assert_eq!(heard.order, order, "it is invited to nothing else");
        seqs.push(heard.event.seq.0);
        let (seq, kind) = (heard.event.seq, &heard.event.kind);
        if matches!(kind, EventKind::SellerNotified { channel, .. } if channel == "Webhook") {
            session.acknowledge(&order, seq).await.unwrap();
            session.ask(&order, "With assembly?").await.unwrap();
            let lines = [("CHAIR", "40", "5100.00"), ("TABLE", "10", "1600.00")];
            session.propose(&order, proposed("session", "6700.00", &lines)).await.unwrap();
        }
        if matches!(kind, EventKind::FollowUpAdded(added) if added.id.as_str() == TO_ALL) {
            let id = FollowUpId::new(TO_ALL).unwrap();
            session.answer(&order, &id, "Fine.").await.unwrap();
        }
        if matches!(kind, EventKind::OrderFinalised { .. }) {
            return seqs;
        }
    }
}

/// Returns each participant's commands, with the results of its notifications, in order.
pub(super) fn script() -> Vec<(&'static str, Vec<String>)> {
    let told = "delivered by Webhook";
    let of = |seller: &'static str, rest: &[&str]| {
        (seller, [&[told][..], rest].concat().iter().map(ToString::to_string).collect())
    };
    vec![
        of(
            "asker",
            &["asked: In oak?", "proposed p-asker 7300.00 EUR", "answered f-to-one: Thank you."],
        ),
        of("batch-a", &["proposed p-batch-a 1500.00 EUR"]),
        of("batch-b", &["proposed p-batch-b 1450.00 EUR"]),
        of("declines", &["declined: too small"]),
        ("gone", vec!["bounced by Webhook".to_owned()]),
        of(
            "locks",
            &[
                "proposed p-locks 7100.00 EUR",
                "locked p-locks",
                "amended p-locks v2 7050.00 EUR",
                "unlocked p-locks",
            ],
        ),
        of("miscounts", &[]),
        of("repeats", &["proposed p-repeats 7000.00 EUR"]),
        of("rest", &["proposed p-rest 6600.00 EUR", "amended p-rest v2 6400.00 EUR"]),
        of(
            "session",
            &[
                "seen by session",
                "asked: With assembly?",
                "proposed p-session 6700.00 EUR",
                "answered f-to-all: Fine.",
            ],
        ),
        ("steel", vec!["proposed p-steel 9900.00 EUR".to_owned()]),
        of("stutters", &["seen by session"]),
        of(
            "typist",
            &[
                "proposed p-typist 6650.00 EUR",
                "locked p-typist",
                "amended p-typist v2 6600.00 EUR",
                "unlocked p-typist",
            ],
        ),
        of("withdraws", &["proposed p-withdraws 5000.00 EUR", "withdrew p-withdraws: sold out"]),
    ]
}
