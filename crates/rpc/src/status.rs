//! Converts refusals to statuses with `google.rpc` details, and back.
//!
//! `ErrorInfo` has the stable reason and machine-readable facts, `BadRequest` the wrong field, and
//! `RetryInfo` the time of the next attempt.

use std::collections::HashMap;
use std::time::Duration;

use orderstream_core::refusal::{Reason, Refusal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of all reasons in `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "orderstream.dev";

/// Returns the status that carries a refusal.
pub fn status_from_refusal(refusal: &Refusal) -> Status {
    let metadata: HashMap<String, String> = refusal.metadata.iter().cloned().collect();
    let mut details =
        ErrorDetails::with_error_info(refusal.reason.as_str(), ERROR_DOMAIN, metadata);
    if let Some(field) = &refusal.field {
        details.add_bad_request_violation(field, &refusal.message);
    }
    if let Some(delay_ms) = refusal.retry_after_ms {
        details.set_retry_info(Some(Duration::from_millis(delay_ms)));
    }
    let code = Code::from(refusal.reason.grpc_code());
    Status::with_error_details(code, refusal.message.clone(), details)
}

/// Returns the refusal that a status carries; `None` if the status is not one of ours. Metadata is
/// sorted by name.
pub fn refusal_from_status(status: &Status) -> Option<Refusal> {
    let details = status.check_error_details().ok()?;
    let info = details.error_info().filter(|info| info.domain == ERROR_DOMAIN)?;
    let reason = Reason::parse(&info.reason)?;
    let mut metadata: Vec<(String, String)> =
        info.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    metadata.sort_unstable();
    let field = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first())
        .map(|violation| violation.field.clone());
    let retry_after_ms = details
        .retry_info()
        .and_then(|retry| retry.retry_delay)
        .and_then(|delay| u64::try_from(delay.as_millis()).ok());
    let message = status.message().to_owned();
    Some(Refusal { reason, field, message, retry_after_ms, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_survive_the_wire() {
        for reason in Reason::ALL {
            let mut refusal = Refusal::new(reason, "what is wrong, the limit, the fix")
                .with("a_floor", 7)
                .with("b_order", "SB1029436");
            for field in [None, Some("order.items[2].quantity".to_owned())] {
                refusal.field = field;
                let status = status_from_refusal(&refusal);
                assert_eq!(i32::from(status.code()), reason.grpc_code());
                let headers = http::HeaderMap::new();
                let mut headers = headers;
                status.add_header(&mut headers).unwrap();
                let received = Status::from_header_map(&headers).unwrap();
                assert_eq!(refusal_from_status(&received), Some(refusal.clone()));
            }
        }
    }

    #[test]
    fn foreign_statuses_are_not_refusals() {
        assert_eq!(refusal_from_status(&Status::internal("INTERNAL")), None);
        let details = ErrorDetails::with_error_info("LOCKED", "example.org", HashMap::new());
        let foreign = Status::with_error_details(Code::FailedPrecondition, "no", details);
        assert_eq!(refusal_from_status(&foreign), None);
        let torn =
            Status::with_details(Code::Internal, "x", bytes::Bytes::from_static(b"\xff\xff"));
        assert_eq!(refusal_from_status(&torn), None);
    }
}
