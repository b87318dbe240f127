//! Wire messages and domain types: a converted message converts back to the same one, and a refusal
//! names its field.

use orderstream_core::{EventKind, OrderKey, Refusal};
use orderstream_rpc::convert::{
    event_from_wire, event_to_wire, proposal_from_wire, proposal_to_wire, spec_from_wire,
    spec_to_wire,
};
use orderstream_rpc::v1;
use prost::Message as _;

/// Converts a message: the first byte selects its type, and the rest is its content.
pub(crate) fn convert(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 3 {
        0 => spec(data),
        1 => proposal(data),
        _ => event(data),
    }
}

fn spec(data: &[u8]) {
    let Ok(message) = v1::OrderSpec::decode(data) else { return };
    match spec_from_wire(message) {
        Ok(spec) => {
            let round_trip = spec_from_wire(spec_to_wire(&spec));
            assert_eq!(round_trip.as_ref(), Ok(&spec), "what was taken once is taken again");
        }
        Err(refusal) => assert_explained(&refusal),
    }
}

fn proposal(data: &[u8]) {
    let Ok(message) = v1::Proposal::decode(data) else { return };
    match proposal_from_wire(message) {
        Ok(proposal) => {
            let round_trip = proposal_from_wire(proposal_to_wire(&proposal, 1));
            assert_eq!(round_trip.as_ref(), Ok(&proposal), "what was taken once is taken again");
        }
        Err(refusal) => assert_explained(&refusal),
    }
}

fn event(data: &[u8]) {
    let Ok(message) = v1::OrderStreamResponse::decode(data) else { return };
    match event_from_wire(message) {
        Ok(event) => {
            let any = || OrderKey::new("", "SB1").expect("a key");
            let opened =
                if let EventKind::OrderOpened(opened) = &event.kind { Some(opened) } else { None };
            let key = opened.map_or_else(any, |opened| opened.key.clone());
            let round_trip = event_from_wire(event_to_wire(&key, &event));
            assert_eq!(round_trip.as_ref(), Ok(&event), "an event is the same behind the wire");
        }
        Err(refusal) => assert_explained(&refusal),
    }
}

/// Checks that a refusal has a reason and a text.
pub(crate) fn assert_explained(refusal: &Refusal) {
    assert!(!refusal.message.is_empty(), "{refusal:?}");
    assert!(!refusal.reason.as_str().is_empty(), "{refusal:?}");
}
