//! The bodies that sellers send, lenient as they come, and their checks.

use axum::extract::Request;
use orderstream_core::command::Proposed;
use orderstream_core::input::{ProposalInput, ProposalLineInput, optional_text};
use orderstream_core::limits::{LEASE_MS_DEFAULT, TEXT_CHARS_MAX};
use orderstream_core::{Act, FollowUpId, OrderKey, Refusal, SellerId};
use orderstream_rpc::problem::{self, Problem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::examples;
use crate::limits::BODY_BYTES_MAX;

/// Reads a body as JSON, whatever its content type says. It says everything; a query beside it
/// would not be read, and is refused.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    problem::no_query(request.uri())?;
    problem::read_json(request, BODY_BYTES_MAX).await
}

/// A decimal that may come as a string, which is exact, or as a JSON number.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(example = "9.50")]
#[serde(untagged, expecting = "give a decimal as a text, \"9.50\", or as a number")]
pub(super) enum Decimal {
    /// Exact.
    Text(String),
    /// As written, up to the precision of a double.
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
#[schema(example = json!(examples::proposal()))]
pub(super) struct ProposalBody {
    /// Whose order; `default` when left out.
    tenant: String,
    /// Which order.
    #[schema(required = true)]
    order_req_id: String,
    /// Given by the seller, or left to the owner. The same id again is a repetition. The path says it
    /// where a proposal is changed.
    proposal_id: Option<String>,
    /// Whose; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// For how much in all; the lines add up to it.
    #[schema(required = true)]
    price: Decimal,
    /// ISO 4217.
    #[schema(required = true)]
    currency: String,
    /// Per line, at most 100.
    lines: Vec<LineBody>,
    /// For the buyer, at most 4096 characters.
    note: Option<String>,
    /// `2026-12-01` or `2026-12-01T12:00:00Z`.
    delivery_date: Option<String>,
    /// `2026-12-01` or `2026-12-01T12:00:00Z`.
    valid_until: Option<String>,
    /// At most 20 addresses of documents, `https://` or `http://`.
    attachments: Vec<String>,
}

/// One line of a proposal.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct LineBody {
    /// The buyer's number of the thing.
    #[schema(required = true)]
    sku: String,
    /// How many.
    #[schema(required = true)]
    quantity: Decimal,
    /// Of what.
    unit: Option<String>,
    /// For how much in all.
    #[schema(required = true)]
    price: Decimal,
}

impl ProposalBody {
    pub(super) fn check(self) -> Result<(OrderKey, Proposed), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let line = |line: LineBody| ProposalLineInput {
            sku: line.sku,
            quantity: line.quantity.into(),
            unit: line.unit,
            price: line.price.into(),
        };
        let proposed = Proposed::try_from(ProposalInput {
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
#[schema(example = json!(examples::answer()))]
pub(super) struct AnswerBody {
    /// Whose order; `default` when left out.
    tenant: String,
    /// Which order.
    #[schema(required = true)]
    order_req_id: String,
    /// Who answers; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The follow-up that is answered.
    #[schema(required = true)]
    follow_up_id: String,
    /// The answer, 1 to 4096 characters.
    #[schema(required = true)]
    message: String,
}

impl AnswerBody {
    pub(super) fn check(self) -> Result<(OrderKey, Act), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let seller = SellerId::new(self.seller)?;
        let follow_up_id = FollowUpId::new(self.follow_up_id)?;
        let message = said(self.message)?;
        Ok((key, Act::Answer { seller, follow_up_id, message }))
    }
}

/// A text that is there.
fn said(message: String) -> Result<String, Refusal> {
    optional_text("message", Some(message), TEXT_CHARS_MAX)?
        .ok_or_else(|| Refusal::field("message", "is missing; give 1 to 4096 characters"))
}

/// A seller's question to the buyer.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::question()))]
pub(super) struct QuestionBody {
    /// Whose order; `default` when left out.
    pub(super) tenant: String,
    /// Who asks; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// Given by the seller, or left to the owner. The same id with the same words is a repetition.
    question_id: Option<String>,
    /// The question, 1 to 4096 characters.
    #[schema(required = true)]
    message: String,
}

impl QuestionBody {
    pub(super) fn check(self) -> Result<Act, Refusal> {
        let seller = SellerId::new(self.seller)?;
        let given = self.question_id.filter(|id| !id.is_empty()).map(FollowUpId::new);
        let question_id = given
            .transpose()
            .map_err(|refusal| Refusal { field: Some("question_id".to_owned()), ..refusal })?;
        Ok(Act::Ask { seller, question_id, message: said(self.message)? })
    }
}

/// A seller has seen the order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::seen()))]
pub(super) struct SeenBody {
    /// Whose order; `default` when left out.
    pub(super) tenant: String,
    /// Who; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
}

impl SeenBody {
    pub(super) fn check(self) -> Result<Act, Refusal> {
        Ok(Act::See { seller: SellerId::new(self.seller)? })
    }
}

/// Taking an edit lock, or giving it back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::lock()))]
pub(super) struct LockBody {
    /// Whose order; `default` when left out.
    tenant: String,
    /// Which order.
    #[schema(required = true)]
    order_req_id: String,
    /// Who edits; `seller` and `seller_id` mean the same.
    #[serde(alias = "seller", alias = "seller_id")]
    #[schema(required = true)]
    holder: String,
    /// For how long, 1 to 3 600 000 milliseconds; 300 000 when left out. Not read when the lock is
    /// given back.
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

/// Taking a proposal back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::withdraw()))]
pub(super) struct WithdrawBody {
    /// Whose order; `default` when left out.
    tenant: String,
    /// Which order.
    #[schema(required = true)]
    order_req_id: String,
    /// Why, for the buyer, at most 4096 characters.
    reason: Option<String>,
}

impl WithdrawBody {
    pub(super) fn check(self) -> Result<(OrderKey, Option<String>), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        Ok((key, optional_text("reason", self.reason, TEXT_CHARS_MAX)?))
    }
}

/// Not proposing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::decline()))]
pub(super) struct DeclineBody {
    /// Whose order; `default` when left out.
    pub(super) tenant: String,
    /// Who will not propose; `seller_id` means the same.
    #[serde(alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// Why, for the buyer, at most 4096 characters.
    reason: Option<String>,
}

impl DeclineBody {
    pub(super) fn check(self) -> Result<(SellerId, Option<String>), Refusal> {
        let seller = SellerId::new(self.seller)?;
        Ok((seller, optional_text("reason", self.reason, TEXT_CHARS_MAX)?))
    }
}
