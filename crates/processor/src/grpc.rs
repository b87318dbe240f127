//! The processor's gRPC services. A handler converts the request, calls the orders, and converts
//! the reply.

mod control;
mod read;
mod session;
mod streaming;
mod submissions;

use std::pin::Pin;

use futures_util::Stream;
use orderstream_core::command::{Actor, Precondition};
use orderstream_core::{
    Command, CommandKind, Epoch, IdempotencyKey, Incarnation, OrderKey, Reason, Refusal, Reply,
};
use orderstream_rpc::status::status_from_refusal;
use orderstream_rpc::v1;
use tonic::Status;

use crate::orders::OwnedOrders;
use crate::peers::Peers;

/// All of the processor's services over one set of orders.
#[derive(Clone, Debug)]
pub struct Grpc {
    orders: OwnedOrders,
    /// The name by which other processors and the controller know this one.
    name: String,
    peers: Peers,
}

impl Grpc {
    /// Serves these orders under this name; forwards proposals for other orders to these peers.
    pub(crate) const fn new(orders: OwnedOrders, name: String, peers: Peers) -> Self {
        Self { orders, name, peers }
    }

    /// Executes a request's command.
    async fn execute(&self, target: OrderTarget, act: CommandKind) -> Result<Reply, Refusal> {
        let OrderTarget { key, incarnation, idempotency_key, actor, epoch, expected } = target;
        let command = Command {
            key: idempotency_key,
            actor,
            incarnation,
            epoch,
            precondition: expected,
            kind: act,
        };
        self.orders.execute(&key, command).await
    }
}

/// The target of a request: the order, with the caller, the idempotency key and the conditions.
struct OrderTarget {
    key: OrderKey,
    incarnation: Option<Incarnation>,
    idempotency_key: Option<IdempotencyKey>,
    /// The caller, where the session determines it; otherwise the command names it.
    actor: Option<Actor>,
    epoch: Option<Epoch>,
    expected: Option<Precondition>,
}

impl OrderTarget {
    fn of(
        order: Option<v1::OrderRef>,
        idempotency_key: String,
        epoch: u64,
    ) -> Result<Self, Refusal> {
        let order = order
            .ok_or_else(|| Refusal::field("order", "is missing; name the order that is meant"))?;
        Ok(Self {
            key: OrderKey::new(&order.tenant, &order.order_req_id)?,
            incarnation: parse_incarnation(order.incarnation)?,
            idempotency_key: optional(idempotency_key).map(IdempotencyKey::new).transpose()?,
            actor: None,
            epoch: (epoch != 0).then_some(Epoch(epoch)),
            expected: None,
        })
    }
}

fn parse_incarnation(text: String) -> Result<Option<Incarnation>, Refusal> {
    optional(text).map(Incarnation::new).transpose()
}

fn optional(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn bounded(field: &str, value: String) -> Result<Option<String>, Refusal> {
    let chars_max = orderstream_core::limits::TEXT_CHARS_MAX;
    orderstream_core::input::optional_text(field, Some(value), chars_max)
}

fn wrong_incarnation(key: &OrderKey) -> Refusal {
    Refusal::new(Reason::OrderNotFound, format!("order {key} has another incarnation here"))
}

/// Converts a refusal to the status that is sent.
#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn status(refusal: Refusal) -> Status {
    status_from_refusal(&refusal)
}

/// A boxed stream of replies.
type ReplyStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
