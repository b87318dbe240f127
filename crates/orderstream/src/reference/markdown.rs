//! Tables and code in Markdown.

/// Adds the head of a table.
pub(super) fn head(page: &mut String, heads: &[&str]) {
    row(page, heads);
    page.push_str(&format!("|{}\n", "---|".repeat(heads.len())));
}

/// Adds a row to a table.
pub(super) fn row(page: &mut String, cells: &[&str]) {
    page.push_str(&format!("| {} |\n", cells.join(" | ")));
}

/// Returns a text that can stand in a cell: on one line, and without signs that end the cell or
/// begin a tag. Code within the text stays as it is.
pub(super) fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => part.replace('<', "&lt;"),
        _ => format!("`{part}`"),
    });
    parts.collect::<String>().replace('|', "\\|")
}

/// Returns a text as code that can stand in a cell.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_within_their_row() {
        assert_eq!(cell("one\n two | <b> and `<ID>`."), "one two \\| &lt;b> and `<ID>`.");
        assert_eq!(code("--for <A|B>"), "`--for <A\\|B>`");
        let mut table = String::new();
        head(&mut table, &["a", "b"]);
        row(&mut table, &["1", "2"]);
        assert_eq!(table, "| a | b |\n|---|---|\n| 1 | 2 |\n");
    }
}
