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
use orderstream_core::buyer::Buyer;
use orderstream_core::{OrderKey, Refusal};
use orderstream_rpc::problem::{self, PortSide};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::document::document;
pub use orderstream_rpc::server::http::limits::BODY_BYTES_MAX;

/// The most orders in one page of a list.
const PAGE_ORDERS: usize = 1_000;

/// The service that the REST calls.
type BuyerHandle = Arc<dyn Buyer>;

/// Returns the buyer's REST over a service for buyers.
pub fn router(buyer: BuyerHandle) -> Router {
    let (router, _) = operations().split_for_parts();
    problem::with_fallbacks(router, PortSide::Buyers).with_state(buyer)
}

/// Returns every operation: its route, and its part of the OpenAPI document.
fn operations() -> OpenApiRouter<BuyerHandle> {
    OpenApiRouter::with_openapi(document::head())
        .routes(routes!(commands::initiate))
        .routes(routes!(commands::follow_up))
        .routes(routes!(commands::finalize))
        .routes(routes!(commands::award))
        .routes(routes!(commands::undo_award))
        .routes(routes!(commands::pause))
        .routes(routes!(commands::resume))
        .routes(routes!(commands::extend))
        .routes(routes!(commands::close))
        .routes(routes!(commands::cancel))
        .routes(routes!(reads::list))
        .routes(routes!(reads::status))
        .routes(routes!(reads::tracking))
        .routes(routes!(reads::command))
        .routes(routes!(document::serve))
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
mod input_tests;
#[cfg(test)]
mod outcome_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
pub(crate) mod tests;
