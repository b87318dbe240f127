//! The request that caused an event.

use serde::{Deserialize, Serialize};

use crate::command::{Actor, CommandKind};
use crate::hash::StableHasher;
use crate::id::IdempotencyKey;

/// A repeatable request: its key and a fingerprint of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// The FNV-1a hash of the command's canonical form.
    pub fingerprint: u64,
    /// The actor that the key belongs to. Absent in records from before keys had one; there it
    /// follows from the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

impl Cause {
    /// Returns a key with the fingerprint of the command under it.
    pub fn new(key: IdempotencyKey, kind: &CommandKind) -> Self {
        Self { key, fingerprint: fingerprint(kind), actor: None }
    }

    /// Returns the same cause, as this actor's.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }
}

/// Returns the FNV-1a hash of the command's canonical JSON: stable across builds, and good enough
/// to distinguish an honest repetition from a key used twice by mistake.
pub(crate) fn fingerprint(kind: &CommandKind) -> u64 {
    let mut hasher = StableHasher::default();
    match serde_json::to_writer(&mut hasher, kind) {
        Ok(()) => hasher.finish(),
        // A command is plain data and always serialises.
        Err(_) => 0,
    }
}
