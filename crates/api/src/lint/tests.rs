//! Tests of the findings of `lint`, and their positions.

use super::*;

/// Returns each finding as `line:column underlined-text | field message`.
fn found(text: &str) -> Vec<String> {
    let describe = |finding: &ManifestFinding| {
        let span = finding.span.as_ref().unwrap();
        let marked = span.source.chars().skip(span.column - 1).take(span.length);
        let field = finding.refusal.field.as_deref().unwrap_or("-");
        let (line, column) = (span.line, span.column);
        let marked: String = marked.collect();
        format!("{line}:{column} {marked} | {field} {}", finding.refusal.message)
    };
    lint(text).findings.iter().map(describe).collect()
}

const HEAD: &str =
    "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: chairs}\n";

#[test]
fn findings_have_line_and_column() {
    let text = format!(
        "# a comment\n{HEAD}spec:\n  tittle: Chairs\n  items:\n    - sku: CHAIR\n      quantity: -1.5\n    \
         - quantity: 2\n  notificationType: Pigeon\n  expiresIn: \"8 hours\"\n"
    );
    let found = found(&text);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(
        found[0].starts_with("6:3 tittle | spec.tittle is not a known field; write title"),
        "{found:#?}"
    );
    assert!(found[1].starts_with("9:17 -1.5 | spec.items[0].quantity"), "{found:#?}");
    assert!(found[2].starts_with("10:7 quantity | spec.items[1].sku is missing"), "{found:#?}");
    assert!(found[3].starts_with("11:21 Pigeon | spec.notificationType 'Pigeon'"), "{found:#?}");
    assert!(found[4].starts_with("12:14 \"8 hours\" | spec.expiresIn"), "{found:#?}");
}

#[test]
fn rules_are_checked_without_a_cluster() {
    let text = format!(
        "{HEAD}spec:\n  delivery: {{latitude: 48.1}}\n  cancel: true\n  award: {{proposalId: p-1}}\n"
    );
    let found = found(&text);
    let expected = [
        "5:3 delivery | spec.delivery latitude and longitude belong together; give both or neither",
        "7:3 award | spec.award award and cancel exclude each other; remove one of them",
    ];
    assert_eq!(found, expected);
}

/// A fault in one part hides no fault in another.
#[test]
fn schema_rules_and_conversion_all_report() {
    let text = format!(
        "{HEAD}spec:\n  sealed: maybe\n  delivery: {{longitude: 1}}\n  sellers: {{maxCount: 5}}\n  \
         ttlAfterFinished: 99d\n  session: \"a\\u0007b\"\n"
    );
    let found = found(&text);
    let fields = ["spec.sealed", "spec.delivery", "spec.ttlAfterFinished", "spec.session"];
    assert_eq!(found.len(), fields.len(), "{found:#?}");
    for (found, field) in found.iter().zip(fields) {
        assert!(found.contains(&format!(" | {field} ")), "{found} is not {field}");
    }
}

#[test]
fn conversion_faults_are_found() {
    let text = format!("{HEAD}spec:\n  items:\n    - {{sku: a, quantity: \"1.1234567\"}}\n");
    let found = found(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("6:26 \"1.1234567\" | spec.items[0].quantity"), "{found:#?}");
}

#[test]
fn each_document_has_its_own_lines() {
    let text = format!("---\n{HEAD}spec: {{}}\n---\n---\n{HEAD}spec:\n  expiresIn: 1s\n");
    let report = lint(&text);
    assert_eq!((report.documents, report.findings[0].document), (2, Some(2)));
    let found = found(&text);
    assert!(found[0].starts_with("12:14 1s | spec.expiresIn"), "{found:#?}");
}

/// It has its position in the text.
#[test]
fn broken_yaml_is_one_finding() {
    let found = found("a: [1, 2\nb: 3\n");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("is not YAML or JSON"), "{found:#?}");
    assert!(lint("").findings[0].refusal.message.contains("0 documents"));
    assert!(lint("a: &x [*x, *x]\n").findings.len() == 1);
}

#[test]
fn json_and_yaml_are_linted_alike() {
    let text = "{\"apiVersion\": \"orderstream.dev/v1alpha1\", \"kind\": \"Seller\",\n  \
                \"metadata\": {\"name\": \"a\"}, \"spec\": {\"capacity\": \"many\"}}\n";
    let found = found(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("2:51 \"many\" | spec.capacity is a text"), "{found:#?}");
}

#[test]
fn the_examples_are_clean() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let report = lint(&std::fs::read_to_string(&path).unwrap());
            assert_eq!(report.findings, [], "{}", path.display());
        }
    }
}
