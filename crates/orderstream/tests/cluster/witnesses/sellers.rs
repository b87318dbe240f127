//! The sellers, each on a thread of its own: over REST, by commands, in sessions, in one call for
//! many. A request to a processor that was killed is repeated until it has a reply.

use std::process::Output;
use std::thread::{JoinHandle, spawn};

use orderstream_client::{
    EventKind, FollowUpId, IdempotencyKey, OrderKey, ProposalContent, ProposalId, ProposalInput,
    ProposalLineInput, SellerId, SellerSession, SessionItem, SubmittedProposal, Tenant,
};
use serde_json::{Value, json};

use super::stage::{ORDER, SellerEndpoints};
use crate::client::block_on;
use crate::http::{HttpResponse, send};
use crate::process::{run, until};

/// The follow-up to all, which answers the question of `session`.
pub(super) const TO_ALL: &str = "f-to-all";
/// The follow-up to `asker` alone.
pub(super) const TO_ONE: &str = "f-to-one";
/// The question of `asker`.
pub(super) const QUESTION: &str = "q-asker";

impl SellerEndpoints {
    /// Sends a request, and repeats it until the processor replies.
    fn send_until_reply(&self, request: &str, headers: &[&str], body: &Value) -> HttpResponse {
        let text = body.to_string();
        until(request, || {
            let response = send(self.rest, request, headers, &text).ok()?;
            (response.status != 503).then_some(response)
        })
    }

    fn send_accepted(&self, request: &str, key: &str, body: &Value) {
        let response = self.send_until_reply(request, &[&format!("idempotency-key: {key}")], body);
        assert!(response.status < 300, "{request}: {response:?}");
    }

    fn refused(&self, request: &str, body: &Value, status: u16, reason: &str) {
        let response = self.send_until_reply(request, &[], body);
        assert_eq!(
            (response.status, &response.json()["reason"]),
            (status, &json!(reason)),
            "{response:?}"
        );
    }

    /// Checks that a proposal is refused with this reason while none is accepted.
    pub(super) fn too_late(&self, reason: &str) {
        self.refused("POST /api/v1/proposals", &self.whole("late", "1.00"), 409, reason);
    }

    /// Runs a seller's command, repeated until it succeeds; a refusal fails the test.
    fn command(&self, line: &[&str]) -> String {
        let url = format!("http://{}", self.rest);
        let flags = ["--processor-rest", &url, "--namespace", &self.tenant];
        let args = [line, &flags].concat();
        let stdout_of = |output: Output| {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_wrong = matches!(output.status.code(), Some(2 | 4));
            assert!(!is_wrong, "{line:?}: {error}");
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        until(&format!("{line:?}"), || stdout_of(run(&args)))
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
type SellerScript = fn(&SellerEndpoints);
/// The sellers that begin at once.
pub(super) const FIRST: [SellerScript; 6] = [rest, repeats, withdraws, miscounts, locks, steel];
/// The sellers that begin while the processor is down.
pub(super) const LATER: [SellerScript; 5] = [batches, typist, asker, declines, stutters];

/// Starts sellers, each on its thread.
pub(super) fn start_sellers(
    endpoints: &SellerEndpoints,
    sellers: &[SellerScript],
) -> Vec<JoinHandle<()>> {
    let begin = |script: &SellerScript| {
        let (script, endpoints) = (*script, endpoints.clone());
        spawn(move || script(&endpoints))
    };
    sellers.iter().map(begin).collect()
}

/// Proposes per line over REST, and amends the price under the version that it knows.
fn rest(endpoints: &SellerEndpoints) {
    let first = endpoints.per_line("rest", "6600.00", ["5200.00", "1400.00"]);
    endpoints.send_accepted("POST /api/v1/proposals", "rest-1", &first);
    let mut better = endpoints.per_line("rest", "6400.00", ["5000.00", "1400.00"]);
    better["delivery_date"] = json!("2030-01-20");
    let response = endpoints.send_until_reply(
        "PUT /api/v1/proposals/p-rest",
        &["idempotency-key: rest-2", "if-match: \"1\""],
        &better,
    );
    assert_eq!(response.status, 200, "{response:?}");
}

/// Repeats one proposal: under its key, under another one, and with another content.
fn repeats(endpoints: &SellerEndpoints) {
    let body = endpoints.whole("repeats", "7000.00");
    for _ in 0..3 {
        endpoints.send_accepted("POST /api/v1/proposals", "repeats-1", &body);
    }
    endpoints.send_accepted("POST /api/v1/proposal-submissions", "repeats-2", &body);
    let other = endpoints.whole("repeats", "6999.00");
    endpoints.refused("POST /api/v1/proposals", &other, 409, "PROPOSAL_EXISTS");
    let response = endpoints.send_until_reply(
        "POST /api/v1/proposals",
        &["idempotency-key: repeats-1"],
        &other,
    );
    assert_eq!(response.status, 409, "a key is for one content: {response:?}");
}

fn withdraws(endpoints: &SellerEndpoints) {
    endpoints.send_accepted(
        "POST /api/v1/proposals",
        "withdraws-1",
        &endpoints.whole("withdraws", "5000.00"),
    );
    let body = json!({ "tenant": endpoints.tenant, "order_req_id": ORDER, "reason": "sold out" });
    endpoints.send_accepted("POST /api/v1/proposals/p-withdraws/withdraw", "withdraws-2", &body);
}

/// Proposes lines that do not add up, and is refused each time.
fn miscounts(endpoints: &SellerEndpoints) {
    let body = endpoints.per_line("miscounts", "100.00", ["60.00", "41.00"]);
    for _ in 0..2 {
        endpoints.refused("POST /api/v1/proposals", &body, 422, "INVALID_FIELD");
    }
}

fn declines(endpoints: &SellerEndpoints) {
    let body = json!({ "tenant": endpoints.tenant, "seller": "declines", "reason": "too small" });
    endpoints.send_accepted(&format!("POST /api/v1/orders/{ORDER}/decline"), "declines-1", &body);
}

/// Receives its invitation at the third attempt; then it reads it, and does nothing more.
fn stutters(endpoints: &SellerEndpoints) {
    until("stutters is told", || (endpoints.state_of("stutters")? == "Notified").then_some(()));
    let body = json!({ "tenant": endpoints.tenant, "seller": "stutters" });
    endpoints.send_accepted(&format!("POST /api/v1/orders/{ORDER}/seen"), "stutters-1", &body);
}

/// Proposes without an invitation.
fn steel(endpoints: &SellerEndpoints) {
    endpoints.send_accepted(
        "POST /api/v1/proposals",
        "steel-1",
        &endpoints.whole("steel", "9900.00"),
    );
}

fn proposed(seller: &str, price: &str, lines: &[(&str, &str, &str)]) -> ProposalContent {
    let line = |(sku, quantity, price): &(&str, &str, &str)| ProposalLineInput {
        sku: (*sku).to_owned(),
        quantity: (*quantity).to_owned(),
        unit: Some("pieces".to_owned()),
        price: (*price).to_owned(),
        ..ProposalLineInput::default()
    };
    ProposalContent::try_from(ProposalInput {
        proposal_id: Some(format!("p-{seller}")),
        seller: seller.to_owned(),
        price: price.to_owned(),
        currency: "EUR".to_owned(),
        lines: lines.iter().map(line).collect(),
        ..ProposalInput::default()
    })
    .unwrap()
}

fn session_of(endpoints: &SellerEndpoints, seller: &str) -> SellerSession {
    let tenant = Tenant::new(endpoints.tenant.as_str()).unwrap();
    endpoints.client().seller(SellerId::new(seller).unwrap()).in_tenant(tenant)
}

/// Proposes in a session, holds the edit lock while another seller tries it, amends, and releases
/// it.
fn locks(endpoints: &SellerEndpoints) {
    let (order, id) = (endpoints.key(), ProposalId::new("p-locks").unwrap());
    let rival = json!({ "tenant": endpoints.tenant, "order_req_id": ORDER, "holder": "rest" });
    block_on(async {
        let mut session = session_of(endpoints, "locks");
        session.propose(&order, proposed("locks", "7100.00", &[])).await.unwrap();
        session.lock(&order, &id, 600_000).await.unwrap();
        endpoints.refused("POST /api/v1/proposals/p-locks/edit-lock", &rival, 423, "LOCKED");
        session.amend(&order, proposed("locks", "7050.00", &[]), 1).await.unwrap();
        session.unlock(&order, &id).await.unwrap();
    });
}

/// Proposes for two sellers of one agent in one call; the part for an unknown order is refused
/// alone.
fn batches(endpoints: &SellerEndpoints) {
    let key = |name: &str| Some(IdempotencyKey::new(name).unwrap());
    let of = |seller: &str, price: &str| SubmittedProposal {
        key: key(seller),
        ..SubmittedProposal::new(
            endpoints.key(),
            proposed(seller, price, &[("TABLE", "10", price)]),
        )
    };
    let other_order = OrderKey::new(&endpoints.tenant, "RFQ-78").unwrap();
    let all = [
        of("batch-a", "1500.00"),
        of("batch-b", "1450.00"),
        SubmittedProposal::new(other_order, proposed("batch-b", "1.00", &[])),
    ];
    block_on(async {
        let client = endpoints.client();
        loop {
            // A call that broke is made again: the keys prevent a second effect.
            let call = client.submit(futures_util::stream::iter(all.clone())).await;
            let Ok(summary) = call else { continue };
            let accepted = summary.results.iter().filter(|(_, result)| result.is_ok()).count();
            if accepted == 2 {
                break assert_eq!((summary.accepted, summary.refused), (2, 1), "{summary:?}");
            }
        }
    });
}

/// Proposes per line, locks, amends and unlocks by commands.
fn typist(endpoints: &SellerEndpoints) {
    let seller = ["--seller", "typist"];
    let command = |line: &[&str], key: &str| {
        endpoints.command(&[line, &seller, &["--key", key]].concat());
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
fn asker(endpoints: &SellerEndpoints) {
    let seller = ["--seller", "asker"];
    let question = ["question", ORDER, "In oak?", "--question-id", QUESTION, "--key", "asker-1"];
    endpoints.command(&[&question[..], &seller].concat());
    let price = ["--price", "7300.00", "--currency", "EUR", "--key", "asker-2"];
    let propose = ["propose", ORDER, "--proposal-id", "p-asker"];
    endpoints.command(&[&propose[..], &price, &seller].concat());
}

/// Answers by a command the follow-up that was for it alone.
pub(super) fn thank(endpoints: &SellerEndpoints) {
    let answer = ["answer", ORDER, TO_ONE, "Thank you.", "--seller", "asker", "--key", "asker-3"];
    endpoints.command(&answer);
}

/// Holds a session from the first event to the last; returns the sequence numbers of its events.
pub(super) fn hold_session(endpoints: &SellerEndpoints) -> JoinHandle<Vec<u64>> {
    let endpoints = endpoints.clone();
    spawn(move || block_on(session_events(&endpoints)))
}

async fn session_events(endpoints: &SellerEndpoints) -> Vec<u64> {
    let (order, mut seqs) = (endpoints.key(), Vec::new());
    let mut session = session_of(endpoints, "session");
    loop {
        let SessionItem::Event(received) = session.next().await.unwrap() else { continue };
        assert_eq!(received.order, order, "it is invited to nothing else");
        seqs.push(received.event.seq.0);
        let (seq, kind) = (received.event.seq, &received.event.kind);
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
    let notified = "delivered by Webhook";
    let of = |seller: &'static str, rest: &[&str]| {
        (seller, [&[notified][..], rest].concat().iter().map(ToString::to_string).collect())
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
