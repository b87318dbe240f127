//! Manifests: what people write and apply.

use orderstream_controller::{lint, manifest};

use crate::wire::explained;

/// A text that the lint finds nothing wrong in is read by whoever applies it, and whatever is wrong
/// has a reason.
pub(crate) fn linted_and_read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let report = lint::lint(text);
    for finding in &report.findings {
        explained(&finding.refusal);
    }
    match manifest::read("fuzz.yaml", text) {
        Ok(manifests) => assert_eq!(manifests.len(), report.documents),
        Err(refusal) => {
            explained(&refusal);
            assert!(!report.findings.is_empty(), "refused, and lint found nothing: {refusal}");
        }
    }
}
