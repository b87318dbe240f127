//! Redaction: the part of a sealed order that may leave its owner before the opening. One function
//! is for events and one is for folded orders; every way out goes through one of the two.
//!
//! Counts and ids stay readable, so that readers have the same numbers; sellers, prices and texts
//! do not. After the opening the list is read again from its first event, with nothing hidden.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use crate::command::ProposalContent;
use crate::event::{Event, EventKind, NotifyResult, ProposalUpdate};
use crate::id::SellerId;
use crate::order::{Invitation, Order};
use crate::price::Price;

/// The placeholder for a seller's name that is hidden.
pub const SEALED: &str = "sealed";

static REDACTED_SELLER: LazyLock<Option<SellerId>> = LazyLock::new(|| SellerId::new(SEALED).ok());

/// Returns the name to show for a seller of this order.
pub fn seller<'a>(order: &Order, seller: &'a SellerId) -> &'a str {
    if order.is_sealed() { SEALED } else { seller.as_str() }
}

/// The redaction of an order's proposals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redaction {
    /// They may leave the owner.
    #[default]
    Open,
    /// They may not leave the owner yet, or never will.
    Sealed,
}

impl Redaction {
    /// Returns the redaction of an order; `Open` where there is no order.
    pub fn of(order: Option<&Order>) -> Self {
        if order.is_some_and(Order::is_sealed) { Self::Sealed } else { Self::Open }
    }
}

/// Returns an order's redaction after these events; `None` where they do not set it.
pub fn redaction_after(events: &[Arc<Event>]) -> Option<Redaction> {
    events.iter().rev().find_map(|event| match &event.kind {
        EventKind::OrderOpened(opened) if opened.spec.sealed => Some(Redaction::Sealed),
        EventKind::OrderOpened(_) | EventKind::ProposalsOpened { .. } => Some(Redaction::Open),
        EventKind::SellersSelected(_)
        | EventKind::SellerNotified { .. }
        | EventKind::NewProposal(_)
        | EventKind::ProposalUpdate(_)
        | EventKind::ProposalClosed { .. }
        | EventKind::EditLock { .. }
        | EventKind::FollowUpAdded(_)
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => None,
    })
}

/// Returns an event as it may leave the owner under this redaction.
pub fn apply(redaction: Redaction, event: &Arc<Event>) -> Arc<Event> {
    match redaction {
        Redaction::Open => Arc::clone(event),
        Redaction::Sealed => self::event(event),
    }
}

/// Returns an event as it may leave the owner while the order is sealed.
pub fn event(event: &Arc<Event>) -> Arc<Event> {
    match redacted_kind(&event.kind) {
        None => Arc::clone(event),
        Some(kind) => Arc::new(Event { seq: event.seq, at: event.at, cause: None, kind }),
    }
}

/// Returns an order as it may leave the owner now.
pub fn order(order: &Order) -> Cow<'_, Order> {
    if !order.is_sealed() {
        return Cow::Borrowed(order);
    }
    let mut redacted = order.clone();
    for proposal in redacted.proposals.values_mut() {
        proposal.content = redacted_content(&proposal.content);
        proposal.declined = false;
        proposal.lock =
            proposal.lock.take().map(|(holder, until)| (redacted_seller(&holder), until));
    }
    for held in &mut redacted.invitations {
        *held = invitation(order, held);
    }
    redacted.declined.clear();
    for asker in redacted.questions.values_mut() {
        *asker = redacted_seller(asker);
    }
    Cow::Owned(redacted)
}

/// Returns an invitation of an order as it may leave the owner now.
pub fn invitation(order: &Order, invitation: &Invitation) -> Invitation {
    // Which seller opened the order, declined or proposed is as revealing as a price.
    let shown = if order.is_sealed() { invitation.without_acts() } else { invitation };
    shown.clone()
}

fn redacted_seller(fallback: &SellerId) -> SellerId {
    // The name is a constant that fits the rules.
    REDACTED_SELLER.clone().unwrap_or_else(|| fallback.clone())
}

fn redacted_content(proposed: &ProposalContent) -> ProposalContent {
    ProposalContent {
        proposal_id: proposed.proposal_id.clone(),
        ..ProposalContent::new(redacted_seller(&proposed.seller), Price::hidden())
    }
}

/// Returns the replacement for an event with hidden content; `None` where nothing in it is hidden.
fn redacted_kind(kind: &EventKind) -> Option<EventKind> {
    let update = match kind {
        EventKind::NewProposal(proposed) => {
            return Some(EventKind::NewProposal(redacted_content(proposed)));
        }
        EventKind::EditLock { proposal_id, holder, until } => {
            let (proposal_id, holder, until) =
                (proposal_id.clone(), redacted_seller(holder), *until);
            return Some(EventKind::EditLock { proposal_id, holder, until });
        }
        EventKind::SellerNotified { seller, channel, result: NotifyResult::Seen, .. } => {
            return Some(EventKind::SellerNotified {
                seller: redacted_seller(seller),
                channel: channel.clone(),
                result: NotifyResult::Seen,
                reason: None,
            });
        }
        EventKind::ProposalUpdate(update) => update,
        EventKind::OrderOpened(_)
        | EventKind::SellersSelected(_)
        | EventKind::SellerNotified { .. }
        | EventKind::ProposalClosed { .. }
        | EventKind::FollowUpAdded(_)
        | EventKind::OrderPaused { .. }
        | EventKind::OrderResumed
        | EventKind::OrderExtended { .. }
        | EventKind::ProposalsOpened { .. }
        | EventKind::AwardPending { .. }
        | EventKind::AwardUndone { .. }
        | EventKind::OrderFinalised { .. }
        | EventKind::OrderClosed { .. }
        | EventKind::OrderCancelled { .. } => return None,
    };
    Some(EventKind::ProposalUpdate(redacted_update(update)))
}

fn redacted_update(update: &ProposalUpdate) -> ProposalUpdate {
    match update {
        ProposalUpdate::Amended { proposal, version } => {
            ProposalUpdate::Amended { proposal: redacted_content(proposal), version: *version }
        }
        ProposalUpdate::Withdrawn { proposal_id, .. } => {
            ProposalUpdate::Withdrawn { proposal_id: proposal_id.clone(), reason: None }
        }
        ProposalUpdate::Declined { seller, .. } => {
            ProposalUpdate::Declined { seller: redacted_seller(seller), reason: None }
        }
        // Questions and answers may be read; their sellers' names may not.
        ProposalUpdate::Answered { seller, follow_up_id, message } => ProposalUpdate::Answered {
            seller: redacted_seller(seller),
            follow_up_id: follow_up_id.clone(),
            message: message.clone(),
        },
        ProposalUpdate::Asked { seller, question_id, message } => ProposalUpdate::Asked {
            seller: redacted_seller(seller),
            question_id: question_id.clone(),
            message: message.clone(),
        },
    }
}
