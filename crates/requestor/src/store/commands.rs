//! Commands in the order store, and their outcomes.

use orderstream_core::buyer::CommandOutcome;
use orderstream_core::command::CommandKind;
use orderstream_core::event::Cause;
use orderstream_core::spec::FollowUp;
use orderstream_core::{Command, FollowUpId, IdempotencyKey, Incarnation, Reason, Refusal};
use serde::{Deserialize, Serialize};

use super::OrderRecord;

/// A command that was stored, so that a repetition is recognised and has the same reply.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCommand {
    /// The command's key, and the fingerprint of its body.
    pub cause: Cause,
    /// The order's incarnation that the command is on; absent where it names none, and means the
    /// processor's.
    pub incarnation: Option<Incarnation>,
    /// The command's name.
    pub name: &'static str,
    /// The command's outcome.
    pub outcome: CommandOutcome,
}

/// Reports whether a caller that names the incarnation `requested` may mean a command on the
/// incarnation `recorded`. Where either names none, any incarnation matches.
pub(crate) fn matches_incarnation(
    recorded: Option<&Incarnation>,
    requested: Option<&Incarnation>,
) -> bool {
    recorded.zip(requested).is_none_or(|(asked, meant)| asked == meant)
}

/// Reports whether this command was sent under this key on this incarnation of its order.
pub(crate) fn matches_command(
    command: &Command,
    key: &IdempotencyKey,
    incarnation: Option<&Incarnation>,
) -> bool {
    command.key.as_ref() == Some(key)
        && matches_incarnation(command.incarnation.as_ref(), incarnation)
}

/// The refusal of a command, as it is stored.
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

/// Parses a refusal that was stored as text: the reason, a colon, and the text.
pub(super) fn parse_refusal(stored_text: &str) -> Refusal {
    let (reason, text) = stored_text.split_once(": ").unwrap_or(("", stored_text));
    Refusal::new(Reason::parse(reason).unwrap_or(Reason::Internal), text)
}

pub(super) fn keyed_command(key: IdempotencyKey, body: CommandKind) -> Command {
    Command { key: Some(key), ..Command::bare(body) }
}

/// Returns the key of a follow-up, which follows from its id, so that it happens once.
pub(crate) fn follow_up_key(id: &FollowUpId) -> Option<IdempotencyKey> {
    // The longest id has no space for the prefix; then the id alone is the key.
    let key = IdempotencyKey::new(format!("follow-up:{id}"));
    key.or_else(|_| IdempotencyKey::new(id.as_str())).ok()
}

/// Returns the command of a follow-up.
pub(crate) fn follow_up_command(follow_up: FollowUp) -> Command {
    let key = follow_up_key(&follow_up.id);
    Command { key, ..Command::bare(CommandKind::FollowUp(follow_up)) }
}

/// Returns the record of a command's outcome; `None` for a command without a key.
pub(crate) fn outcome_record(command: &Command, refusal: Option<&Refusal>) -> Option<OrderRecord> {
    let incarnation = command.incarnation.clone();
    match (&command.kind, &command.key, refusal) {
        (CommandKind::FollowUp(follow_up), _, None) => {
            Some(OrderRecord::FollowUpForwarded { id: follow_up.id.clone(), incarnation })
        }
        (_, Some(key), refusal) => {
            let (id, refused) = (key.clone(), refusal.map(ToString::to_string));
            let refusal = refusal.map(|refusal| Box::new(StoredRefusal::from(refusal)));
            Some(OrderRecord::CommandSettled { id, refused, refusal, incarnation })
        }
        (_, None, _) => None,
    }
}
