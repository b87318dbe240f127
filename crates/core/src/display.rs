//! Texts of other parties as people see them beside further text: in a terminal, a mail, a table or
//! a status. Such a text can neither turn, hide nor forge what stands beside it.
//!
//! - **Direction.** Embeddings and overrides (U+202A to U+202E) are left out. An isolate that is not
//!   closed is closed at the end of its paragraph, and an end without a beginning is left out. Letters
//!   of every script, their order, and the marks LRM, RLM and ALM stay as they are.
//! - **Hidden characters.** Those that print nothing are left out, and letters without a shape become
//!   blanks. The joiners ZWJ and ZWNJ stay after letters of the scripts that need them and within
//!   emoji, and a variation selector after the sign or the letter that it is for.
//! - **Line breaks.** A line has none: each becomes a blank, as every control character does. In a
//!   block each becomes `\n`, and other control characters except tabs are left out.
//!
//! What is stored and sent to programs is not changed by this.

use crate::visible::{is_invisible, is_visible};

/// The end of an isolate (PDI).
const ISOLATE_END: char = '\u{2069}';
/// The flag that tags may follow: together they are the flag of a region.
const BLACK_FLAG: char = '\u{1f3f4}';
/// The selector of a sign's form as an emoji (VS16).
const AS_EMOJI: char = '\u{fe0f}';
/// The last character before the scripts that have joiners.
const LAST_UNJOINED: char = '\u{5ff}';

/// The number of lines of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextForm {
    Line,
    Block,
}

/// Returns a text as one line.
pub fn line(text: &str) -> String {
    displayed(text, TextForm::Line, DisplayText::new(usize::MAX, char::len_utf8))
}

/// Returns the beginning of a text as one line of at most `bytes_max` bytes.
pub fn line_of_bytes(text: &str, bytes_max: usize) -> String {
    displayed(text, TextForm::Line, DisplayText::new(bytes_max, char::len_utf8))
}

/// Returns the beginning of a text as one line of at most `chars_max` characters.
pub fn line_of_chars(text: &str, chars_max: usize) -> String {
    displayed(text, TextForm::Line, DisplayText::new(chars_max, |_| 1))
}

/// Returns a text with its line breaks and tabs.
pub fn block(text: &str) -> String {
    displayed(text, TextForm::Block, DisplayText::new(usize::MAX, char::len_utf8))
}

fn displayed(text: &str, form: TextForm, mut written: DisplayText) -> String {
    let mut is_in_flag = false;
    let mut previous = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_tag = matches!(letter, '\u{e0020}'..='\u{e007f}');
        is_in_flag = letter == BLACK_FLAG || (is_in_flag && is_tag);
        let letter = match letter {
            tag if is_tag => is_in_flag.then_some(tag),
            // The line feed after it is the break.
            '\r' if form == TextForm::Block && letters.peek() == Some(&'\n') => None,
            other => letter_of(other, previous, form),
        };
        let Some(letter) = letter else { continue };
        previous = Some(letter);
        if !written.push(letter) {
            break;
        }
    }
    written.close();
    written.text
}

/// Returns the character that stands for one of a text, after the previous one that is displayed;
/// `None` for nothing.
fn letter_of(letter: char, previous: Option<char>, form: TextForm) -> Option<char> {
    match (letter, form) {
        ('\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}', TextForm::Block) => {
            Some('\n')
        }
        ('\t', TextForm::Block) => Some('\t'),
        ('\u{2028}' | '\u{2029}', TextForm::Line) => Some(' '),
        (control, TextForm::Line) if control.is_control() => Some(' '),
        (control, TextForm::Block) if control.is_control() => None,
        // Braille and Hangul have letters without a shape, which make a name look empty.
        ('\u{2800}' | '\u{3164}' | '\u{ffa0}', _) => Some(' '),
        (hidden, _) if is_invisible(hidden) => is_needed(hidden, previous).then_some(hidden),
        (visible, _) => Some(visible),
    }
}

/// Reports whether a character that prints nothing has a use in a text that is only read, and turns
/// nothing that is not closed.
fn is_needed(letter: char, previous: Option<char>) -> bool {
    match (letter, previous) {
        // Marks of the direction, and isolates with their end.
        ('\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..=ISOLATE_END, _) => true,
        ('\u{200c}' | '\u{200d}', Some(previous)) => is_joined(previous),
        (AS_EMOJI, Some(previous)) => is_sign(previous),
        ('\u{180b}'..='\u{180d}' | '\u{180f}', Some('\u{1820}'..='\u{18aa}')) => true,
        _ => false,
    }
}

/// Reports whether a joiner may follow: after a letter of Arabic, of Indic and other scripts, or after
/// an emoji.
fn is_joined(previous: char) -> bool {
    let is_letter = previous > LAST_UNJOINED && is_visible(previous);
    is_letter || previous == AS_EMOJI
}

/// Reports whether a character is a sign that has a form as an emoji.
const fn is_sign(letter: char) -> bool {
    matches!(
        letter,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2100}'..='\u{27bf}'
        | '\u{2900}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}'
    )
}

/// A text with a limit of its size, in which every isolate is closed.
#[derive(Debug)]
struct DisplayText {
    text: String,
    /// The isolates that are open.
    open: usize,
    size: usize,
    size_max: usize,
    /// Returns the size of a character.
    size_of: fn(char) -> usize,
}

impl DisplayText {
    const fn new(size_max: usize, size_of: fn(char) -> usize) -> Self {
        Self { text: String::new(), open: 0, size: 0, size_max, size_of }
    }

    /// Appends a character, unless it ends no isolate; reports whether it fits, together with the
    /// ends of all isolates that are open then.
    fn push(&mut self, letter: char) -> bool {
        let open = match (letter, self.open) {
            ('\u{2066}'..='\u{2068}', open) => open.saturating_add(1),
            (ISOLATE_END, 0) => return true,
            (ISOLATE_END, open) => open.saturating_sub(1),
            // A paragraph ends the isolates that are open in it.
            ('\n', 1..) => {
                self.close();
                0
            }
            (_, open) => open,
        };
        let size = self.size.saturating_add((self.size_of)(letter));
        let ends = open.saturating_mul((self.size_of)(ISOLATE_END));
        if size.saturating_add(ends) > self.size_max {
            return false;
        }
        self.text.push(letter);
        (self.size, self.open) = (size, open);
        true
    }

    /// Closes all isolates; their ends fit.
    fn close(&mut self) {
        for _ in 0..self.open {
            self.text.push(ISOLATE_END);
            self.size = self.size.saturating_add((self.size_of)(ISOLATE_END));
        }
        self.open = 0;
    }
}

#[cfg(test)]
mod tests {
    //! Tests of single texts; `tests/properties/display.rs` has what holds for all.

    use super::*;

    /// Joined emoji, the flag of Scotland, and signs as emoji.
    const EMOJI: &str = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} \
        \u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} \u{2764}\u{fe0f} \
        \u{2764}\u{fe0f}\u{200d}\u{1f525} \u{1f469}\u{1f3fd}\u{200d}\u{1f4bb}";

    #[test]
    fn foreign_texts_cannot_turn_or_hide() {
        for (text, expected) in [
            ("safe \u{202e}gnp.exe", "safe gnp.exe"),
            ("a \u{202b}b\u{202c} c", "a b c"),
            ("a \u{202e} b \u{2066} c", "a  b \u{2066} c\u{2069}"),
            ("\u{2068}open", "\u{2068}open\u{2069}"),
            ("\u{2067}\u{2068}two", "\u{2067}\u{2068}two\u{2069}\u{2069}"),
            ("\u{2068}closed\u{2069} after", "\u{2068}closed\u{2069} after"),
            ("\u{2069}no beginning", "no beginning"),
            ("100\u{200b}0 \u{2060}EUR\u{feff}", "1000 EUR"),
            ("pay\u{ad}pal", "paypal"),
            ("a\u{34f}b\u{115f}c\u{1160}d\u{180e}e", "abcde"),
            ("a\u{fe0f}b\u{fe00}c\u{fe0e}d\u{e0100}", "abcd"),
            ("1\u{fe0f} \u{2800}\u{fe0f} \u{fe0f}", "1   "),
            ("bu\u{200d}yer\u{200c} \u{200d}", "buyer "),
            ("\u{1f468}\u{200d}\u{200d}\u{fe0f}", "\u{1f468}\u{200d}"),
            ("\u{2764}\u{fe0f}\u{fe0f}\u{fe0e}", "\u{2764}\u{fe0f}"),
            ("\u{3164}", " "),
            ("hidden\u{e0041}\u{e0042}", "hidden"),
            ("two\u{2028}lines\u{2029}three", "two lines three"),
            ("a\nb\tc\u{1b}[31m\u{7}", "a b c [31m "),
            ("a\r\nb", "a  b"),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn blocks_keep_lines_and_close_each() {
        for (text, expected) in [
            ("one\r\ntwo\rthree\n\nfour", "one\ntwo\nthree\n\nfour"),
            ("a\u{2028}b\u{2029}c\u{85}d\u{c}e", "a\nb\nc\nd\ne"),
            ("a\tb\u{7}\u{1b}[0m", "a\tb[0m"),
            ("\u{2068}open\nnext\u{2069}", "\u{2068}open\u{2069}\nnext"),
            ("safe \u{202e}gnp.exe", "safe gnp.exe"),
        ] {
            assert_eq!(block(text), expected, "{text:?}");
        }
    }

    #[test]
    fn scripts_and_emoji_stay_untouched() {
        for text in [
            "",
            "Schrauben M8×40, verzinkt – 4 €",
            "عرض أسعار رقم 17",
            "הצעה 100 ש\"ח",
            "\u{200f}שלום\u{200e} ok",
            "می\u{200c}خواهم",
            "क\u{94d}\u{200d}ष",
            "椅子　30脚",
            "\u{1820}\u{180b}",
            EMOJI,
        ] {
            assert_eq!(line(text), text);
            assert_eq!(block(text), text);
        }
    }

    /// The end of an isolate is a part of the size.
    #[test]
    fn limits_hold_with_closed_isolates() {
        for (text, bytes_max, expected) in [
            ("plain", 3, "pla"),
            ("äöü", 5, "äö"),
            ("äöü", 0, ""),
            ("\u{2068}abc", 8, "\u{2068}ab\u{2069}"),
            ("\u{2068}abc", 5, ""),
            ("\u{2068}a\u{2069}b", 7, "\u{2068}a\u{2069}"),
        ] {
            assert_eq!(line_of_bytes(text, bytes_max), expected, "{text:?}");
        }
        assert_eq!(line_of_chars("äöü", 2), "äö");
        assert_eq!(line_of_chars("\u{2068}äöü", 4), "\u{2068}äö\u{2069}");
    }
}
