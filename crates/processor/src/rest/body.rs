//! The bodies that sellers send, read leniently, and their checks.

use axum::extract::Request;
use orderstream_core::command::ProposalContent;
use orderstream_core::input::{ProposalInput, ProposalLineInput, optional_text};
use orderstream_core::limits::{LEASE_MS_DEFAULT, TEXT_CHARS_MAX};
use orderstream_core::{CommandKind, FollowUpId, OrderKey, Refusal, SellerId};
use orderstream_rpc::problem::{self, Problem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::BODY_BYTES_MAX;

/// The order's id in the examples of the document. A test sends each of them to a processor.
pub(super) const ORDER_EXAMPLE: &str = "SB1029436";
/// The proposal's id in the examples.
pub(super) const PROPOSAL_EXAMPLE: &str = "P-1";

/// Reads a body as JSON, whatever its content type is. A query beside it would be ignored, and is
/// refused.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    problem::no_query(request.uri())?;
    problem::read_json(request, BODY_BYTES_MAX).await
}

/// A decimal that may come as a string, which is exact, or as a JSON number.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(example = "9.50")]
#[serde(untagged, expecting = "give a decimal as a text, \"9.50\", or as a number")]
pub(super) enum Decimal {
    /// An exact decimal, such as `"9.50"`.
    Text(String),
    /// A JSON number, as precise as a double.
    #[schema(value_type = f64)]
    Number(serde_json::Number),
}

impl Default for Decimal {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<Decimal> for String {
    fn from(decimal: Decimal) -> Self {
        match decimal {
            Decimal::Text(text) => text,
            Decimal::Number(number) => number.to_string(),
        }
    }
}

/// A new or changed proposal.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({
    "order_req_id": ORDER_EXAMPLE,
    "proposal_id": PROPOSAL_EXAMPLE,
    "seller": "seller1",
    "price": "1249.50",
    "currency": "EUR",
    "lines": [
        { "sku": "A4-80", "quantity": "100", "unit": "box", "price": "1200.00" },
        { "sku": "TONER", "quantity": "1", "price": "49.50" },
    ],
    "note": "Delivered free of charge.",
    "delivery_date": "2026-12-01",
    "valid_until": "2026-12-31T23:59:59Z",
    "attachments": ["https://seller1.example/offers/P-1.pdf"],
}))]
pub(super) struct ProposalBody {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The order's id.
    #[schema(required = true)]
    order_req_id: String,
    /// The proposal's id, given by the seller or assigned by the owner; the same id again is a
    /// repetition. For a change of a proposal, the path has the id.
    proposal_id: Option<String>,
    /// The proposing seller; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The total price; the lines add up to it.
    #[schema(required = true)]
    price: Decimal,
    /// The currency, ISO 4217.
    #[schema(required = true)]
    currency: String,
    /// The lines, at most 100.
    lines: Vec<LineBody>,
    /// A note to the buyer, at most 4096 characters.
    note: Option<String>,
    /// The date of delivery: `2026-12-01` or `2026-12-01T12:00:00Z`.
    delivery_date: Option<String>,
    /// The end of validity: `2026-12-01` or `2026-12-01T12:00:00Z`.
    valid_until: Option<String>,
    /// URLs of documents, at most 20, `https://` or `http://`.
    attachments: Vec<String>,
}

/// One line of a proposal.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct LineBody {
    /// The buyer's article number.
    #[schema(required = true)]
    sku: String,
    /// The quantity, in `unit`.
    #[schema(required = true)]
    quantity: Decimal,
    /// The unit of the quantity.
    unit: Option<String>,
    /// The price of the whole line.
    #[schema(required = true)]
    price: Decimal,
}

impl ProposalBody {
    pub(super) fn check(self) -> Result<(OrderKey, ProposalContent), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let line = |line: LineBody| ProposalLineInput {
            sku: line.sku,
            quantity: line.quantity.into(),
            unit: line.unit,
            price: line.price.into(),
        };
        let proposed = ProposalContent::try_from(ProposalInput {
            proposal_id: self.proposal_id,
            seller: self.seller,
            price: self.price.into(),
            currency: self.currency,
            lines: self.lines.into_iter().map(line).collect(),
            note: self.note,
            delivery_date: self.delivery_date,
            valid_until: self.valid_until,
            attachments: self.attachments,
        })?;
        Ok((key, proposed))
    }
}

/// A seller's answer to a follow-up.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({
    "order_req_id": ORDER_EXAMPLE,
    "seller": "seller1",
    "follow_up_id": "f-1",
    "message": "In three days.",
}))]
pub(super) struct AnswerBody {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The order's id.
    #[schema(required = true)]
    order_req_id: String,
    /// The answering seller; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The follow-up's id.
    #[schema(required = true)]
    follow_up_id: String,
    /// The answer, 1 to 4096 characters.
    #[schema(required = true)]
    message: String,
}

impl AnswerBody {
    pub(super) fn check(self) -> Result<(OrderKey, CommandKind), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let seller = SellerId::new(self.seller)?;
        let follow_up_id = FollowUpId::new(self.follow_up_id)?;
        let message = required_message(self.message)?;
        Ok((key, CommandKind::Answer { seller, follow_up_id, message }))
    }
}

/// Checks a text that must not be empty.
fn required_message(message: String) -> Result<String, Refusal> {
    optional_text("message", Some(message), TEXT_CHARS_MAX)?
        .ok_or_else(|| Refusal::field("message", "is missing; give 1 to 4096 characters"))
}

/// A seller's question to the buyer.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({
    "seller": "seller1",
    "question_id": "q-1",
    "message": "Is recycled paper fine?",
}))]
pub(super) struct QuestionBody {
    /// The order's tenant; `default` when left out.
    pub(super) tenant: String,
    /// The asking seller; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The question's id, given by the seller or assigned by the owner. The same id with the same
    /// message is a repetition.
    question_id: Option<String>,
    /// The question, 1 to 4096 characters.
    #[schema(required = true)]
    message: String,
}

impl QuestionBody {
    pub(super) fn check(self) -> Result<CommandKind, Refusal> {
        let seller = SellerId::new(self.seller)?;
        let given = self.question_id.filter(|id| !id.is_empty()).map(FollowUpId::new);
        let question_id = given
            .transpose()
            .map_err(|refusal| Refusal { field: Some("question_id".to_owned()), ..refusal })?;
        Ok(CommandKind::Ask { seller, question_id, message: required_message(self.message)? })
    }
}

/// A seller's mark that it has seen the order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({ "seller": "seller1" }))]
pub(super) struct SeenBody {
    /// The order's tenant; `default` when left out.
    pub(super) tenant: String,
    /// The invited seller; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
}

impl SeenBody {
    pub(super) fn check(self) -> Result<CommandKind, Refusal> {
        Ok(CommandKind::See { seller: SellerId::new(self.seller)? })
    }
}

/// The acquisition or the release of an edit lock.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({ "order_req_id": ORDER_EXAMPLE, "holder": "seller1", "lease_ms": 60_000 }))]
pub(super) struct LockBody {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The order's id.
    #[schema(required = true)]
    order_req_id: String,
    /// The editing seller; `seller` and `seller_id` mean the same.
    #[serde(alias = "seller", alias = "seller_id")]
    #[schema(required = true)]
    holder: String,
    /// The lock's duration, 1 to 3 600 000 milliseconds; 300 000 when left out. Ignored when the
    /// lock is released.
    lease_ms: Option<u64>,
}

impl LockBody {
    pub(super) fn check(self) -> Result<(OrderKey, SellerId, u64), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let holder = SellerId::new(self.holder)
            .map_err(|refusal| Refusal { field: Some("holder".to_owned()), ..refusal })?;
        Ok((key, holder, self.lease_ms.unwrap_or(LEASE_MS_DEFAULT)))
    }
}

/// The withdrawal of a proposal.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({ "order_req_id": ORDER_EXAMPLE, "reason": "sold out" }))]
pub(super) struct WithdrawBody {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The order's id.
    #[schema(required = true)]
    order_req_id: String,
    /// The reason for the buyer, at most 4096 characters.
    reason: Option<String>,
}

impl WithdrawBody {
    pub(super) fn check(self) -> Result<(OrderKey, Option<String>), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        Ok((key, optional_text("reason", self.reason, TEXT_CHARS_MAX)?))
    }
}

/// A seller's decision not to propose.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({ "seller": "seller2", "reason": "not in stock" }))]
pub(super) struct DeclineBody {
    /// The order's tenant; `default` when left out.
    pub(super) tenant: String,
    /// The declining seller; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The reason for the buyer, at most 4096 characters.
    reason: Option<String>,
}

impl DeclineBody {
    pub(super) fn check(self) -> Result<(SellerId, Option<String>), Refusal> {
        let seller = SellerId::new(self.seller)?;
        Ok((seller, optional_text("reason", self.reason, TEXT_CHARS_MAX)?))
    }
}
