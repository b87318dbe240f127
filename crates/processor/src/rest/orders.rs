//! The sellers' commands on an order, and the reads of one.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use orderstream_core::{
    CommandKind, Incarnation, Order, OrderKey, ProposalId, Refusal, Seq, Tenant,
};
use orderstream_rest_types::command::CommandReplyView;
use orderstream_rest_types::conversation::ConversationPage;
use orderstream_rest_types::order::{OrderView, OrdersPage};
use orderstream_rest_types::proposal::ProposalsPage;
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem, page_size, position};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{self, DeclineBody, QuestionBody, SeenBody};
use super::headers::{CommandConditions, with_etag};
use super::view;
use super::{OrderPath, SellerRestState, reply_response};
use crate::limits::{PAGE_CONVERSATION, PAGE_ORDERS, PAGE_PROPOSALS};
use crate::orders::{OrderRuntimeState, OwnedOrders, PageBounds};

/// Returns the operations of this file.
pub(super) fn operations() -> OpenApiRouter<SellerRestState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(order))
        .routes(routes!(proposals))
        .routes(routes!(conversation))
        .routes(routes!(decline))
        .routes(routes!(ask))
        .routes(routes!(see))
}

/// The query that completes an order's path.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IncarnationQuery {
    /// The order's tenant; `default` when left out.
    pub(super) tenant: String,
    /// The incarnation of the order id; the newest when left out.
    pub(super) incarnation: String,
}

/// The query for a page of orders.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OrdersQuery {
    /// The tenant of the orders; all tenants when left out.
    tenant: String,
    /// The `next` of the page before.
    after: String,
    /// The size of the page, at most 1000, which is also the default.
    #[param(maximum = 1000, minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_ORDERS, _>")]
    limit: Option<usize>,
}

/// The query for a page of proposals.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProposalsQuery {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The incarnation of the order id; the newest when left out.
    incarnation: String,
    /// The `next` of the page before.
    after: String,
    /// The size of the page, at most 500, which is also the default.
    #[param(maximum = 500, minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_PROPOSALS, _>")]
    limit: Option<usize>,
}

/// The query for a page of a conversation.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConversationQuery {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The incarnation of the order id; the newest when left out.
    incarnation: String,
    /// The `next` of the page before, or the sequence number of the last event received.
    #[serde(deserialize_with = "position::<{ u64::MAX }, _, _>")]
    after: u64,
    /// The size of the page, at most 500, which is also the default.
    #[param(maximum = 500, minimum = 1)]
    #[serde(deserialize_with = "page_size::<PAGE_CONVERSATION, _>")]
    limit: Option<usize>,
}

/// Returns the incarnation that a query names, if it names one.
pub(super) fn parse_incarnation(incarnation: String) -> Result<Option<Incarnation>, Refusal> {
    Some(incarnation).filter(|text| !text.is_empty()).map(Incarnation::new).transpose()
}

/// Moves a refusal to another field.
pub(super) fn with_field(field: &str, refusal: Refusal) -> Refusal {
    Refusal { field: Some(field.to_owned()), ..refusal }
}

/// Record that a seller declines to propose.
#[utoipa::path(post, path = "/api/v1/orders/{order_req_id}/decline", tag = "orders",
    operation_id = "decline", params(OrderPath), request_body = DeclineBody,
    responses((status = 200, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn decline(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_order(request.headers())?;
    let body = body::read::<DeclineBody>(request).await?;
    let key = OrderKey::new(&body.tenant, &order_req_id)?;
    let (seller, reason) = body.check()?;
    let reply = conditions.execute(&orders, &key, CommandKind::Decline { seller, reason }).await?;
    Ok(reply_response(StatusCode::OK, &reply))
}

/// Ask the buyer a question.
///
/// Without a `question_id`, the `Idempotency-Key` is the question's id, unless another question has
/// it.
#[utoipa::path(post, path = "/api/v1/orders/{order_req_id}/questions", tag = "conversation",
    operation_id = "ask", params(OrderPath), request_body = QuestionBody,
    responses((status = 201, description = "It is on disk; `follow_up_id` is the question's id.",
        body = CommandReplyView)))]
pub(super) async fn ask(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_order(request.headers())?;
    let body = body::read::<QuestionBody>(request).await?;
    let key = OrderKey::new(&body.tenant, &order_req_id)?;
    let reply = conditions.execute(&orders, &key, body.check()?).await?;
    Ok(reply_response(StatusCode::CREATED, &reply))
}

/// Record that an invited seller has seen the order.
///
/// Of a seller that is not invited nothing is recorded, where anybody may propose; elsewhere it is
/// refused.
#[utoipa::path(post, path = "/api/v1/orders/{order_req_id}/seen", tag = "orders",
    operation_id = "see", params(OrderPath), request_body = SeenBody,
    responses((status = 200, description = "The command is durable.", body = CommandReplyView)))]
pub(super) async fn see(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let conditions = CommandConditions::of_order(request.headers())?;
    let body = body::read::<SeenBody>(request).await?;
    let key = OrderKey::new(&body.tenant, &order_req_id)?;
    let reply = conditions.execute(&orders, &key, body.check()?).await?;
    Ok(reply_response(StatusCode::OK, &reply))
}

/// Show an order.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}", tag = "orders",
    operation_id = "order", params(OrderPath, IncarnationQuery),
    responses((status = 200, description = "The order.", body = OrderView,
        headers(("etag" = String, description = "The sequence number of its last event, in quotes.")))))]
pub(super) async fn order(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<IncarnationQuery>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&query.tenant, &order_req_id)?;
    let view = |order: &Order, runtime: &OrderRuntimeState| {
        (order.last_seq.0, view::order(order, runtime))
    };
    let named = parse_incarnation(query.incarnation)?;
    let (last_seq, view) = orders.read_one(&key, named.as_ref(), view).await?;
    Ok(with_etag(last_seq, &view))
}

/// Show an order's proposals.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}/proposals", tag = "proposals",
    operation_id = "proposals", params(OrderPath, ProposalsQuery),
    responses((status = 200, description = "A page of proposals.", body = ProposalsPage)))]
pub(super) async fn proposals(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<ProposalsQuery>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&query.tenant, &order_req_id)?;
    let limit = query.limit.unwrap_or(PAGE_PROPOSALS).clamp(1, PAGE_PROPOSALS);
    let after = Some(query.after).filter(|after| !after.is_empty());
    let after =
        after.map(ProposalId::new).transpose().map_err(|refusal| with_field("after", refusal))?;
    let now = orders.now();
    let view = move |order: &Order, _: &OrderRuntimeState| {
        view::proposals(order, after.as_ref(), limit, now)
    };
    let named = parse_incarnation(query.incarnation)?;
    Ok(Json(orders.read_one(&key, named.as_ref(), view).await?).into_response())
}

/// Show the orders that this processor holds.
///
/// Each processor shows only its own orders; send the request to every processor to get all.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", operation_id = "orders",
    params(OrdersQuery),
    responses((status = 200, description = "A page of orders.", body = OrdersPage)))]
pub(super) async fn list(
    State(orders): State<OwnedOrders>,
    CheckedQuery(query): CheckedQuery<OrdersQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(PAGE_ORDERS).clamp(1, PAGE_ORDERS);
    let after = Some(query.after.as_str()).filter(|after| !after.is_empty());
    let after = after
        .map(str::parse::<OrderKey>)
        .transpose()
        .map_err(|refusal| with_field("after", refusal))?;
    let tenant = Some(query.tenant).filter(|tenant| !tenant.is_empty());
    let tenant = tenant.map(Tenant::new).transpose()?;
    let keys = orders.keys(tenant.as_ref().map(Tenant::as_str), after.as_ref(), limit);
    let next = keys.last().filter(|_| keys.len() == limit).map(ToString::to_string);
    let mut listed = Vec::with_capacity(keys.len());
    for key in &keys {
        // An order that was removed meanwhile or cannot be read is left out.
        if let Ok(order) = orders.read(key, view::order).await {
            listed.push(order);
        }
    }
    Ok(Json(OrdersPage { orders: listed, next }).into_response())
}

/// Show the conversation between buyer and sellers.
///
/// Follow-ups, questions and answers are listed in the order in which they were sent. One request
/// scans 4096 events at most, so a page can be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}/conversation", tag = "conversation",
    operation_id = "conversation", params(OrderPath, ConversationQuery),
    responses((status = 200, description = "A page of the conversation.",
        body = ConversationPage)))]
pub(super) async fn conversation(
    State(orders): State<OwnedOrders>,
    CheckedPath(order_req_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<ConversationQuery>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&query.tenant, &order_req_id)?;
    let limit = query.limit.unwrap_or(PAGE_CONVERSATION).clamp(1, PAGE_CONVERSATION);
    let named = parse_incarnation(query.incarnation)?;
    let bounds = PageBounds { after: Seq(query.after), limit };
    let page = orders.pick(&key, named.as_ref(), bounds, view::conversation_message).await?;
    let next = page.next.map(|seq| seq.0);
    Ok(Json(ConversationPage { conversation: page.found, next }).into_response())
}
