//! How events, grants and the outbox lie in the journal: one list of events, one of grants and two
//! for the outbox for each life of an order.

use bytes::Bytes;
use orderstream_core::{Epoch, Event, Incarnation, OrderKey, Seq, Withheld};
use orderstream_journal::DurableProof;

use crate::notifications::Half;

/// The lists of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// What happened.
    Events,
    /// Which epochs were granted.
    Grants,
    /// What is still to be told.
    Outbox(Half),
}

impl ListKind {
    /// Every list of an order.
    pub(super) const ALL: [Self; 4] =
        [Self::Events, Self::Grants, Self::Outbox(Half::A), Self::Outbox(Half::B)];
}

/// The name of a list: its kind, tenant, number and incarnation, parted by a byte that none of
/// them can hold.
pub(super) fn list_name(kind: ListKind, key: &OrderKey, incarnation: &Incarnation) -> Bytes {
    let kind = match kind {
        ListKind::Events => "e",
        ListKind::Grants => "g",
        ListKind::Outbox(Half::A) => "n",
        ListKind::Outbox(Half::B) => "o",
    };
    let parts = [kind, key.tenant.as_str(), key.order_req_id.as_str(), incarnation.as_str()];
    Bytes::from(parts.join("\n"))
}

/// The reverse of [`list_name`]; `None` for a name that is not ours.
pub(super) fn parse_list_name(name: &[u8]) -> Option<(ListKind, OrderKey, Incarnation)> {
    let mut parts = std::str::from_utf8(name).ok()?.split('\n');
    let kind = match parts.next()? {
        "e" => ListKind::Events,
        "g" => ListKind::Grants,
        "n" => ListKind::Outbox(Half::A),
        "o" => ListKind::Outbox(Half::B),
        _ => return None,
    };
    let key = OrderKey::new(parts.next()?, parts.next()?).ok()?;
    Some((kind, key, Incarnation::new(parts.next()?).ok()?))
}

/// An event as a record.
pub(super) fn encode(event: &Event) -> Result<Bytes, serde_json::Error> {
    // Most events are proposals of about this size.
    let mut bytes = Vec::with_capacity(384);
    serde_json::to_writer(&mut bytes, event)?;
    Ok(Bytes::from(bytes))
}

/// An event from a record.
pub(super) fn decode(payload: &[u8]) -> Result<Event, serde_json::Error> {
    serde_json::from_slice(payload)
}

/// A grant as a record.
pub(super) fn encode_grant(epoch: Epoch) -> Bytes {
    Bytes::copy_from_slice(&epoch.0.to_be_bytes())
}

/// A grant from a record.
pub(super) fn decode_grant(payload: &[u8]) -> Option<Epoch> {
    payload.try_into().ok().map(|bytes| Epoch(u64::from_be_bytes(bytes)))
}

/// How far an order's list of events is on disk, as the journal proved it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnDisk(Option<DurableProof>);

impl OnDisk {
    /// The last event that is on disk; 0 where none is.
    pub(super) fn seq(self) -> Seq {
        Seq(self.0.map_or(0, DurableProof::last))
    }

    /// The one that reaches farther.
    pub(super) fn or_later(self, other: Self) -> Self {
        if other.seq() > self.seq() { other } else { self }
    }

    /// Opens what waits for this, or gives it back.
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
