//! The remarks on an award: for which reasons its winners are set aside, all in which they are not
//! what the order wants, and the conditions that they make.

use orderstream_core::visible::is_blank;
use orderstream_rest_types::comparison::{ComparisonView, RowView};
use orderstream_rest_types::proposal::ProposalView;

use super::comparison_table::{differences, flaws};
use super::print;
use super::winners::Winners;

/// The most characters of a note that are shown.
const NOTE_CHARS_MAX: usize = 300;

/// Returns a line for each winner that is set aside, or offers something else than the order wants.
pub(super) fn defects(winners: &Winners, comparison: &ComparisonView) -> Vec<String> {
    let defects_of = |id: &str| {
        let row = comparison.rows.iter().find(|row| row.proposal_id == id)?;
        let row = match winners.lines_of(id) {
            Some(lines) => of_lines(row, &comparison.skus, &lines),
            None => row.clone(),
        };
        let mut found = flaws(&row);
        found.extend(differences(&comparison.skus, &row));
        (!found.is_empty()).then(|| format!("{id}: {}", print::one_line(&found.join(", "))))
    };
    winners.ids().into_iter().filter_map(defects_of).collect()
}

/// Returns a line for each winner that has a note, or ends its validity.
pub(super) fn conditions(winners: &Winners, proposals: &[ProposalView]) -> Vec<String> {
    let conditions_of = |id: &str| {
        let proposal = proposals.iter().find(|one| one.proposal_id == id)?;
        let content = &proposal.content;
        let text = conditions_text(content.valid_until.as_deref(), content.note.as_deref())?;
        Some(format!("{id}: {text}"))
    };
    winners.ids().into_iter().filter_map(conditions_of).collect()
}

/// Formats the end of a proposal's validity, and its note; `None` where it has neither.
pub(super) fn conditions_text(valid_until: Option<&str>, note: Option<&str>) -> Option<String> {
    let given = |text: Option<&str>| text.filter(|text| !is_blank(text)).map(print::one_line);
    let valid = given(valid_until).map(|until| format!("valid until {until}"));
    let note = given(note).map(|note| format!("note: {}", print::cut(&note, NOTE_CHARS_MAX)));
    let parts: Vec<String> = valid.into_iter().chain(note).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Formats the label of an alternative; `None` for the seller's main proposal.
pub(super) fn label_text(alternative: Option<&str>) -> Option<String> {
    alternative.map(|label| format!("alternative: {}", print::one_line(label)))
}

/// Returns a proposal as far as it is for these lines.
fn of_lines(row: &RowView, skus: &[String], lines: &[&str]) -> RowView {
    let is_of = |line: &String| lines.contains(&line.as_str());
    let mut part = row.clone();
    part.missing.retain(is_of);
    for gaps in [&mut part.shortfalls, &mut part.excess, &mut part.other_units] {
        gaps.retain(|gap| is_of(&gap.line));
    }
    for (sku, line) in skus.iter().zip(&mut part.lines) {
        if !is_of(sku) {
            *line = None;
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use orderstream_rest_types::comparison::{ComparedLineView, QuantityGapView};
    use orderstream_rest_types::proposal::ContentView;

    use super::*;

    fn comparison() -> ComparisonView {
        let gap = QuantityGapView {
            line: "LAMP".to_owned(),
            wanted: "5".to_owned(),
            offered: "3".to_owned(),
            ..QuantityGapView::default()
        };
        let substitute = Some("STOOL".to_owned());
        let chair = ComparedLineView { substitute, ..ComparedLineView::default() };
        let row = RowView {
            proposal_id: "p-1".to_owned(),
            open: true,
            missing: vec!["MAT".to_owned()],
            shortfalls: vec![gap],
            reasons: vec!["Incomplete".to_owned(), "TooLate".to_owned()],
            lines: vec![Some(chair), None, Some(ComparedLineView::default())],
            ..RowView::default()
        };
        let sound = RowView { proposal_id: "p-2".to_owned(), ..RowView::default() };
        let skus = ["CHAIR", "MAT", "LAMP"].map(str::to_owned).to_vec();
        ComparisonView { skus, rows: vec![row, sound], ..ComparisonView::default() }
    }

    fn whole(id: &str) -> Winners {
        Winners { whole: Some(id.to_owned()), lines: Vec::new() }
    }

    #[test]
    fn defects_of_winners_are_named() {
        let comparison = comparison();
        let expected = "p-1: lacks MAT, 3 of 5 of LAMP, too late, STOOL instead of CHAIR";
        assert_eq!(defects(&whole("p-1"), &comparison), [expected]);
        assert!(defects(&whole("p-2"), &comparison).is_empty());
        assert!(defects(&whole("p-3"), &comparison).is_empty(), "it is not compared");
        assert!(defects(&Winners::default(), &comparison).is_empty());
    }

    /// What a proposal lacks of other lines does not matter.
    #[test]
    fn winners_of_lines_are_judged_by_these() {
        let of = |line: &str| {
            let lines = vec![(line.to_owned(), "p-1".to_owned())];
            defects(&Winners { whole: None, lines }, &comparison())
        };
        assert_eq!(of("CHAIR"), ["p-1: too late, STOOL instead of CHAIR"]);
        assert_eq!(of("LAMP"), ["p-1: 3 of 5 of LAMP, too late"]);
    }

    #[test]
    fn conditions_are_note_and_validity() {
        let content = ContentView {
            note: Some("Only if paid\nin advance".to_owned()),
            valid_until: Some("2026-12-02".to_owned()),
            ..ContentView::default()
        };
        let proposal_id = "p-1".to_owned();
        let held = ProposalView { proposal_id, content, ..ProposalView::default() };
        let expected = "p-1: valid until 2026-12-02; note: Only if paid in advance";
        assert_eq!(conditions(&whole("p-1"), &[held]), [expected]);
        assert_eq!(conditions_text(None, Some(" ")), None);
        let long = conditions_text(None, Some(&"x".repeat(999))).unwrap();
        assert!(long.ends_with("xx…") && long.chars().count() < 320, "{long}");
    }
}
