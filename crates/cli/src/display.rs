//! Strangers' text on a terminal: it cannot turn, hide or forge what stands beside it. Sellers and
//! buyers write titles, notes and messages, and their servers write errors.

use orderstream_core::display::line;

/// Opens an isolate whose direction is that of its first strong letter (FSI).
const ISOLATE: char = '\u{2068}';
/// Closes an isolate (PDI).
const CLOSE: char = '\u{2069}';

/// Makes a text safe to print on one line, beside others: as [`line()`] does, and a text with letters
/// from right to left is isolated as a whole.
pub fn displayed(text: &str) -> String {
    let safe = line(text);
    if safe.contains(is_right_to_left) { format!("{ISOLATE}{safe}{CLOSE}") } else { safe }
}

/// Reports whether a character runs from right to left, or makes its neighbours do so: the letters
/// of Hebrew, Arabic and their relatives, and the marks.
const fn is_right_to_left(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}'
        | '\u{200f}'
        | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_turn_or_hide_text() {
        for (text, expected) in [
            // The end of a name cannot pose as its extension.
            ("safe\u{202e}gnp.exe", "safegnp.exe"),
            ("a\u{202a}b\u{202c}c", "abc"),
            // What is opened is closed, and nothing else.
            ("b\u{2066}c", "b\u{2066}c\u{2069}"),
            ("b\u{2067}c\u{2068}d", "b\u{2067}c\u{2068}d\u{2069}\u{2069}"),
            ("b\u{2066}c\u{2069}d\u{2069}", "b\u{2066}c\u{2069}d"),
            // What prints nothing is left out.
            ("ac\u{200b}me\u{feff}\u{2060}", "acme"),
            ("ac\u{e0061}me", "acme"),
            ("ac\u{ad}m\u{fe0f}\u{fe00}e\u{34f}\u{e0001}", "acme"),
            // One line stays one line, and no code reaches the terminal.
            ("a\u{2028}b\u{2029}c\r\nd", "a b c  d"),
            ("from\nstock\x1b[31m", "from stock [31m"),
        ] {
            assert_eq!(displayed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn scripts_and_emoji_stay_as_they_are() {
        for text in [
            "Bürostühle für München",
            "椅子と机 四十脚",
            // A family of three, joined, and a heart with its variant.
            "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f}",
            // Persian and Hindi need the joiners inside of words.
            "क्\u{200d}ष",
        ] {
            assert_eq!(displayed(text), text);
        }
        for text in ["كراسي مكتب", "כיסאות", "می\u{200c}خواهم"] {
            assert_eq!(displayed(text), format!("\u{2068}{text}\u{2069}"));
        }
    }

    /// However it is cut, a text opens as many isolates as it closes.
    #[test]
    fn isolates_are_balanced() {
        let open = ['\u{2066}', '\u{2067}', '\u{2068}'];
        let parts = ["\u{2066}", "\u{2069}", "\u{202e}", "א", "x", "\u{2068}"];
        for number in 0..parts.len().pow(4) {
            let digits = (0..4_u32).map(|place| number / parts.len().pow(place) % parts.len());
            let text: String = digits.map(|digit| parts[digit]).collect();
            let mut depth = 0_i32;
            for c in displayed(&text).chars() {
                depth += i32::from(open.contains(&c)) - i32::from(c == '\u{2069}');
                assert!(depth >= 0, "{text:?}");
            }
            assert_eq!(depth, 0, "{text:?}");
        }
    }
}
