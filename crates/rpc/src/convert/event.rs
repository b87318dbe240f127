//! Conversions of events. The owner sends and a tracker receives the same event, except for its
//! cause, which is not sent.

use orderstream_core::command::Award;
use orderstream_core::event::{Event, EventKind, NotifyResult, OrderOpened, ProposalUpdate};
use orderstream_core::spec::{SellerChoice, Verdict};
use orderstream_core::{FollowUpId, Incarnation, OrderKey, ProposalId, Refusal, SellerId, Seq};

use super::command::{award_input_from_wire, follow_up_from_wire};
use super::spec::{
    message_to_wire, proposal_from_wire, proposal_to_wire, spec_from_wire, spec_to_wire,
};
use super::{missing_field, non_empty, timestamp_from_wire, timestamp_to_wire};
use crate::v1;
use crate::v1::order_stream_response::Detail;

/// The status text of the in-band message with which a draining server ends a stream.
pub const DRAINING: &str = "Draining";

/// Returns the in-band message with which a draining server ends a stream.
pub fn draining(key: &OrderKey, last_seq: Seq) -> v1::OrderStreamResponse {
    v1::OrderStreamResponse {
        order_req_id: key.order_req_id.to_string(),
        streaming_response_status: DRAINING.to_owned(),
        detail: Some(Detail::Draining(v1::Draining { last_seq: last_seq.0 })),
        ..v1::OrderStreamResponse::default()
    }
}

/// Converts an event to the wire.
pub fn event_to_wire(key: &OrderKey, event: &Event) -> v1::OrderStreamResponse {
    let text = |id: Option<String>| id.unwrap_or_default();
    v1::OrderStreamResponse {
        order_req_id: key.order_req_id.to_string(),
        proposal_id: text(event.kind.proposal_id().map(ToString::to_string)),
        streaming_response_status: event.kind.as_str().to_owned(),
        follow_up_id: text(event.kind.follow_up_id().map(ToString::to_string)),
        seq: event.seq.0,
        at: Some(timestamp_to_wire(event.at)),
        detail: Some(detail_to_wire(&event.kind)),
    }
}

fn detail_to_wire(kind: &EventKind) -> Detail {
    let text = |reason: &Option<String>| reason.clone().unwrap_or_default();
    match kind {
        EventKind::OrderOpened(opened) => Detail::Opened(v1::OrderOpened {
            order: Some(spec_to_wire(&opened.spec)),
            expires_at: Some(timestamp_to_wire(opened.expires_at)),
            incarnation: opened.incarnation.to_string(),
            tenant: opened.key.tenant.to_string(),
        }),
        EventKind::SellersSelected(choices) => Detail::SellersSelected(v1::SellersSelected {
            sellers: choices.iter().map(choice_to_wire).collect(),
        }),
        EventKind::SellerNotified { seller, channel, result, reason } => {
            Detail::SellerNotified(v1::SellerNotified {
                seller: seller.to_string(),
                channel: channel.clone(),
                result: result.as_str().to_owned(),
                reason: text(reason),
            })
        }
        EventKind::NewProposal(proposal) => Detail::Proposal(proposal_to_wire(proposal, 1)),
        EventKind::ProposalUpdate(update) => Detail::ProposalUpdate(update_to_wire(update)),
        EventKind::ProposalClosed { proposal_id, reason } => {
            let (proposal_id, reason) = (proposal_id.to_string(), reason.clone());
            Detail::ProposalClosed(v1::ProposalClosed { proposal_id, reason })
        }
        EventKind::EditLock { proposal_id, holder, until } => Detail::EditLock(v1::EditLock {
            proposal_id: proposal_id.to_string(),
            holder: holder.to_string(),
            locked: until.is_some(),
            expires_at: until.map(timestamp_to_wire),
        }),
        EventKind::FollowUpAdded(follow_up) => Detail::FollowUp(v1::FollowUp {
            id: follow_up.id.to_string(),
            audience: follow_up.audience.iter().map(ToString::to_string).collect(),
            message: Some(message_to_wire(&follow_up.message)),
            answers: follow_up.answers.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
        EventKind::OrderPaused { expired, reason, decide_by } => {
            let (reason, decide_by) = (text(reason), decide_by.map(timestamp_to_wire));
            Detail::OrderPaused(v1::OrderPaused { expired: *expired, reason, decide_by })
        }
        EventKind::OrderResumed => Detail::OrderResumed(v1::OrderResumed { expires_at: None }),
        EventKind::OrderExtended { expires_at } => Detail::OrderExtended(v1::OrderExtended {
            expires_at: Some(timestamp_to_wire(*expires_at)),
        }),
        EventKind::ProposalsOpened { decide_until } => {
            let decide_until = Some(timestamp_to_wire(*decide_until));
            Detail::ProposalsOpened(v1::ProposalsOpened { decide_until })
        }
        EventKind::AwardPending { award, reason, effective_at } => {
            Detail::AwardPending(v1::AwardPending {
                award: Some(award_to_wire(award.as_ref(), text(reason))),
                effective_at: Some(timestamp_to_wire(*effective_at)),
            })
        }
        EventKind::AwardUndone { reason } => {
            Detail::AwardUndone(v1::AwardUndone { reason: text(reason) })
        }
        EventKind::OrderFinalised { award, reason } => Detail::OrderFinalised(v1::OrderFinalised {
            award: Some(award_to_wire(award.as_ref(), text(reason))),
        }),
        EventKind::OrderClosed { reason } => {
            Detail::OrderClosed(v1::OrderClosed { reason: text(reason) })
        }
        EventKind::OrderCancelled { reason } => {
            Detail::OrderCancelled(v1::OrderCancelled { reason: text(reason) })
        }
    }
}

fn choice_to_wire(choice: &SellerChoice) -> v1::SellerChoice {
    v1::SellerChoice {
        seller: choice.seller.to_string(),
        chosen: choice.verdict == Verdict::Chosen,
        reason: choice.verdict.as_str().to_owned(),
        distance_km: choice.distance_m.map(|metres| f64::from(metres) / 1e3),
        display_name: choice.display_name.as_deref().unwrap_or_default().to_owned(),
    }
}

fn update_to_wire(update: &ProposalUpdate) -> v1::ProposalUpdate {
    let named = |seller: String, id: String| v1::Proposal {
        seller,
        proposal_id: id,
        ..v1::Proposal::default()
    };
    let (proposal, reason) = match update {
        ProposalUpdate::Amended { proposal, version } => {
            (proposal_to_wire(proposal, *version), String::new())
        }
        ProposalUpdate::Withdrawn { proposal_id, reason } => {
            (named(String::new(), proposal_id.to_string()), reason.clone().unwrap_or_default())
        }
        ProposalUpdate::Declined { seller, reason } => {
            (named(seller.to_string(), String::new()), reason.clone().unwrap_or_default())
        }
        ProposalUpdate::Answered { seller, message, .. }
        | ProposalUpdate::Asked { seller, message, .. } => {
            (named(seller.to_string(), String::new()), message.clone())
        }
    };
    v1::ProposalUpdate { change: update.change().to_owned(), proposal: Some(proposal), reason }
}

/// Converts an award, or its absence, to the wire.
fn award_to_wire(award: Option<&Award>, reason: String) -> v1::AwardDetail {
    match award {
        None => v1::AwardDetail { reason, ..v1::AwardDetail::default() },
        Some(Award::Whole(id)) => {
            v1::AwardDetail { proposal_id: id.to_string(), lines: Vec::new(), reason }
        }
        Some(Award::Lines(lines)) => v1::AwardDetail {
            proposal_id: String::new(),
            lines: lines
                .iter()
                .map(|(sku, id)| v1::AwardLine { sku: sku.clone(), proposal_id: id.to_string() })
                .collect(),
            reason,
        },
    }
}

/// Reports whether an event on the wire ends its order ([`EventKind::ends`]).
pub fn ends_order(detail: &Detail) -> bool {
    match detail {
        Detail::OrderPaused(paused) => paused.expired && paused.decide_by.is_none(),
        Detail::OrderFinalised(_) | Detail::OrderClosed(_) | Detail::OrderCancelled(_) => true,
        Detail::Opened(_)
        | Detail::SellersSelected(_)
        | Detail::SellerNotified(_)
        | Detail::Proposal(_)
        | Detail::ProposalUpdate(_)
        | Detail::ProposalClosed(_)
        | Detail::EditLock(_)
        | Detail::FollowUp(_)
        | Detail::OrderResumed(_)
        | Detail::OrderExtended(_)
        | Detail::ProposalsOpened(_)
        | Detail::AwardPending(_)
        | Detail::AwardUndone(_)
        | Detail::Draining(_) => false,
    }
}

/// Converts an event from the wire, and validates it.
///
/// # Errors
/// When a field is missing or wrong; the refusal names it. The sender is newer than this version,
/// or faulty.
pub fn event_from_wire(response: v1::OrderStreamResponse) -> Result<Event, Refusal> {
    let at = timestamp_from_wire(response.at.as_ref().ok_or_else(|| missing_field("at"))?);
    let detail = response.detail.ok_or_else(|| missing_field("detail"))?;
    let kind = kind_from_wire(&response.order_req_id, &response.follow_up_id, detail)?;
    Ok(Event { seq: Seq(response.seq), at, cause: None, kind })
}

fn kind_from_wire(
    order_req_id: &str,
    follow_up_id: &str,
    detail: Detail,
) -> Result<EventKind, Refusal> {
    Ok(match detail {
        Detail::Opened(opened) => {
            EventKind::OrderOpened(Box::new(opened_from_wire(order_req_id, opened)?))
        }
        Detail::SellersSelected(selected) => EventKind::SellersSelected(
            selected.sellers.into_iter().map(choice_from_wire).collect::<Result<_, _>>()?,
        ),
        Detail::SellerNotified(notified) => EventKind::SellerNotified {
            seller: SellerId::new(notified.seller)?,
            channel: notified.channel,
            result: NotifyResult::parse(&notified.result)
                .ok_or_else(|| missing_field("a known result of a notification"))?,
            reason: non_empty(notified.reason),
        },
        Detail::Proposal(proposal) => EventKind::NewProposal(proposal_from_wire(proposal)?),
        Detail::ProposalUpdate(update) => {
            EventKind::ProposalUpdate(update_from_wire(follow_up_id, update)?)
        }
        Detail::ProposalClosed(closed) => EventKind::ProposalClosed {
            proposal_id: ProposalId::new(closed.proposal_id)?,
            reason: closed.reason,
        },
        Detail::EditLock(lock) => EventKind::EditLock {
            proposal_id: ProposalId::new(lock.proposal_id)?,
            holder: SellerId::new(lock.holder)?,
            until: lock.expires_at.as_ref().filter(|_| lock.locked).map(timestamp_from_wire),
        },
        Detail::FollowUp(follow_up) => EventKind::FollowUpAdded(follow_up_from_wire(
            follow_up.id,
            follow_up.audience,
            follow_up.answers,
            follow_up.message,
        )?),
        Detail::OrderPaused(paused) => paused_from_wire(paused),
        Detail::OrderResumed(_) => EventKind::OrderResumed,
        Detail::OrderExtended(extended) => {
            let at = extended.expires_at.as_ref().ok_or_else(|| missing_field("expires_at"))?;
            EventKind::OrderExtended { expires_at: timestamp_from_wire(at) }
        }
        Detail::ProposalsOpened(opened) => {
            let at = opened.decide_until.as_ref().ok_or_else(|| missing_field("decide_until"))?;
            EventKind::ProposalsOpened { decide_until: timestamp_from_wire(at) }
        }
        Detail::AwardPending(pending) => {
            let at = pending.effective_at.as_ref().ok_or_else(|| missing_field("effective_at"))?;
            let effective_at = timestamp_from_wire(at);
            let (award, reason) = award_from_wire(pending.award)?;
            EventKind::AwardPending { award, reason, effective_at }
        }
        Detail::AwardUndone(undone) => EventKind::AwardUndone { reason: non_empty(undone.reason) },
        Detail::OrderFinalised(finalised) => {
            let (award, reason) = award_from_wire(finalised.award)?;
            EventKind::OrderFinalised { award, reason }
        }
        Detail::OrderCancelled(cancelled) => {
            EventKind::OrderCancelled { reason: non_empty(cancelled.reason) }
        }
        Detail::OrderClosed(closed) => EventKind::OrderClosed { reason: non_empty(closed.reason) },
        Detail::Draining(_) => {
            return Err(missing_field("an event: it says that the server stops"));
        }
    })
}

fn paused_from_wire(paused: v1::OrderPaused) -> EventKind {
    EventKind::OrderPaused {
        expired: paused.expired,
        reason: non_empty(paused.reason),
        decide_by: paused.decide_by.as_ref().map(timestamp_from_wire),
    }
}

fn award_from_wire(
    award: Option<v1::AwardDetail>,
) -> Result<(Option<Award>, Option<String>), Refusal> {
    let award = award.unwrap_or_default();
    let reason = non_empty(award.reason);
    Ok((award_input_from_wire(award.proposal_id, award.lines).try_into()?, reason))
}

fn opened_from_wire(order_req_id: &str, opened: v1::OrderOpened) -> Result<OrderOpened, Refusal> {
    let expires_at = opened.expires_at.as_ref().ok_or_else(|| missing_field("expires_at"))?;
    Ok(OrderOpened {
        key: OrderKey::new(&opened.tenant, order_req_id)?,
        incarnation: Incarnation::new(opened.incarnation)?,
        expires_at: timestamp_from_wire(expires_at),
        spec: spec_from_wire(opened.order.unwrap_or_default())?,
    })
}

fn choice_from_wire(choice: v1::SellerChoice) -> Result<SellerChoice, Refusal> {
    let verdict = Verdict::parse(&choice.reason);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and a distance on the Earth fits"
    )]
    let distance_m = choice.distance_km.map(|km| (km * 1e3).round() as u32);
    Ok(SellerChoice {
        seller: SellerId::new(choice.seller)?,
        verdict: verdict.ok_or_else(|| missing_field("a known verdict on a seller"))?,
        distance_m,
        display_name: non_empty(choice.display_name).map(Into::into),
    })
}

fn update_from_wire(
    follow_up_id: &str,
    update: v1::ProposalUpdate,
) -> Result<ProposalUpdate, Refusal> {
    let proposal = update.proposal.unwrap_or_default();
    Ok(match update.change.as_str() {
        "amended" => {
            let version = proposal.version;
            ProposalUpdate::Amended { proposal: proposal_from_wire(proposal)?, version }
        }
        "withdrawn" => ProposalUpdate::Withdrawn {
            proposal_id: ProposalId::new(proposal.proposal_id)?,
            reason: non_empty(update.reason),
        },
        "declined" => ProposalUpdate::Declined {
            seller: SellerId::new(proposal.seller)?,
            reason: non_empty(update.reason),
        },
        "answered" => ProposalUpdate::Answered {
            seller: SellerId::new(proposal.seller)?,
            follow_up_id: FollowUpId::new(follow_up_id)?,
            message: update.reason,
        },
        "asked" => ProposalUpdate::Asked {
            seller: SellerId::new(proposal.seller)?,
            question_id: FollowUpId::new(follow_up_id)?,
            message: update.reason,
        },
        _ => return Err(missing_field("a known change of a proposal")),
    })
}
