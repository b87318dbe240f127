//! Commands in the form in which buyers' commands are stored, and the fingerprint that every
//! command has under its key for ever: after an update of the product a repetition must still be
//! the same command.

use super::file;
use super::values::*;
use crate::command::{Award, CommandKind, OrderOpening};
use crate::event::Cause;
use crate::spec::NotificationType;

const FILE: &str = "src/golden/acts.txt";

/// Returns each command without its optional parts.
pub(super) fn bare() -> Vec<CommandKind> {
    let (seller, proposal_id, message) = (seller("s"), proposal_id("p"), String::new());
    let (incarnation, spec) = (incarnation(), bare_spec());
    let channel = NotificationType::Email;
    vec![
        CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices: Vec::new() })),
        CommandKind::Propose(bare_proposed()),
        CommandKind::Amend(bare_proposed()),
        CommandKind::Withdraw { proposal_id: proposal_id.clone(), reason: None, seller: None },
        CommandKind::Decline { seller: seller.clone(), reason: None },
        CommandKind::Answer {
            seller: seller.clone(),
            follow_up_id: follow_up_id("f"),
            message: message.clone(),
        },
        CommandKind::FollowUp(bare_follow_up()),
        CommandKind::Ask { seller: seller.clone(), question_id: None, message },
        CommandKind::See { seller: seller.clone() },
        CommandKind::Notified { seller: seller.clone(), channel, failure: None },
        CommandKind::Invite { choices: Vec::new() },
        CommandKind::Lock { proposal_id: proposal_id.clone(), holder: seller.clone(), lease_ms: 0 },
        CommandKind::Unlock { proposal_id, holder: seller },
        CommandKind::Pause { reason: None },
        CommandKind::Resume,
        CommandKind::Extend { expires_in_ms: 0 },
        CommandKind::Close { reason: None },
        CommandKind::Finalise { award: None, reason: None, undo_within_ms: None },
        CommandKind::UndoAward { reason: None },
        CommandKind::Cancel { reason: None },
        CommandKind::Tick,
    ]
}

/// Returns each command with all parts.
fn full() -> Vec<CommandKind> {
    let opening = OrderOpening { incarnation: incarnation(), spec: spec(), choices: choices() };
    let (award, undo_within_ms) = (Award::Whole(proposal_id("p-1")), Some(86_400_000));
    let (seller, proposal_id, message) = (seller("a"), proposal_id("p-1"), "when?".to_owned());
    let (follow_up_id, question_id) = (follow_up_id("f-1"), Some(follow_up_id("q-1")));
    let channel = NotificationType::Webhook;
    vec![
        CommandKind::Open(Box::new(opening)),
        CommandKind::Propose(proposed()),
        CommandKind::Amend(proposed()),
        CommandKind::Withdraw { proposal_id: proposal_id.clone(), reason: reason(), seller: None },
        CommandKind::Decline { seller: seller.clone(), reason: reason() },
        CommandKind::Answer { seller: seller.clone(), follow_up_id, message: message.clone() },
        CommandKind::FollowUp(follow_up()),
        CommandKind::Ask { seller: seller.clone(), question_id, message },
        CommandKind::See { seller: seller.clone() },
        CommandKind::Notified { seller: seller.clone(), channel, failure: reason() },
        CommandKind::Invite { choices: named_choices() },
        CommandKind::Lock {
            proposal_id: proposal_id.clone(),
            holder: seller.clone(),
            lease_ms: 60_000,
        },
        CommandKind::Unlock { proposal_id, holder: seller },
        CommandKind::Pause { reason: reason() },
        CommandKind::Resume,
        CommandKind::Extend { expires_in_ms: 604_800_000 },
        CommandKind::Close { reason: reason() },
        CommandKind::Finalise { award: Some(award), reason: reason(), undo_within_ms },
        CommandKind::Finalise { award: Some(lines()), reason: None, undo_within_ms: Some(0) },
        CommandKind::UndoAward { reason: reason() },
        CommandKind::Cancel { reason: reason() },
        CommandKind::Tick,
    ]
}

/// Returns commands with parts that were added later; their lines follow all others.
fn later() -> Vec<CommandKind> {
    let open = |spec| {
        let (incarnation, choices) = (incarnation(), Vec::new());
        CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices }))
    };
    let withdraw = CommandKind::Withdraw {
        proposal_id: proposal_id("p-1"),
        reason: None,
        seller: Some(seller("a")),
    };
    vec![
        open(later_spec()),
        open(latest_spec()),
        CommandKind::Propose(later_proposed()),
        CommandKind::Propose(latest_proposed()),
        withdraw,
        open(open_spec()),
        open(closed_spec()),
    ]
}

fn fingerprint(kind: &CommandKind) -> u64 {
    Cause::new(key("k"), kind).fingerprint
}

#[test]
fn stored_commands_and_fingerprints_never_change() {
    let kinds: Vec<CommandKind> = bare().into_iter().chain(full()).chain(later()).collect();
    let line = |kind: &CommandKind| format!("{} {}", fingerprint(kind), file::json(kind));
    let lines: Vec<_> = kinds.iter().map(line).collect();
    file::check(FILE, &lines);
    for (line, kind) in lines.iter().zip(kinds) {
        let (_, stored) = line.split_once(' ').unwrap();
        let read: CommandKind = serde_json::from_str(stored).unwrap();
        assert_eq!(read, kind, "{line} is read as something else");
        assert_eq!(fingerprint(&read), fingerprint(&kind), "{line}");
    }
}

#[test]
fn every_command_has_lines() {
    file::check_variants(&bare());
    file::check_variants(&full());
}
