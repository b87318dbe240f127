//! Lint, and the reading of files, judge the table of manifests; the other readers judge it in the
//! tests of their crates.

use orderstream_core::Timestamp;
use orderstream_testbed::{ManifestCase, ManifestReading};
use serde_json::Value;

use crate::lint::lint;
use crate::manifest::{Manifest, read};

#[test]
fn lint_judges_manifests_as_the_table_says() {
    for case in ManifestCase::all() {
        let report = lint(&case.text, Timestamp(0));
        let fields: Vec<_> =
            report.findings.iter().map(|it| it.refusal.field.as_deref().unwrap_or("-")).collect();
        match case.reading {
            ManifestReading::Refused => assert_eq!(fields, [case.field.as_str()], "{}", case.text),
            ManifestReading::Taken | ManifestReading::Created => {
                assert_eq!(fields, [""; 0], "{}: {:?}", case.text, report.findings);
            }
        }
        let notes: Vec<_> = report.notes.iter().map(|note| note.message.as_str()).collect();
        assert_eq!(notes.len(), case.notes.len(), "{}: {notes:?}", case.text);
        for (note, expected) in notes.iter().zip(&case.notes) {
            assert!(note.contains(expected.as_str()), "{}: {note}", case.text);
        }
    }
}

#[test]
fn files_are_read_as_the_table_says() {
    for case in ManifestCase::all() {
        let manifests = read("table.yaml", &case.text);
        if case.reading != ManifestReading::Taken {
            let refusal = manifests.expect_err(&case.text);
            assert_eq!(refusal.field.as_deref(), Some(case.field.as_str()), "{}", case.text);
            continue;
        }
        let manifests = manifests.unwrap_or_else(|refusal| panic!("{}: {refusal}", case.text));
        let spec = match &manifests[0] {
            Manifest::OrderRequest(resource) => serde_json::to_value(&resource.spec),
            Manifest::Seller(resource) => serde_json::to_value(&resource.spec),
        };
        let differences = case.differences(&spec.unwrap_or(Value::Null));
        assert_eq!(differences, Vec::<String>::new(), "{}", case.text);
    }
}

/// A finding says what became of a word that does not look like its value.
#[test]
fn findings_explain_words_that_kubectl_reads() {
    let head = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: a}\n";
    let report = lint(&format!("{head}spec: {{title: off}}\n"), Timestamp(0));
    let messages: Vec<_> = report.findings.iter().map(|it| it.refusal.message.as_str()).collect();
    assert_eq!(
        messages,
        ["is a boolean; give a text; put it in quotes (kubectl reads off as false)"]
    );
    assert_eq!(report.notes, []);
}
