//! The form of events, grants and the outbox in the journal: one list of events, one of grants and
//! two for the outbox for each incarnation of an order.

use bytes::Bytes;
use orderstream_core::{Epoch, Event, Incarnation, OrderIncarnation, OrderKey, Seq, Withheld};
use orderstream_journal::DurableProof;

use crate::notifications::Half;

/// The lists of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// The order's events.
    Events,
    /// The granted epochs.
    Grants,
    /// Notifications that are still to be sent.
    Outbox(Half),
}

impl ListKind {
    /// Every list of an order.
    pub(super) const ALL: [Self; 4] =
        [Self::Events, Self::Grants, Self::Outbox(Half::A), Self::Outbox(Half::B)];
}

/// Returns the name of a list: its kind, tenant, order id and incarnation, separated by a byte that
/// none of them can hold.
pub(super) fn list_name(kind: ListKind, order_incarnation: &OrderIncarnation) -> Bytes {
    let OrderIncarnation { key, incarnation } = order_incarnation;
    let kind = match kind {
        ListKind::Events => "e",
        ListKind::Grants => "g",
        ListKind::Outbox(Half::A) => "n",
        ListKind::Outbox(Half::B) => "o",
    };
    let parts = [kind, key.tenant.as_str(), key.order_req_id.as_str(), incarnation.as_str()];
    Bytes::from(parts.join("\n"))
}

/// Parses a [`list_name`]; `None` for any other name.
pub(super) fn parse_list_name(name: &[u8]) -> Option<(ListKind, OrderIncarnation)> {
    let mut parts = std::str::from_utf8(name).ok()?.split('\n');
    let kind = match parts.next()? {
        "e" => ListKind::Events,
        "g" => ListKind::Grants,
        "n" => ListKind::Outbox(Half::A),
        "o" => ListKind::Outbox(Half::B),
        _ => return None,
    };
    let key = OrderKey::new(parts.next()?, parts.next()?).ok()?;
    let incarnation = Incarnation::new(parts.next()?).ok()?;
    Some((kind, OrderIncarnation { key, incarnation }))
}

/// Encodes an event as a record.
pub(super) fn encode(event: &Event) -> Result<Bytes, serde_json::Error> {
    // Most events are proposals of about this size.
    let mut bytes = Vec::with_capacity(384);
    serde_json::to_writer(&mut bytes, event)?;
    Ok(Bytes::from(bytes))
}

/// Decodes an event from a record.
pub(super) fn decode(payload: &[u8]) -> Result<Event, serde_json::Error> {
    serde_json::from_slice(payload)
}

/// Encodes a grant as a record.
pub(super) fn encode_grant(epoch: Epoch) -> Bytes {
    Bytes::copy_from_slice(&epoch.0.to_be_bytes())
}

/// Decodes a grant from a record.
pub(super) fn decode_grant(payload: &[u8]) -> Option<Epoch> {
    payload.try_into().ok().map(|bytes| Epoch(u64::from_be_bytes(bytes)))
}

/// The part of an order's list of events that is on disk, as the journal proved it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnDisk(Option<DurableProof>);

impl OnDisk {
    /// Returns the sequence number of the last event on disk; 0 where there is none.
    pub(super) fn seq(self) -> Seq {
        Seq(self.0.map_or(0, DurableProof::last))
    }

    /// Returns the one that reaches farther.
    pub(super) fn or_later(self, other: Self) -> Self {
        if other.seq() > self.seq() { other } else { self }
    }

    /// Releases a value that waits for this part, or returns it still withheld.
    pub(super) fn release<T>(self, withheld: Withheld<T>) -> Result<T, Withheld<T>> {
        withheld.release(&self.0)
    }
}

impl From<DurableProof> for OnDisk {
    fn from(proof: DurableProof) -> Self {
        Self(Some(proof))
    }
}

#[cfg(test)]
mod tests;
