//! The commands of a page: those in its blocks of `console` and `sh`, with the output that the page
//! shows.

use std::ops::Range;

/// The marker of a command in a console.
const PROMPT: &str = "$ ";
/// The output of a command that is interrupted.
pub(super) const CTRL_C: &str = "^C";

/// A command of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageCommand {
    /// The number of its line, from 1.
    pub(super) line: usize,
    /// The text to paste, of one or more lines.
    pub(super) text: String,
    /// The lines of its output in the page, by their index; none where the page shows no output.
    pub(super) output: Range<usize>,
}

impl PageCommand {
    /// Returns the output that the page shows.
    pub(super) fn expected<'a>(&self, page: &'a [&'a str]) -> &'a [&'a str] {
        &page[self.output.clone()]
    }
}

/// Returns the commands of a page, in its order.
pub(super) fn commands(page: &[&str]) -> Vec<PageCommand> {
    let mut found: Vec<PageCommand> = Vec::new();
    let mut index = 0;
    while index < page.len() {
        let language = page[index].strip_prefix("```");
        index += 1;
        let Some(language) = language else { continue };
        let end = (index..page.len()).find(|at| page[*at].starts_with("```")).unwrap_or(page.len());
        match language {
            "console" => console(page, &(index..end), &mut found),
            "sh" | "bash" | "shell" => script(page, &(index..end), &mut found),
            _ => {}
        }
        index = end + 1;
    }
    found
}

/// Adds the commands of a console; the lines behind one are its output.
fn console(page: &[&str], lines: &Range<usize>, found: &mut Vec<PageCommand>) {
    let (before, mut index) = (found.len(), lines.start);
    while index < lines.end {
        if let Some(first) = page[index].strip_prefix(PROMPT) {
            let line = index + 1;
            let text = whole(first, page, &mut index, lines.end);
            found.push(PageCommand { line, text, output: index..index });
            continue;
        }
        index += 1;
        if let Some(command) = found.iter_mut().skip(before).next_back() {
            command.output.end = index;
        }
    }
}

/// Adds the commands of a block without prompts; no output is among them.
fn script(page: &[&str], lines: &Range<usize>, found: &mut Vec<PageCommand>) {
    let mut index = lines.start;
    while index < lines.end {
        let line = index + 1;
        let text = whole(page[index], page, &mut index, lines.end);
        if !text.trim().is_empty() {
            found.push(PageCommand { line, text, output: index..index });
        }
    }
}

/// Returns a command with the lines that continue it, and moves the index behind them.
fn whole(first: &str, page: &[&str], index: &mut usize, end: usize) -> String {
    let mut text = first.to_owned();
    *index += 1;
    while *index < end && !is_complete(&text) {
        text.push('\n');
        text.push_str(page[*index]);
        *index += 1;
    }
    text
}

/// Reports whether a shell would run the text: no quote is open, no line break is escaped, and a
/// here-document has its end.
fn is_complete(text: &str) -> bool {
    let (mut quote, mut before, mut letters) = (None, ' ', text.chars());
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None | Some('"'), '\\') => {
                if letters.next().is_none() {
                    return false;
                }
            }
            (None, '\'' | '"') => quote = Some(letter),
            // A comment.
            (None, '#') if before.is_whitespace() => {
                letters.by_ref().find(|letter| *letter == '\n');
            }
            (Some(open), _) if open == letter => quote = None,
            (None | Some(_), _) => {}
        }
        before = letter;
    }
    let here = text.split_once("<<'EOF'");
    quote.is_none() && here.is_none_or(|(_, rest)| rest.lines().any(|line| line == "EOF"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_lines_and_output() {
        let page = "# A\n```console\n$ one --flag \\\n    two\nout 1\n\nout 2\n$ three\n```\n\
                    ```yaml\n$ no\n```\n```sh\nfour '\nfive'\n```\n";
        let page: Vec<&str> = page.lines().collect();
        let commands = commands(&page);
        let texts: Vec<&str> = commands.iter().map(|command| command.text.as_str()).collect();
        assert_eq!(texts, ["one --flag \\\n    two", "three", "four '\nfive'"]);
        assert_eq!(commands[0].line, 3);
        assert_eq!(commands[0].expected(&page), ["out 1", "", "out 2"]);
        assert!(commands[1].expected(&page).is_empty());
    }

    #[test]
    fn open_quotes_and_documents_continue_commands() {
        for text in ["a \\", "a 'b", "a \"b", "a 'o'\\''c", "cat <<'EOF' >f\nx: 'y'"] {
            assert!(!is_complete(text), "{text}");
        }
        for text in
            ["a \\\nb", "a 'b'", "a 'o'\\''c'", "a \"it's\"", "a # it's", "cat <<'EOF' >f\nx\nEOF"]
        {
            assert!(is_complete(text), "{text}");
        }
    }
}
