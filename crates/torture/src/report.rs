//! The report of a failing run: the findings, each with the relevant lines of the history: the
//! commands to the order under that token, the events that readers received, and the faults around.

use crate::check::Finding;
use crate::history::{Line, Micros};

/// The limit of findings that are printed with their lines; the others are listed in short.
const SHOWN_MAX: usize = 6;
/// The limit of lines for one finding.
const LINES_MAX: usize = 24;
/// The time after a fault in which it is relevant to what happens, microseconds.
const AFTERMATH: Micros = 1_500_000;

/// Returns a report of all findings, with the command that runs the same plan again.
#[must_use]
pub fn report(findings: &[Finding], lines: &[Line], replay: &str) -> String {
    let mut text = format!("{} broken promises. Replay: {replay}\n", findings.len());
    for finding in findings.iter().take(SHOWN_MAX) {
        text += &format!("\n{finding}\n");
        for line in shrink(finding, lines).into_iter().take(LINES_MAX) {
            text += &format!("    {}\n", serde_json::to_string(line).unwrap_or_default());
        }
    }
    for finding in findings.iter().skip(SHOWN_MAX) {
        text += &format!("also: {finding}\n");
    }
    text
}

/// Returns the lines that are relevant to a finding, in the order of time.
#[must_use]
pub fn shrink<'a>(finding: &Finding, lines: &'a [Line]) -> Vec<&'a Line> {
    let mut kept: Vec<&Line> = lines.iter().filter(|line| matters(finding, line)).collect();
    let spans: Vec<(Micros, Micros)> = kept.iter().map(|line| span(line)).collect();
    let near = |start: Micros, end: Micros| {
        spans.iter().any(|(from, to)| start <= *to && end + AFTERMATH >= *from)
    };
    kept.extend(lines.iter().filter(|line| {
        let (start, end) = span(line);
        matches!(line, Line::Fault(_) | Line::Gone(_)) && near(start, end)
    }));
    kept.sort_by_key(|line| span(line).0);
    kept
}

/// Reports whether a line is relevant to a finding.
fn matters(finding: &Finding, line: &Line) -> bool {
    let of_order = |order: &str| order == finding.order;
    let of_act = !finding.token.is_empty();
    match line {
        // To a lie about an end belongs what ended the order.
        Line::Act(act) if of_act => {
            let is_end = act.op.is_end() && finding.predicate == "P1";
            of_order(&act.order) && (is_end || act.token == finding.token)
        }
        Line::Act(act) => of_order(&act.order) && act.op.is_end(),
        Line::Told(told) => {
            let has_words = of_act && told.event.token == finding.token;
            of_order(&told.order) && (has_words || told.event.is_last())
        }
        Line::Stream(stream) => of_order(&stream.order) && finding.predicate == "P4",
        Line::View(view) => {
            of_order(&view.order) && matches!(finding.predicate, "P6" | "P8") && !of_act
        }
        Line::Roll(_) => finding.order.is_empty() && finding.predicate == "P6",
        Line::Figures(_) | Line::List(_) | Line::Pages(_) | Line::Fault(_) | Line::Gone(_) => false,
    }
}

/// Returns a line's start and end.
fn span(line: &Line) -> (Micros, Micros) {
    match line {
        Line::Act(act) => (act.t_call, act.t_ret),
        Line::Told(told) => (told.t, told.t),
        Line::Stream(stream) => (stream.t_call, stream.t_end),
        Line::View(view) => (view.t_call, view.t_ret),
        Line::Roll(roll) => (roll.t_call, roll.t_ret),
        Line::Fault(fault) => (fault.t_start, fault.t_end),
        Line::Gone(gone) => (gone.t, gone.t),
        Line::List(_) | Line::Pages(_) | Line::Figures(_) => (Micros::MAX, Micros::MAX),
    }
}
