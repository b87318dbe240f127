//! The refusal that stalls an order request: what its buyer asked for and did not get.

use orderstream_api::conditions::STALLED;
use orderstream_core::Reason;
use orderstream_core::command::CommandKind;
use orderstream_core::plan::command_label;
use serde_json::Value;

use super::print::one_line;
use crate::cluster::edit::Edit;
use crate::exit::CliError;

/// Describes the refusal, with its reason; `None` where nothing is stalled.
pub(super) fn text(resource: &Value) -> Option<String> {
    let (reason, message) = refusal(resource)?;
    Some(one_line(&format!("{message} [{reason}]")))
}

/// Reports whether the award of an order that has not ended was taken up, and neither waits to count
/// nor was taken back: it was refused. The condition may show a later refusal.
pub(super) fn has_refused_award(resource: &Value) -> bool {
    let number = |path: &str| resource.pointer(path).and_then(Value::as_i64);
    let is_taken_up = number("/status/observedGeneration") >= number("/metadata/generation");
    let is_pending = resource.pointer("/status/award").is_some();
    let is_unwanted = |award: &Value| award.get("undo").and_then(Value::as_bool) == Some(true);
    let award = resource.pointer("/spec/award");
    is_taken_up && !is_pending && award.is_some_and(|award| !is_unwanted(award))
}

/// Reports whether an order refused the award that its order request asks for, as the condition
/// shows.
pub(super) fn is_about_award(resource: &Value) -> bool {
    refusal(resource).is_some_and(|(_, message)| message.starts_with("award: "))
}

/// Returns the failure of an edit, where the order request shows that it was refused: its status is
/// about the generation of the edit, or a later one.
pub(super) fn failure_of(resource: &Value, edit: &Edit, generation: i64) -> Option<CliError> {
    let observed = resource.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if observed.unwrap_or_default() < generation {
        return None;
    }
    let (reason, message) = refusal(resource)?;
    let refused = message.strip_prefix(&label(edit)).and_then(|text| text.strip_prefix(": "));
    // An order request that cannot be read asks for nothing.
    let text = refused.or_else(|| message.starts_with("spec.").then_some(message))?;
    let text = one_line(&format!("{text} [{reason}]"));
    Some(CliError::from_server(Reason::parse(reason), text))
}

/// Returns the reason and the message of the condition `Stalled`, where it holds.
fn refusal(resource: &Value) -> Option<(&str, &str)> {
    let conditions = resource.pointer("/status/conditions")?.as_array()?;
    let is_stalled = |held: &&Value| {
        let is = |name: &str, value: &str| held.get(name).and_then(Value::as_str) == Some(value);
        is("type", STALLED) && is("status", "True")
    };
    let stalled = conditions.iter().find(is_stalled)?;
    Some((stalled.get("reason")?.as_str()?, stalled.get("message")?.as_str()?))
}

/// Returns the name that opens the message about an edit.
fn label(edit: &Edit) -> String {
    match edit {
        Edit::Command(command) => command_label(&CommandKind::from(command.clone())),
        Edit::FollowUp(id, _) => format!("follow-up {id}"),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::buyer::BuyerCommand;
    use serde_json::json;

    use super::*;

    fn resource(status: &str, message: &str) -> Value {
        json!({
            "metadata": { "generation": 3 },
            "spec": { "award": { "proposalId": "p-1" } },
            "status": { "observedGeneration": 3, "conditions": [
                { "type": "Ready", "status": "True", "reason": "Open", "message": "" },
                { "type": "Stalled", "status": status, "reason": "INVALID_FIELD",
                    "message": message },
            ] },
        })
    }

    #[test]
    fn refused_edits_are_told_with_their_reason() {
        let award = Edit::Command(BuyerCommand::Finalise {
            award: None,
            reason: None,
            undo_within_ms: None,
        });
        let stalled = resource("True", "award: lines[1].sku: A is given twice");
        let failure = failure_of(&stalled, &award, 3).unwrap();
        assert_eq!(failure.to_string(), "lines[1].sku: A is given twice [INVALID_FIELD]");
        assert!(failure_of(&stalled, &award, 4).is_none(), "it is about an earlier edit");
        let close = Edit::Command(BuyerCommand::Close(None));
        assert!(failure_of(&stalled, &close, 3).is_none(), "another edit was refused");
        let expected = "award: lines[1].sku: A is given twice [INVALID_FIELD]";
        assert_eq!(text(&stalled).as_deref(), Some(expected));
        assert_eq!(text(&resource("False", "")), None);
        assert_eq!(text(&json!({})), None);
    }

    #[test]
    fn refused_awards_can_be_taken_back() {
        let refused = resource("True", "award: there is no proposal p-1");
        assert!(has_refused_award(&refused));
        assert!(has_refused_award(&resource("True", "follow-up f-1: there is no seller x")));
        for (path, value) in [
            ("/spec/award", json!({ "proposalId": "p-1", "undo": true })),
            ("/spec", json!({})),
            ("/status", json!({ "observedGeneration": 2 })),
            (
                "/status",
                json!({ "observedGeneration": 3, "award": { "pendingUntil": "2026-10-01T00:00Z" } }),
            ),
        ] {
            let mut other = refused.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert!(!has_refused_award(&other), "{other}");
        }
    }
}
