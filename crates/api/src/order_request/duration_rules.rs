//! The rules for the durations of an `OrderRequest`. They have a message for people, which the error
//! of a schema's pattern has not, and can be evaluated for every text.

use kube::core::Rule;

use crate::duration::format_ms;

/// The pattern of a duration: whole days, or hours, minutes and seconds.
const PATTERN: &str = "^([0-9]{1,3}d|([0-9]{1,6}[hms])+)$";

/// Returns the rule for a duration that is at least and at most so long. It is one rule, because a
/// text that is not a duration has no length.
pub(super) fn duration_between(field: &str, least_ms: u64, most_ms: u64) -> Rule {
    let (least, most) = (least_ms / 1_000, most_ms / 1_000);
    let (is_duration, seconds) = (is_duration("self"), seconds("self"));
    let rule = match least {
        0 => format!("{is_duration} && {seconds} <= {most}"),
        _ => format!("{is_duration} && {seconds} >= {least} && {seconds} <= {most}"),
    };
    let limits = format!("{} to {}", format_ms(least_ms), format_ms(most_ms));
    let message = format!("{field} is not a duration of {limits}; write it as 30m, 1h30m or 1d");
    Rule::new(rule).message(message.as_str())
}

/// Returns the rule for a duration that is never shortened. A text that is not a duration is refused
/// by the other rule alone.
pub(super) fn only_grows(field: &str) -> Rule {
    let (is_duration, was_duration) = (is_duration("self"), is_duration("oldSelf"));
    let (seconds, old_seconds) = (seconds("self"), seconds("oldSelf"));
    let message = format!("{field} may only grow; give at least the former value");
    Rule::new(format!("!{is_duration} || !{was_duration} || {seconds} >= {old_seconds}"))
        .message(message.as_str())
}

/// Returns the CEL expression for a text that is a duration.
fn is_duration(text: &str) -> String {
    format!("{text}.matches('{PATTERN}')")
}

/// Returns the CEL expression for a duration's seconds; CEL has no unit for days. Numbers keep a
/// rule's estimated cost small: a text that a rule makes counts as one of any length.
fn seconds(text: &str) -> String {
    format!(
        "({text}.endsWith('d') ? int({text}.substring(0, size({text}) - 1)) * 86400 : \
         duration({text}).getSeconds())"
    )
}
