//! Suggestions for mistyped words.

/// Returns the known word that is nearest to a text, if one is near enough.
pub fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_uppercase().replace(['-', ' ', '_'], "");
    let target = plain(text);
    let scored = known.map(|candidate| {
        (strsim::normalized_damerau_levenshtein(&target, &plain(candidate)), candidate)
    });
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score > 0.5).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["ORDER_SEALED", "ORDER_ENDED", "LOCKED"];
        assert_eq!(nearest("order-sealt", known.into_iter()), Some("ORDER_SEALED"));
        assert_eq!(nearest("LOKED", known.into_iter()), Some("LOCKED"));
        assert_eq!(nearest("weather", known.into_iter()), None);
    }
}
