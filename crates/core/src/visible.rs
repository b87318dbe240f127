//! Characters that print nothing, and what follows from them: a text without any other character is
//! blank, and texts that differ only in them read alike.

use unicode_normalization::UnicodeNormalization as _;

/// Reports whether a character prints nothing though it is no blank: those that Unicode lets every
/// program leave out (`Default_Ignorable_Code_Point`), annotations, and letters without a shape.
pub const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        // The soft hyphen, the grapheme joiner, and the mark of Arabic.
        '\u{ad}' | '\u{34f}' | '\u{61c}'
        // The fillers of Hangul, the inherent vowels of Khmer, the selectors of Mongolian.
        | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        // Blanks without a width, joiners, marks, and all that turns a text.
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        // The empty pattern of Braille, and the empty note of music.
        | '\u{2800}' | '\u{1d159}'
        // The variation selectors, the byte order mark, and annotations.
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        // The formats of shorthand and music; tags, and further selectors.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Reports whether people can see a character.
pub fn is_visible(letter: char) -> bool {
    !(letter.is_whitespace() || letter.is_control() || is_invisible(letter))
}

/// Reports whether a text has no visible character.
pub fn is_blank(text: &str) -> bool {
    !text.chars().any(is_visible)
}

/// Returns the form of a text by which it is compared: two texts that differ only in their case, in
/// blanks, in invisible characters or in the width and style of their letters (NFKC) are equal.
pub fn folded(text: &str) -> String {
    let visible = text.chars().filter(|letter| is_visible(*letter));
    // Letters of another style may be capital ones, and small letters may compose.
    let folded = visible.nfkc().flat_map(char::to_lowercase).nfkc();
    folded.filter(|letter| is_visible(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_texts_have_no_visible_character() {
        for text in [
            "",
            " \t\r\n",
            "\u{a0}\u{3000}\u{2028}\u{85}",
            "\u{2800}",
            "\u{3164}\u{ffa0}\u{115f}\u{1160}",
            "\u{200b}\u{2060}\u{feff}",
            "\u{ad}\u{34f}\u{180e}",
            "\u{200d}\u{200e}\u{2068}\u{2069}",
            "\u{fe0f}\u{e0001}\u{e0041}\u{e0100}",
        ] {
            assert!(is_blank(text), "{text:?}");
            assert_eq!(folded(text), "", "{text:?}");
        }
        for text in
            ["a", " . ", "\u{200b}0", "椅", "\u{5e9}\u{200f}", "\u{2801}", "\u{2764}\u{fe0f}"]
        {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn texts_that_read_alike_are_equal() {
        for (text, expected) in [
            ("Buyer", "buyer"),
            ("\u{ff22}\u{ff35}\u{ff39}\u{ff25}\u{ff32}", "buyer"),
            ("b\u{200b}u\u{ad}y\u{34f}e\u{3164}r", "buyer"),
            (" b u\u{3000}y e r\n", "buyer"),
            ("\u{1d401}uyer", "buyer"),
            ("\u{200e}Möbel Neu GmbH", "möbelneugmbh"),
            ("Mo\u{308}bel\u{200b} Neu GmbH ", "möbelneugmbh"),
            ("o\u{34f}\u{308}", "ö"),
            ("J\u{30c}", "\u{1f0}"),
            ("\u{1f0}", "\u{1f0}"),
            ("ＡＢＣ－１", "abc-1"),
            ("\u{2764}\u{fe0f}", "\u{2764}"),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_that_read_otherwise_stay_apart() {
        for (one, other) in [
            ("Möbel Neu", "Möbel Alt"),
            ("Mobel", "Möbel"),
            ("A", "A+"),
            ("1.5", "15"),
            ("from-stock", "from stock"),
        ] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }
}
