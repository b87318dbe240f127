//! The view that the buyer's server has of an order whose processor does not respond.

use orderstream_rest_types::tracking::TrackedView;

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

fn lines(tracked: &TrackedView) -> Vec<String> {
    let suffix = |before: &str, text: &Option<String>| {
        text.as_deref().map(|text| format!("{before}{}", one_line(text))).unwrap_or_default()
    };
    let (at, trouble) = (suffix(" at ", &tracked.processor), suffix("; ", &tracked.reason));
    let (open, withdrawn) = (tracked.proposals_open, tracked.proposals_withdrawn);
    let (last_seq, epoch) = (tracked.last_seq, tracked.epoch);
    // A server of an earlier version has no word for the stream.
    let stream = Some(&tracked.stream).filter(|phase| !phase.is_empty());
    let stream = stream.map(|phase| format!("{}; ", one_line(phase))).unwrap_or_default();
    vec![
        format!("  phase      {}", one_line(&tracked.phase)),
        format!(
            "  proposals  {open} open, {withdrawn} withdrawn, {} closed",
            tracked.proposals_closed
        ),
        format!("  stream     {stream}event {last_seq}, epoch {epoch}{at}{trouble}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_is_shown_in_lines() {
        let tracked = TrackedView {
            phase: "Open".to_owned(),
            stream: "Reconnecting".to_owned(),
            proposals_open: 2,
            proposals_withdrawn: 1,
            last_seq: 9,
            epoch: 3,
            processor: Some("http://p-0:8002".to_owned()),
            reason: Some("it is silent".to_owned()),
            ..TrackedView::default()
        };
        let expected = [
            "  phase      Open",
            "  proposals  2 open, 1 withdrawn, 0 closed",
            "  stream     Reconnecting; event 9, epoch 3 at http://p-0:8002; it is silent",
        ];
        assert_eq!(lines(&tracked), expected);
    }
}
