//! The invitation of sellers that come while an order is open.

use super::RuleResult;
use super::proposals::must_be_open;
use crate::event::EventKind;
use crate::id::Timestamp;
use crate::order::Order;
use crate::refusal::{Reason, Refusal};
use crate::spec::{SellerChoice, Verdict};

/// Invites those of the chosen sellers that are not invited yet and have not declined, as far as the
/// order has places. The
/// event has all sellers that are invited then: a reader that takes each selection for the whole
/// one is right too.
pub(super) fn invite(order: &Order, now: Timestamp, choices: &[SellerChoice]) -> RuleResult {
    let mut added: Vec<&SellerChoice> = Vec::new();
    for choice in choices.iter().filter(|choice| choice.verdict == Verdict::Chosen) {
        let is_known = order.invitation(&choice.seller).is_some()
            || order.has_left(&choice.seller)
            || added.iter().any(|held| held.seller == choice.seller);
        if !is_known {
            added.push(choice);
        }
    }
    if added.is_empty() {
        return Ok(Vec::new());
    }
    must_be_open(order, now)?;
    if !order.spec.sellers.late {
        let text = "the order invites nobody after its opening";
        return Err(Refusal::new(Reason::NotInvited, text));
    }
    let places = order.free_places();
    if places == 0 {
        let text = format!(
            "the order invites {} sellers, the most that its buyer wants",
            order.invited_count()
        );
        return Err(Refusal::new(Reason::LimitReached, text));
    }
    let invited = order.choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
    let all = invited.chain(added.into_iter().take(places)).cloned().collect();
    Ok(vec![EventKind::SellersSelected(all)])
}
