//! Sends sellers' proposals over `SubmitProposals`, one per call.

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use tonic::transport::Channel;

use super::{ClientRequest, outcome_of};
use crate::command::{ClientCommand, ClientOutcome};

pub(super) async fn send(channel: Channel, call: &ClientRequest) -> ClientOutcome {
    let Some(submission) = submission(call, 1) else {
        return ClientOutcome::unknown("only proposals are submitted");
    };
    let mut client = OrderNonStreamingServiceClient::new(channel);
    match client.submit_proposals(tokio_stream::iter([submission])).await {
        Ok(summary) => match summary.get_ref().results.first() {
            Some(result) if result.reason.is_empty() => ClientOutcome::Ok { seq: Some(result.seq) },
            Some(result) => ClientOutcome::refused(&result.reason),
            None => ClientOutcome::unknown("a summary without a result"),
        },
        Err(status) => outcome_of(&status),
    }
}

/// Returns the message of a proposal, or of an amendment of this version.
pub(super) fn submission(call: &ClientRequest, version: u32) -> Option<v1::ProposalSubmission> {
    let (ClientCommand::Propose { proposal, .. } | ClientCommand::Amend { proposal }) =
        &call.command
    else {
        return None;
    };
    let version = if matches!(call.command, ClientCommand::Amend { .. }) { version } else { 0 };
    let proposal = v1::Proposal {
        proposal_id: proposal.clone(),
        seller: call.actor.clone(),
        price: "10".to_owned(),
        currency: "EUR".to_owned(),
        note: call.token.clone(),
        alternative: call.command.label().to_owned(),
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
