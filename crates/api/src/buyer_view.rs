//! A buyer's view of an order, as its resource shows it.

use orderstream_core::buyer::{BestProposal, BuyerOrderView};
use orderstream_core::date::parse_rfc3339;
use orderstream_core::limits::DECIDE_WITHIN_MS_DEFAULT;
use orderstream_core::price::Price;
use orderstream_core::{Epoch, Incarnation, OrderKey, RequestPhase, Seq, Timestamp};

use crate::conditions::STALLED;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;
use crate::{convert, duration};

/// Returns the phase that a status shows.
pub fn phase_of(status: Option<&OrderRequestStatus>) -> RequestPhase {
    status.and_then(OrderRequestStatus::request_phase).unwrap_or(RequestPhase::Pending)
}

/// Returns the deadline for proposals that a resource shows, also while its order waits for a
/// decision after it.
pub fn deadline(resource: &OrderRequest) -> Option<Timestamp> {
    let status = resource.status.as_ref()?;
    let time = |text: &Option<String>| text.as_deref().and_then(parse_rfc3339);
    if let Some(deadline) = time(&status.deadline) {
        return Some(deadline);
    }
    let Some(decide_by) = time(&status.decide_by) else { return time(&status.expires_at) };
    // An earlier version left it out; the time to decide always began with it then.
    let decide_within_ms = match &resource.spec.decide_within {
        Some(text) => duration::decide_within_ms(text).ok()?,
        None => DECIDE_WITHIN_MS_DEFAULT,
    };
    Some(Timestamp(decide_by.0.saturating_sub_unsigned(decide_within_ms)))
}

/// Returns the view of an order from its resource.
pub fn buyer_view(key: &OrderKey, resource: &OrderRequest) -> Option<BuyerOrderView> {
    let phase = phase_of(resource.status.as_ref());
    let status = resource.status.clone().unwrap_or_default();
    let stream_phase = status.stream_phase();
    let tracker = status.tracker.unwrap_or_default();
    let proposals = status.proposals.unwrap_or_default();
    let sellers = status.sellers.unwrap_or_default();
    let stream = status.stream.unwrap_or_default();
    let best = proposals.best.and_then(|best| {
        let price: Price = best.price.parse().ok()?;
        let (amount, currency) = (price.amount().to_string(), price.currency().as_str().to_owned());
        Some(BestProposal { proposal_id: best.proposal_id, amount, currency })
    });
    let stalled = |kind: &str| {
        let condition = status.conditions.iter().find(|held| held.type_ == kind)?;
        (condition.status == "True")
            .then(|| condition.message.clone())
            .filter(|text| !text.is_empty())
    };
    let time = |text: &Option<String>| text.as_deref().and_then(parse_rfc3339);
    Some(BuyerOrderView {
        key: key.clone(),
        incarnation: resource.metadata.uid.as_ref().and_then(|uid| Incarnation::new(uid).ok()),
        session: resource.spec.session.clone(),
        notification_type: convert::notification_type(resource.spec.notification_type),
        follow_up_count: u64::from(tracker.notes)
            .max(u64::try_from(resource.spec.follow_ups.len()).unwrap_or(u64::MAX)),
        stream_active: tracker.stream_active,
        stream: stream_phase,
        phase,
        last_seq: Seq(tracker.last_seq),
        last_event: tracker.last_event.map(|event| event.kind),
        proposals: [proposals.received, proposals.open, proposals.withdrawn, proposals.closed],
        best,
        sellers: (u64::from(sellers.selected), u64::from(sellers.declined)),
        processor: stream.processor,
        epoch: Epoch(stream.epoch),
        reconnects: tracker.reconnects,
        attempts: stream.attempts,
        reason: stalled(STALLED),
        opened_at: time(&status.start_time),
        expires_at: deadline(resource),
        decide_until: time(&status.decide_by),
        ended_at: time(&status.completion_time),
        award: None,
    })
}
