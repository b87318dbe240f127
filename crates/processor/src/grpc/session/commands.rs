//! Conversion of a seller's messages to commands.

use orderstream_core::command::Precondition;
use orderstream_core::limits::LEASE_MS_DEFAULT;
use orderstream_core::{
    CommandKind, FollowUpId, IdempotencyKey, OrderKey, ProposalId, Reason, Refusal, SellerId,
    Tenant,
};
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_message::Kind as Up;

use crate::grpc::bounded;

/// Returns the idempotency key of a request: its id.
pub(super) fn key(request_id: &str) -> Result<Option<IdempotencyKey>, Refusal> {
    if request_id.is_empty() {
        return Ok(None);
    }
    IdempotencyKey::new(request_id)
        .map(Some)
        .map_err(|refusal| Refusal { field: Some("request_id".to_owned()), ..refusal })
}

/// Completes a submission from the session: the seller and the idempotency key.
pub(super) fn submission(
    seller: &SellerId,
    request_id: &str,
    mut submission: v1::ProposalSubmission,
) -> Result<v1::ProposalSubmission, Refusal> {
    if submission.idempotency_key.is_empty() {
        submission.idempotency_key = key(request_id)?.map_or_else(String::new, String::from);
    }
    if let Some(proposal) = &mut submission.proposal {
        if proposal.seller.is_empty() {
            proposal.seller = seller.to_string();
        }
        if proposal.seller != seller.as_str() {
            return Err(Refusal::field("proposal.seller", "is not the seller of this session"));
        }
    }
    Ok(submission)
}

/// Returns the order that a message is about, if it names one of the session's tenant correctly.
pub(super) fn order_of(tenant: &Tenant, kind: &Up) -> Option<OrderKey> {
    let of = |order: &Option<v1::OrderRef>| {
        order.as_ref().map(|order| (order.tenant.clone(), order.order_req_id.clone()))
    };
    let (order_tenant, id) = match kind {
        Up::Proposal(it) => Some((it.tenant.clone(), it.order_req_id.clone())),
        Up::Withdraw(it) => of(&it.order),
        Up::Decline(it) => of(&it.order),
        Up::Answer(it) => of(&it.order),
        Up::Question(it) => of(&it.order),
        Up::Lock(it) => of(&it.order),
        Up::Unlock(it) => of(&it.order),
        Up::Acknowledge(it) => of(&it.order),
        Up::Hello(_) => None,
    }?;
    let is_own = order_tenant.is_empty() || order_tenant == tenant.as_str();
    OrderKey::new(tenant.as_str(), &id).ok().filter(|_| is_own)
}

/// Returns the version that a message expects; another one is refused.
pub(super) fn expected(kind: &Up) -> Option<Precondition> {
    let version = match kind {
        Up::Withdraw(withdraw) => withdraw.version,
        Up::Lock(lock) => lock.version,
        Up::Hello(_)
        | Up::Proposal(_)
        | Up::Decline(_)
        | Up::Answer(_)
        | Up::Unlock(_)
        | Up::Acknowledge(_)
        | Up::Question(_) => 0,
    };
    Some(version).filter(|version| *version > 0).map(Precondition::Version)
}

/// Converts every other message to a command, with its order.
pub(super) fn to_command(
    seller: &SellerId,
    request_id: &str,
    kind: Up,
) -> Result<(Option<v1::OrderRef>, CommandKind), Refusal> {
    let seller = seller.clone();
    Ok(match kind {
        Up::Withdraw(withdraw) => {
            let proposal_id = ProposalId::new(withdraw.proposal_id)?;
            let reason = bounded("reason", withdraw.reason)?;
            // The owner knows the seller of a session.
            (withdraw.order, CommandKind::Withdraw { proposal_id, reason, seller: None })
        }
        Up::Decline(decline) => {
            let reason = bounded("reason", decline.reason)?;
            (decline.order, CommandKind::Decline { seller, reason })
        }
        Up::Answer(answer) => {
            let follow_up_id = FollowUpId::new(answer.follow_up_id)?;
            let message = text(answer.message)?;
            (answer.order, CommandKind::Answer { seller, follow_up_id, message })
        }
        Up::Question(question) => {
            let question_id = question_id(question.question_id, request_id)?;
            let message = text(question.message)?;
            (question.order, CommandKind::Ask { seller, question_id, message })
        }
        Up::Lock(lock) => {
            let proposal_id = ProposalId::new(lock.proposal_id)?;
            let lease_ms = if lock.lease_ms == 0 { LEASE_MS_DEFAULT } else { lock.lease_ms };
            (lock.order, CommandKind::Lock { proposal_id, holder: seller, lease_ms })
        }
        Up::Unlock(unlock) => {
            let proposal_id = ProposalId::new(unlock.proposal_id)?;
            (unlock.order, CommandKind::Unlock { proposal_id, holder: seller })
        }
        Up::Acknowledge(acknowledge) => {
            if acknowledge.seq == 0 {
                return Err(Refusal::field("seq", "is 0; name the last event that is safe"));
            }
            (acknowledge.order, CommandKind::See { seller })
        }
        Up::Hello(_) => {
            return Err(Refusal::new(Reason::InvalidRequest, "a hello was received already"));
        }
        Up::Proposal(_) => return Err(Refusal::new(Reason::Internal, "taken elsewhere")),
    })
}

/// Returns the id that a question names; without one its request must have an id.
fn question_id(given: String, request_id: &str) -> Result<Option<FollowUpId>, Refusal> {
    if given.is_empty() && !request_id.is_empty() {
        return Ok(None);
    }
    FollowUpId::new(given)
        .map(Some)
        .map_err(|e| Refusal { field: Some("question_id".to_owned()), ..e })
}

fn text(message: Option<v1::Message>) -> Result<String, Refusal> {
    let text = message.unwrap_or_default().message;
    Ok(bounded("message", text)?.unwrap_or_default())
}
