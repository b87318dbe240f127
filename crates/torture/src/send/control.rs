//! Buyers' commands over a processor's unary calls.

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use tonic::transport::Channel;

use super::{Call, refused};
use crate::op::{Op, Outcome};

pub(super) async fn send(channel: Channel, call: &Call) -> Outcome {
    let seq = if call.op == Op::FollowUp {
        follow_up(channel, call).await
    } else {
        act(channel, call).await
    };
    match seq {
        Ok(Some(seq)) => Outcome::Ok { seq: Some(seq) },
        Ok(None) => Outcome::unknown("there is no such call"),
        Err(status) => refused(&status),
    }
}

/// Sends a follow-up without an id of its own, as clients do that leave the id to the processor.
async fn follow_up(channel: Channel, call: &Call) -> Result<Option<u64>, tonic::Status> {
    let said = v1::Message { message: call.token.clone(), ..v1::Message::default() };
    let request = v1::FollowUpRequest {
        order_req_id: call.id().to_owned(),
        message: Some(said),
        idempotency_key: call.key.clone(),
        epoch: call.epoch,
        ..v1::FollowUpRequest::default()
    };
    let mut client = OrderNonStreamingServiceClient::new(channel);
    Ok(Some(client.process_follow_up(request).await?.into_inner().seq))
}

async fn act(channel: Channel, call: &Call) -> Result<Option<u64>, tonic::Status> {
    let mut client = OrderControlServiceClient::new(channel);
    let order =
        Some(v1::OrderRef { order_req_id: call.id().to_owned(), ..v1::OrderRef::default() });
    let (idempotency_key, epoch) = (call.key.clone(), call.epoch);
    let reason = call.token.clone();
    let answer = match &call.op {
        Op::Pause => {
            client.pause(v1::PauseRequest { order, idempotency_key, epoch, reason }).await?
        }
        Op::Resume => client.resume(v1::ResumeRequest { order, idempotency_key, epoch }).await?,
        Op::Extend { expires_in_ms } => {
            let expires_in_ms = *expires_in_ms;
            client
                .extend(v1::ExtendRequest { order, idempotency_key, epoch, expires_in_ms })
                .await?
        }
        Op::Award { proposal, undo_within_ms } => {
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
        Op::UndoAward => {
            client
                .undo_award(v1::UndoAwardRequest { order, idempotency_key, epoch, reason })
                .await?
        }
        Op::Close => {
            client.close(v1::CloseRequest { order, idempotency_key, epoch, reason }).await?
        }
        Op::Cancel => {
            client.cancel(v1::CancelRequest { order, idempotency_key, epoch, reason }).await?
        }
        Op::Open(_)
        | Op::Propose { .. }
        | Op::Amend { .. }
        | Op::Withdraw { .. }
        | Op::Decline
        | Op::Ask
        | Op::See
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::FollowUp => return Ok(None),
    };
    Ok(Some(answer.into_inner().seq))
}
