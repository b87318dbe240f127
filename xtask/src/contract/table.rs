//! The pieces of reference tables: each row without its description.

use super::piece::Piece;

/// The number of cells of a metrics row before its description: name, type, labels, roles.
pub(super) const METRIC_CELLS: usize = 4;
/// The number of cells of a reasons row before its description: reason, HTTP, gRPC.
const REASON_CELLS: usize = 3;

/// Returns each row of a table as a piece, whose name and content are the first `cells` cells.
pub(super) fn rows(text: &str, cells: usize) -> Vec<Piece> {
    let rows = text.lines().filter(|line| line.starts_with("| `") || line.starts_with("| ["));
    rows.map(|line| piece(row_name(line, cells))).collect()
}

/// Returns each reason that has a page, with its codes if the list of all reasons has it.
pub(super) fn reasons(pages: &[(String, String)]) -> Vec<Piece> {
    let list = pages.iter().find(|(path, _)| path.ends_with("/README.md"));
    let listed = list.map_or(Vec::new(), |(_, text)| rows(text, REASON_CELLS));
    let reasons = pages.iter().filter_map(|(path, _)| {
        let (_, file) = path.rsplit_once('/')?;
        file.strip_suffix(".md").filter(|reason| *reason != "README")
    });
    let of_reason = |reason: &str| {
        let found = listed.iter().find(|row| row.name.split(' ').next() == Some(reason));
        found.cloned().unwrap_or_else(|| piece(reason.to_owned()))
    };
    reasons.map(of_reason).collect()
}

fn piece(row: String) -> Piece {
    let content = row.clone().into_bytes();
    Piece::raw(row, content)
}

/// Returns a row's first cells, trimmed.
fn row_name(line: &str, cells: usize) -> String {
    let texts = line.trim_matches('|').split('|').take(cells).map(cell_text);
    texts.collect::<Vec<_>>().join(" ")
}

/// Returns a cell's text without its markup; `-` for an empty one.
fn cell_text(cell: &str) -> String {
    let text = cell.trim();
    let text = text.strip_prefix('[').and_then(|it| it.split(']').next()).unwrap_or(text);
    let text: String = text.chars().filter(|c| !matches!(c, '`' | ' ')).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pieces: &[Piece]) -> Vec<&str> {
        pieces.iter().map(|piece| piece.name.as_str()).collect()
    }

    #[test]
    fn metrics_count_without_their_meaning() {
        let text = "| name | type | labels | roles | meaning |\n|---|---|---|---|---|\n\
            | `a_total` | counter | `x`, `y` | processor, requestor | Words. |\n\
            | `b` | gauge |  | controller | a | b |\n";
        let expected = ["a_total counter x,y processor,requestor", "b gauge - controller"];
        assert_eq!(names(&rows(text, METRIC_CELLS)), expected);
    }

    #[test]
    fn reasons_are_pages_with_codes() {
        let page = |name: &str, text: &str| (format!("errors/{name}.md"), text.to_owned());
        let list = "| [LOCKED](LOCKED.md) | 423 | FAILED_PRECONDITION | Words. |\n";
        let pages = [page("LOCKED", ""), page("OTHER", ""), page("README", list)];
        assert_eq!(names(&reasons(&pages)), ["LOCKED 423 FAILED_PRECONDITION", "OTHER"]);
    }
}
