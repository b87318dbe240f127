//! The bodies that sellers send, lenient as they come, and their checks.

use axum::extract::Request;
use orderstream_core::command::Proposed;
use orderstream_core::input::{ProposalInput, ProposalLineInput, optional_text};
use orderstream_core::limits::{LEASE_MS_DEFAULT, TEXT_CHARS_MAX};
use orderstream_core::{Act, FollowUpId, OrderKey, Refusal, SellerId};
use orderstream_rpc::problem::{self, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::limits::BODY_BYTES_MAX;

/// Reads a body as JSON, whatever its content type says. It says everything; a query beside it
/// would not be read, and is refused.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    problem::no_query(request.uri())?;
    problem::read_json(request, BODY_BYTES_MAX).await
}

/// A decimal that may come as a string, which is exact, or as a JSON number.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "give a decimal as a text, \"9.50\", or as a number")]
pub(super) enum Decimal {
    /// Exact.
    Text(String),
    /// As written, up to the precision of a double.
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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProposalBody {
    tenant: String,
    order_req_id: String,
    proposal_id: Option<String>,
    #[serde(alias = "seller_id")]
    seller: String,
    price: Decimal,
    currency: String,
    lines: Vec<LineBody>,
    note: Option<String>,
    delivery_date: Option<String>,
    valid_until: Option<String>,
    attachments: Vec<String>,
}

/// One line of a proposal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LineBody {
    sku: String,
    quantity: Decimal,
    unit: Option<String>,
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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AnswerBody {
    tenant: String,
    order_req_id: String,
    #[serde(alias = "seller_id")]
    seller: String,
    follow_up_id: String,
    message: String,
}

impl AnswerBody {
    pub(super) fn check(self) -> Result<(OrderKey, Act), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let seller = SellerId::new(self.seller)?;
        let follow_up_id = FollowUpId::new(self.follow_up_id)?;
        let message = optional_text("message", Some(self.message), TEXT_CHARS_MAX)?
            .ok_or_else(|| Refusal::field("message", "is missing; give 1 to 4096 characters"))?;
        Ok((key, Act::Answer { seller, follow_up_id, message }))
    }
}

/// Taking an edit lock, or giving it back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LockBody {
    tenant: String,
    order_req_id: String,
    #[serde(alias = "seller", alias = "seller_id")]
    holder: String,
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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WithdrawBody {
    tenant: String,
    order_req_id: String,
    reason: Option<String>,
}

impl WithdrawBody {
    pub(super) fn check(self) -> Result<(OrderKey, Option<String>), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        Ok((key, optional_text("reason", self.reason, TEXT_CHARS_MAX)?))
    }
}

/// Not proposing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeclineBody {
    pub(super) tenant: String,
    #[serde(alias = "seller_id")]
    seller: String,
    reason: Option<String>,
}

impl DeclineBody {
    pub(super) fn check(self) -> Result<(SellerId, Option<String>), Refusal> {
        let seller = SellerId::new(self.seller)?;
        Ok((seller, optional_text("reason", self.reason, TEXT_CHARS_MAX)?))
    }
}
