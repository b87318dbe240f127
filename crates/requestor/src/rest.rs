//! The buyer's REST: the original system's contract under `/api/v1/orders`, and the buyer's further
//! operations.

mod body;
mod commands;
mod document;
mod error;
mod examples;
#[allow(unused_qualifications, reason = "the macro of a path writes whole paths")]
mod reads;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use orderstream_core::buyer::Buyer;
use orderstream_core::{OrderKey, Refusal};
use orderstream_rpc::problem;
use serde::Deserialize;
use utoipa::IntoParams;

pub use self::document::document;
pub use orderstream_rpc::server::http::limits::BODY_BYTES_MAX;

/// The most orders in one page of a list.
const PAGE_ORDERS: usize = 1_000;

/// The service that the REST calls.
type BuyerHandle = Arc<dyn Buyer>;

/// Returns the buyer's REST over a service for buyers.
pub fn router(buyer: BuyerHandle) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    problem::with_fallbacks(router).with_state(buyer)
}

/// Returns every path with its methods.
fn routes() -> Vec<(&'static str, MethodRouter<BuyerHandle>)> {
    vec![
        ("/api/v1/orders", get(reads::list)),
        ("/api/v1/orders/initiate", post(commands::initiate)),
        ("/api/v1/orders/followup", post(commands::follow_up)),
        ("/api/v1/orders/finalize/{order_req_id}", post(commands::finalize)),
        ("/api/v1/orders/award/{order_req_id}", post(commands::award)),
        ("/api/v1/orders/undo-award/{order_req_id}", post(commands::undo_award)),
        ("/api/v1/orders/pause/{order_req_id}", post(commands::pause)),
        ("/api/v1/orders/resume/{order_req_id}", post(commands::resume)),
        ("/api/v1/orders/extend/{order_req_id}", post(commands::extend)),
        ("/api/v1/orders/close/{order_req_id}", post(commands::close)),
        ("/api/v1/orders/cancel/{order_req_id}", post(commands::cancel)),
        ("/api/v1/orders/tracking/status", get(reads::status)),
        ("/api/v1/orders/tracking/{order_req_id}", get(reads::tracking)),
        ("/api/v1/orders/{order_req_id}/acts/{key}", get(reads::command)),
        ("/api/v1/openapi.json", get(document::serve)),
    ]
}

/// The tenant of the order that a path names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct BuyerTenantQuery {
    /// The order's tenant, where the path does not name it; `default` when left out.
    tenant: String,
}

/// The order that a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes what `InPath` reads")]
struct BuyerOrderPath {
    /// The order's id, or `tenant/id` with the slash as `%2F`.
    #[param(example = "SB1029436", min_length = 1, max_length = 192)]
    order_req_id: String,
}

impl BuyerTenantQuery {
    /// Returns the order that a path names: an id of this tenant, or `tenant/id`, where both must
    /// agree.
    fn key(&self, id: &str) -> Result<OrderKey, Refusal> {
        let Some((tenant, id)) = id.split_once('/') else {
            return OrderKey::new(&self.tenant, id);
        };
        if !self.tenant.is_empty() && self.tenant != tenant {
            return Err(Refusal::field("tenant", "differs from the one in the path; give one"));
        }
        OrderKey::new(tenant, id)
    }
}

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod disk_failure_tests;
#[cfg(test)]
mod incarnation_tests;
#[cfg(test)]
mod outcome_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
pub(crate) mod tests;
