//! The buyer's award over gRPC: line by line, with an undo, and based on what the buyer has read.

use orderstream_rpc::convert::timestamp_from_wire;
use orderstream_rpc::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::http::get;
use crate::rig::{Rig, START, within};
use crate::wire::{Follow, Wire, order, proposal, reason, refusal, submission, tracker};

/// Opens an order for beams and bolts.
async fn open(wire: &Wire) -> Follow {
    let item = |sku: &str| v1::OrderItem {
        sku: sku.to_owned(),
        quantity: "2".to_owned(),
        unit: "m".to_owned(),
        ..v1::OrderItem::default()
    };
    let items = vec![item("beam"), item("bolt")];
    let spec = v1::OrderSpec { items, ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker("a") };
    let mut follow = wire.follow(request).await.unwrap();
    follow.through(2).await;
    follow
}

/// Submits a proposal for these lines at 10 each.
async fn offer(wire: &Wire, id: &str, skus: &[&str]) {
    let line = |sku: &&str| v1::ProposalLine {
        sku: (*sku).to_owned(),
        quantity: "2".to_owned(),
        unit: "m".to_owned(),
        price: "10".to_owned(),
        ..v1::ProposalLine::default()
    };
    let price = (10 * skus.len()).to_string();
    let offered = v1::Proposal { price, lines: skus.iter().map(line).collect(), ..proposal(id) };
    let offered = v1::ProposalSubmission { proposal: Some(offered), ..submission("a", "") };
    let summary = wire.submit(vec![offered]).await.unwrap();
    assert_eq!(summary.accepted, 1, "{summary:?}");
}

fn lines(lines: &[(&str, &str)]) -> v1::AwardRequest {
    let line = |(sku, id): &(&str, &str)| v1::AwardLine {
        sku: (*sku).to_owned(),
        proposal_id: (*id).to_owned(),
    };
    v1::AwardRequest {
        order: Some(order("a")),
        lines: lines.iter().map(line).collect(),
        ..v1::AwardRequest::default()
    }
}

fn whole(id: &str, undo_within_ms: u64) -> v1::AwardRequest {
    let (order, proposal_id) = (Some(order("a")), id.to_owned());
    v1::AwardRequest { order, proposal_id, undo_within_ms, ..v1::AwardRequest::default() }
}

async fn award(wire: &Wire, request: v1::AwardRequest) -> Result<v1::ActResponse, Status> {
    Ok(within("an award", wire.control.clone().award(request)).await?.into_inner())
}

async fn undo(wire: &Wire) -> Result<v1::ActResponse, Status> {
    let request = v1::UndoAwardRequest { order: Some(order("a")), ..Default::default() };
    Ok(within("an undo", wire.control.clone().undo_award(request)).await?.into_inner())
}

/// Each line goes to a proposal that offers it.
#[tokio::test]
async fn lines_are_awarded_all_or_none() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = open(&wire).await;
    offer(&wire, "both", &["beam", "bolt"]).await;
    offer(&wire, "bolts", &["bolt"]).await;
    offer(&wire, "beams", &["beam"]).await;
    for (wrong, field, text) in [
        (lines(&[("beam", "both"), ("nail", "both")]), "lines[1].sku", "not an item"),
        (lines(&[("beam", "bolts")]), "lines[0].sku", "not offered"),
        (lines(&[("beam", "both"), ("beam", "beams")]), "lines[1].sku", "given twice"),
    ] {
        let status = award(&wire, wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(refusal(&status).field.as_deref(), Some(field), "{status:?}");
        assert!(status.message().contains(text), "{status:?}");
    }
    let unknown = award(&wire, lines(&[("beam", "p9")])).await.unwrap_err();
    assert_eq!(reason(&unknown), "PROPOSAL_NOT_FOUND");
    assert_eq!(wire.last_seq("a").await, 5, "nothing was done");
    let winners = lines(&[("beam", "both"), ("bolt", "bolts")]);
    let awarded = award(&wire, winners).await.unwrap();
    assert_eq!(awarded.phase, "Finalised");
    let rest = follow.rest().await;
    assert_eq!(rest[3..], ["ProposalClosed", "OrderFinalised"], "one lost");
    let state = wire.state("a").await.unwrap();
    assert_eq!(state.award.unwrap().lines.len(), 2);
    let page = get(rig.rest(), "/api/v1/orders/a/proposals").await.json();
    let outcome = |index: usize| page["proposals"][index]["outcome"].clone();
    assert_eq!([outcome(0), outcome(1), outcome(2)], ["NotAwarded", "Awarded", "Awarded"]);
    let won = |index: usize| page["proposals"][index]["won"].clone();
    let bolts = json!({ "whole": false, "total": "10", "lines": [
        { "line": "bolt", "quantity": "2", "unit": "m", "price": "10" },
    ]});
    assert_eq!((won(0), won(1)), (Value::Null, bolts));
    let second = award(&wire, whole("beams", 0)).await.unwrap_err();
    assert_eq!(reason(&second), "ALREADY_AWARDED");
}

/// They are shown as pending, and an undo is refused once they have taken effect.
#[tokio::test]
async fn pending_awards_take_effect_unless_undone() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let mut follow = open(&wire).await;
    offer(&wire, "p", &["beam"]).await;
    assert_eq!(reason(&undo(&wire).await.unwrap_err()), "AWARD_NOT_PENDING");
    let pending = award(&wire, whole("p", 60_000)).await.unwrap();
    assert_eq!((pending.seq, pending.phase.as_str()), (4, "Open"));
    let state = wire.state("a").await.unwrap();
    assert!(state.award.is_none());
    let pending_award = state.pending_award.unwrap();
    assert_eq!(timestamp_from_wire(&pending_award.effective_at.unwrap()), START.plus_ms(60_000));
    assert_eq!(award(&wire, whole("p", 60_000)).await.unwrap().seq, 4, "said again");
    let other = award(&wire, whole("", 0)).await.unwrap_err();
    assert_eq!(reason(&other), "AWARD_PENDING");
    let undone = undo(&wire).await.unwrap();
    assert_eq!((undone.seq, undone.phase.as_str()), (5, "Open"));
    assert!(wire.state("a").await.unwrap().pending_award.is_none());
    offer(&wire, "better", &["beam", "bolt"]).await;
    award(&wire, whole("better", 60_000)).await.unwrap();
    rig.clock.set(START.plus_ms(60_000));
    let kinds = follow.rest().await;
    let end = ["AwardPending", "ProposalClosed", "OrderFinalised"];
    assert_eq!(kinds[kinds.len() - 3..], end);
    let state = wire.state("a").await.unwrap();
    assert_eq!((state.phase.as_str(), state.pending_award), ("Finalised", None));
    assert_eq!(state.award.unwrap().proposal_id, "better");
    assert!(undo(&wire).await.is_err(), "too late");
    let absurd = whole("p", 86_400_001);
    assert!(award(&wire, absurd).await.is_err());
}

#[tokio::test]
async fn awards_on_stale_views_are_refused() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    drop(open(&wire).await);
    offer(&wire, "p", &["beam"]).await;
    let last_seq = wire.last_seq("a").await;
    let cheaper = v1::Proposal { version: 1, price: "5".to_owned(), ..proposal("p") };
    let cheaper = v1::ProposalSubmission { proposal: Some(cheaper), ..submission("a", "") };
    wire.submit(vec![cheaper]).await.unwrap();
    let on_stale_view = v1::AwardRequest { expected_seq: last_seq, ..whole("p", 0) };
    let status = award(&wire, on_stale_view).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Aborted, "CHANGED"));
    let on_current_view = v1::AwardRequest { expected_seq: last_seq + 1, ..whole("p", 0) };
    assert_eq!(award(&wire, on_current_view).await.unwrap().phase, "Finalised");
}

/// Their invitations are shown before.
#[tokio::test]
async fn sealed_orders_are_awarded_after_opening() {
    let rig = Rig::start().await;
    let wire = rig.wire().await;
    let spec = v1::OrderSpec { sealed: true, expires_in_ms: 60_000, ..v1::OrderSpec::default() };
    let request = v1::OrderStreamRequest { order: Some(spec), ..tracker("a") };
    wire.follow(request).await.unwrap().through(2).await;
    wire.propose("a", "p").await;
    let early = award(&wire, whole("p", 0)).await.unwrap_err();
    assert_eq!(reason(&early), "ORDER_SEALED");
    let sealed = wire.state("a").await.unwrap();
    assert_eq!((sealed.invitations.len(), sealed.decide_until), (3, None));
    assert!(sealed.invitations.iter().all(|held| held.state != "Proposed"), "{sealed:?}");
    rig.clock.set(START.plus_ms(60_000));
    rig.clock.wait_for_expiry_round().await;
    let opened = wire.state("a").await.unwrap();
    assert_eq!((opened.phase.as_str(), opened.proposals[0].price.as_str()), ("Deciding", "10.50"));
    assert!(opened.decide_until.is_some());
    let proposed = opened.invitations.iter().find(|held| held.seller == "seller1").unwrap();
    assert_eq!(proposed.state, "Proposed");
    let summary = wire.submit(vec![submission("a", "late")]).await.unwrap();
    assert_eq!(summary.results[0].reason, "DEADLINE_PASSED");
    assert_eq!(award(&wire, whole("p", 0)).await.unwrap().phase, "Finalised");
}
