//! Manifests, which users write and apply.

use orderstream_api::{lint, manifest};
use orderstream_core::Timestamp;

use crate::wire::assert_explained;

/// Checks that a text without findings and notes can be parsed for applying, and that every finding
/// has a reason.
pub(crate) fn lint_and_read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let report = lint::lint(text, Timestamp(0));
    for finding in &report.findings {
        assert_explained(&finding.refusal);
    }
    match manifest::read("fuzz.yaml", text) {
        Ok(manifests) => assert_eq!(manifests.len(), report.documents),
        Err(refusal) => {
            assert_explained(&refusal);
            let is_reported = !report.findings.is_empty() || !report.notes.is_empty();
            assert!(is_reported, "refused, and lint found nothing: {refusal}");
        }
    }
}
