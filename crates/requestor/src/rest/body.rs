//! The buyer's requests as they come: lenient, whatever their content type says.

use axum::extract::Request;
use orderstream_core::buyer::{BuyerAct, Note};
use orderstream_core::command::Award;
use orderstream_core::input::{
    AwardInput, FollowUpInput, MessageInput, SpecInput, expires_in_ms, optional_text,
};
use orderstream_core::limits::{TEXT_CHARS_MAX, UNDO_WITHIN_MS_MAX};
use orderstream_core::spec::FollowUp;
use orderstream_core::{FollowUpId, IdempotencyKey, OrderKey, OrderSpec, Refusal};
use orderstream_rpc::problem::{self, Problem};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

pub(super) use self::schema::{InitiateSchema, MessageSchema};
use super::{BODY_BYTES_MAX, examples};

mod schema;

/// `POST /initiate`: the original's three fields, and beside them what is wanted.
#[derive(Debug)]
pub(super) struct InitiateBody {
    named: Named,
    // Read on its own and not flattened, which would lose the name of a field that is wrong.
    spec: SpecInput,
}

/// Which order, and whose.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    order_req_id: String,
    tenant: String,
    session_id: Option<String>,
}

/// A follow-up to all sellers, or to some.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!(examples::follow_up()))]
pub(super) struct FollowUpBody {
    /// Which order.
    #[schema(required = true)]
    order_req_id: String,
    /// Whose order; `default` when left out.
    tenant: String,
    /// Given by the buyer, or left to the requestor. The same id again is a repetition.
    follow_up_id: Option<String>,
    /// To these sellers, at most 100; to all when left out.
    audience: Option<Vec<String>>,
    /// The seller's question that it answers.
    answers: Option<String>,
    /// A text, or an object with `message`, `type` (`text`, `html` or `markdown`) and `urls`.
    #[schema(required = true, value_type = MessageSchema)]
    message: Value,
}

/// The body of an act on an order that the path names; it may be left out where nothing in it is
/// needed.
#[derive(Debug, Default)]
pub(super) struct ActBody {
    given: Given,
    award: AwardInput,
}

/// What acts take beside an award.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Given {
    reason: Option<String>,
    undo_within_ms: Option<u64>,
    expires_in_ms: Option<u64>,
}

impl InitiateBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let bytes = problem::read_bytes(request, BODY_BYTES_MAX).await?;
        Ok(Self { named: problem::parse_json(&bytes)?, spec: problem::parse_json(&bytes)? })
    }

    pub(super) fn check(self) -> Result<(OrderKey, OrderSpec), Refusal> {
        let key = OrderKey::new(&self.named.tenant, &self.named.order_req_id)?;
        let session = optional_text("session_id", self.named.session_id, 256)?;
        let spec = SpecInput { session: session.or(self.spec.session), ..self.spec };
        Ok((key, OrderSpec::try_from(spec)?))
    }
}

impl FollowUpBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        problem::read_json(request, BODY_BYTES_MAX).await
    }

    /// An `Idempotency-Key` serves as the id where the body gives none.
    pub(super) fn check(
        self,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<(OrderKey, Note), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let from_header = || idempotency_key.map(ToString::to_string);
        let given = self.follow_up_id.filter(|id| !id.is_empty()).or_else(from_header);
        let id = given.map(FollowUpId::new).transpose()?;
        let FollowUp { audience, message, answers, .. } = FollowUp::try_from(FollowUpInput {
            id: "unnamed".to_owned(),
            audience: self.audience.unwrap_or_default(),
            message: message(self.message)?,
            answers: self.answers,
        })?;
        Ok((key, Note { id, audience, message, answers }))
    }
}

impl ActBody {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let bytes = problem::read_bytes(request, BODY_BYTES_MAX).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { given: problem::parse_json(&bytes)?, award: problem::parse_json(&bytes)? })
    }

    pub(super) fn reason(self) -> Result<Option<String>, Refusal> {
        optional_text("reason", self.given.reason, TEXT_CHARS_MAX)
    }

    /// The end, with a winner or without one.
    pub(super) fn finalise(self) -> Result<BuyerAct, Refusal> {
        let award: Option<Award> = self.award.clone().try_into()?;
        self.finalise_with(award)
    }

    /// The end with a winner.
    pub(super) fn award(self) -> Result<BuyerAct, Refusal> {
        let award: Option<Award> = self.award.clone().try_into()?;
        if award.is_none() {
            let text = "is missing; name the winner, or give lines; to end without one, finalize";
            return Err(Refusal::field("proposal_id", text));
        }
        self.finalise_with(award)
    }

    fn finalise_with(self, award: Option<Award>) -> Result<BuyerAct, Refusal> {
        let undo_within_ms = self.given.undo_within_ms;
        // The processor refuses it too, but may be asked later.
        if let Some(ms) = undo_within_ms.filter(|ms| *ms > UNDO_WITHIN_MS_MAX) {
            let text = format!("is {ms}; give at most {UNDO_WITHIN_MS_MAX} (24 h)");
            return Err(Refusal::field("undo_within_ms", text));
        }
        Ok(BuyerAct::Finalise { award, reason: self.reason()?, undo_within_ms })
    }

    /// A longer life.
    pub(super) fn extend(self) -> Result<BuyerAct, Refusal> {
        let missing = "is missing; give the whole life from the opening, milliseconds";
        let ms =
            self.given.expires_in_ms.ok_or_else(|| Refusal::field("expires_in_ms", missing))?;
        Ok(BuyerAct::Extend(expires_in_ms(ms)?))
    }
}

/// Why, or nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `ActBody` reads")]
#[schema(example = json!(examples::reason()))]
pub(super) struct ReasonBody {
    /// Why, for all who take part, at most 4096 characters.
    reason: Option<String>,
}

/// Who wins: a proposal, or lines; neither means nobody.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `ActBody` reads")]
#[schema(example = json!(examples::award()))]
pub(super) struct AwardBody {
    /// One proposal takes all.
    proposal_id: Option<String>,
    /// Pairs of article and proposal.
    #[schema(required = false)]
    lines: Vec<(String, String)>,
    /// Why, for all who take part, at most 4096 characters.
    reason: Option<String>,
    /// How long it can be undone, up to 86 400 000 milliseconds; it counts at once when left out.
    #[schema(maximum = 86_400_000)]
    undo_within_ms: Option<u64>,
}

/// A longer life.
#[derive(Debug, Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `ActBody` reads")]
#[schema(example = json!(examples::extend()))]
pub(super) struct ExtendBody {
    /// The whole life from the opening, 10 000 to 604 800 000 milliseconds.
    #[schema(minimum = 10_000, maximum = 604_800_000)]
    expires_in_ms: u64,
}

/// A text, or an object with a text.
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
