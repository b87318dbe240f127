//! Manifests, which users write and apply.

use orderstream_api::{lint, manifest};

use crate::wire::assert_explained;

/// Checks that a text without findings can be parsed for applying, and that every finding has a
/// reason.
pub(crate) fn lint_and_read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let report = lint::lint(text);
    for finding in &report.findings {
        assert_explained(&finding.refusal);
    }
    match manifest::read("fuzz.yaml", text) {
        Ok(manifests) => assert_eq!(manifests.len(), report.documents),
        Err(refusal) => {
            assert_explained(&refusal);
            assert!(!report.findings.is_empty(), "refused, and lint found nothing: {refusal}");
        }
    }
}
