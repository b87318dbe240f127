//! Checks for forbidden contents of source files: a file name that hides the module, no opening doc
//! comment, unfinished code, markers of postponed work, tests that do not run, and proofs of
//! durability that are not from a journal.

use std::ops::Range;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::Visit;

use super::TidyFinding;

/// Macros that mark missing code.
const UNFINISHED: &[&str] = &["todo", "unimplemented"];

/// Markers of postponed work in comments.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX"];

/// The paths at which [`Durable`](orderstream_core::withheld::Durable) may be implemented: the
/// journal, core itself for an empty proof, and tests.
const PROVING: [&str; 5] = [
    "crates/journal/src/",
    "crates/core/src/withheld.rs",
    "crates/core/src/book/tests.rs",
    "crates/core/tests/",
    "crates/requestor/src/fake_processor.rs",
];

/// Checks the name and the text of one source file.
pub(super) fn check(path: &str, text: &str) -> Vec<TidyFinding> {
    let mut findings = Vec::new();
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        findings.push(TidyFinding::new(path, 1, "is a mod.rs", "name the file after its module"));
    }
    if !text.starts_with("//!") {
        let what = "does not open with a `//!` doc";
        findings.push(TidyFinding::new(path, 1, what, "say in one sentence what the file is for"));
    }
    if let Some(line) =
        find_durable_impl(text).filter(|_| !PROVING.iter().any(|place| path.starts_with(place)))
    {
        let what = "implements `Durable`, which only a journal does";
        findings.push(TidyFinding::new(
            path,
            line,
            what,
            "pass on the proof that the journal gave",
        ));
    }
    // A file that does not parse is reported by the size check.
    let Ok(tokens) = text.parse::<TokenStream>() else { return findings };
    let mut code = Code { path, text, findings: &mut findings, spans: Vec::new() };
    code.walk(tokens);
    let spans = code.spans;
    findings.extend(marks(path, text, &spans));
    findings
}

/// Returns the line in which a file implements `Durable`, if it does.
fn find_durable_impl(text: &str) -> Option<usize> {
    let mut proofs = Proofs(None);
    proofs.visit_file(&syn::parse_file(text).ok()?);
    proofs.0
}

/// A visitor of a file's items, including nested ones, that records the first line with an
/// implementation of `Durable`.
struct Proofs(Option<usize>);

impl<'ast> Visit<'ast> for Proofs {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let last = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if last.is_some_and(|last| last.ident == "Durable") {
            self.0 = self.0.or_else(|| Some(item.impl_token.span.start().line));
        }
        syn::visit::visit_item_impl(self, item);
    }
}

/// A walk over a file's tokens, including those in macros.
struct Code<'a> {
    path: &'a str,
    text: &'a str,
    findings: &'a mut Vec<TidyFinding>,
    /// The byte ranges of code; all others are whitespace and comments.
    spans: Vec<Range<usize>>,
}

impl Code<'_> {
    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            self.judge(token, tokens.get(at + 1), tokens.get(at + 2));
            if let TokenTree::Group(group) = token {
                self.walk(group.stream());
            } else {
                self.record(token.span().byte_range());
            }
        }
    }

    /// Finds `todo!(…)`, `unimplemented!(…)` and `#[ignore]` at their first token.
    fn judge(&mut self, token: &TokenTree, next: Option<&TokenTree>, third: Option<&TokenTree>) {
        let line = token.span().start().line;
        if let TokenTree::Ident(name) = token
            && UNFINISHED.iter().any(|macro_name| name == macro_name)
            && is_punct(next, '!')
            && matches!(third, Some(TokenTree::Group(_)))
        {
            let what = format!("`{name}!` stands for code that is not there");
            self.findings.push(TidyFinding::new(self.path, line, &what, "write the code"));
        }
        if is_punct(Some(token), '#')
            && let Some(TokenTree::Group(group)) = next
            && group.delimiter() == Delimiter::Bracket
            && ignores(group.stream())
        {
            let what = "an ignored test never runs";
            self.findings.push(TidyFinding::new(self.path, line, what, "let it run or remove it"));
        }
    }

    /// Records a token's range, unless it is a doc comment.
    fn record(&mut self, span: Range<usize>) {
        let source = self.text.get(span.clone()).unwrap_or_default();
        if !source.starts_with("//") && !source.starts_with("/*") {
            self.spans.push(span);
        }
    }
}

fn is_punct(token: Option<&TokenTree>, expected: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == expected)
}

/// Reports whether an attribute's content is `ignore`, also inside a `cfg_attr`.
fn ignores(attribute: TokenStream) -> bool {
    let mut tokens = attribute.into_iter();
    match tokens.next() {
        Some(TokenTree::Ident(name)) if name == "ignore" => true,
        Some(TokenTree::Ident(name)) if name == "cfg_attr" => match tokens.next() {
            Some(TokenTree::Group(group)) => {
                group.stream().into_iter().any(|it| it.to_string() == "ignore")
            }
            Some(TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) | None => false,
        },
        Some(
            TokenTree::Ident(_) | TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_),
        )
        | None => false,
    }
}

/// Finds markers outside code, as whole words only.
fn marks(path: &str, text: &str, code: &[Range<usize>]) -> Vec<TidyFinding> {
    let mut findings = Vec::new();
    for mark in MARKS {
        for (at, _) in text.match_indices(mark) {
            let before = text.get(..at).unwrap_or_default();
            let after = text.get(at + mark.len()..).unwrap_or_default();
            let part_of_word = before.ends_with(is_word) || after.starts_with(is_word);
            // The spans are sorted: the last one that begins at or before the marker decides.
            let last = code.partition_point(|span| span.start <= at).checked_sub(1);
            let in_code = last.and_then(|it| code.get(it)).is_some_and(|span| at < span.end);
            if !part_of_word && !in_code {
                let line = before.matches('\n').count() + 1;
                let what = format!("{mark} puts work off");
                findings.push(TidyFinding::new(path, line, &what, "do it or remove the mark"));
            }
        }
    }
    findings
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check("src/a.rs", text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_file_passes() {
        let clean = "//! Doc.\n\n/// é: text.\nfn f() -> bool {\n    // Why.\n    true\n}\n";
        assert_eq!(found(clean), Vec::<String>::new());
    }

    #[test]
    fn a_mod_rs_is_found() {
        assert_eq!(check("src/a/mod.rs", "//! Doc.\n").len(), 1);
        assert_eq!(check("src/a/my_mod.rs", "//! Doc.\n").len(), 0);
    }

    #[test]
    fn missing_opening_docs_are_found() {
        assert!(found("fn f() {}\n")[0].starts_with("src/a.rs:1: does not open"));
    }

    /// Unfinished code is found in macros too, but not in strings.
    #[test]
    fn unfinished_code_is_found() {
        assert!(found("//! Doc.\nfn f() {\n    todo!()\n}\n")[0].contains("a.rs:3: `todo!`"));
        assert_eq!(
            found("//! Doc.\nfn f() {\n    select! { _ = a => unimplemented!(\"x\") }\n}\n").len(),
            1
        );
        let fine = "//! Doc.\nfn f(todo: u8) -> bool {\n    todo != 1 && \"todo!()\" != \"\"\n}\n";
        assert_eq!(found(fine), Vec::<String>::new());
    }

    /// Doc comments are included, strings and parts of longer words are not.
    #[test]
    fn marks_are_found_in_comments_only() {
        for comment in ["// TODO: later", "/// FIXME", "/* XXX */", "//! see XXX."] {
            let text = format!("//! Doc.\n{comment}\nfn f() {{}}\n");
            assert_eq!(found(&text).len(), 1, "{comment}");
        }
        let fine = "//! Doc XXXL, TODOS.\nconst TODO: &str = \"XXX FIXME\";\n";
        assert_eq!(found(fine), Vec::<String>::new());
    }

    /// Proofs in the journal and in tests are allowed.
    #[test]
    fn forged_durability_proofs_are_found() {
        let text = "//! Doc.\nstruct Forged;\nimpl core::Durable for Forged {}\n";
        assert!(found(text)[0].starts_with("src/a.rs:3: implements `Durable`"));
        let inside = format!("//! Doc.\nfn f() {{\n    mod m {{\n{text}    }}\n}}\n");
        assert!(
            found(&inside.replace("//! Doc.\nstruct", "struct"))[0]
                .contains("implements `Durable`")
        );
        assert!(check("crates/journal/src/api.rs", text).is_empty());
        assert!(check("crates/core/tests/properties.rs", text).is_empty());
    }

    #[test]
    fn ignored_tests_are_found() {
        for attribute in ["#[ignore]", "#[ignore = \"slow\"]", "#[cfg_attr(windows, ignore)]"] {
            let text = format!("//! Doc.\n#[test]\n{attribute}\nfn f() {{}}\n");
            assert_eq!(found(&text).len(), 1, "{attribute}");
        }
        assert_eq!(found("//! Doc.\n#[test]\nfn ignore() {}\n"), Vec::<String>::new());
    }
}
