//! The buyer's requests as they come: lenient, whatever their content type says.

use axum::extract::Request;
use axum::http::HeaderValue;
use orderstream_core::buyer::{BuyerAct, Note};
use orderstream_core::input::{AwardInput, FollowUpInput, MessageInput, SpecInput, optional_text};
use orderstream_core::limits::TEXT_CHARS_MAX;
use orderstream_core::spec::FollowUp;
use orderstream_core::{FollowUpId, OrderKey, OrderSpec, Refusal};
use orderstream_rpc::problem::{self, Problem};
use serde::Deserialize;
use serde_json::Value;

use super::BODY_BYTES_MAX;

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

/// `POST /followup`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FollowUpBody {
    order_req_id: String,
    tenant: String,
    follow_up_id: Option<String>,
    audience: Option<Vec<String>>,
    answers: Option<String>,
    message: Value,
}

/// `POST /finalize/{id}` and `/pause/{id}`; the body may be left out.
#[derive(Debug, Default)]
pub(super) struct ActBody {
    reasoned: Reasoned,
    award: AwardInput,
}

/// Why.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reasoned {
    reason: Option<String>,
    undo_within_ms: Option<u64>,
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
        idempotency_key: Option<HeaderValue>,
    ) -> Result<(OrderKey, Note), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let from_header = || {
            let value = idempotency_key?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
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
        Ok(Self { reasoned: problem::parse_json(&bytes)?, award: problem::parse_json(&bytes)? })
    }

    pub(super) fn reason(self) -> Result<Option<String>, Refusal> {
        optional_text("reason", self.reasoned.reason, TEXT_CHARS_MAX)
    }

    pub(super) fn finalise(self) -> Result<BuyerAct, Refusal> {
        let undo_within_ms = self.reasoned.undo_within_ms;
        let award = self.award.clone().try_into()?;
        Ok(BuyerAct::Finalise { award, reason: self.reason()?, undo_within_ms })
    }
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
