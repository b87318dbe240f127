//! P14: no reader receives what it may not: sealed content, or other sellers' proposals.

use super::{Finding, Sorted};
use crate::history::{Micros, Reader, Told};
use crate::op::Op;

/// The name in place of every seller while the order is sealed.
const SEALED: &str = "sealed";

pub(super) fn check(sorted: &Sorted<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for told in &sorted.told {
        let name = told.name.strip_prefix("again-").unwrap_or(&told.name);
        let seller = name.split(['-', '#']).next().unwrap_or_default();
        if told.reader == Reader::Session && is_offer(told) && told.event.who != seller {
            let is_hidden = told.event.who.is_empty() || told.event.who == SEALED;
            if !is_hidden {
                let text = format!("{name} was told of {}'s {:?}", told.event.who, told.event);
                findings.push(Finding::new("P14", &told.order, text));
            }
        }
        let earliest = opening(sorted, &told.order);
        if earliest.is_some_and(|earliest| told.t < earliest) && is_telling(told) {
            let text = format!("{name} was told content under the seal: {:?}", told.event);
            findings.push(Finding::new("P14", &told.order, text));
        }
    }
    findings
}

fn is_offer(told: &Told) -> bool {
    told.event.kind == "NewProposal"
        || (told.event.kind == "ProposalUpdate" && told.event.change == "amended")
}

fn is_telling(told: &Told) -> bool {
    is_offer(told) && (told.event.who != SEALED || !told.event.token.is_empty())
}

/// Returns the earliest time at which a sealed order can be opened: its opening plus its lifetime.
fn opening(sorted: &Sorted<'_>, order: &str) -> Option<Micros> {
    let asked = sorted.acts.iter().filter(|act| act.order == order);
    let lives = asked.filter_map(|act| {
        let Op::Open(opening) = &act.op else { return None };
        let opens = act.t_call + opening.expires_in_ms.saturating_mul(1_000);
        opening.sealed.then_some(opens)
    });
    lives.min()
}
