//! Acts in the order store: what was asked, and what came of it.

use orderstream_core::buyer::Outcome;
use orderstream_core::command::Act;
use orderstream_core::event::Cause;
use orderstream_core::spec::FollowUp;
use orderstream_core::{Command, FollowUpId, IdempotencyKey, Incarnation, Reason, Refusal};
use serde::{Deserialize, Serialize};

use super::Record;

/// An act that was stored, so that a repetition is known, and answered alike.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAct {
    /// Its key, and what was asked under it.
    pub cause: Cause,
    /// Which life of the order it was asked of; whichever its processor had, where none is named.
    pub incarnation: Option<Incarnation>,
    /// Its word.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// Whether what was asked of one life of an order is meant by who names another one. Who names none
/// means any, and what named none was asked of whichever there was.
pub(crate) fn is_of_life(asked: Option<&Incarnation>, meant: Option<&Incarnation>) -> bool {
    asked.zip(meant).is_none_or(|(asked, meant)| asked == meant)
}

/// Whether this act was asked under a key of a life of its order.
pub(crate) fn is_asked(act: &Command, key: &IdempotencyKey, life: Option<&Incarnation>) -> bool {
    act.key.as_ref() == Some(key) && is_of_life(act.incarnation.as_ref(), life)
}

/// Why an act was refused, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRefusal {
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
}

impl From<&Refusal> for StoredRefusal {
    fn from(refusal: &Refusal) -> Self {
        Self {
            reason: refusal.reason.as_str().to_owned(),
            field: refusal.field.clone(),
            message: refusal.message.clone(),
            metadata: refusal.metadata.clone(),
        }
    }
}

impl From<StoredRefusal> for Refusal {
    fn from(stored: StoredRefusal) -> Self {
        let reason = Reason::parse(&stored.reason).unwrap_or(Reason::Internal);
        let (field, metadata) = (stored.field, stored.metadata);
        Self { field, metadata, ..Self::new(reason, stored.message) }
    }
}

/// A refusal that was stored in words: the reason, a colon, and the text.
pub(super) fn refusal_in_words(words: &str) -> Refusal {
    let (reason, text) = words.split_once(": ").unwrap_or(("", words));
    Refusal::new(Reason::parse(reason).unwrap_or(Reason::Internal), text)
}

pub(super) fn command(key: IdempotencyKey, act: Act) -> Command {
    Command { key: Some(key), ..Command::bare(act) }
}

/// The key of a follow-up, which follows from its id, so that it happens once.
pub(crate) fn follow_up_key(id: &FollowUpId) -> Option<IdempotencyKey> {
    // An id of the greatest length leaves no room for the prefix; then the id alone is the key.
    let key = IdempotencyKey::new(format!("follow-up:{id}"));
    key.or_else(|_| IdempotencyKey::new(id.as_str())).ok()
}

/// The command of a follow-up.
pub(crate) fn follow_up_command(follow_up: FollowUp) -> Command {
    let key = follow_up_key(&follow_up.id);
    Command { key, ..Command::bare(Act::FollowUp(follow_up)) }
}

/// The record that tells that an act was answered.
pub(crate) fn answered(command: &Command, refusal: Option<&Refusal>) -> Option<Record> {
    let incarnation = command.incarnation.clone();
    match (&command.act, &command.key, refusal) {
        (Act::FollowUp(follow_up), _, None) => {
            Some(Record::FollowUpForwarded { id: follow_up.id.clone(), incarnation })
        }
        (_, Some(key), refusal) => {
            let (id, refused) = (key.clone(), refusal.map(ToString::to_string));
            let refusal = refusal.map(|refusal| Box::new(StoredRefusal::from(refusal)));
            Some(Record::ActAnswered { id, refused, refusal, incarnation })
        }
        (_, None, _) => None,
    }
}
