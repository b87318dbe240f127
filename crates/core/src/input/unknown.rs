//! The refusal of a field that nothing reads.

use crate::refusal::Refusal;

/// The largest number of known fields that one refusal lists; no group of fields has as many.
const LISTED_MAX: usize = 32;
/// The largest number of characters of a path that a refusal repeats.
const PATH_CHARS_MAX: usize = 256;
/// The likeness from which a known field is taken for the one that was meant; 1 is the same.
const LIKENESS_MIN: f64 = 0.6;

/// Returns the refusal of an unknown field at `path`, whose last part is `name`. It names the known
/// one that was most likely meant, or else those that there are.
pub fn unknown_field<'a>(
    path: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Refusal {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '-'], "");
    let target = plain(name);
    let likeness = |key: &str| strsim::normalized_damerau_levenshtein(&plain(key), &target);
    let scored = known.clone().map(|key| (likeness(key), key));
    let meant =
        scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(score, _)| *score > LIKENESS_MIN);
    let listed: Vec<_> = known.clone().take(LISTED_MAX).collect();
    let more = if known.count() > LISTED_MAX { ", …" } else { "" };
    let fix = match meant {
        Some((_, key)) => format!("write {key}, or remove it"),
        None if listed.is_empty() => "remove it".to_owned(),
        None => format!("use one of {}{more}, or remove it", listed.join(", ")),
    };
    let path: String = path.chars().take(PATH_CHARS_MAX).flat_map(char::escape_default).collect();
    Refusal::field(path, format!("is not a known field; {fix}"))
}
