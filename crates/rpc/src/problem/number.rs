//! Numbers in queries. A wrong one is refused with its range, and an empty one counts as absent.

use serde::de::{Deserialize as _, Deserializer, Error as _};

/// The largest number of characters of a wrong number that a refusal repeats.
const NUMBER_CHARS_MAX: usize = 40;

/// Reads the size of a page of at most `MAX` entries; `None` for an empty one. A larger one is left
/// to the caller, which has no larger pages.
///
/// # Errors
/// When it is not a whole number.
pub fn page_size<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(deserializer)?;
    number(&text, || format!("from 1 to {MAX}")).map_err(D::Error::custom)
}

/// Reads the number after which a page or a stream begins; the first one for an empty one.
///
/// # Errors
/// When it is not a whole number from 0 to `MAX`.
pub fn position<'de, const MAX: u64, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<u64> + Default,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    let read = number(&text, || format!("from 0 to {MAX}")).map_err(D::Error::custom)?;
    Ok(read.unwrap_or_default())
}

/// Parses a number of digits and nothing else; `None` for an empty text. The range is for people.
fn number<T: TryFrom<u64>>(text: &str, range: impl Fn() -> String) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = digits.and_then(|digits| digits.parse::<u64>().ok());
    parsed.and_then(|number| T::try_from(number).ok()).map(Some).ok_or_else(|| {
        let wrong = text.chars().take(NUMBER_CHARS_MAX).flat_map(char::escape_default);
        format!("is a whole number {}, and this is `{}`", range(), wrong.collect::<String>())
    })
}
