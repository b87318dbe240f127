//! Conversions between the lenient wire messages and core's strict types. Only these modules use
//! both.

mod command;
mod event;
mod spec;

pub use command::{
    CommandRequest, award_input_from_wire, follow_up_from_wire, follow_up_to_wire, order_ref,
    request_for,
};
pub use event::{DRAINING, draining, ends_order, event_from_wire, event_to_wire};
pub use spec::{
    message_to_wire, proposal_from_wire, proposal_to_wire, spec_from_wire, spec_input_from_wire,
    spec_to_wire,
};

use orderstream_core::{Reason, Refusal, Timestamp};

/// Converts milliseconds since 1970 to a wire time.
pub fn timestamp_to_wire(at: Timestamp) -> prost_types::Timestamp {
    let seconds = at.0.div_euclid(1_000);
    let millis = i32::try_from(at.0.rem_euclid(1_000)).unwrap_or(0);
    prost_types::Timestamp { seconds, nanos: millis.saturating_mul(1_000_000) }
}

/// Converts a wire time to milliseconds since 1970; fractions of a millisecond are dropped.
pub fn timestamp_from_wire(at: &prost_types::Timestamp) -> Timestamp {
    Timestamp(at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos) / 1_000_000))
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn missing_field(what: &str) -> Refusal {
    Refusal::new(Reason::InvalidRequest, format!("the message lacks {what}"))
}
