//! The names in records and in replies: every spelling of each type that is written as one name.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{commands, events, file};
use crate::command::CommandKind;
use crate::event::{EventKind, NotifyResult, ProposalUpdate};
use crate::notification::{Template, Topic};
use crate::order::Phase;
use crate::refusal::Reason;
use crate::spec::{MessageType, NotificationType, Verdict};

const FILE: &str = "src/golden/words.txt";

/// Returns a line for each name, in alphabetical order, after the type that it belongs to.
fn lines(name: &str, spellings: &[&str]) -> Vec<String> {
    let spellings: BTreeSet<_> = spellings.iter().collect();
    spellings.into_iter().map(|word| format!("{name}: {word}")).collect()
}

/// Returns the lines of a type, and checks that it is stored with the spelling of replies.
fn stored<T: Serialize + DeserializeOwned>(
    name: &str,
    spelling_of: fn(T) -> &'static str,
) -> Vec<String> {
    let spellings = file::variants::<T>();
    for spelling in &spellings {
        let stored = format!("\"{spelling}\"");
        let read: T = serde_json::from_str(&stored).unwrap();
        assert_eq!(file::json(&read), stored, "a {name} is not written as it is read");
        assert_eq!(spelling_of(read), *spelling, "a {name} is not shown as it is stored");
    }
    lines(name, &spellings)
}

/// They are spelled alike in records and in replies.
#[test]
fn spellings_never_change() {
    let (commands, kinds, updates) =
        (commands::bare(), events::bare_kinds(), events::bare_updates());
    let command_names: Vec<_> = commands.iter().map(CommandKind::name).collect();
    let kinds: Vec<_> = kinds.iter().map(EventKind::as_str).collect();
    let changes: Vec<_> = updates.iter().map(ProposalUpdate::change).collect();
    let spelling_lines = [
        lines("act", &command_names),
        lines("change of a proposal", &changes),
        lines("event", &kinds),
        lines("reason", &Reason::ALL.map(Reason::as_str)),
        stored("type of a message", MessageType::as_str),
        stored("type of a notification", NotificationType::as_str),
        stored("result of a notification", NotifyResult::as_str),
        stored("phase", Phase::as_str),
        stored("template", Template::as_str),
        stored("topic", Topic::as_str),
        stored("verdict", Verdict::as_str),
    ];
    file::check(FILE, &spelling_lines.concat());
}
