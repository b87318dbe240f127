//! The bodies that sellers send, and their checks. A field may be absent or null where the original
//! system allowed it, and have its second name; one that nothing reads is refused.

use axum::extract::Request;
use orderstream_core::command::ProposalContent;
use orderstream_core::input::{
    ProposalInput, ProposalLineInput, null_is_absent, optional_text, reason_text,
};
use orderstream_core::limits::{LABEL_CHARS_MAX, LEASE_MS_DEFAULT, TEXT_CHARS_MAX};
use orderstream_core::{CommandKind, FollowUpId, OrderKey, ProposalId, Refusal, SellerId};
use orderstream_rpc::problem::{self, Problem};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
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

/// A decimal, as a string or as a JSON number. Both count digit by digit, as they are written; an
/// exponent is refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = "9.50")]
#[serde(untagged)]
pub(super) enum Decimal {
    /// A decimal as a string, such as `"9.50"`.
    Text(String),
    /// A decimal as a JSON number, such as `9.50`.
    #[schema(value_type = f64)]
    Number(Box<RawValue>),
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Box::<RawValue>::deserialize(deserializer)?;
        match written.get().as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Ok(Self::Number(written)),
            _ => serde_json::from_str(written.get()).map(Self::Text).map_err(|_| {
                D::Error::custom("give a decimal as a text, \"9.50\", or as a number")
            }),
        }
    }
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
            Decimal::Number(written) => written.get().to_owned(),
        }
    }
}

/// A new or changed proposal.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
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
    "delivery_date": "2030-12-01",
    "valid_until": "2030-12-31T23:59:59Z",
    "attachments": ["https://seller1.example/offers/P-1.pdf"],
    "your_reference": "OFFER-2030-117",
}))]
pub(super) struct ProposalBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    /// The order's id.
    #[serde(deserialize_with = "null_is_absent", alias = "orderReqId")]
    #[schema(required = true)]
    order_req_id: String,
    /// The proposal's id, given by the seller or assigned by the owner; the same id again is a
    /// repetition. For a change of a proposal, the path has the id.
    #[serde(alias = "proposalId")]
    proposal_id: Option<String>,
    /// The proposing seller; `seller_id` means the same.
    #[serde(deserialize_with = "null_is_absent", alias = "seller_id", alias = "sellerId")]
    #[schema(required = true)]
    seller: String,
    /// The total price; the lines add up to it.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    price: Decimal,
    /// The currency, ISO 4217.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    currency: String,
    /// The lines, at most 100.
    #[serde(deserialize_with = "null_is_absent")]
    lines: Vec<LineBody>,
    /// A note to the buyer, at most 4096 characters.
    note: Option<String>,
    /// The date of delivery: `2030-12-01` or `2030-12-01T12:00:00Z`. A date counts to its end in
    /// the order's time zone, and is not past.
    #[serde(alias = "deliveryDate")]
    delivery_date: Option<String>,
    /// The end of validity: `2030-12-01` or `2030-12-01T12:00:00Z`. A date counts to its end in the
    /// order's time zone, and is not past.
    #[serde(alias = "validUntil")]
    valid_until: Option<String>,
    /// URLs of documents, at most 20, `https://` or `http://`.
    #[serde(deserialize_with = "null_is_absent")]
    attachments: Vec<String>,
    /// The seller's own number for the proposal, at most 256 characters; it is sent back with it.
    #[serde(alias = "yourReference")]
    your_reference: Option<String>,
    /// The label of an alternative to the seller's main proposal, 1 to 64 characters; or `true`, and
    /// `label` has it. Left out for the main proposal, of which a seller has one. A change keeps it.
    alternative: Option<AlternativeBody>,
    /// The label of the alternative, where `alternative` is `true`.
    label: Option<String>,
}

/// The mark of an alternative.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "give the label of the alternative, or true beside a label")]
pub(super) enum AlternativeBody {
    /// `true` beside a label; `false` for a main proposal.
    Flag(bool),
    /// The label.
    Label(String),
}

/// One line of a proposal.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LineBody {
    /// The buyer's article number, or the seller's of a substitute.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    sku: String,
    /// The quantity, in `unit`.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    quantity: Decimal,
    /// The unit of the quantity.
    unit: Option<String>,
    /// The price of the whole line.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    price: Decimal,
    /// The name of the order's line that it is for; needed where several items have the article
    /// number.
    line: Option<String>,
    /// The order's article that this one stands for; left out for the order's own article.
    substitutes: Option<String>,
}

impl ProposalBody {
    pub(super) fn check(self) -> Result<(OrderKey, ProposalContent), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let line = |line: LineBody| ProposalLineInput {
            sku: line.sku,
            quantity: line.quantity.into(),
            unit: line.unit,
            price: line.price.into(),
            line: line.line,
            substitutes: line.substitutes,
        };
        // A wrong label is refused under the name of the field that has it.
        let label_field = match &self.alternative {
            Some(AlternativeBody::Flag(_)) => "label",
            Some(AlternativeBody::Label(_)) | None => "alternative",
        };
        let alternative = label_of(self.alternative, self.label)?;
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
            your_reference: self.your_reference,
            alternative,
        })
        .map_err(|refusal| match refusal.field.as_deref() {
            Some("alternative") => Refusal { field: Some(label_field.to_owned()), ..refusal },
            Some(_) | None => refusal,
        })?;
        Ok((key, proposed))
    }
}

/// Returns the label of an alternative; `None` for a main proposal.
fn label_of(
    alternative: Option<AlternativeBody>,
    label: Option<String>,
) -> Result<Option<String>, Refusal> {
    let wrong = |text: String| Err(Refusal::field("label", text));
    match (alternative, label.filter(|label| !label.is_empty())) {
        (Some(AlternativeBody::Flag(true)), Some(label))
        | (Some(AlternativeBody::Label(label)), None) => Ok(Some(label)),
        (Some(AlternativeBody::Flag(true)), None) => wrong(format!(
            "is missing; give the alternative one, 1 to {LABEL_CHARS_MAX} characters"
        )),
        (Some(AlternativeBody::Flag(false)) | None, None) => Ok(None),
        (Some(AlternativeBody::Flag(false) | AlternativeBody::Label(_)) | None, Some(_)) => {
            wrong("is for alternatives; set `alternative` to true, or leave it out".to_owned())
        }
    }
}

/// A seller's answer to a follow-up.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "order_req_id": ORDER_EXAMPLE,
    "seller": "seller1",
    "follow_up_id": "f-1",
    "message": "In three days.",
}))]
pub(super) struct AnswerBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    /// The order's id.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    order_req_id: String,
    /// The answering seller; `seller_id` means the same.
    #[serde(deserialize_with = "null_is_absent", alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The follow-up's id.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    follow_up_id: String,
    /// The answer, 1 to 4096 characters.
    #[serde(deserialize_with = "null_is_absent")]
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
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "seller": "seller1",
    "question_id": "q-1",
    "message": "Is recycled paper fine?",
}))]
pub(super) struct QuestionBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    pub(super) tenant: String,
    /// The asking seller; `seller_id` means the same.
    #[serde(deserialize_with = "null_is_absent", alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The question's id, given by the seller or assigned by the owner. The same id with the same
    /// message is a repetition.
    question_id: Option<String>,
    /// The question, 1 to 4096 characters.
    #[serde(deserialize_with = "null_is_absent")]
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
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "seller": "seller1" }))]
pub(super) struct SeenBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    pub(super) tenant: String,
    /// The invited seller; `seller_id` means the same.
    #[serde(deserialize_with = "null_is_absent", alias = "seller_id")]
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
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "order_req_id": ORDER_EXAMPLE, "holder": "seller1", "lease_ms": 60_000 }))]
pub(super) struct LockBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    /// The order's id.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    order_req_id: String,
    /// The editing seller; `seller` and `seller_id` mean the same.
    #[serde(deserialize_with = "null_is_absent", alias = "seller", alias = "seller_id")]
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
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "order_req_id": ORDER_EXAMPLE,
    "seller": "seller1",
    "reason": "sold out",
}))]
pub(super) struct WithdrawBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    /// The order's id.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    order_req_id: String,
    /// The seller that withdraws it; `seller_id` means the same. Another one than the proposal's is
    /// refused. Left out, anybody may, unless the order is sealed.
    #[serde(alias = "seller_id")]
    seller: Option<String>,
    /// The reason for the buyer, at most 4096 characters.
    reason: Option<String>,
}

impl WithdrawBody {
    pub(super) fn check(self, proposal_id: ProposalId) -> Result<(OrderKey, CommandKind), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let seller = self.seller.filter(|name| !name.is_empty()).map(SellerId::new).transpose()?;
        let reason = reason_text("reason", self.reason)?;
        Ok((key, CommandKind::Withdraw { proposal_id, reason, seller }))
    }
}

/// A seller's decision not to propose.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "seller": "seller2", "reason": "not in stock" }))]
pub(super) struct DeclineBody {
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    pub(super) tenant: String,
    /// The declining seller; `seller_id` means the same.
    #[serde(deserialize_with = "null_is_absent", alias = "seller_id")]
    #[schema(required = true)]
    seller: String,
    /// The reason for the buyer, at most 4096 characters.
    reason: Option<String>,
}

impl DeclineBody {
    pub(super) fn check(self) -> Result<(SellerId, Option<String>), Refusal> {
        let seller = SellerId::new(self.seller)?;
        Ok((seller, reason_text("reason", self.reason)?))
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
