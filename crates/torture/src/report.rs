//! The report of a failing run: the findings, each with the relevant lines of the history, which
//! are the commands to the order under that token, the events that readers received, and the faults
//! at that time.

use crate::check::HistoryFinding;
use crate::history::{HistoryLine, Micros};

/// The largest number of findings that are printed with their lines; the others are only listed.
const DETAILED_MAX: usize = 6;
/// The largest number of lines for one finding.
const LINES_MAX: usize = 24;
/// The time after a fault for which it is relevant, microseconds.
const AFTERMATH: Micros = 1_500_000;

/// Returns a report of all findings, with the command that replays the plan.
#[must_use]
pub fn report(findings: &[HistoryFinding], lines: &[HistoryLine], replay: &str) -> String {
    let mut text = format!("{} broken promises. Replay: {replay}\n", findings.len());
    for finding in findings.iter().take(DETAILED_MAX) {
        text += &format!("\n{finding}\n");
        for line in shrink(finding, lines).into_iter().take(LINES_MAX) {
            text += &format!("    {}\n", serde_json::to_string(line).unwrap_or_default());
        }
    }
    for finding in findings.iter().skip(DETAILED_MAX) {
        text += &format!("also: {finding}\n");
    }
    text
}

/// Returns the lines that are relevant to a finding, in chronological order.
#[must_use]
pub fn shrink<'a>(finding: &HistoryFinding, lines: &'a [HistoryLine]) -> Vec<&'a HistoryLine> {
    let mut relevant: Vec<&HistoryLine> =
        lines.iter().filter(|line| is_relevant(finding, line)).collect();
    let spans: Vec<(Micros, Micros)> = relevant.iter().map(|line| span(line)).collect();
    let near = |start: Micros, end: Micros| {
        spans.iter().any(|(from, to)| start <= *to && end + AFTERMATH >= *from)
    };
    relevant.extend(lines.iter().filter(|line| {
        let (start, end) = span(line);
        matches!(line, HistoryLine::Fault(_) | HistoryLine::Exit(_)) && near(start, end)
    }));
    relevant.sort_by_key(|line| span(line).0);
    relevant
}

/// Reports whether a line is relevant to a finding.
fn is_relevant(finding: &HistoryFinding, line: &HistoryLine) -> bool {
    let of_order = |order: &str| order == finding.order;
    let of_command = !finding.token.is_empty();
    match line {
        // A false reply about an end also needs the command that ended the order.
        HistoryLine::Attempt(attempt) if of_command => {
            let is_end = attempt.command.is_end() && finding.predicate == "P1";
            of_order(&attempt.order) && (is_end || attempt.token == finding.token)
        }
        HistoryLine::Attempt(attempt) => of_order(&attempt.order) && attempt.command.is_end(),
        HistoryLine::Receipt(receipt) => {
            let has_token = of_command && receipt.event.token == finding.token;
            of_order(&receipt.order) && (has_token || receipt.event.is_last())
        }
        HistoryLine::Stream(stream) => of_order(&stream.order) && finding.predicate == "P4",
        HistoryLine::Page(reading) => {
            of_order(&reading.order) && matches!(finding.predicate, "P6" | "P8") && !of_command
        }
        HistoryLine::OrderList(_) => finding.order.is_empty() && finding.predicate == "P6",
        HistoryLine::Measurements(_)
        | HistoryLine::List(_)
        | HistoryLine::Pages(_)
        | HistoryLine::Fault(_)
        | HistoryLine::Exit(_) => false,
    }
}

/// Returns a line's start and end.
fn span(line: &HistoryLine) -> (Micros, Micros) {
    match line {
        HistoryLine::Attempt(attempt) => (attempt.called_at, attempt.returned_at),
        HistoryLine::Receipt(receipt) => (receipt.received_at, receipt.received_at),
        HistoryLine::Stream(stream) => (stream.called_at, stream.ended_at),
        HistoryLine::Page(reading) => (reading.called_at, reading.returned_at),
        HistoryLine::OrderList(reading) => (reading.called_at, reading.returned_at),
        HistoryLine::Fault(fault) => (fault.started_at, fault.ended_at),
        HistoryLine::Exit(exit) => (exit.detected_at, exit.detected_at),
        HistoryLine::List(_) | HistoryLine::Pages(_) | HistoryLine::Measurements(_) => {
            (Micros::MAX, Micros::MAX)
        }
    }
}
