//! Foreign texts as people see them leave everything beside them as it is.

use orderstream_core::display::{block, line, line_of_bytes, line_of_chars};
use orderstream_core::visible::{folded, is_blank, is_invisible};
use proptest::prelude::*;

/// Line breaks, other control characters, and the flag that tags may follow.
const BREAKS: [char; 7] = ['\n', '\r', '\t', '\u{1b}', '\u{2028}', '\u{85}', '\u{1f3f4}'];

/// Characters that print nothing: the soft hyphen, the grapheme joiner, fillers, selectors and others.
const HIDDEN: [char; 16] = [
    '\u{ad}',
    '\u{34f}',
    '\u{115f}',
    '\u{1160}',
    '\u{180b}',
    '\u{180e}',
    '\u{2060}',
    '\u{2800}',
    '\u{3164}',
    '\u{fe00}',
    '\u{fe0e}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{ffa0}',
    '\u{fff9}',
    '\u{e0100}',
];
/// The invisible characters that every text may have: marks of the direction, and isolates.
const MARKS: [char; 7] =
    ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];

/// Texts with many of the characters that turn, hide or break.
fn texts() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        3 => proptest::char::range('\u{202a}', '\u{202e}'),
        5 => proptest::char::range('\u{2066}', '\u{2069}'),
        2 => proptest::char::range('\u{200b}', '\u{200f}'),
        1 => proptest::char::range('\u{e0000}', '\u{e007f}'),
        2 => prop::sample::select(HIDDEN.to_vec()),
        2 => prop::sample::select(BREAKS.to_vec()),
        3 => proptest::char::range('a', 'd'),
        1 => any::<char>(),
    ];
    let joined = prop::collection::vec(odd, 0..40).prop_map(String::from_iter::<Vec<char>>);
    prop_oneof![3 => joined, 1 => any::<String>()]
}

/// Reports whether an invisible character changes the shape of the one before it: a joiner, a
/// selector or a tag.
fn is_for_the_one_before(letter: char, before: Option<char>) -> bool {
    let Some(before) = before else { return false };
    let is_selected = before == '\u{fe0f}';
    match letter {
        '\u{200c}' | '\u{200d}' => is_selected || (before > '\u{5ff}' && !is_invisible(before)),
        '\u{fe0f}' | '\u{180b}'..='\u{180f}' => !before.is_alphanumeric() || before > '\u{1800}',
        '\u{e0020}'..='\u{e007f}' => matches!(before, '\u{1f3f4}' | '\u{e0020}'..='\u{e007f}'),
        _ => false,
    }
}

/// Checks that a text leaves what stands beside it as it is.
fn stands_alone(text: &str) -> Result<(), TestCaseError> {
    let mut open = 0_usize;
    let mut before = None;
    for letter in text.chars() {
        let has_use = MARKS.contains(&letter) || is_for_the_one_before(letter, before);
        prop_assert!(!is_invisible(letter) || has_use, "{letter:?} is in {text:?}");
        before = Some(letter);
        match letter {
            '\u{2066}'..='\u{2068}' => open += 1,
            '\u{2069}' => {
                prop_assert!(open > 0, "{text:?} ends what it did not begin");
                open -= 1;
            }
            '\n' => prop_assert_eq!(open, 0, "{:?} is open over a line break", text),
            _ => {}
        }
    }
    prop_assert_eq!(open, 0, "{:?} stays open", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn displayed_texts_stand_alone(text in texts(), max in 0..60_usize) {
        let lines =
            [line(&text), line_of_bytes(&text, max), line_of_chars(&text, max)];
        for one in &lines {
            stands_alone(one)?;
            let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            prop_assert!(!one.contains(breaks), "{one:?} is not one line");
        }
        prop_assert!(lines[1].len() <= max && lines[2].chars().count() <= max);
        let many = block(&text);
        stands_alone(&many)?;
        prop_assert!(!many.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    }

    #[test]
    fn displayed_texts_stay_as_they_are(text in texts()) {
        let (one, many) = (line(&text), block(&text));
        prop_assert_eq!(&line(&one), &one);
        prop_assert_eq!(&block(&many), &many);
    }

    #[test]
    fn hidden_characters_change_no_comparison(text in texts()) {
        prop_assert_eq!(folded(&line(&text)), folded(&text));
        prop_assert_eq!(folded(&block(&text)), folded(&text));
        prop_assert_eq!(is_blank(&line(&text)), is_blank(&text));
        let hidden: String = text.chars().flat_map(|letter| [letter, '\u{34f}']).collect();
        prop_assert_eq!(folded(&hidden), folded(&text));
        let is_empty = folded(&text).is_empty();
        prop_assert_eq!(is_empty, is_blank(&text));
    }

    #[test]
    fn visible_letters_are_all_displayed(text in "[a-zäöü\u{5d0}-\u{5ea}\u{627}-\u{64a}\u{4e00}-\u{9fa5} .,:()0-9]{0,40}") {
        prop_assert_eq!(line(&text), text.as_str());
        prop_assert_eq!(block(&text), text.as_str());
    }
}
