//! The bodies of the buyers' requests, read leniently, whatever their content type.

use axum::extract::Request;
use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::command::Award;
use orderstream_core::input::{
    AwardInput, FollowUpDraftInput, MessageInput, SpecInput, expires_in_ms, optional_text,
};
use orderstream_core::limits::{TEXT_CHARS_MAX, UNDO_WITHIN_MS_MAX};
use orderstream_core::{FollowUpId, IdempotencyKey, OrderKey, OrderSpec, Refusal};
use orderstream_rpc::problem::{self, Problem};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

pub(super) use self::schema::{InitiateSchema, MessageSchema};
use super::{BODY_BYTES_MAX, examples};

mod schema;

/// `POST /initiate`: the original's three fields, and the specification beside them.
#[derive(Debug)]
pub(super) struct InitiateBody {
    header: InitiateHeader,
    // Read on its own and not flattened, which would lose the name of a field that is wrong.
    spec: SpecInput,
}

/// The order that a body names, and its session.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InitiateHeader {
    order_req_id: String,
    tenant: String,
    session_id: Option<String>,
}

/// A follow-up to all sellers, or to some.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::follow_up()))]
pub(super) struct FollowUpBody {
    /// The order's id.
    #[schema(required = true)]
    order_req_id: String,
    /// The order's tenant; `default` when left out.
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

/// The body of a command on the order that the path names; it may be left out where none of its
/// fields is needed.
#[derive(Debug, Default)]
pub(super) struct CommandBody {
    fields: CommandFields,
    award: AwardInput,
}

/// The fields of commands, except an award.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommandFields {
    reason: Option<String>,
    undo_within_ms: Option<u64>,
    expires_in_ms: Option<u64>,
}

impl InitiateBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let bytes = problem::read_bytes(request, BODY_BYTES_MAX).await?;
        Ok(Self { header: problem::parse_json(&bytes)?, spec: problem::parse_json(&bytes)? })
    }

    pub(super) fn check(self) -> Result<(OrderKey, OrderSpec), Refusal> {
        let key = OrderKey::new(&self.header.tenant, &self.header.order_req_id)?;
        let session = optional_text("session_id", self.header.session_id, 256)?;
        let spec = SpecInput { session: session.or(self.spec.session), ..self.spec };
        Ok((key, OrderSpec::try_from(spec)?))
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
        let follow_up = FollowUpDraft::try_from(FollowUpDraftInput {
            id: None,
            audience: self.audience.unwrap_or_default(),
            message: message(self.message)?,
            answers: self.answers,
        })?;
        Ok((key, FollowUpDraft { id, ..follow_up }))
    }
}

impl CommandBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let bytes = problem::read_bytes(request, BODY_BYTES_MAX).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { fields: problem::parse_json(&bytes)?, award: problem::parse_json(&bytes)? })
    }

    pub(super) fn reason(self) -> Result<Option<String>, Refusal> {
        optional_text("reason", self.fields.reason, TEXT_CHARS_MAX)
    }

    /// Returns the command that ends the order, with an award or without one.
    pub(super) fn finalise(self) -> Result<BuyerCommand, Refusal> {
        let award: Option<Award> = self.award.clone().try_into()?;
        self.finalise_with(award)
    }

    /// Returns the command that ends the order with an award.
    pub(super) fn award(self) -> Result<BuyerCommand, Refusal> {
        let award: Option<Award> = self.award.clone().try_into()?;
        if award.is_none() {
            let text = "is missing; name the winner, or give lines; to end without one, finalize";
            return Err(Refusal::field("proposal_id", text));
        }
        self.finalise_with(award)
    }

    fn finalise_with(self, award: Option<Award>) -> Result<BuyerCommand, Refusal> {
        let undo_within_ms = self.fields.undo_within_ms;
        // The processor refuses it too, but possibly much later.
        if let Some(ms) = undo_within_ms.filter(|ms| *ms > UNDO_WITHIN_MS_MAX) {
            let text = format!("is {ms}; give at most {UNDO_WITHIN_MS_MAX} (24 h)");
            return Err(Refusal::field("undo_within_ms", text));
        }
        Ok(BuyerCommand::Finalise { award, reason: self.reason()?, undo_within_ms })
    }

    /// Returns the command that extends the order.
    pub(super) fn extend(self) -> Result<BuyerCommand, Refusal> {
        let missing = "is missing; give the whole time from the opening, milliseconds";
        let ms =
            self.fields.expires_in_ms.ok_or_else(|| Refusal::field("expires_in_ms", missing))?;
        Ok(BuyerCommand::Extend(expires_in_ms(ms)?))
    }
}

/// An optional reason.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `ActBody` reads")]
#[schema(example = json!(examples::reason()))]
pub(super) struct ReasonBody {
    /// The reason, for all who take part, at most 4096 characters.
    reason: Option<String>,
}

/// The winner: one proposal, or one for each line; with neither, nobody wins.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `ActBody` reads")]
#[schema(example = json!(examples::award()))]
pub(super) struct AwardBody {
    /// The proposal that wins the whole order.
    proposal_id: Option<String>,
    /// The lines, as pairs of article number and proposal id.
    #[schema(required = false)]
    lines: Vec<(String, String)>,
    /// The reason, for all who take part, at most 4096 characters.
    reason: Option<String>,
    /// The time in which the award can be undone, up to 86 400 000 milliseconds; it takes effect at
    /// once when left out.
    #[schema(maximum = 86_400_000)]
    undo_within_ms: Option<u64>,
}

/// A later expiry.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `ActBody` reads")]
#[schema(example = json!(examples::extend()))]
pub(super) struct ExtendBody {
    /// The time from the opening to the expiry, 10 000 to 604 800 000 milliseconds.
    #[schema(minimum = 10_000, maximum = 604_800_000)]
    expires_in_ms: u64,
}

/// Reads a text, or an object with a text.
fn message(value: Value) -> Result<MessageInput, Refusal> {
    match value {
        Value::String(message) => Ok(MessageInput { message, ..MessageInput::default() }),
        Value::Object(_) => serde_json::from_value(value)
            .map_err(|error| Refusal::field("message", format!("cannot be read: {error}"))),
        Value::Null => Err(Refusal::field("message", "is missing; give a text or an object")),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(Refusal::field("message", "is of the wrong type; give a text or an object"))
        }
    }
}
