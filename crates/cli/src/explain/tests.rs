//! Tests of the pages: each has its sections, its facts are those of the table, and the index is
//! fresh. `UPDATE=1` rewrites what is generated.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;

fn dir() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors")
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Returns the table of facts that each page has, from the code's one table.
fn facts(reason: Reason) -> String {
    let status = http::StatusCode::from_u16(reason.http_status()).unwrap();
    let title = status.canonical_reason().unwrap();
    let retry = if reason.is_retriable() { "later, as it is" } else { "not as it is" };
    format!(
        "| gRPC | HTTP | try again |\n|---|---|---|\n| {} ({}) | {} {title} | {retry} |",
        code::name(reason.grpc_code()),
        reason.grpc_code(),
        status.as_u16(),
    )
}

/// They are the status codes of its reason, in the code's one table.
#[test]
fn every_page_has_fresh_facts() {
    for reason in Reason::ALL {
        let path = dir().join(format!("{}.md", reason.as_str()));
        let text = std::fs::read_to_string(&path).unwrap();
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        let expected = facts(reason);
        if is_update() && !text.contains(&expected) {
            let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with('|')).collect();
            let at = rest.iter().position(|line| line.starts_with("## ")).unwrap();
            let (head, tail) = rest.split_at(at);
            let head = head.join("\n");
            let page = format!("{}\n\n{expected}\n\n{}\n", head.trim_end(), tail.join("\n"));
            std::fs::write(&path, page).unwrap();
            continue;
        }
        let name = reason.as_str();
        assert!(text.contains(&expected), "{name} is stale: {found:?}; run once with UPDATE=1");
    }
}

/// Cause, how to see it, fix, and where it appears; and a summary of one short sentence.
#[test]
fn every_page_has_all_sections() {
    for reason in Reason::ALL {
        let (name, page) = (reason.as_str(), page(reason));
        assert!(page.starts_with(&format!("# {name}\n\n")), "{name} begins with its name");
        for part in ["## Cause", "## How to see it", "## Fix", "## Where it appears"] {
            let body = page.split_once(&format!("{part}\n\n")).map(|(_, rest)| rest);
            let body = body.and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
            assert!(body.trim().len() > 40, "{name} says too little under '{part}'");
        }
        assert!(page.lines().all(|line| line.chars().count() <= 110), "{name} has long lines");
        let summary = pages::summary(reason);
        assert!(summary.len() < 100 && summary.ends_with('.'), "{name}: '{summary}'");
    }
}

#[test]
fn removed_reasons_have_no_page() {
    for entry in std::fs::read_dir(dir()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".md").unwrap();
        assert!(stem == "README" || Reason::parse(stem).is_some(), "{name} is of no reason");
    }
}

#[test]
fn the_index_lists_every_reason() {
    let mut index = String::from(
        "# Reasons\n\nEvery refusal has one of these words: in `reason` of problem+json, in \
         `ErrorInfo.reason` of a gRPC\nstatus, in conditions, and in `[…]` behind what the commands \
         say. Their spelling never changes.\n`orderstream explain REASON` prints the page.\n\n\
         | reason | HTTP | gRPC | means |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let Explanation { reason, summary, grpc, http, .. } = explanation(reason);
        writeln!(index, "| [{reason}]({reason}.md) | {http} | {grpc} | {summary} |").unwrap();
    }
    let path = dir().join("README.md");
    if is_update() {
        std::fs::write(&path, &index).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == index, "docs/reference/errors/README.md is stale; run once with UPDATE=1");
}

/// For a mistyped reason, the nearest one is suggested.
#[test]
fn reasons_parse_in_any_spelling() {
    for text in ["ORDER_SEALED", "order-sealed", " Order Sealed ", "[ORDER_SEALED]"] {
        assert_eq!(parse_reason(text).ok(), Some(Reason::OrderSealed), "{text}");
    }
    let wrong = parse_reason("ORDER_SEALT").unwrap_err().to_string();
    assert!(wrong.contains("did you mean ORDER_SEALED?"), "{wrong}");
}
