//! Tests of the findings of `lint`, and their positions.

use super::*;

/// 2026-11-30T12:00:00Z, the time of all checks here.
const NOW: Timestamp = Timestamp(1_796_040_000_000);

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
    lint(text, NOW).findings.iter().map(describe).collect()
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
        "7:3 award | spec.award and cancel exclude each other; remove one of them, or undo the award",
    ];
    assert_eq!(found, expected);
}

#[test]
fn rules_name_their_field_once() {
    let text = format!("{HEAD}spec:\n  decideWithin: 999d\n");
    let expected = "5:17 999d | spec.decideWithin is not a duration of 0s to 180d; write it as \
        30m, 1h30m or 1d";
    assert_eq!(found(&text), [expected]);
}

#[test]
fn wrong_names_are_marked_themselves() {
    let text = HEAD.replace("chairs", "Chairs!");
    let found = found(&format!("{text}spec: {{}}\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("3:18 Chairs! | metadata.name"), "{found:#?}");
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
    let report = lint(&text, NOW);
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
    assert!(lint("", NOW).findings[0].refusal.message.contains("0 documents"));
    assert!(lint("a: &x [*x, *x]\n", NOW).findings.len() == 1);
}

#[test]
fn json_and_yaml_are_linted_alike() {
    let text = "{\"apiVersion\": \"orderstream.dev/v1alpha1\", \"kind\": \"Seller\",\n  \
                \"metadata\": {\"name\": \"a\"}, \"spec\": {\"capacity\": \"many\"}}\n";
    let found = found(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("2:51 \"many\" | spec.capacity is a text"), "{found:#?}");
}

/// Their findings have the path in the list.
#[test]
fn lists_are_linted_item_by_item() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: orderstream.dev/v1alpha1\n  \
                kind: OrderRequest\n  metadata: {name: a}\n  spec: {sealed: true}\n\
                - apiVersion: orderstream.dev/v1alpha1\n  kind: Seller\n  metadata: {name: b}\n  \
                spec:\n    capacity: none\n    tittle: x\n- 7\n";
    let report = lint(text, NOW);
    assert_eq!((report.documents, report.notes.len()), (3, 0));
    let found = found(text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("12:15 none | items[1].spec.capacity is a text"), "{found:#?}");
    assert!(found[1].starts_with("13:5 tittle | items[1].spec.tittle is not"), "{found:#?}");
    assert!(found[2].starts_with("14:3 7 | items[2] is not a resource"), "{found:#?}");
}

/// Neither is a fault, and neither is applied.
#[test]
fn foreign_and_unnamed_resources_are_noted() {
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: buying}}\n---\n{}spec: {{}}\n---\n{HEAD}spec: {{}}\n",
        HEAD.replace("name: chairs", "generateName: chairs-")
    );
    let report = lint(&text, NOW);
    assert_eq!((report.documents, report.findings.len()), (2, 0));
    let notes: Vec<_> = report
        .notes
        .iter()
        .map(|note| (note.document, note.span.as_ref().unwrap().line, note.message.as_str()))
        .collect();
    assert_eq!(
        notes,
        [
            (1, 2, "Namespace of v1 is not ours; it is not checked, and not applied"),
            (2, 7, "`kubectl create` draws the name; `apply` needs metadata.name"),
        ]
    );
}

/// A date counts to its end in the order's time zone.
#[test]
fn deliveries_in_the_past_are_noted() {
    for (delivery, expected) in [
        ("{delivery: {by: '2020-01-01'}}", 1),
        ("{delivery: {by: '2026-11-30T11:59:59Z'}}", 1),
        ("{delivery: {by: '2026-11-29'}}", 1),
        ("{delivery: {by: '2026-11-30'}}", 0),
        ("{delivery: {by: '2026-11-29'}, timeZone: Pacific/Pago_Pago}", 1),
        ("{delivery: {by: '2026-11-30'}, timeZone: Pacific/Kiritimati}", 1),
        ("{}", 0),
    ] {
        let report = lint(&format!("{HEAD}spec: {delivery}\n"), NOW);
        assert!(report.findings.is_empty(), "{delivery}: {:?}", report.findings);
        assert_eq!(report.notes.len(), expected, "{delivery}: {:?}", report.notes);
        for note in &report.notes {
            assert!(note.message.contains("is past, so no proposal is in time"), "{note:?}");
            assert_eq!(note.span.as_ref().map(|span| span.line), Some(4), "{note:?}");
        }
    }
}

/// `apply` has the same remarks as `lint`.
#[test]
fn numbers_with_base_or_exponent_are_noted() {
    let text = format!(
        "{HEAD}spec:\n  title: Möbel\n  items:\n  - {{sku: '0x1', quantity: 0x10}}\n  - {{sku: B, quantity: 1E2}}\n\
         \x20 delivery: {{latitude: 4.81e1, longitude: 11.5}}\n"
    );
    let report = lint(&text, NOW);
    assert_eq!(report.findings, []);
    let place = |note: &ManifestNote| note.span.as_ref().map(|span| (span.line, span.column));
    let noted: Vec<_> = report.notes.iter().map(|it| (place(it), it.message.as_str())).collect();
    let how = "as by kubectl; write";
    let expected = [
        (Some((7, 28)), format!("spec.items[0].quantity: 0x10 is read as 16, {how} 16")),
        (Some((8, 24)), format!("spec.items[1].quantity: 1E2 is read as 100, {how} 100")),
        (Some((9, 24)), format!("spec.delivery.latitude: 4.81e1 is read as 48.1, {how} 48.1")),
    ];
    assert_eq!(noted.len(), expected.len(), "{noted:?}");
    for ((at, message), (expected_at, expected)) in noted.into_iter().zip(expected) {
        assert_eq!(at, expected_at, "{message}");
        assert!(message.starts_with(&expected), "{message}");
    }
    assert_eq!(notes(&text, NOW), report.notes);
}

#[test]
fn orders_for_nothing_are_noted() {
    for (spec, expected) in [
        ("{items: null, title: null}", 1),
        ("{items: []}", 1),
        ("{title: null, sealed: true}", 1),
        ("{items: null, title: Chairs}", 0),
        ("{items: [{sku: CHAIR, quantity: 1}], title: null}", 0),
    ] {
        let report = lint(&format!("{HEAD}spec: {spec}\n"), NOW);
        assert_eq!(report.notes.len(), expected, "{spec}: {:?}", report.notes);
        let is_named = |note: &ManifestNote| note.message.starts_with("nothing is wanted: ");
        assert!(report.notes.iter().all(is_named), "{spec}: {:?}", report.notes);
    }
}

#[test]
fn duplicate_keys_are_named_in_plain_words() {
    let found = found("a: 1\nb: 2\na: 3\n");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("duplicate mapping key: a; remove one of the two"), "{found:#?}");
    assert!(!found[0].contains("Policy"), "{found:#?}");
}

/// A group that is nearly ours, and a kind of ours in another group, are mistakes.
#[test]
fn misspelt_versions_are_faults() {
    for version in ["orderstream.dev/v1", "orderstream.de/v1alpha1", "v1"] {
        let text = format!("{}spec: {{}}\n", HEAD.replace("orderstream.dev/v1alpha1", version));
        let found = found(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("apiVersion"), "{found:#?}");
    }
}

#[test]
fn the_examples_are_clean() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let report = lint(&std::fs::read_to_string(&path).unwrap(), NOW);
            assert_eq!(report.findings, [], "{}", path.display());
        }
    }
}
