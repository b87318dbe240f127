//! The OpenAPI document of the buyer's REST, made from the handlers.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use orderstream_core::Reason;
use orderstream_rpc::problem;
use utoipa::OpenApi;

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Orderstream requestor",
        description = "The buyers' commands: the original system's contract, and all further operations \
                       on an order. A command is answered with 200 once it is in the order's list, and \
                       with 202 and the URL of its outcome while that is not known. Bodies are read as \
                       JSON whatever their content type, up to 64 KiB. A field or a query parameter \
                       that is not described is refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "orders", description = "The buyers' commands on orders."),
        (name = "tracking", description = "The tracked state of orders."),
        (name = "document", description = "This document."),
    )
)]
struct RequestorOpenApi;

/// Returns the document without its operations.
pub(super) fn head() -> utoipa::openapi::OpenApi {
    RequestorOpenApi::openapi()
}

/// Returns the OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = super::operations().into_openapi();
    problem::complete(&mut document, reasons);
    document
}

/// The reasons for which any command on an order may be refused.
const COMMAND_REASONS: [Reason; 12] = [
    Reason::OrderNotFound,
    Reason::OrderExists,
    Reason::OrderEnded,
    Reason::DeadlinePassed,
    Reason::StaleEpoch,
    Reason::IdempotencyConflict,
    Reason::LimitReached,
    Reason::Overloaded,
    Reason::NotAllowed,
    Reason::StatusContested,
    Reason::RecordsDamaged,
    Reason::StorageUnavailable,
];

/// Returns the reasons for which an operation is refused, beside those of every request.
fn reasons(operation: &str) -> Vec<Reason> {
    let own: &[Reason] = match operation {
        "orders" | "status" | "openapi" => return Vec::new(),
        "tracking" => {
            return vec![Reason::OrderNotFound, Reason::RecordsDamaged, Reason::StorageUnavailable];
        }
        "act" => return vec![Reason::CommandNotFound, Reason::RecordsDamaged],
        "initiate" => &[],
        "award" | "finalize" => &[
            Reason::ProposalNotFound,
            Reason::ProposalEnded,
            Reason::OrderSealed,
            Reason::AlreadyAwarded,
            Reason::AwardPending,
        ],
        "undo-award" => &[Reason::AwardNotPending],
        "extend" => &[Reason::ExpiryShrinks, Reason::AwardPending],
        _ => &[Reason::AwardPending],
    };
    COMMAND_REASONS.iter().chain(own).copied().collect()
}

/// Show this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "document", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json",
        body = Object)))]
pub(super) async fn serve() -> Response {
    /// The document as text, the same for the whole process.
    static TEXT: LazyLock<String> = LazyLock::new(|| problem::pretty_json(&document()));
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
