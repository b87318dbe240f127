//! The OpenAPI document of the sellers' REST, made from the handlers.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use orderstream_core::Reason;
use orderstream_rpc::problem;
use utoipa::OpenApi;

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Orderstream processor",
        description = "The sellers' commands, and the reads of orders. Any processor can be called: a \
                       request about an order of another processor is forwarded to it. Bodies are \
                       read as JSON whatever their content type, up to 64 KiB. A field or a query \
                       parameter that is not described is refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "orders", description = "Orders, as their owner holds them."),
        (name = "proposals", description = "Proposals of sellers."),
        (name = "sellers", description = "The orders of one seller, at all processors."),
        (name = "conversation", description = "The messages between buyer and sellers."),
        (name = "notifications", description = "Notifications: sent, to be sent, and given up."),
        (name = "document", description = "This document."),
    )
)]
struct SellerApiDocument;

/// Returns the document without its operations.
pub(super) fn head() -> utoipa::openapi::OpenApi {
    SellerApiDocument::openapi()
}

/// Makes the document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = super::operations().into_openapi();
    for alias in super::aliases() {
        if let Some(mut item) = document.paths.paths.get(alias.path).cloned() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                let id = operation.operation_id.clone().unwrap_or_default();
                operation.operation_id = Some(format!("{id}-alias"));
            }
            document.paths.paths.insert(alias.name.to_owned(), item);
        }
    }
    problem::complete(&mut document, reasons);
    document
}

/// The reasons for which any operation on an order may be refused: because of its location, or its
/// records.
const ON_ORDERS: [Reason; 4] = [
    Reason::OrderNotFound,
    Reason::Unreachable,
    Reason::StorageUnavailable,
    Reason::RecordsDamaged,
];
/// The further reasons for which any command may be refused.
const ON_COMMANDS: [Reason; 6] = [
    Reason::OrderEnded,
    Reason::DeadlinePassed,
    Reason::IdempotencyConflict,
    Reason::Changed,
    Reason::LimitReached,
    Reason::Overloaded,
];

/// Returns the reasons for which an operation is refused, besides those of every request.
fn reasons(operation: &str) -> Vec<Reason> {
    let own: &[Reason] = match operation.trim_end_matches("-alias") {
        "orders" | "openapi" | "dead-letters" => return Vec::new(),
        // Right after its start, a processor may not know the others.
        "inbox" => {
            return vec![Reason::Unreachable, Reason::StorageUnavailable, Reason::RecordsDamaged];
        }
        "inbox-events" => return vec![Reason::LimitReached],
        "replay" => &[Reason::NotificationNotFound],
        "order" | "proposals" | "conversation" | "notifications" => &[],
        "comparison" => &[Reason::LimitReached],
        "proposal" | "versions" => &[Reason::ProposalNotFound],
        "events" => &[Reason::AheadOfList, Reason::LimitReached],
        "propose" => {
            &[Reason::OrderPaused, Reason::NotInvited, Reason::ProposalExists, Reason::AwardPending]
        }
        "answer" | "ask" | "decline" | "see" => &[Reason::NotInvited],
        "amend" | "lock" => &[
            Reason::NotInvited,
            Reason::ProposalNotFound,
            Reason::ProposalEnded,
            Reason::OrderPaused,
            Reason::Locked,
            Reason::AwardPending,
        ],
        "withdraw" => &[
            Reason::NotInvited,
            Reason::ProposalNotFound,
            Reason::ProposalEnded,
            Reason::Locked,
            Reason::AwardPending,
        ],
        "unlock" => &[Reason::NotInvited, Reason::ProposalNotFound, Reason::Locked],
        _ => &[],
    };
    let is_read = matches!(
        operation.trim_end_matches("-alias"),
        "order"
            | "proposals"
            | "comparison"
            | "conversation"
            | "proposal"
            | "versions"
            | "events"
            | "notifications"
    );
    let command_reasons = ON_COMMANDS.iter().filter(|_| !is_read);
    ON_ORDERS.iter().chain(command_reasons).chain(own).copied().collect()
}

/// Show this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "document", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json",
        body = Object)))]
pub(super) async fn serve() -> Response {
    /// The text does not change while the process runs.
    static TEXT: LazyLock<String> = LazyLock::new(|| problem::pretty_json(&document()));
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
