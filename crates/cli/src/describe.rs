//! Descriptions of events and awards for people.

use orderstream_core::SellerId;
use orderstream_core::command::Award;
use orderstream_core::date::rfc3339_seconds;
use orderstream_core::event::{EventKind, ProposalUpdate};
use orderstream_core::spec::Verdict;

/// Describes an award for people.
pub(crate) fn winners(award: Option<&Award>) -> String {
    match award {
        None => "no award".to_owned(),
        Some(Award::Whole(id)) => format!("won by {id}"),
        Some(Award::Lines(lines)) => {
            let lines: Vec<_> = lines.iter().map(|(sku, id)| format!("{sku} by {id}")).collect();
            format!("won: {}", lines.join(", "))
        }
    }
}

/// Describes an event's content, without its type.
pub fn detail(kind: &EventKind) -> String {
    let reason_text = |reason: &Option<String>| reason.clone().unwrap_or_default();
    match kind {
        EventKind::OrderOpened(opened) => {
            opened.spec.title.as_deref().unwrap_or_default().to_owned()
        }
        EventKind::SellersSelected(choices) => {
            let chosen: Vec<&str> = choices
                .iter()
                .filter(|choice| choice.verdict == Verdict::Chosen)
                .map(|choice| choice.seller.as_str())
                .collect();
            format!("{} of {}: {}", chosen.len(), choices.len(), chosen.join(", "))
        }
        EventKind::SellerNotified { seller, channel, result, .. } => {
            format!("{seller} by {channel}: {}", result.as_str())
        }
        EventKind::NewProposal(proposal) => format!("{}  {}", proposal.seller, proposal.price),
        EventKind::ProposalUpdate(update) => match update {
            ProposalUpdate::Amended { proposal, version } => {
                format!("{} amended: {} (version {version})", proposal.seller, proposal.price)
            }
            ProposalUpdate::Withdrawn { proposal_id, .. } => format!("{proposal_id} withdrawn"),
            ProposalUpdate::Declined { seller, reason } => {
                format!("{seller} declined {}", reason_text(reason))
            }
            ProposalUpdate::Answered { seller, follow_up_id, message } => {
                format!("{seller} answers {follow_up_id}: {message}")
            }
            ProposalUpdate::Asked { seller, question_id, message } => {
                format!("{question_id}: {seller} asks: {message}")
            }
        },
        EventKind::ProposalClosed { proposal_id, reason } => format!("{proposal_id} {reason}"),
        EventKind::EditLock { proposal_id, holder, until } => {
            let how = if until.is_some() { "locked" } else { "unlocked" };
            format!("{proposal_id} {how} by {holder}")
        }
        EventKind::FollowUpAdded(follow_up) => {
            let audience: Vec<&str> = follow_up.audience.iter().map(SellerId::as_str).collect();
            let to = if audience.is_empty() { "all".to_owned() } else { audience.join(", ") };
            let id = &follow_up.id;
            let what = match &follow_up.answers {
                Some(question) => format!("answers {question} to {to}"),
                None => format!("asks {to}"),
            };
            format!("{id}: the buyer {what}: {}", follow_up.message.message)
        }
        EventKind::OrderPaused { reason, .. }
        | EventKind::AwardUndone { reason }
        | EventKind::OrderClosed { reason }
        | EventKind::OrderCancelled { reason } => reason_text(reason),
        EventKind::OrderResumed => String::new(),
        EventKind::OrderExtended { expires_at } => rfc3339_seconds(*expires_at),
        EventKind::ProposalsOpened { decide_until } => {
            format!("decide until {}", rfc3339_seconds(*decide_until))
        }
        EventKind::AwardPending { award, effective_at, .. } => {
            let at = rfc3339_seconds(*effective_at);
            format!("{}, counts from {at}", winners(award.as_ref()))
        }
        EventKind::OrderFinalised { award, reason } => {
            format!("{} {}", winners(award.as_ref()), reason_text(reason))
        }
    }
}
