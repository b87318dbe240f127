//! Orders as documents: pure functions from the owner's state to what is sent.

mod comparison;
mod conversation;
mod event;
mod inbox;
mod proposal;

use orderstream_core::command::Award;
use orderstream_core::date::rfc3339;
use orderstream_core::order::{Invitation, PendingAward};
use orderstream_core::spec::{Delivery, Item, Message, SellerChoice, Verdict};
use orderstream_core::{Order, Phase};
use orderstream_rest_types::order::{
    AwardView, ConsideredSellerView, DeliveryView, FormerIncarnationView, InvitationView, ItemView,
    MessageView, OrderView, PendingAwardView, ProposalCountsView,
};

pub(super) use self::comparison::comparison;
pub(super) use self::conversation::conversation_message;
pub(super) use self::event::event_content;
pub(super) use self::inbox::inbox_entry;
pub(super) use self::proposal::{proposal, proposals, version};
use crate::orders::{FormerEntry, OrderRuntimeState};

/// Converts an order.
pub(super) fn order(order: &Order, runtime: &OrderRuntimeState) -> OrderView {
    let counts = order.proposal_counts();
    OrderView {
        tenant: order.key.tenant.to_string(),
        order_req_id: order.key.order_req_id.to_string(),
        incarnation: order.incarnation.to_string(),
        title: order.spec.title.as_deref().map(ToOwned::to_owned),
        items: order.spec.items.iter().map(item).collect(),
        phase: order.phase.as_str().to_owned(),
        last_seq: order.last_seq.0,
        opened_at: rfc3339(order.opened_at),
        expires_at: rfc3339(order.expires_at),
        ended_at: order.ended_at.map(rfc3339),
        sealed: order.is_sealed(),
        decide_until: order.decide_until.map(rfc3339),
        epoch: runtime.epoch.0,
        stream_active: runtime.has_tracker,
        sellers: order.choices.iter().map(considered_seller).collect(),
        invitations: order.invitations.iter().map(|held| invitation(order, held)).collect(),
        open_to_all: order.spec.sellers.open_to_all,
        proposals: ProposalCountsView {
            received: counts.received,
            open: counts.open,
            withdrawn: counts.withdrawn,
            closed: counts.closed,
        },
        follow_ups: order.follow_ups.len(),
        questions: order.questions.len(),
        award: order.award.as_ref().map(award),
        pending_award: order.pending_award.as_deref().map(pending_award),
        former_incarnations: runtime.formers.iter().map(former_incarnation).collect(),
        category: order.spec.category.as_deref().map(ToOwned::to_owned),
        delivery: order.spec.delivery.as_deref().map(delivery),
        message: order.spec.message.as_deref().map(message),
        currency: order.spec.currency.map(|code| code.as_str().to_owned()),
        time_zone: order.spec.time_zone.as_deref().map(ToOwned::to_owned),
        decide_within_ms: order.spec.decide_within_ms(),
    }
}

fn former_incarnation(former: &FormerEntry) -> FormerIncarnationView {
    FormerIncarnationView {
        incarnation: former.incarnation.to_string(),
        phase: former.phase.map(|phase: Phase| phase.as_str().to_owned()),
        last_seq: former.last_seq().0,
        opened_at: former.opened_at.map(rfc3339),
        ended_at: former.ended_at.map(rfc3339),
    }
}

fn item(item: &Item) -> ItemView {
    ItemView {
        sku: item.sku.clone(),
        description: item.description.clone(),
        quantity: item.quantity.value().to_string(),
        unit: item.unit.clone(),
        line: item.line.clone(),
    }
}

fn delivery(delivery: &Delivery) -> DeliveryView {
    let degrees = |udeg: i32| f64::from(udeg) / 1e6;
    DeliveryView {
        latitude: delivery.place.map(|place| degrees(place.latitude_udeg)),
        longitude: delivery.place.map(|place| degrees(place.longitude_udeg)),
        address: delivery.address.clone(),
        by: delivery.by.clone(),
    }
}

fn message(message: &Message) -> MessageView {
    MessageView {
        text_type: message.kind.as_str().to_owned(),
        message: message.message.clone(),
        urls: message.urls.clone(),
    }
}

fn considered_seller(choice: &SellerChoice) -> ConsideredSellerView {
    ConsideredSellerView {
        seller: choice.seller.to_string(),
        chosen: choice.verdict == Verdict::Chosen,
        reason: choice.verdict.as_str().to_owned(),
        distance_m: choice.distance_m,
        display_name: choice.display_name.as_deref().map(ToOwned::to_owned),
    }
}

fn invitation(order: &Order, invitation: &Invitation) -> InvitationView {
    InvitationView {
        seller: invitation.seller.to_string(),
        state: invitation.state.as_str().to_owned(),
        at: Some(rfc3339(invitation.at)),
        reason: invitation.reason.clone(),
        display_name: order.display_name(&invitation.seller).map(ToOwned::to_owned),
    }
}

fn award(award: &Award) -> AwardView {
    match award {
        Award::Whole(id) => AwardView::Whole(id.to_string()),
        Award::Lines(lines) => {
            AwardView::Lines(lines.iter().map(|(sku, id)| (sku.clone(), id.to_string())).collect())
        }
    }
}

fn pending_award(pending: &PendingAward) -> PendingAwardView {
    PendingAwardView {
        award: pending.award.as_ref().map(award),
        reason: pending.reason.clone(),
        effective_at: rfc3339(pending.effective_at),
    }
}
