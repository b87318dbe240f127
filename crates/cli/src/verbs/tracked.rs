//! The view that the buyer's server has of an order whose processor does not respond.

use serde_json::Value;

use super::market::{Market, Subject};
use super::print::one_line;
use super::show::OutputFormat;
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// Prints the view of the buyer's server in place of the processor's; returns the failure for which
/// no more can be shown.
pub(super) async fn print_tracking(
    market: &Market,
    subject: &Subject,
    format: OutputFormat,
    failure: CliError,
) -> CliError {
    // No other server knows a former incarnation.
    if !failure.is_processor_unreachable() || market.sellers().reads_named_incarnation() {
        return failure;
    }
    if let Some(name) = subject.resource().and_then(|resource| resource.pointer("/metadata/name")) {
        let name = name.as_str().unwrap_or_default();
        return CliError::not_reached(format!(
            "the order's processor does not answer; `orderstream get {name}` shows what was known \
             last: {failure}"
        ));
    }
    let Ok(Some(tracked)) = market.tracking(subject).await else { return failure };
    if format != OutputFormat::Table {
        let path = market.tracking_path(subject);
        return CliError::not_reached(format!(
            "the order's processor does not answer; GET {path} at --server tells what its \
             requestor knows: {failure}"
        ));
    }
    output::line(&styled(Style::Heading, &one_line(&subject.id)));
    for line in lines(&tracked) {
        output::line(&line);
    }
    CliError::not_reached(format!(
        "the order's processor does not answer; this is what its requestor knows: {failure}"
    ))
}

fn lines(tracked: &Value) -> Vec<String> {
    let text = |name: &str| tracked.get(name).and_then(Value::as_str).map(one_line);
    let number = |name: &str| tracked.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (open, withdrawn) = (number("proposals_open"), number("proposals_withdrawn"));
    let at = text("processor").map(|at| format!(" at {at}")).unwrap_or_default();
    let trouble = text("reason").map(|why| format!("; {why}")).unwrap_or_default();
    let (last_seq, epoch) = (number("last_seq"), number("epoch"));
    vec![
        format!("  phase      {}", text("phase").unwrap_or_default()),
        format!(
            "  proposals  {open} open, {withdrawn} withdrawn, {} closed",
            number("proposals_closed")
        ),
        format!("  stream     event {last_seq}, epoch {epoch}{at}{trouble}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tracking_is_shown_in_lines() {
        let tracked = json!({
            "phase": "Reconnecting", "proposals_open": 2, "proposals_withdrawn": 1, "last_seq": 9,
            "epoch": 3, "processor": "http://p-0:8002", "reason": "it is silent",
        });
        let expected = [
            "  phase      Reconnecting",
            "  proposals  2 open, 1 withdrawn, 0 closed",
            "  stream     event 9, epoch 3 at http://p-0:8002; it is silent",
        ];
        assert_eq!(lines(&tracked), expected);
    }
}
