//! Commands in the form in which buyers' commands are stored, and the fingerprint that every
//! command has under its key for ever: after an update of the product a repetition must still be
//! the same command.

use super::file;
use super::values::*;
use crate::command::{Act, Award, Opening};
use crate::event::Cause;
use crate::spec::NotificationType;

const FILE: &str = "src/golden/acts.txt";

/// Returns each command without its optional parts.
pub(super) fn bare() -> Vec<Act> {
    let (seller, proposal_id, message) = (seller("s"), proposal_id("p"), String::new());
    let (incarnation, spec) = (incarnation(), bare_spec());
    let channel = NotificationType::Email;
    vec![
        Act::Open(Box::new(Opening { incarnation, spec, choices: Vec::new() })),
        Act::Propose(bare_proposed()),
        Act::Amend(bare_proposed()),
        Act::Withdraw { proposal_id: proposal_id.clone(), reason: None },
        Act::Decline { seller: seller.clone(), reason: None },
        Act::Answer {
            seller: seller.clone(),
            follow_up_id: follow_up_id("f"),
            message: message.clone(),
        },
        Act::FollowUp(bare_follow_up()),
        Act::Ask { seller: seller.clone(), question_id: None, message },
        Act::See { seller: seller.clone() },
        Act::Notified { seller: seller.clone(), channel, failure: None },
        Act::Lock { proposal_id: proposal_id.clone(), holder: seller.clone(), lease_ms: 0 },
        Act::Unlock { proposal_id, holder: seller },
        Act::Pause { reason: None },
        Act::Resume,
        Act::Extend { expires_in_ms: 0 },
        Act::Close { reason: None },
        Act::Finalise { award: None, reason: None, undo_within_ms: None },
        Act::UndoAward { reason: None },
        Act::Cancel { reason: None },
        Act::Tick,
    ]
}

/// Returns each command with all parts.
fn full() -> Vec<Act> {
    let opening = Opening { incarnation: incarnation(), spec: spec(), choices: choices() };
    let (award, undo_within_ms) = (Award::Whole(proposal_id("p-1")), Some(86_400_000));
    let (seller, proposal_id, message) = (seller("a"), proposal_id("p-1"), "when?".to_owned());
    let (follow_up_id, question_id) = (follow_up_id("f-1"), Some(follow_up_id("q-1")));
    let channel = NotificationType::Webhook;
    vec![
        Act::Open(Box::new(opening)),
        Act::Propose(proposed()),
        Act::Amend(proposed()),
        Act::Withdraw { proposal_id: proposal_id.clone(), reason: reason() },
        Act::Decline { seller: seller.clone(), reason: reason() },
        Act::Answer { seller: seller.clone(), follow_up_id, message: message.clone() },
        Act::FollowUp(follow_up()),
        Act::Ask { seller: seller.clone(), question_id, message },
        Act::See { seller: seller.clone() },
        Act::Notified { seller: seller.clone(), channel, failure: reason() },
        Act::Lock { proposal_id: proposal_id.clone(), holder: seller.clone(), lease_ms: 60_000 },
        Act::Unlock { proposal_id, holder: seller },
        Act::Pause { reason: reason() },
        Act::Resume,
        Act::Extend { expires_in_ms: 604_800_000 },
        Act::Close { reason: reason() },
        Act::Finalise { award: Some(award), reason: reason(), undo_within_ms },
        Act::Finalise { award: Some(lines()), reason: None, undo_within_ms: Some(0) },
        Act::UndoAward { reason: reason() },
        Act::Cancel { reason: reason() },
        Act::Tick,
    ]
}

fn fingerprint(act: &Act) -> u64 {
    Cause::new(key("k"), act).fingerprint
}

#[test]
fn stored_commands_and_fingerprints_never_change() {
    let acts: Vec<Act> = bare().into_iter().chain(full()).collect();
    let line = |act: &Act| format!("{} {}", fingerprint(act), file::json(act));
    let lines: Vec<_> = acts.iter().map(line).collect();
    file::check(FILE, &lines);
    for (line, act) in lines.iter().zip(acts) {
        let (_, stored) = line.split_once(' ').unwrap();
        let read: Act = serde_json::from_str(stored).unwrap();
        assert_eq!(read, act, "{line} is read as something else");
        assert_eq!(fingerprint(&read), fingerprint(&act), "{line}");
    }
}

#[test]
fn every_command_has_lines() {
    file::check_variants(&bare());
    file::check_variants(&full());
}
