//! The sellers' REST: the original system's contract under `/api/v1`, and an order's events as
//! server-sent events. Bodies are read as JSON whatever their content type is.

mod body;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod comparison;
mod document;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod events;
mod headers;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod inbox;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod inbox_events;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod notifications;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod orders;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod proposals;
mod view;

use std::sync::Arc;

use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use orderstream_core::Reply;
use orderstream_rest_types::command::CommandReplyView;
use orderstream_rpc::problem::{self, PortSide};
use tokio::sync::Semaphore;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::COMPARISONS_AT_ONCE;
use crate::orders::OwnedOrders;
use crate::peers::{Forwarder, Peers, forwarding};

pub use self::document::document;
pub use self::events::event_json;

/// The shared state of the handlers.
#[derive(Clone, Debug)]
struct SellerRestState {
    orders: OwnedOrders,
    /// Limits the comparisons made at one time.
    comparisons: Arc<Semaphore>,
}

impl FromRef<SellerRestState> for OwnedOrders {
    fn from_ref(rest: &SellerRestState) -> Self {
        rest.orders.clone()
    }
}

/// Returns the sellers' REST over a processor's orders; requests for orders of others are
/// forwarded.
pub(crate) fn forwarding_router(orders: OwnedOrders, peers: Peers) -> Router {
    let forwarder = Forwarder::new(orders.clone(), peers);
    router(orders).layer(from_fn_with_state(forwarder, forwarding))
}

/// Returns the sellers' REST over a processor's orders.
pub fn router(orders: OwnedOrders) -> Router {
    let (router, _) = operations().split_for_parts();
    let router =
        aliases().into_iter().fold(router, |router, alias| router.route(alias.name, alias.methods));
    let comparisons = Arc::new(Semaphore::new(COMPARISONS_AT_ONCE));
    problem::with_fallbacks(router, PortSide::Sellers)
        .with_state(SellerRestState { orders, comparisons })
}

/// Returns every operation: its route, and its part of the OpenAPI document.
fn operations() -> OpenApiRouter<SellerRestState> {
    OpenApiRouter::with_openapi(document::head())
        .merge(proposals::operations())
        .merge(orders::operations())
        .merge(comparison::operations())
        .routes(routes!(events::follow))
        .merge(inbox::operations())
        .routes(routes!(inbox_events::follow))
        .merge(notifications::operations())
        .routes(routes!(document::serve))
}

/// A second name of a path.
struct RouteAlias {
    name: &'static str,
    path: &'static str,
    methods: MethodRouter<SellerRestState>,
}

/// Returns the paths with a second name, the original system's or a shorter one.
fn aliases() -> [RouteAlias; 2] {
    [
        RouteAlias {
            name: "/api/v1/proposal-submissions",
            path: "/api/v1/proposals",
            methods: post(proposals::propose),
        },
        RouteAlias {
            name: "/orders/{order_req_id}/events",
            path: "/api/v1/orders/{order_req_id}/events",
            methods: get(events::follow),
        },
    ]
}

/// The order that a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes what `InPath` reads")]
struct OrderPath {
    /// The order's id, given by the buyer.
    #[param(
        example = "SB1029436",
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9._:-]+$"
    )]
    order_req_id: String,
}

/// The proposal that a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes what `InPath` reads")]
struct ProposalPath {
    /// The proposal's id.
    #[param(example = "P-1", min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    proposal_id: String,
}

fn reply_response(status: StatusCode, reply: &Reply) -> Response {
    let view = CommandReplyView {
        success: true,
        proposal_id: reply.proposal_id.as_ref().map(ToString::to_string),
        follow_up_id: reply.follow_up_id.as_ref().map(ToString::to_string),
        seq: reply.seq.0,
        phase: reply.phase.as_str().to_owned(),
    };
    (status, Json(view)).into_response()
}

#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod events_tests;
#[cfg(test)]
mod tests;
