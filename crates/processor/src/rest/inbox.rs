//! A seller's inbox: the orders that it is invited to, with state, deadline and its own proposals.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use orderstream_core::{OrderKey, Refusal, SellerId, Tenant};
use orderstream_rest_types::inbox::InboxPage;
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem, page_size};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::with_field;
use super::{SellerRestState, view};
use crate::limits::PAGE_INBOX;
use crate::orders::{InboxBounds, OwnedOrders};

/// Returns the operations of this file.
pub(super) fn operations() -> OpenApiRouter<SellerRestState> {
    OpenApiRouter::default().routes(routes!(page))
}

/// The seller that a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes what `InPath` reads")]
pub(super) struct SellerPath {
    /// The seller's name.
    #[param(example = "seller1", min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    seller: String,
}

/// The query for a page of an inbox.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InboxQuery {
    /// The tenant of the orders; `default` when left out.
    tenant: String,
    /// True for the orders that have ended too, as long as they are kept.
    ended: bool,
    /// The `next` of the page before.
    after: String,
    /// The size of the page, at most 200, which is also the default.
    #[param(maximum = 200, minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_INBOX, _>")]
    limit: Option<usize>,
}

impl InboxQuery {
    fn bounds(self, seller: &str) -> Result<InboxBounds, Refusal> {
        let after = Some(self.after).filter(|after| !after.is_empty());
        let after = after.map(|after| OrderKey::new(&self.tenant, &after)).transpose();
        // A wrong tenant is refused under its own name.
        let tenant = tenant(self.tenant)?;
        Ok(InboxBounds {
            tenant,
            seller: SellerId::new(seller)?,
            after: after.map_err(|refusal| with_field("after", refusal))?,
            limit: self.limit.unwrap_or(PAGE_INBOX).clamp(1, PAGE_INBOX),
            ended: self.ended,
        })
    }
}

/// Returns the tenant that a query names, or the default one.
pub(super) fn tenant(text: String) -> Result<Tenant, Refusal> {
    if text.is_empty() { Ok(Tenant::default()) } else { Tenant::new(text) }
}

/// Show a seller's inbox.
///
/// It has the orders that the seller is invited to, at all processors, by id: with the state of
/// the invitation, the deadline, and the seller's own proposals. Nothing of other sellers is in
/// it, and of a sealed order nothing that the seller does either: its `state` is `Invited`, and
/// `proposals` is empty. A seller without invitations has an empty inbox. A page with `next` may
/// be short or empty, as one page looks at a limited number of orders. `unreached` names
/// processors that did not answer, whose orders are missing.
#[utoipa::path(get, path = "/api/v1/sellers/{seller}/invitations", tag = "sellers",
    operation_id = "inbox", params(SellerPath, InboxQuery),
    responses((status = 200, description = "A page of the inbox.", body = InboxPage)))]
pub(super) async fn page(
    State(orders): State<OwnedOrders>,
    CheckedPath(seller): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<InboxQuery>,
) -> Result<Response, Problem> {
    let bounds = query.bounds(&seller)?;
    let page = orders.invited_page(&bounds);
    let next = page.next.map(|key| key.order_req_id.to_string());
    let entries =
        orders.read_all_for_seller(&page.keys, |order| view::inbox_entry(order, &bounds.seller));
    let invitations = entries.await?.into_iter().flatten().collect();
    Ok(Json(InboxPage { invitations, next, unreached: Vec::new() }).into_response())
}
