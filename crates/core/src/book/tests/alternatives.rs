//! Tests of the proposals of one seller: one without a label, and one with each label.

use serde_json::json;

use super::*;

fn content(id: &str, by: &str, label: Option<&str>) -> ProposalContent {
    ProposalContent { alternative: label.map(Into::into), ..proposal_content(Some(id), by, "10") }
}

fn offer(id: &str, by: &str, label: Option<&str>) -> CommandKind {
    CommandKind::Propose(content(id, by, label))
}

/// Returns an order in which seller `a` has a proposal, and an alternative.
fn with_both() -> BookHarness {
    let mut harness = BookHarness::open();
    harness.run(offer("p1", "a", None)).unwrap();
    harness.run(offer("p2", "a", Some("from-stock"))).unwrap();
    harness
}

/// The refusal names the other one. A restart changes nothing.
#[test]
fn a_seller_has_one_proposal_of_each_label() {
    type Other = Option<(&'static str, Option<&'static str>)>;
    let reads_alike = Some(("p2", Some("alternative")));
    let cases: [(&str, Option<&str>, Other); 12] = [
        ("a", None, Some(("p1", None))),
        ("a", Some("from-stock"), Some(("p2", Some("alternative")))),
        ("a", Some("From-Stock"), reads_alike),
        ("a", Some(" from-stock "), reads_alike),
        ("a", Some("from -\u{a0}stock"), reads_alike),
        ("a", Some("from\u{200b}-sto\u{ad}ck\u{fe0f}"), reads_alike),
        ("a", Some("\u{ff46}\u{ff52}\u{ff4f}\u{ff4d}\u{ff0d}stock"), reads_alike),
        ("a", Some("from stock"), None),
        ("a", Some("from-stock 2"), None),
        ("b", None, None),
        ("b", Some("from-stock"), None),
        ("afrom-stock", None, None),
    ];
    let harness = with_both();
    for mut harness in [BookHarness { book: harness.replayed(), ..harness.clone() }, harness] {
        for (by, label, other) in cases {
            let mut harness = harness.clone();
            let result = harness.run(offer("p3", by, label));
            let Some((id, field)) = other else {
                result.unwrap_or_else(|refusal| panic!("{by} {label:?}: {refusal}"));
                continue;
            };
            let refusal = result.unwrap_err();
            assert_eq!((refusal.reason, refusal.field.as_deref()), (Reason::ProposalExists, field));
            assert_eq!(refusal.metadata, [("proposal_id".to_owned(), id.to_owned())]);
            assert!(
                refusal.message.contains(&format!("{id} already; amend it")) || field.is_some()
            );
        }
        let unnamed = CommandKind::Propose(proposal_content(None, "a", "11"));
        assert_eq!(harness.expect_refusal(unnamed), Reason::ProposalExists);
    }
}

#[test]
fn withdrawn_proposals_make_room() {
    let mut harness = with_both();
    for (id, label, next) in [("p1", None, "p3"), ("p2", Some("from-stock"), "p4")] {
        harness.run(withdraw(id)).unwrap();
        harness.run(offer(next, "a", label)).unwrap();
        harness.book = harness.replayed();
        assert_eq!(harness.expect_refusal(offer("p5", "a", label)), Reason::ProposalExists);
    }
}

/// They may also come first.
#[test]
fn alternatives_stand_without_a_main_proposal() {
    let mut harness = BookHarness::open();
    harness.run(offer("p1", "a", Some("express"))).unwrap();
    harness.run(offer("p2", "a", Some("by ship"))).unwrap();
    harness.run(offer("p3", "a", None)).unwrap();
    assert_eq!(harness.book.order().unwrap().proposal_counts().open, 3);
}

/// A program that does not know of labels amends an alternative as any other proposal.
#[test]
fn amendments_keep_their_label() {
    let label_of = |harness: &BookHarness, id: &str| {
        harness.book.order().unwrap().proposals[&proposal_id(id)].content.alternative.clone()
    };
    let mut harness = with_both();
    harness.run(amend("p2", "a", "9")).unwrap();
    assert_eq!(label_of(&harness, "p2").as_deref(), Some("from-stock"));
    harness.run(amend("p2", "a", "9")).expect("it is so already");
    assert_eq!(harness.stored.len(), 5);
    harness.run(CommandKind::Amend(content("p2", "a", Some("from-stock")))).unwrap();
    for (id, label) in [("p1", "from-stock"), ("p2", "express")] {
        let refusal = harness.run(CommandKind::Amend(content(id, "a", Some(label)))).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("alternative"), "{refusal}");
    }
    assert_eq!(label_of(&harness, "p1"), None);
}

/// A list from before has several of one seller: each can be amended and withdrawn, and a new one
/// is taken when none is open.
#[test]
fn earlier_proposals_of_one_seller_stay() {
    let mut harness = BookHarness::open();
    for (seq, id) in [(3, "p1"), (4, "p2")] {
        let stored = json!({
            "seq": seq, "at": T0,
            "kind": {"NewProposal": {
                "proposal_id": id, "seller": "a", "price": {"amount": "10", "currency": "EUR"},
            }},
        });
        harness.book.replay(&serde_json::from_value(stored).unwrap()).unwrap();
    }
    harness.run(amend("p2", "a", "9")).unwrap();
    harness.run(withdraw("p1")).unwrap();
    assert_eq!(harness.expect_refusal(propose("p3", "a")), Reason::ProposalExists);
    harness.run(withdraw("p2")).unwrap();
    harness.run(propose("p3", "a")).unwrap();
}
