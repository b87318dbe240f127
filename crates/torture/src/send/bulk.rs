//! Sellers' proposals over `SubmitProposals`, one in a call.

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use tonic::transport::Channel;

use super::{Call, refused};
use crate::op::{Op, Outcome};

pub(super) async fn send(channel: Channel, call: &Call) -> Outcome {
    let Some(submission) = submission(call, 1) else {
        return Outcome::unknown("only proposals are submitted");
    };
    let mut client = OrderNonStreamingServiceClient::new(channel);
    match client.submit_proposals(tokio_stream::iter([submission])).await {
        Ok(summary) => match summary.get_ref().results.first() {
            Some(result) if result.reason.is_empty() => Outcome::Ok { seq: Some(result.seq) },
            Some(result) => Outcome::refused(&result.reason),
            None => Outcome::unknown("a summary without a result"),
        },
        Err(status) => refused(&status),
    }
}

/// Returns the message of a proposal, or of an amendment of this version.
pub(super) fn submission(call: &Call, version: u32) -> Option<v1::ProposalSubmission> {
    let (Op::Propose { proposal } | Op::Amend { proposal }) = &call.op else { return None };
    let version = if matches!(call.op, Op::Amend { .. }) { version } else { 0 };
    let proposal = v1::Proposal {
        proposal_id: proposal.clone(),
        seller: call.actor.clone(),
        price: "10".to_owned(),
        currency: "EUR".to_owned(),
        note: call.token.clone(),
        version,
        ..v1::Proposal::default()
    };
    Some(v1::ProposalSubmission {
        order_req_id: call.id().to_owned(),
        idempotency_key: call.key.clone(),
        proposal: Some(proposal),
        ..v1::ProposalSubmission::default()
    })
}
