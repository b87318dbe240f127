//! The results of commands, acknowledgements and joins, as the session sends them to its seller.

use orderstream_core::{OrderKey, Reason, Refusal, Reply, Seq};
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_event::Kind as Down;

use super::SessionTaskOutput;
use crate::grpc::Grpc;
use crate::limits::ORDERS_PER_SESSION_MAX;

/// Follows an order that the seller is invited to, from its first event.
pub(super) async fn join(grpc: &Grpc, key: OrderKey) -> SessionTaskOutput {
    match grpc.orders.follow(&key, Seq(0), None).await {
        Ok(events) => {
            SessionTaskOutput { joined: Some((key, events)), ..SessionTaskOutput::default() }
        }
        // It was removed meanwhile.
        Err(refusal) if refusal.reason == Reason::OrderNotFound => SessionTaskOutput::default(),
        Err(refusal) => SessionTaskOutput {
            result: Some(refused(&key, &refusal)),
            ..SessionTaskOutput::default()
        },
    }
}

/// Makes the outcome of a command; the order is followed from now on if it was not.
pub(super) async fn command_output(
    grpc: &Grpc,
    request_id: String,
    joins: Option<OrderKey>,
    result: Result<Reply, Refusal>,
) -> SessionTaskOutput {
    let reply = match result {
        Ok(answer) => answer,
        Err(refusal) => {
            let result = Some(failed(request_id, &refusal));
            return SessionTaskOutput { result, ..SessionTaskOutput::default() };
        }
    };
    let result = Some(v1::SellerResult {
        request_id,
        seq: reply.seq.0,
        proposal_id: reply.proposal_id.map(String::from).unwrap_or_default(),
        ..v1::SellerResult::default()
    });
    let Some(key) = joins else {
        return SessionTaskOutput { result, ..SessionTaskOutput::default() };
    };
    // The command stays done, even if the order has too many followers.
    let events = grpc.orders.follow(&key, Seq(0), None).await.ok();
    SessionTaskOutput {
        result,
        joined: events.map(|events| (key, events)),
        ..SessionTaskOutput::default()
    }
}

/// Makes the outcome of the first acknowledgement of an order.
pub(super) fn acknowledge_output(
    request_id: String,
    key: OrderKey,
    result: Result<Reply, Refusal>,
) -> SessionTaskOutput {
    match result {
        Ok(_) => {
            let result = v1::SellerResult { request_id, ..v1::SellerResult::default() };
            SessionTaskOutput { result: requested_result(result), ..SessionTaskOutput::default() }
        }
        Err(refusal) => {
            let result = Some(failed(request_id, &refusal));
            SessionTaskOutput { result, unseen: Some(key), ..SessionTaskOutput::default() }
        }
    }
}

/// Returns the reply to an acknowledgement; `None` where it succeeded and the seller gave it no id.
pub(super) fn requested_result(result: v1::SellerResult) -> Option<v1::SellerResult> {
    Some(result).filter(|result| !result.request_id.is_empty())
}

pub(super) fn limit_result() -> Down {
    let text = format!(
        "this session follows {ORDERS_PER_SESSION_MAX} orders, the most it may; further \
         invitations come as those end"
    );
    Down::Result(failed(String::new(), &Refusal::new(Reason::LimitReached, text)))
}

pub(super) fn about(key: &OrderKey, refusal: &Refusal) -> Down {
    Down::Result(refused(key, refusal))
}

/// Makes the message that reports why an order is not followed.
pub(super) fn refused(key: &OrderKey, refusal: &Refusal) -> v1::SellerResult {
    v1::SellerResult { order: Some(order_ref(key, None)), ..failed(String::new(), refusal) }
}

pub(super) fn failed(request_id: String, refusal: &Refusal) -> v1::SellerResult {
    v1::SellerResult {
        request_id,
        reason: refusal.reason.as_str().to_owned(),
        message: refusal.to_string(),
        ..v1::SellerResult::default()
    }
}
