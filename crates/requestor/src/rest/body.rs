//! The buyer's requests as they come: lenient, whatever their content type says.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderValue, StatusCode};
use orderstream_core::command::Award;
use orderstream_core::input::{AwardInput, FollowUpInput, MessageInput, SpecInput, optional_text};
use orderstream_core::limits::TEXT_CHARS_MAX;
use orderstream_core::spec::FollowUp;
use orderstream_core::{FollowUpId, OrderKey, OrderSpec, Reason, Refusal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::BODY_BYTES_MAX;
use super::problem::Problem;
use crate::handle::Note;

/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// `POST /initiate`. What is wanted may stand beside the original's three fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InitiateBody {
    order_req_id: String,
    tenant: String,
    session_id: Option<String>,
    #[serde(flatten)]
    spec: SpecInput,
}

/// `POST /followup`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FollowUpBody {
    order_req_id: String,
    tenant: String,
    follow_up_id: Option<String>,
    audience: Option<Vec<String>>,
    message: Value,
}

/// `POST /finalize/{id}` and `/pause/{id}`; the body may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ActBody {
    reason: Option<String>,
    #[serde(flatten)]
    award: AwardInput,
}

impl InitiateBody {
    pub(super) fn check(self) -> Result<(OrderKey, OrderSpec), Refusal> {
        let key = OrderKey::new(&self.tenant, &self.order_req_id)?;
        let session = optional_text("session_id", self.session_id, 256)?;
        let spec = SpecInput { session: session.or(self.spec.session), ..self.spec };
        Ok((key, OrderSpec::try_from(spec)?))
    }
}

impl FollowUpBody {
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
        let FollowUp { audience, message, .. } = FollowUp::try_from(FollowUpInput {
            id: "unnamed".to_owned(),
            audience: self.audience.unwrap_or_default(),
            message: message(self.message)?,
        })?;
        Ok((key, Note { id, audience, message }))
    }
}

impl ActBody {
    pub(super) fn check(self) -> Result<(Option<Award>, Option<String>), Refusal> {
        let reason = optional_text("reason", self.reason, TEXT_CHARS_MAX)?;
        Ok((self.award.try_into()?, reason))
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

async fn bytes(request: Request) -> Result<Bytes, Problem> {
    match tokio::time::timeout(READ_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Reason::InvalidRequest,
                format!("the body is too large; at most {BODY_BYTES_MAX} bytes are allowed"),
            ))
        }
        Ok(Err(rejection)) => {
            Err(Refusal::new(Reason::InvalidRequest, rejection.body_text()).into())
        }
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            Reason::InvalidRequest,
            format!("the body did not arrive within {} s", READ_TIMEOUT.as_secs()),
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        Refusal::new(Reason::InvalidRequest, format!("the body is not JSON: {error}"))
    })?;
    if !value.is_object() {
        let message = "the body is not a JSON object; give one, as in {\"order_req_id\": \"SB1\"}";
        return Err(Refusal::new(Reason::InvalidRequest, message).into());
    }
    serde_json::from_value(value).map_err(|error| {
        Refusal::new(Reason::InvalidRequest, format!("the body cannot be read: {error}")).into()
    })
}

/// Reads a request's body.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    parse(&bytes(request).await?)
}

/// Reads a request's body where there is one.
pub(super) async fn read_or_default<T: DeserializeOwned + Default>(
    request: Request,
) -> Result<T, Problem> {
    let bytes = bytes(request).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    parse(&bytes)
}
