//! Sends buyers' commands over a processor's unary calls.

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use tonic::transport::Channel;

use super::{ClientRequest, outcome_of};
use crate::command::{ClientCommand, ClientOutcome};

pub(super) async fn send(channel: Channel, call: &ClientRequest) -> ClientOutcome {
    let seq = if call.command == ClientCommand::FollowUp {
        follow_up(channel, call).await
    } else {
        send_command(channel, call).await
    };
    match seq {
        Ok(Some(seq)) => ClientOutcome::Ok { seq: Some(seq) },
        Ok(None) => ClientOutcome::unknown("there is no such call"),
        Err(status) => outcome_of(&status),
    }
}

/// Sends a follow-up without an id, like clients that leave the id to the processor.
async fn follow_up(channel: Channel, call: &ClientRequest) -> Result<Option<u64>, tonic::Status> {
    let message = v1::Message { message: call.token.clone(), ..v1::Message::default() };
    let request = v1::FollowUpRequest {
        order_req_id: call.id().to_owned(),
        message: Some(message),
        idempotency_key: call.key.clone(),
        epoch: call.epoch,
        ..v1::FollowUpRequest::default()
    };
    let mut client = OrderNonStreamingServiceClient::new(channel);
    Ok(Some(client.process_follow_up(request).await?.into_inner().seq))
}

async fn send_command(
    channel: Channel,
    call: &ClientRequest,
) -> Result<Option<u64>, tonic::Status> {
    let mut client = OrderControlServiceClient::new(channel);
    let order =
        Some(v1::OrderRef { order_req_id: call.id().to_owned(), ..v1::OrderRef::default() });
    let (idempotency_key, epoch) = (call.key.clone(), call.epoch);
    let reason = call.token.clone();
    let response = match &call.command {
        ClientCommand::Pause => {
            client.pause(v1::PauseRequest { order, idempotency_key, epoch, reason }).await?
        }
        ClientCommand::Resume => {
            client.resume(v1::ResumeRequest { order, idempotency_key, epoch }).await?
        }
        ClientCommand::Extend { expires_in_ms } => {
            let expires_in_ms = *expires_in_ms;
            client
                .extend(v1::ExtendRequest { order, idempotency_key, epoch, expires_in_ms })
                .await?
        }
        ClientCommand::Award { proposal, undo_within_ms } => {
            let request = v1::AwardRequest {
                order,
                idempotency_key,
                epoch,
                reason,
                proposal_id: proposal.clone(),
                undo_within_ms: *undo_within_ms,
                ..v1::AwardRequest::default()
            };
            client.award(request).await?
        }
        ClientCommand::UndoAward => {
            client
                .undo_award(v1::UndoAwardRequest { order, idempotency_key, epoch, reason })
                .await?
        }
        ClientCommand::Close => {
            client.close(v1::CloseRequest { order, idempotency_key, epoch, reason }).await?
        }
        ClientCommand::Cancel => {
            client.cancel(v1::CancelRequest { order, idempotency_key, epoch, reason }).await?
        }
        ClientCommand::Open(_)
        | ClientCommand::Propose { .. }
        | ClientCommand::Amend { .. }
        | ClientCommand::Withdraw { .. }
        | ClientCommand::Decline
        | ClientCommand::Ask
        | ClientCommand::See
        | ClientCommand::Lock { .. }
        | ClientCommand::Unlock { .. }
        | ClientCommand::FollowUp => return Ok(None),
    };
    Ok(Some(response.into_inner().seq))
}
