//! The sellers that may send a command: the invited ones, where an order invites any and is not open
//! to all, and any other one on what it has done before. While an order is sealed, each commands
//! its own proposals only.
//!
//! These rules come first, so that the refusal of a seller that may not send a command is the same
//! whatever the order holds.

use crate::command::CommandKind;
use crate::id::{ProposalId, SellerId};
use crate::order::{Order, Proposal, ProposalPhase};
use crate::refusal::{Reason, Refusal};

/// Checks that the seller of a command may send it; the commands of others pass.
pub(in crate::book) fn check(order: &Order, kind: &CommandKind) -> Result<(), Refusal> {
    let Some(seller) = kind.seller() else { return must_be_named(order, kind) };
    // Once it has ended, an order refuses everybody alike, but takes the state of a seller.
    if order.phase.is_terminal() && !matches!(kind, CommandKind::See { .. }) {
        return Ok(());
    }
    if let Err(refusal) = must_be_invited(order, seller)
        && !is_about_own(order, seller, kind)
    {
        return Err(refusal);
    }
    let is_on_one = matches!(
        kind,
        CommandKind::Amend(_)
            | CommandKind::Withdraw { .. }
            | CommandKind::Lock { .. }
            | CommandKind::Unlock { .. }
    );
    match kind.proposal_id() {
        Some(id) if is_on_one && order.is_sealed() => must_be_own(order, seller, id),
        Some(_) | None => Ok(()),
    }
}

/// Checks that a withdrawal without a seller, which is anybody's, is not one under seal.
fn must_be_named(order: &Order, kind: &CommandKind) -> Result<(), Refusal> {
    let is_unnamed = matches!(kind, CommandKind::Withdraw { seller: None, .. });
    if is_unnamed && order.is_sealed() && !order.phase.is_terminal() {
        let text = "is missing; the order is sealed, so name the seller that withdraws its own";
        return Err(Refusal::field("seller", text));
    }
    Ok(())
}

/// Reports whether a command proposes under an id that a sealed order has. It is refused for that
/// id, whatever its key was used for: a conflict of keys would name the proposal's seller.
pub(in crate::book) fn is_hidden_duplicate(order: &Order, kind: &CommandKind) -> bool {
    let is_taken = |id: &ProposalId| order.proposals.contains_key(id);
    order.is_sealed()
        && matches!(kind, CommandKind::Propose(_))
        && kind.proposal_id().is_some_and(is_taken)
}

/// Checks that a seller may take part: where the order invites sellers, only these may, unless it
/// is open to all.
fn must_be_invited(order: &Order, seller: &SellerId) -> Result<(), Refusal> {
    let invited = order.invited_count();
    if invited == 0 || order.spec.sellers.open_to_all || order.invitation(seller).is_some() {
        return Ok(());
    }
    let whom = if invited == 1 { "one other seller" } else { "other sellers" };
    let text = format!(
        "{seller} is not invited: the order invites {whom} only; ask its buyer for an order that \
         invites {seller}, or that is open to all"
    );
    Err(Refusal { field: Some("seller".to_owned()), ..Refusal::new(Reason::NotInvited, text) })
}

/// Reports whether a command is about what its seller has done before. Proposals, questions and edit
/// locks of sellers that are not invited are in lists from before there was this rule, and in those
/// of orders that invited nobody at first.
fn is_about_own(order: &Order, seller: &SellerId, kind: &CommandKind) -> bool {
    let is_own = |held: &Proposal| held.content.seller == *seller;
    let is_open = |held: &Proposal| held.phase == ProposalPhase::Open && is_own(held);
    let has_asked = || order.questions.values().any(|by| by == seller);
    let holds_lock = |held: &Proposal| held.lock.as_ref().is_some_and(|lock| lock.0 == *seller);
    let named = kind.proposal_id().and_then(|id| order.proposals.get(id));
    let is_about_all = matches!(kind, CommandKind::Decline { .. } | CommandKind::Answer { .. });
    let is_unlock = matches!(kind, CommandKind::Unlock { .. });
    named.is_some_and(|held| is_own(held) || is_unlock && holds_lock(held))
        || is_about_all && (has_asked() || order.proposals.values().any(is_open))
}

/// Checks that a proposal is the seller's. A proposal of another seller is refused as one that the
/// order does not have.
fn must_be_own(order: &Order, seller: &SellerId, id: &ProposalId) -> Result<(), Refusal> {
    if order.proposals.get(id).is_some_and(|held| held.content.seller == *seller) {
        return Ok(());
    }
    let text = format!("{seller} has no proposal {id} here; use the id of one of its own");
    Err(Refusal::new(Reason::ProposalNotFound, text))
}
