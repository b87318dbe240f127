//! The build context of `docker build`: the checkout without what `.dockerignore` leaves out. Every
//! file from which the binary is compiled must be in it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tidy::{self, TidyFinding};

/// The path of the rules, from the workspace's root.
const PATH: &str = ".dockerignore";
/// The macros that read a file at compile time.
const INCLUDES: [&str; 3] = ["include", "include_bytes", "include_str"];
/// The begins of a `cfg` of code that is compiled for tests only.
const TESTS_ONLY: [&str; 2] = ["cfg(test)", "cfg(all(test,"];

/// The rules of a `.dockerignore`, in order; the last one that matches decides.
#[derive(Debug)]
struct ContextRules(Vec<ContextRule>);

#[derive(Debug)]
struct ContextRule {
    segments: Vec<String>,
    effect: RuleEffect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleEffect {
    /// Leaves the path out of the context.
    Exclude,
    /// Puts the path back into the context.
    Restore,
}

impl ContextRules {
    /// Parses the file as builders do, but for classes of letters and escapes.
    ///
    /// # Errors
    /// When a pattern has one of these.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rules = patterns.map(|line| {
            ensure!(!line.contains(['[', '\\']), "{PATH}: write '{line}' without [ and \\");
            let (pattern, effect) = match line.strip_prefix('!') {
                Some(pattern) => (pattern, RuleEffect::Restore),
                None => (line, RuleEffect::Exclude),
            };
            let segments = pattern.trim_matches('/').split('/').map(ToOwned::to_owned).collect();
            Ok(ContextRule { segments, effect })
        });
        rules.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Reports whether a file is left out of the context; a rule for a folder is one for its files.
    fn exclude(&self, path: &str) -> bool {
        let names: Vec<_> = path.split('/').collect();
        let is_match = |rule: &&ContextRule| {
            let mut parents = (1..=names.len()).filter_map(|count| names.get(..count));
            parents.any(|parent| matches_path(&rule.segments, parent))
        };
        let decisive = self.0.iter().rev().find(is_match);
        decisive.is_some_and(|rule| rule.effect == RuleEffect::Exclude)
    }
}

/// Reports whether a path matches a pattern, in which `**` stands for any number of folders.
fn matches_path(pattern: &[String], path: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if first == "**" {
        let mut tails = (0..=path.len()).filter_map(|skipped| path.get(skipped..));
        return tails.any(|tail| matches_path(rest, tail));
    }
    let Some((name, tail)) = path.split_first() else { return false };
    matches_name(first, name) && matches_path(rest, tail)
}

/// Reports whether a text matches a pattern, in which `*` stands for any letters and `?` for one.
fn matches_name(pattern: &str, name: &str) -> bool {
    let (mut letters, mut rest) = (pattern.chars(), name.chars());
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            matches_name(letters.as_str(), name)
                || rest.next().is_some_and(|_| matches_name(pattern, rest.as_str()))
        }
        Some(letter) => {
            rest.next().is_some_and(|next| letter == '?' || letter == next)
                && matches_name(letters.as_str(), rest.as_str())
        }
    }
}

/// A file that a source file includes.
#[derive(Debug, PartialEq, Eq)]
struct InclusionSite {
    /// The file's path from the workspace's root, with `*` for the part that a macro inserts.
    pattern: String,
    line: usize,
}

/// Lists the files of the context, from those that are or would be checked in.
///
/// # Errors
/// When the checkout cannot be read.
pub(super) fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let rules = rules(root)?;
    let mut paths = tidy::paths(root)?;
    paths.retain(|path| !rules.exclude(path) && root.join(path).is_file());
    Ok(paths)
}

fn rules(root: &Path) -> anyhow::Result<ContextRules> {
    ContextRules::parse(&fs::read_to_string(root.join(PATH)).context(PATH)?)
}

/// Finds what the build stage needs and the context lacks: manifests, sources, and the files that
/// sources include.
///
/// # Errors
/// When the checkout cannot be read.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<TidyFinding>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    Ok(missing(&tidy::paths(root)?, &rules(root)?, &read))
}

fn missing(
    paths: &[String],
    rules: &ContextRules,
    read: &dyn Fn(&str) -> String,
) -> Vec<TidyFinding> {
    let lacks = |path: &str| format!("leaves out {path}, which `docker build` compiles");
    let restore = |path: &str| format!("end it with `!{path}`");
    let needed = paths.iter().filter(|path| is_needed(path) && rules.exclude(path));
    let mut findings: Vec<_> =
        needed.map(|path| TidyFinding::new(PATH, 1, &lacks(path), &restore(path))).collect();
    for path in paths.iter().filter(|path| is_shipped_source(path)) {
        for InclusionSite { pattern, line } in included(path, &read(path)) {
            let mut files = paths.iter().filter(|file| matches_name(&pattern, file)).peekable();
            if files.peek().is_none() {
                let what = format!("includes {pattern}, which is not in the checkout");
                findings.push(TidyFinding::new(path, line, &what, "check the path"));
            }
            if let Some(file) = files.find(|file| rules.exclude(file)) {
                let what = format!("includes {file}, which {PATH} leaves out of `docker build`");
                let fix = format!("end {PATH} with `!{pattern}`");
                findings.push(TidyFinding::new(path, line, &what, &fix));
            }
        }
    }
    findings
}

/// Reports whether cargo reads the file to build any package of the workspace.
fn is_needed(path: &str) -> bool {
    let is_member = path.starts_with("crates/") || path.starts_with("xtask/");
    ["Cargo.toml", "Cargo.lock"].contains(&path)
        || (is_member && (path.ends_with(".rs") || path.ends_with("/Cargo.toml")))
}

/// Reports whether the file may be compiled into the binary: tests and tools are not.
fn is_shipped_source(path: &str) -> bool {
    let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
    path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs") && !is_test
}

/// Lists the files that a source file includes, without those of tests.
fn included(path: &str, text: &str) -> Vec<InclusionSite> {
    let Ok(tokens) = text.parse::<TokenStream>() else { return Vec::new() };
    let mut found = Vec::new();
    collect(tokens, &mut found);
    for site in &mut found {
        site.pattern = resolve(path, &site.pattern);
    }
    found
}

/// Returns the path from the workspace's root of a file that another one names.
fn resolve(path: &str, named: &str) -> String {
    let mut names: Vec<_> = path.split('/').collect();
    names.pop();
    for name in named.split('/') {
        match name {
            "." | "" => {}
            ".." => {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    names.join("/")
}

fn collect(tokens: TokenStream, found: &mut Vec<InclusionSite>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        let next = tokens.get(place + 1);
        if is_mark(Some(token), '#') && next.is_some_and(is_tests_only) {
            place = item_end(&tokens, place + 2);
            continue;
        }
        if let TokenTree::Ident(name) = token
            && INCLUDES.iter().any(|include| name == include)
            && is_mark(next, '!')
            && let Some(TokenTree::Group(args)) = tokens.get(place + 2)
        {
            let line = name.span().start().line;
            found.push(InclusionSite { pattern: joined(args.stream()), line });
        } else if let TokenTree::Group(group) = token {
            collect(group.stream(), found);
        }
        place += 1;
    }
}

fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// Reports whether the token is the bracketed part of an attribute of a test.
fn is_tests_only(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let text = group.stream().to_string().replace(' ', "");
    group.delimiter() == Delimiter::Bracket
        && TESTS_ONLY.iter().any(|begin| text.starts_with(begin))
}

/// Returns the place after the item that begins at or after `from`.
fn item_end(tokens: &[TokenTree], from: usize) -> usize {
    let is_last = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    };
    let rest = tokens.get(from..).unwrap_or_default();
    rest.iter().position(is_last).map_or(tokens.len(), |length| from + length + 1)
}

/// Joins the literals of a path, with `*` for each other part.
fn joined(tokens: TokenStream) -> String {
    let part = |token: TokenTree| match token {
        TokenTree::Group(group) => joined(group.stream()),
        TokenTree::Ident(name) if name == "concat" => String::new(),
        TokenTree::Ident(_) => "*".to_owned(),
        TokenTree::Punct(_) => String::new(),
        TokenTree::Literal(literal) => syn::parse_str::<syn::LitStr>(&literal.to_string())
            .map_or_else(|_| "*".to_owned(), |literal| literal.value()),
    };
    tokens.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> ContextRules {
        ContextRules::parse(text).unwrap()
    }

    /// The cases are those of the reference of Dockerfiles, and of moby's tests.
    #[test]
    fn rules_match_as_builders_do() {
        for (text, excluded, kept) in [
            ("docs", "docs/a/b.md", "crates/docs/a.md"),
            ("/docs/", "docs/a.md", "docs.md"),
            ("**/*.md", "a.md", "a.md.rs"),
            ("**/*.md", "a/b/c.md", "a/b/c.txt"),
            ("*/temp*", "a/temporary.txt", "temporary.txt"),
            ("*/*/temp*", "a/b/temp", "a/temp"),
            ("temp?", "tempa", "temp"),
            ("a/**/z", "a/b/c/z", "a/b/c"),
            ("# no\n\n*.md\n!README.md", "A.md", "README.md"),
            ("docs\n**/*.md\n!docs/errors/*.md", "docs/a.md", "docs/errors/A.md"),
        ] {
            let rules = rules(text);
            assert!(rules.exclude(excluded), "{text:?} keeps {excluded}");
            assert!(!rules.exclude(kept), "{text:?} leaves out {kept}");
        }
        assert!(rules("!README.md\n*.md").exclude("README.md"), "the last rule decides");
        assert!(ContextRules::parse("[a-z].md").is_err());
    }

    #[test]
    fn inclusions_are_found_outside_of_tests() {
        let text = "const A: &str = include_str!(\"a.txt\");\n\
                    macro_rules! pages {\n    ($name:literal) => {\n        \
                    include_str!(concat!(\"../../docs/\", $name, \".md\"))\n    };\n}\n\
                    #[cfg(test)]\nmod tests {\n    const B: &str = include_str!(\"b.txt\");\n}\n\
                    #[cfg(test)]\nmod more;\n\
                    #[doc = include_str!(\"c.md\")]\nmod c {}\n";
        let found = included("crates/a/lib.rs", text);
        let found: Vec<_> = found.iter().map(|it| (it.pattern.as_str(), it.line)).collect();
        assert_eq!(found, [("crates/a/a.txt", 1), ("docs/*.md", 4), ("crates/a/c.md", 13)]);
    }

    #[test]
    fn every_missing_input_is_a_finding() {
        let paths = ["Cargo.toml", "crates/a/src/lib.rs", "docs/A.md"].map(ToOwned::to_owned);
        let findings = |rules: &str, named: &str| -> Vec<String> {
            let text = format!("const A: &str = include_str!(\"{named}\");\n");
            let read = |_: &str| text.clone();
            let rules = ContextRules::parse(rules).unwrap();
            missing(&paths, &rules, &read).iter().map(ToString::to_string).collect()
        };
        let named = "../../../docs/A.md";
        assert_eq!(findings("target", named), [""; 0]);
        assert_eq!(
            findings("docs", named),
            ["crates/a/src/lib.rs:1: includes docs/A.md, which .dockerignore leaves out of \
              `docker build`, end .dockerignore with `!docs/A.md`"]
        );
        assert!(findings("target", "b.txt")[0].contains("is not in the checkout"));
        assert!(findings("*.toml", named)[0].contains("leaves out Cargo.toml"));
    }

    #[test]
    fn docker_builds_have_every_input() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let found = check(root).unwrap();
        assert!(found.is_empty(), "{found:#?}");
        let files = files(root).unwrap();
        for path in ["Cargo.lock", "xtask/src/main.rs", "examples/sellers.yaml"] {
            assert!(files.iter().any(|file| file == path), "no {path}");
        }
        for path in ["rust-toolchain.toml", "docs/README.md", "CHANGELOG.md"] {
            assert!(!files.iter().any(|file| file == path), "{path}");
        }
    }
}
