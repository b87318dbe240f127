//! The buyers' reads.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use orderstream_core::{IdempotencyKey, OrderKey, Reason, Refusal, RequestPhase, Tenant};
use orderstream_rest_types::command::ActView;
use orderstream_rest_types::tracking::{StatusView, TrackedOrdersPage, TrackedView};
use orderstream_rpc::problem::{self, CheckedPath, CheckedQuery, page_size};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::BuyerRestError;
use super::{BuyerHandle, BuyerOrderPath, BuyerTenantQuery, PAGE_ORDERS, view};
use crate::handle::order_not_found;

/// The most orders that one request for a page scans.
const SCANNED_MAX: usize = 10_000;
/// The query of a page of orders.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrackedOrdersQuery {
    /// The tenant of the orders; all tenants when left out.
    tenant: String,
    /// The `next` of the page before; the first page when left out.
    after: String,
    /// The phase of the listed orders: `Pending`, `Open`, `Paused`, `Deciding`, `Finalised`,
    /// `Expired`, `Closed`, `Cancelled` or `Failed`; any when left out.
    #[param(example = "Finalised")]
    phase: String,
    /// The size of the page, at most 1000, which is also the default.
    #[param(maximum = 1000, minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_ORDERS, _>")]
    limit: Option<usize>,
}

/// Show the number of tracked orders, and their ids.
///
/// The last 10000 orders that have ended are included; `GET /api/v1/orders` lists orders by page
/// and phase.
#[utoipa::path(get, path = "/api/v1/orders/tracking/status", tag = "tracking",
    operation_id = "status",
    responses((status = 200, description = "The totals.", body = StatusView)))]
pub(super) async fn status(
    State(buyer): State<BuyerHandle>,
    request: Request,
) -> Result<Response, BuyerRestError> {
    problem::no_query(request.uri())?;
    Ok(Json(view::status(&buyer.totals())).into_response())
}

/// Show an order as its tracker sees it.
#[utoipa::path(get, path = "/api/v1/orders/tracking/{order_req_id}", tag = "tracking",
    operation_id = "tracking", params(BuyerOrderPath, BuyerTenantQuery),
    responses((status = 200, description = "The order.", body = TrackedView)))]
pub(super) async fn tracking(
    State(buyer): State<BuyerHandle>,
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
) -> Result<Response, BuyerRestError> {
    let key = owner.key(&id)?;
    let tracked = buyer.tracked(std::slice::from_ref(&key)).await;
    match tracked.first() {
        Some(tracked) => Ok(Json(view::tracked(tracked)).into_response()),
        None => {
            buyer.check_records(&key)?;
            Err(order_not_found(&key).into())
        }
    }
}

/// The order and the command that a path names.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes what `InPath` reads")]
pub(super) struct CommandPath {
    /// The order's id, or `tenant/id` with the slash as `%2F`.
    #[param(example = "SB1029436", min_length = 1, max_length = 192)]
    order_req_id: String,
    /// The command's key: its `Idempotency-Key`, a follow-up's id, or the `key` of a 202 reply.
    #[param(example = "3f6b1c1e", min_length = 1, max_length = 128)]
    key: String,
}

/// Show the outcome of a command.
///
/// The outcomes `done` and `refused` are final, and can be read for as long as the order is kept.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}/acts/{key}", tag = "tracking",
    operation_id = "act", params(CommandPath, BuyerTenantQuery),
    responses((status = 200, description = "The command and its outcome.", body = ActView)))]
pub(super) async fn command(
    State(buyer): State<BuyerHandle>,
    CheckedPath((id, command_key)): CheckedPath<(String, String)>,
    CheckedQuery(owner): CheckedQuery<BuyerTenantQuery>,
) -> Result<Response, BuyerRestError> {
    let key = owner.key(&id)?;
    let command_key = IdempotencyKey::new(command_key)
        .map_err(|refusal| Refusal { field: Some("key".to_owned()), ..refusal })?;
    let stored = buyer.command_status(key.clone(), command_key.clone()).await?;
    let stored = stored.ok_or_else(|| command_not_found(&key, &command_key))?;
    Ok(Json(view::command(&key, &command_key, stored)).into_response())
}

fn command_not_found(key: &OrderKey, command_key: &IdempotencyKey) -> Refusal {
    let id = &key.order_req_id;
    let text = format!(
        "no command of order {id} is stored under the key {command_key}: it was not asked for, or refused at once"
    );
    Refusal::new(Reason::CommandNotFound, text)
}

/// Show the tracked orders, ended ones included, in pages.
///
/// A page may have fewer orders than its limit, or none, and still have a `next`: one request scans
/// at most 10000 orders.
#[utoipa::path(get, path = "/api/v1/orders", tag = "tracking", operation_id = "orders",
    params(TrackedOrdersQuery),
    responses((status = 200, description = "A page of orders.", body = TrackedOrdersPage)))]
pub(super) async fn list(
    State(buyer): State<BuyerHandle>,
    CheckedQuery(from): CheckedQuery<TrackedOrdersQuery>,
) -> Result<Response, BuyerRestError> {
    let limit = from.limit.unwrap_or(PAGE_ORDERS).clamp(1, PAGE_ORDERS);
    let after = Some(from.after.as_str()).filter(|after| !after.is_empty());
    let after = after
        .map(str::parse::<OrderKey>)
        .transpose()
        .map_err(|refusal| Refusal { field: Some("after".to_owned()), ..refusal })?;
    let tenant = Some(from.tenant).filter(|tenant| !tenant.is_empty());
    let tenant = tenant.map(Tenant::new).transpose()?;
    let phase = phase(&from.phase)?;
    let all = buyer.totals().tracked;
    let begin = after.map_or(0, |after| all.partition_point(|key| *key <= after));
    let rest: Vec<OrderKey> = all.into_iter().skip(begin).collect();
    let is_match = |key: &OrderKey| {
        tenant.as_ref().is_none_or(|tenant| key.tenant == *tenant)
            && phase.is_none_or(|phase| buyer.phase(key) == Some(phase))
    };
    let (page, next) = select_page(&rest, limit, is_match);
    // An order that was dropped since is left out, and so is one whose phase has changed.
    let tracked = buyer.tracked(&page).await.into_iter();
    let tracked = tracked.filter(|order| phase.is_none_or(|phase| order.phase == phase));
    let orders = tracked.map(|tracked| view::summary(&tracked)).collect();
    Ok(Json(TrackedOrdersPage { orders, next: next.map(|key| key.to_string()) }).into_response())
}

/// Returns the phase that a query names; `None` for any.
fn phase(text: &str) -> Result<Option<RequestPhase>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut all = RequestPhase::ALL.into_iter();
    let known = all.find(|known| known.as_str().eq_ignore_ascii_case(text));
    let names = RequestPhase::ALL.map(RequestPhase::as_str).join(", ");
    let text = || format!("is not a phase; give one of {names}");
    known.map(Some).ok_or_else(|| Refusal::field("phase", text()))
}

/// Returns the first wanted orders, and the order after which the next page begins.
fn select_page(
    orders: &[OrderKey],
    limit: usize,
    is_match: impl Fn(&OrderKey) -> bool,
) -> (Vec<OrderKey>, Option<&OrderKey>) {
    let mut page = Vec::new();
    for (index, key) in orders.iter().take(SCANNED_MAX).enumerate() {
        if !is_match(key) {
            continue;
        }
        if page.len() == limit {
            return (page, index.checked_sub(1).and_then(|before| orders.get(before)));
        }
        page.push(key.clone());
    }
    let next = orders.get(SCANNED_MAX - 1).filter(|_| orders.len() > SCANNED_MAX);
    (page, next)
}
