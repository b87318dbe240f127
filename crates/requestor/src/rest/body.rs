//! The bodies of the buyers' requests, read whatever their content type. A field may be absent or
//! null where the original system allowed it; one that nothing reads is refused.

use axum::extract::Request;
use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::command::Award;
use orderstream_core::input::{
    AwardInput, ContactInput, DeliveryInput, FollowUpDraftInput, ItemInput, MessageInput,
    SellersInput, SpecInput, check_new_message_id, check_new_order, check_visible, expires_in_ms,
    null_is_absent, optional_text, reason_text,
};
use orderstream_core::limits::UNDO_WITHIN_MS_MAX;
use orderstream_core::{FollowUpId, IdempotencyKey, OrderKey, OrderSpec, Refusal};
use orderstream_rpc::problem::{self, Problem};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

pub(super) use self::schema::{InitiateSchema, MessageSchema};
use super::{BODY_BYTES_MAX, examples};

mod schema;

/// `POST /initiate`: the original's three fields, and those of the specification beside them. They
/// are not flattened, which would take unknown fields, and lose the name of one that is wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InitiateBody {
    #[serde(deserialize_with = "null_is_absent")]
    order_req_id: String,
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    session_id: Option<String>,
    session: Option<String>,
    title: Option<String>,
    notification_type: Option<String>,
    #[serde(deserialize_with = "null_is_absent")]
    items: Vec<ItemInput>,
    category: Option<String>,
    delivery: Option<DeliveryInput>,
    sellers: Option<SellersInput>,
    message: Option<MessageInput>,
    expires_in_ms: Option<u64>,
    decide_within_ms: Option<u64>,
    #[serde(deserialize_with = "null_is_absent")]
    sealed: bool,
    buyer: Option<ContactInput>,
    currency: Option<String>,
    time_zone: Option<String>,
}

/// A follow-up to all sellers, or to some.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!(examples::follow_up()))]
pub(super) struct FollowUpBody {
    /// The order's id.
    #[serde(deserialize_with = "null_is_absent")]
    #[schema(required = true)]
    order_req_id: String,
    /// The order's tenant; `default` when left out.
    #[serde(deserialize_with = "null_is_absent")]
    tenant: String,
    /// The follow-up's id, given by the buyer or assigned by the requestor. The same id again is a
    /// repetition.
    follow_up_id: Option<String>,
    /// The recipients, at most 100; all sellers when left out.
    audience: Option<Vec<String>>,
    /// The seller's question that it answers.
    answers: Option<String>,
    /// A text, or an object with `message`, `type` (`text`, `html` or `markdown`) and `urls`.
    #[schema(required = true, value_type = MessageSchema)]
    message: Value,
}

impl InitiateBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        problem::read_json(request, BODY_BYTES_MAX).await
    }

    pub(super) fn check(self) -> Result<(OrderKey, OrderSpec), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let session = optional_text("session_id", self.session_id, 256)?;
        let spec = OrderSpec::try_from(SpecInput {
            title: self.title,
            notification_type: self.notification_type,
            session: session.or(self.session),
            items: self.items,
            category: self.category,
            delivery: self.delivery,
            sellers: self.sellers,
            message: self.message,
            expires_in_ms: self.expires_in_ms,
            decide_within_ms: self.decide_within_ms,
            sealed: self.sealed,
            buyer: self.buyer,
            currency: self.currency,
            time_zone: self.time_zone,
        })?;
        // The processor refuses it too, but possibly much later.
        check_new_order(&key.order_req_id, &spec)?;
        Ok((key, spec))
    }
}

impl FollowUpBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        problem::read_json(request, BODY_BYTES_MAX).await
    }

    /// Checks the body; an `Idempotency-Key` serves as the follow-up's id where the body gives
    /// none.
    pub(super) fn check(
        self,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<(OrderKey, FollowUpDraft), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let from_header = || idempotency_key.map(ToString::to_string);
        let id = self.follow_up_id.filter(|id| !id.is_empty()).or_else(from_header);
        let id = id.map(FollowUpId::new).transpose()?;
        id.as_ref().map_or(Ok(()), |id| check_new_message_id("follow_up_id", id))?;
        let follow_up = FollowUpDraft::try_from(FollowUpDraftInput {
            id: None,
            audience: self.audience.unwrap_or_default(),
            message: message(self.message)?,
            answers: self.answers,
        })?;
        check_visible("message.message", &follow_up.message.message)?;
        Ok((key, FollowUpDraft { id, ..follow_up }))
    }
}

/// Reads the body of a command on the order that the path names; it may be left out where none of
/// its fields is needed.
pub(super) async fn read_command<T: DeserializeOwned + Default>(
    request: Request,
) -> Result<T, Problem> {
    let bytes = problem::read_bytes(request, BODY_BYTES_MAX).await?;
    if problem::without_mark(&bytes).trim_ascii().is_empty() {
        return Ok(T::default());
    }
    Ok(problem::parse_json(&bytes)?)
}

/// The body of a command that has no fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFieldsBody {}

/// An optional reason.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::reason()))]
pub(super) struct ReasonBody {
    /// The reason, for all who take part, at most 4096 characters.
    reason: Option<String>,
}

impl ReasonBody {
    pub(super) fn reason(self) -> Result<Option<String>, Refusal> {
        reason_text("reason", self.reason)
    }
}

/// The winner: one proposal, or one for each line; with neither, nobody wins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::award()))]
pub(super) struct AwardBody {
    /// The proposal that wins the whole order.
    proposal_id: Option<String>,
    /// The lines, as pairs of the line's name, or else its article number, and proposal id.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schema(required = false)]
    lines: Vec<(String, String)>,
    /// The reason, for all who take part, at most 4096 characters.
    reason: Option<String>,
    /// The time in which the award can be undone, up to 86 400 000 milliseconds; it takes effect at
    /// once when left out.
    #[schema(maximum = 86_400_000)]
    undo_within_ms: Option<u64>,
}

impl AwardBody {
    /// Returns the command that ends the order, with an award or without one.
    pub(super) fn finalise(self) -> Result<BuyerCommand, Refusal> {
        let Self { proposal_id, lines, reason, undo_within_ms } = self;
        let award: Option<Award> = AwardInput { proposal_id, lines }.try_into()?;
        // The processor refuses it too, but possibly much later.
        if let Some(ms) = undo_within_ms.filter(|ms| *ms > UNDO_WITHIN_MS_MAX) {
            let text = format!("is {ms}; give at most {UNDO_WITHIN_MS_MAX} (24 h)");
            return Err(Refusal::field("undo_within_ms", text));
        }
        let reason = reason_text("reason", reason)?;
        Ok(BuyerCommand::Finalise { award, reason, undo_within_ms })
    }

    /// Returns the command that ends the order with an award.
    pub(super) fn award(self) -> Result<BuyerCommand, Refusal> {
        let command = self.finalise()?;
        if matches!(command, BuyerCommand::Finalise { award: None, .. }) {
            let text = "is missing; name the winner, or give lines; to end without one, finalize";
            return Err(Refusal::field("proposal_id", text));
        }
        Ok(command)
    }
}

/// A later expiry.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::extend()))]
pub(super) struct ExtendBody {
    /// The time from the opening to the deadline, 10 000 to 15 552 000 000 milliseconds (180 d).
    #[schema(required = true, value_type = u64, minimum = 10_000, maximum = 15_552_000_000_u64)]
    expires_in_ms: Option<u64>,
}

impl ExtendBody {
    /// Returns the command that extends the order.
    pub(super) fn extend(self) -> Result<BuyerCommand, Refusal> {
        let missing = "is missing; give the whole time from the opening, milliseconds";
        let ms = self.expires_in_ms.ok_or_else(|| Refusal::field("expires_in_ms", missing))?;
        Ok(BuyerCommand::Extend(expires_in_ms(ms)?))
    }
}

/// Reads a text, or an object with a text.
fn message(value: Value) -> Result<MessageInput, Refusal> {
    match value {
        Value::String(message) => Ok(MessageInput { message, ..MessageInput::default() }),
        Value::Object(_) => problem::parse_part("message", value),
        Value::Null => Err(Refusal::field("message", "is missing; give a text or an object")),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(Refusal::field("message", "is of the wrong type; give a text or an object"))
        }
    }
}
