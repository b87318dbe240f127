//! The sellers' commands on proposals, and the reads of one.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orderstream_core::{CommandKind, Event, Order, OrderKey, ProposalId, Reason, Refusal, Seq};
use orderstream_rest_types::command::CommandReplyView;
use orderstream_rest_types::proposal::{ProposalView, VersionsPage};
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem, page_size, position};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{self, AnswerBody, LockBody, ProposalBody, WithdrawBody};
use super::headers::{CommandConditions, with_etag};
use super::orders::parse_incarnation;
use super::view;
use super::{ProposalPath, SellerRestState, reply_response};
use crate::limits::{PAGE_BYTES_MAX, PAGE_VERSIONS};
use crate::orders::{OrderRuntimeState, OwnedOrders};
use crate::page::text_bytes;

/// Returns the operations of this file.
pub(super) fn operations() -> OpenApiRouter<SellerRestState> {
    OpenApiRouter::default()
        .routes(routes!(propose))
        .routes(routes!(proposal, amend))
        .routes(routes!(versions))
        .routes(routes!(answer))
        .routes(routes!(lock, unlock))
        .routes(routes!(withdraw))
}

/// The query that names a proposal's order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProposalQuery {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The order's id.
    #[param(required = true, example = "SB1029436")]
    order_req_id: String,
    /// The incarnation of the order id; the newest when left out.
    incarnation: String,
}

/// The query for a page of a proposal's versions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionsQuery {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The order's id.
    #[param(required = true, example = "SB1029436")]
    order_req_id: String,
    /// The incarnation of the order id; the newest when left out.
    incarnation: String,
    /// The number of the last version received; 0 begins at the first.
    #[serde(deserialize_with = "position::<4_294_967_295, _, _>")]
    after: u32,
    /// The size of the page, at most 100, which is also the default.
    #[param(maximum = 100, minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_VERSIONS, _>")]
    limit: Option<usize>,
}

/// Make a proposal.
///
/// A proposal's id is unique in its order: the same content again is a repetition, other content is
/// refused. A seller has one proposal that is open, and others with a label (`alternative`). Where
/// the order invites sellers, only these may propose, unless it is open to all.
/// `proposal-submissions` is the original system's name of the same path.
#[utoipa::path(post, path = "/api/v1/proposals", tag = "proposals", operation_id = "propose",
    request_body = ProposalBody,
    responses((status = 201, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn propose(
    State(orders): State<OwnedOrders>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_order(request.headers())?;
    let (key, proposed) = body::read::<ProposalBody>(request).await?.check()?;
    let reply = conditions.execute(&orders, &key, CommandKind::Propose(proposed)).await?;
    Ok(reply_response(StatusCode::CREATED, &reply))
}

/// Change a proposal.
///
/// Every version is kept. With `If-Match`, nothing is changed if another change came first.
#[utoipa::path(put, path = "/api/v1/proposals/{proposal_id}", tag = "proposals",
    operation_id = "amend", params(ProposalPath), request_body = ProposalBody,
    responses((status = 200, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn amend(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_proposal(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, mut proposed) = body::read::<ProposalBody>(request).await?.check()?;
    proposed.proposal_id = Some(proposal_id);
    let reply = conditions.execute(&orders, &key, CommandKind::Amend(proposed)).await?;
    Ok(reply_response(StatusCode::OK, &reply))
}

/// Answer a follow-up.
#[utoipa::path(post, path = "/api/v1/proposals/{proposal_id}/followup", tag = "conversation",
    operation_id = "answer", params(ProposalPath), request_body = AnswerBody,
    responses((status = 201, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn answer(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_order(request.headers())?;
    ProposalId::new(proposal_id)?;
    let (key, command) = body::read::<AnswerBody>(request).await?.check()?;
    let reply = conditions.execute(&orders, &key, command).await?;
    Ok(reply_response(StatusCode::CREATED, &reply))
}

/// Acquire a proposal's edit lock.
///
/// Others see the holder. The lock expires by itself. While the order is sealed, a seller locks its
/// own proposals only.
#[utoipa::path(post, path = "/api/v1/proposals/{proposal_id}/edit-lock", tag = "proposals",
    operation_id = "lock", params(ProposalPath), request_body = LockBody,
    responses((status = 200, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn lock(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_proposal(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, holder, lease_ms) = body::read::<LockBody>(request).await?.check()?;
    let body = CommandKind::Lock { proposal_id, holder, lease_ms };
    let reply = conditions.execute(&orders, &key, body).await?;
    Ok(reply_response(StatusCode::OK, &reply))
}

/// Release a proposal's edit lock.
#[utoipa::path(delete, path = "/api/v1/proposals/{proposal_id}/edit-lock", tag = "proposals",
    operation_id = "unlock", params(ProposalPath), request_body = LockBody,
    responses((status = 200, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn unlock(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_proposal(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, holder, _) = body::read::<LockBody>(request).await?.check()?;
    let reply =
        conditions.execute(&orders, &key, CommandKind::Unlock { proposal_id, holder }).await?;
    Ok(reply_response(StatusCode::OK, &reply))
}

/// Withdraw a proposal.
///
/// A `seller` is compared with that of the proposal.
#[utoipa::path(post, path = "/api/v1/proposals/{proposal_id}/withdraw", tag = "proposals",
    operation_id = "withdraw", params(ProposalPath), request_body = WithdrawBody,
    responses((status = 200, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn withdraw(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_proposal(request.headers())?;
    let proposal_id = ProposalId::new(proposal_id)?;
    let (key, command) = body::read::<WithdrawBody>(request).await?.check(proposal_id)?;
    let reply = conditions.execute(&orders, &key, command).await?;
    Ok(reply_response(StatusCode::OK, &reply))
}

/// Show a proposal's current state.
#[utoipa::path(get, path = "/api/v1/proposals/{proposal_id}", tag = "proposals",
    operation_id = "proposal", params(ProposalPath, ProposalQuery),
    responses((status = 200, description = "The proposal.", body = ProposalView,
        headers(("etag" = String, description = "Its version, in quotes.")))))]
pub(super) async fn proposal(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<ProposalQuery>,
) -> Result<Response, Problem> {
    let id = ProposalId::new(proposal_id)?;
    let key = OrderKey::new(&query.tenant, &query.order_req_id)?;
    let now = orders.now();
    let named = parse_incarnation(query.incarnation)?;
    let view = move |order: &Order, _: &OrderRuntimeState| view::proposal(order, &id, now);
    let found = orders.read_one(&key, named.as_ref(), view).await?;
    let (version, view) = found.ok_or_else(no_such_proposal)?;
    Ok(with_etag(u64::from(version), &view))
}

fn no_such_proposal() -> Refusal {
    Refusal::new(Reason::ProposalNotFound, "the order has no such proposal")
}

/// Show every version of a proposal, and what changed in each.
#[utoipa::path(get, path = "/api/v1/proposals/{proposal_id}/versions", tag = "proposals",
    operation_id = "versions", params(ProposalPath, VersionsQuery),
    responses((status = 200, description = "A page of versions.", body = VersionsPage)))]
pub(super) async fn versions(
    State(orders): State<OwnedOrders>,
    CheckedPath(proposal_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<VersionsQuery>,
) -> Result<Response, Problem> {
    let id = ProposalId::new(proposal_id)?;
    let key = OrderKey::new(&query.tenant, &query.order_req_id)?;
    let limit = query.limit.unwrap_or(PAGE_VERSIONS).clamp(1, PAGE_VERSIONS);
    let numbers = move |order: &Order, _: &OrderRuntimeState| {
        order.proposals.get(&id).map(|held| held.versions.clone())
    };
    let named = parse_incarnation(query.incarnation)?;
    let numbers = orders.read_one(&key, named.as_ref(), numbers).await?;
    let numbers = numbers.ok_or_else(no_such_proposal)?;
    // The version before the page's first one is read too, because the changes are relative to it.
    let after = usize::try_from(query.after).unwrap_or(usize::MAX);
    let from_index = after.saturating_sub(1).min(numbers.len());
    let until = after.saturating_add(limit).min(numbers.len());
    let requested: Vec<Seq> = numbers.get(from_index..until).unwrap_or_default().to_vec();
    let events = orders.events_at(&key, named.as_ref(), requested).await?;
    Ok(Json(page_of(query.after, &events, numbers.len())).into_response())
}

/// Makes a page of the versions after `after` from their events, and from the event before them
/// where there is one.
fn page_of(after: u32, events: &[std::sync::Arc<Event>], total: usize) -> VersionsPage {
    let mut contents =
        events.iter().filter_map(|event| Some((event, event.kind.proposal_content()?))).peekable();
    let mut before = if after > 0 { contents.next().map(|(_, content)| content) } else { None };
    let (mut versions, mut number, mut bytes) = (Vec::new(), after, 0_usize);
    for (event, content) in contents {
        bytes = bytes.saturating_add(text_bytes(content));
        if bytes > PAGE_BYTES_MAX && !versions.is_empty() {
            break;
        }
        number = number.saturating_add(1);
        versions.push(view::version(number, event, content, before));
        before = Some(content);
    }
    let is_more = usize::try_from(number).is_ok_and(|number| number < total);
    VersionsPage { versions, next: is_more.then_some(number) }
}
