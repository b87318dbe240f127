//! Asks processors which orders they own, and ends orders that nobody wants any more. Each call is
//! tried once, within a deadline.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use orderstream_core::port::{OrderOwners, OwnedOrder, ReplyFuture};
use orderstream_core::{
    Command, CommandKind, Epoch, IdempotencyKey, Incarnation, OrderKey, Phase, Reason, Refusal,
};
use orderstream_rpc::client;
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::v1;
use tonic::{Request, Status};

use crate::command_sender;
use crate::handle::Handle;

/// The time limit of one call.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit of a whole list.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(|status| command_sender::refusal_of(&status)),
        Err(_) => Err(Refusal::new(
            Reason::Unreachable,
            format!("the processor did not answer within {} s", limit.as_secs()),
        )),
    }
}

fn timed<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// Returns the order that a processor names. A processor's own replies are well formed, so a wrong
/// one is a fault.
fn owned_order(
    order: Option<&v1::OrderRef>,
    epoch: u64,
    phase: &str,
) -> Result<OwnedOrder, Refusal> {
    let missing = || Refusal::new(Reason::Internal, "the processor's answer names no order");
    let order = order.ok_or_else(missing)?;
    Ok(OwnedOrder {
        key: OrderKey::new(&order.tenant, &order.order_req_id)?,
        incarnation: Incarnation::new(&order.incarnation)?,
        epoch: Epoch(epoch),
        is_ended: Phase::ALL.iter().any(|known| known.as_str() == phase && known.is_terminal()),
    })
}

impl Handle {
    async fn locate_order(
        &self,
        processor: &str,
        key: &OrderKey,
    ) -> Result<Option<OwnedOrder>, Refusal> {
        let mut control = client::control(self.shared.channels.for_commands(processor)?);
        let request = v1::LocateOrderRequest { order: Some(order_ref(key, None)) };
        let call = control.locate_order(timed(request, ASK_TIMEOUT));
        let found = within(ASK_TIMEOUT, call).await?.into_inner();
        if !found.found {
            return Ok(None);
        }
        owned_order(found.order.as_ref(), found.epoch, &found.phase).map(Some)
    }

    async fn list_owned(
        &self,
        processor: &str,
        tenant: Option<&str>,
    ) -> Result<Vec<OwnedOrder>, Refusal> {
        let mut control = client::control(self.shared.channels.for_commands(processor)?);
        let live = Phase::ALL.iter().filter(|phase| !phase.is_terminal());
        let request = v1::ListOrdersRequest {
            tenant: tenant.unwrap_or_default().to_owned(),
            phases: live.map(|phase| phase.as_str().to_owned()).collect(),
            ..v1::ListOrdersRequest::default()
        };
        let call = async {
            let summaries = control.list_orders(timed(request, LIST_TIMEOUT)).await?.into_inner();
            summaries.try_collect::<Vec<_>>().await
        };
        let summaries = within(LIST_TIMEOUT, call).await?;
        summaries
            .iter()
            .map(|summary| owned_order(summary.order.as_ref(), summary.epoch, &summary.phase))
            .collect()
    }

    async fn cancel_order(
        &self,
        processor: &str,
        key: &OrderKey,
        incarnation: &Incarnation,
        epoch: Epoch,
    ) -> Result<(), Refusal> {
        let command = Command {
            key: Some(IdempotencyKey::new("cancel")?),
            incarnation: Some(incarnation.clone()),
            epoch: Some(epoch),
            ..Command::bare(CommandKind::Cancel { reason: None })
        };
        match command_sender::send(&self.shared, processor, key, &command).await {
            Err(refusal)
                if !matches!(
                    refusal.reason,
                    Reason::OrderNotFound | Reason::OrderEnded | Reason::DeadlinePassed
                ) =>
            {
                Err(refusal)
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl OrderOwners for Handle {
    fn locate<'a>(
        &'a self,
        processor: &'a str,
        key: &'a OrderKey,
    ) -> ReplyFuture<'a, Option<OwnedOrder>> {
        Box::pin(self.locate_order(processor, key))
    }

    fn owned_orders<'a>(
        &'a self,
        processor: &'a str,
        tenant: Option<&'a str>,
    ) -> ReplyFuture<'a, Vec<OwnedOrder>> {
        Box::pin(self.list_owned(processor, tenant))
    }

    fn cancel<'a>(
        &'a self,
        processor: &'a str,
        key: &'a OrderKey,
        incarnation: &'a Incarnation,
        epoch: Epoch,
    ) -> ReplyFuture<'a, ()> {
        Box::pin(self.cancel_order(processor, key, incarnation, epoch))
    }
}
