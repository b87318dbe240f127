//! The comparison of what a command printed with what a page shows. Times, lengths of time and ids
//! that are drawn stand for any others, blanks between columns for any number of blanks, and `…` for
//! any text, or, alone on its line, for any lines.

/// The sign of a page for what it leaves out.
const LEFT_OUT: char = '…';
/// The shapes of drawn and changing words: `9` is a digit, `x` a hexadecimal one, and what follows
/// each is its mark. Longer shapes come first.
const SHAPES: [(&str, &str); 4] = [
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "<id>"),
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "<id>"),
    ("9999-99-99T99:99:99", "<time>"),
    ("99:99:99", "<time>"),
];

/// Reports whether the whole output is as the page shows it.
pub(super) fn is_same(expected: &[&str], printed: &str) -> bool {
    let expected = expected.join("\n");
    let expected: Vec<String> = expected.trim_end().lines().map(masked).collect();
    let printed: Vec<String> = printed.trim_end().lines().map(masked).collect();
    are_same(&expected, &printed)
}

/// Reports whether every line of the page was printed, in whatever order: what runs at the same time
/// has none.
pub(super) fn has_all(expected: &[&str], printed: &str) -> bool {
    let printed: Vec<String> = printed.lines().map(|line| unnumbered(&masked(line))).collect();
    let mut expected = expected.iter().map(|line| unnumbered(&masked(line)));
    expected.all(|line| printed.iter().any(|other| is_same_line(&line, other)))
}

fn are_same(expected: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return printed.is_empty() };
    if first.chars().eq([LEFT_OUT]) {
        return (0..=printed.len()).any(|skipped| are_same(rest, &printed[skipped..]));
    }
    printed
        .split_first()
        .is_some_and(|(line, others)| is_same_line(first, line) && are_same(rest, others))
}

fn is_same_line(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split(LEFT_OUT);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Returns a line in which changing words are marked, and one blank stands between words.
fn masked(line: &str) -> String {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut text, mut rest) = (String::new(), line.as_str());
    while let Some(letter) = rest.chars().next() {
        let is_within_word = text.chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
        let shape = SHAPES.iter().find(|(shape, _)| !is_within_word && has_shape(rest, shape));
        if let Some((shape, mark)) = shape {
            text.push_str(mark);
            rest = &rest[shape.len()..];
            if *mark == "<time>" {
                rest = behind_zone(rest);
            }
        } else if let Some(length) = length_of_time(rest) {
            text.push_str("(<length>)");
            rest = &rest[length..];
        } else {
            text.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    text
}

fn has_shape(text: &str, shape: &str) -> bool {
    let mut letters = text.chars();
    let fits = |expected: char, letter: char| match expected {
        '9' => letter.is_ascii_digit(),
        'x' => letter.is_ascii_hexdigit(),
        other => other == letter,
    };
    shape.chars().all(|expected| letters.next().is_some_and(|letter| fits(expected, letter)))
        && letters.next().is_none_or(|letter| !letter.is_ascii_alphanumeric() || letter == 'Z')
}

/// Returns what follows the fraction and the zone of a time.
fn behind_zone(text: &str) -> &str {
    let text = match text.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => text,
    };
    match text.strip_prefix('Z') {
        Some(rest) => rest,
        None if has_shape(text, "+99:99") || has_shape(text, "-99:99") => &text[6..],
        None => text,
    }
}

/// Returns the bytes of a distance in time at the begin of a text, such as `(in 28m 10s)`.
fn length_of_time(text: &str) -> Option<usize> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let length = inner.strip_prefix("in ").or_else(|| inner.strip_suffix(" ago"))?;
    let is_unit = |word: &str| {
        let digits = word.trim_end_matches(['d', 'h', 'm', 's']);
        !digits.is_empty()
            && digits.len() < word.len()
            && digits.chars().all(|c| c.is_ascii_digit())
    };
    length.split(' ').all(is_unit).then_some(inner.len() + 2)
}

/// Returns a line in which the number of an event is marked: what runs at the same time is numbered
/// as it comes.
fn unnumbered(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.strip_prefix('#') {
        Some(number) if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()) => "#N",
        Some(_) | None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_words_stand_for_others() {
        for (expected, printed) in [
            ("#1  2026-11-23T20:35:25Z  a", "#1 2027-01-01T00:00:00.25+01:00    a"),
            (
                "id 01a20a1e-f3d0-7128-9257-d0b4b84fc630.",
                "id 6f1f9a3b-7c59-4c0e-9d5e-2f6a1c7b8d90.",
            ),
            ("f cli-00112233445566778899aabbccddeeff", "f cli-ffeeddccbbaa99887766554433221100"),
            ("at 2026-11-23T20:35:25Z (in 28m 10s)", "at 2026-11-23T21:35:25Z (in 1h)"),
            ("3 of 10: a, …", "3 of 10: a, b, c"),
            ("a … c … e", "a b c d e"),
        ] {
            assert!(is_same(&[expected], printed), "{expected} | {printed}");
        }
        for (expected, printed) in [
            ("price 7418.40 EUR", "price 7418.41 EUR"),
            ("p-1", "p-2"),
            ("phase (in doubt)", "phase (in hope)"),
            ("a … c", "a b"),
        ] {
            assert!(!is_same(&[expected], printed), "{expected} | {printed}");
        }
    }

    #[test]
    fn left_out_lines_are_any() {
        assert!(is_same(&["a", "…", "d"], "a\nb\nc\nd\n"));
        assert!(is_same(&["a", "…"], "a\n"));
        assert!(!is_same(&["a", "…", "d"], "a\nb\n"));
        assert!(!is_same(&["a"], "a\nb\n"));
    }

    #[test]
    fn concurrent_lines_have_no_order() {
        assert!(has_all(&["x #3 a", "x #4 b"], "log\nx #3  b\nx #4  a\n"));
        assert!(!has_all(&["x #3 a", "x #4 c"], "x #3 a\nx #4 b\n"));
    }
}
