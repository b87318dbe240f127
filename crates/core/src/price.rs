//! Money and quantities: decimals with a stated scale, never floats.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{PRICE_MAX, QUANTITY_MAX, SCALE_MAX};
use crate::refusal::Refusal;

/// An amount in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    amount: Decimal,
    currency: Currency,
}

/// An ISO 4217 alphabetic code: three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Cow<'_, str>")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Parses three letters, in any case.
    ///
    /// # Errors
    /// Refuses anything else, naming `currency`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| wrong_currency(text))?;
        if !bytes.iter().all(u8::is_ascii_alphabetic) {
            return Err(wrong_currency(text));
        }
        Ok(Self(bytes.map(|b| b.to_ascii_uppercase())))
    }

    /// Returns the three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

fn wrong_currency(text: &str) -> Refusal {
    let escaped: String = text.chars().take(16).flat_map(char::escape_default).collect();
    Refusal::field("currency", format!("'{escaped}' is not an ISO 4217 code such as EUR or INR"))
}

impl TryFrom<Cow<'_, str>> for Currency {
    type Error = Refusal;
    fn try_from(text: Cow<'_, str>) -> Result<Self, Refusal> {
        Self::new(&text)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Price {
    /// Parses a decimal such as `1249.50` and a currency code.
    ///
    /// # Errors
    /// Refuses amounts that are negative or too large, more than six decimal places, and malformed
    /// texts.
    pub fn parse(amount: &str, currency: &str) -> Result<Self, Refusal> {
        let amount = decimal("price", amount, PRICE_MAX)?;
        Ok(Self { amount, currency: Currency::new(currency)? })
    }

    /// Returns the placeholder for a hidden price: zero in the code that ISO 4217 has for no
    /// currency.
    pub(crate) const fn hidden() -> Self {
        Self { amount: Decimal::ZERO, currency: Currency(*b"XXX") }
    }

    /// Reports whether this is the placeholder for a hidden price.
    pub fn is_hidden(&self) -> bool {
        *self == Self::hidden()
    }

    /// Returns the amount, in units of the currency.
    pub const fn amount(&self) -> Decimal {
        self.amount
    }

    /// Returns the currency.
    pub const fn currency(&self) -> Currency {
        self.currency
    }
}

/// The form in which statuses store a price: the amount, a space and the currency.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency.as_str())
    }
}

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for Price {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (amount, currency) = text.split_once(' ').unwrap_or((text, ""));
        Self::parse(amount, currency)
    }
}

/// A quantity of something: positive, at most a thousand million, up to six decimal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(Decimal);

impl Quantity {
    /// Parses a decimal such as `12` or `0.5`.
    ///
    /// # Errors
    /// Refuses zero and numbers that are negative or too large, naming `quantity`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let value = decimal("quantity", text, QUANTITY_MAX)?;
        if value.is_zero() {
            return Err(Refusal::field("quantity", "is 0; give a number above 0"));
        }
        Ok(Self(value))
    }

    /// Returns the number.
    pub const fn value(&self) -> Decimal {
        self.0
    }
}

fn decimal(field: &str, text: &str, max: i64) -> Result<Decimal, Refusal> {
    let escaped: String = text.chars().take(40).flat_map(char::escape_default).collect();
    let value = Decimal::from_str_exact(text.trim())
        .map_err(|_| Refusal::field(field, format!("'{escaped}' is not a decimal number")))?;
    if value.is_sign_negative() && !value.is_zero() {
        return Err(Refusal::field(field, format!("{escaped} is negative; give 0 or more")));
    }
    if value > Decimal::from(max) {
        return Err(Refusal::field(field, format!("{escaped} is too large; at most {max}")));
    }
    if value.normalize().scale() > SCALE_MAX {
        return Err(Refusal::field(
            field,
            format!("{escaped} has too many decimal places; at most {SCALE_MAX}"),
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_positive_and_bounded() {
        for (text, piece) in [
            ("", "'' is not a decimal number"),
            ("1e3", "is not a decimal number"),
            ("0", "is 0; give a number above 0"),
            ("-0.5", "-0.5 is negative; give 0 or more"),
            ("1000000000.1", "is too large; at most 1000000000"),
            ("0.1234567", "has too many decimal places; at most 6"),
        ] {
            let refusal = Quantity::parse(text).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("quantity"), "{text}");
            assert!(refusal.message.contains(piece), "{text}: {refusal}");
        }
        for (text, expected) in [
            (" 12 ", "12"),
            ("0.123456", "0.123456"),
            ("0.1234560", "0.1234560"),
            ("1000000000", "1000000000"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().value().to_string(), expected);
        }
    }

    #[test]
    fn prices_may_be_zero_and_are_bounded() {
        let parse = |amount: &str| Price::parse(amount, "EUR");
        for amount in ["0", "-0", "0.000001", "1000000000000"] {
            assert!(parse(amount).is_ok(), "{amount}");
        }
        for amount in ["-0.01", "1000000000000.01", "0.0000001", "ten"] {
            assert!(parse(amount).is_err(), "{amount}");
        }
    }
}
