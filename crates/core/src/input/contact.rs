//! Contacts as received, and the one conversion into the strict form.

use serde::{Deserialize, Serialize};

use super::{each, null_is_absent, text, url_text};
use crate::limits::{CHANNELS_MAX, LANGUAGE_CHARS_MAX, LINE_CHARS_MAX};
use crate::refusal::Refusal;
use crate::spec::{Channel, Contact, NotificationType};

/// The contact of a buyer or seller, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContactInput {
    /// The channels, the preferred one first.
    #[serde(deserialize_with = "null_is_absent")]
    pub channels: Vec<ChannelInput>,
    /// The language, a BCP 47 tag.
    pub language: Option<String>,
}

/// One way to reach a recipient, as received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelInput {
    /// The kind of channel: `GChat`, `Email`, `SMS` or `Webhook`, in any case.
    #[serde(deserialize_with = "null_is_absent", rename = "type")]
    pub kind: String,
    /// A mail address, a telephone number or a URL.
    #[serde(deserialize_with = "null_is_absent")]
    pub address: String,
}

impl TryFrom<ContactInput> for Contact {
    type Error = Refusal;

    fn try_from(input: ContactInput) -> Result<Self, Refusal> {
        Ok(Self {
            channels: each("channels", input.channels, CHANNELS_MAX, Channel::try_from)?,
            language: input.language.filter(|tag| !tag.is_empty()).map(language).transpose()?,
        })
    }
}

impl TryFrom<ChannelInput> for Channel {
    type Error = Refusal;

    fn try_from(input: ChannelInput) -> Result<Self, Refusal> {
        let kind = NotificationType::parse(&input.kind).ok_or_else(|| {
            Refusal::field("type", "is unknown; use GChat, Email, SMS or Webhook")
        })?;
        let address = match kind {
            NotificationType::Email => mail_address(input.address)?,
            NotificationType::Sms => telephone(input.address)?,
            NotificationType::GChat | NotificationType::Webhook => {
                url_text("address", input.address)?
            }
        };
        Ok(Self { kind, address })
    }
}

/// Checks a mail address: text before and after one `@`, and no blanks or separators. The mail
/// server decides the rest.
fn mail_address(value: String) -> Result<String, Refusal> {
    let value = text("address", value, LINE_CHARS_MAX)?;
    let is_address =
        value.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty())
            && value.matches('@').count() == 1
            && !value.contains(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>'));
    if is_address {
        return Ok(value);
    }
    Err(Refusal::field("address", "is not a mail address; write name@example.com"))
}

/// Checks a telephone number as in E.164: a plus and 7 to 15 digits.
fn telephone(value: String) -> Result<String, Refusal> {
    let digits = value.strip_prefix('+').unwrap_or_default();
    if (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(value);
    }
    Err(Refusal::field("address", "is not a telephone number; write +491711234567 (E.164)"))
}

/// Checks the shape of a BCP 47 language tag: a language of letters, then subtags.
///
/// # Errors
/// Refuses another shape, names `language` and gives an example.
pub fn language(tag: String) -> Result<String, Refusal> {
    let is_subtag = |(place, part): (usize, &str)| {
        let is_language = place > 0 || part.bytes().all(|b| b.is_ascii_alphabetic());
        let shortest = if place == 0 { 2 } else { 1 };
        is_language
            && (shortest..=8).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if tag.len() <= LANGUAGE_CHARS_MAX && tag.split('-').enumerate().all(is_subtag) {
        return Ok(tag);
    }
    Err(Refusal::field(
        "language",
        format!(
            "is not a language tag such as de or pt-BR of at most {LANGUAGE_CHARS_MAX} letters"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(kind: &str, address: &str) -> bool {
        let (kind, address) = (kind.to_owned(), address.to_owned());
        match Channel::try_from(ChannelInput { kind, address: address.clone() }) {
            Ok(channel) => channel.address == address,
            Err(refusal) => {
                assert_eq!(refusal.field.as_deref(), Some("address"), "{address}");
                false
            }
        }
    }

    #[test]
    fn mail_addresses_have_two_sides() {
        for address in ["a@b", "einkauf+1@büro.example", "o'neil@x-y.example"] {
            assert!(is_accepted("email", address), "{address}");
        }
        for address in
            ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b,c@d", "a;b@c", "<a@b>", "a@b>", "a@b\t"]
        {
            assert!(!is_accepted("email", address), "{address}");
        }
    }

    #[test]
    fn telephone_numbers_have_seven_to_fifteen_digits() {
        for address in ["+1234567", "+491711234567", "+123456789012345"] {
            assert!(is_accepted("SMS", address), "{address}");
        }
        for address in ["", "+", "1234567", "+123456", "+1234567890123456", "+49171 1234567"] {
            assert!(!is_accepted("SMS", address), "{address}");
        }
    }

    #[test]
    fn language_tags_are_letters_then_subtags() {
        for tag in ["de", "pt-BR", "zh-Hant-TW", "de-1996", "en-x-a", "abcdefgh-12345678"] {
            assert_eq!(language(tag.to_owned()).as_deref(), Ok(tag));
        }
        let long = ["de"; LANGUAGE_CHARS_MAX].join("-");
        for tag in ["", "d", "d1", "12", "de_DE", "de-", "-de", "abcdefghi", "de-123456789", &long]
        {
            let refusal = language(tag.to_owned()).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("language"), "{tag}");
        }
    }

    /// An empty language is absent.
    #[test]
    fn contacts_keep_their_language() {
        let language = |tag: &str| {
            let input = ContactInput { language: Some(tag.to_owned()), ..ContactInput::default() };
            Contact::try_from(input).unwrap().language
        };
        assert_eq!((language("de"), language("")), (Some("de".to_owned()), None));
    }
}
