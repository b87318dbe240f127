//! Money and quantities: decimals with a stated scale, never floats.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

use crate::display;
use crate::limits::{DECIMAL_BYTES_MAX, DECIMAL_DIGITS_MAX, PRICE_MAX, QUANTITY_MAX, SCALE_MAX};
use crate::refusal::Refusal;
use crate::seal::SEALED;

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

    /// Returns ISO 4217's entry of the code; `None` where it has none, and for the codes of no
    /// currency and of tests.
    fn listed(self) -> Option<iso_currency::Currency> {
        let code = Some(self.as_str()).filter(|code| !["XXX", "XTS"].contains(code));
        code.and_then(iso_currency::Currency::from_code)
    }

    /// Checks that ISO 4217 lists the code. New prices are in such currencies only; in stored ones
    /// every code of three letters is read.
    ///
    /// # Errors
    /// Refuses other codes, naming `currency`.
    pub fn check_listed(self) -> Result<(), Refusal> {
        if self.listed().is_some() {
            return Ok(());
        }
        let code = self.as_str();
        let text =
            format!("{code} is not a currency of ISO 4217; write the code of one, such as EUR");
        Err(Refusal::field("currency", text))
    }

    /// Returns the decimal places of the currency's smallest unit; `None` where it has no smallest
    /// unit, such as gold, and where ISO 4217 does not list the code.
    pub fn minor_digits(self) -> Option<u32> {
        self.listed().and_then(|listed| listed.exponent()).map(u32::from)
    }
}

fn wrong_currency(text: &str) -> Refusal {
    if text.is_empty() {
        return Refusal::field("currency", "is missing; give an ISO 4217 code such as EUR or INR");
    }
    let shown = display::line_of_chars(text, 16);
    Refusal::field("currency", format!("'{shown}' is not an ISO 4217 code such as EUR or INR"))
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
        let amount = decimal("price", amount, PRICE_MAX, "0 or more")?;
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

    /// Returns the price for people: `sealed` where it is hidden.
    pub fn for_people(&self) -> String {
        if self.is_hidden() { SEALED.to_owned() } else { self.to_string() }
    }

    /// Checks that the amount is a whole number of the currency's smallest units, such as cents.
    ///
    /// # Errors
    /// Refuses smaller fractions, naming `price`.
    pub fn check_minor_units(&self) -> Result<(), Refusal> {
        let places = self.amount.normalize().scale();
        match self.currency.minor_digits() {
            Some(most) if places > most => {
                let (amount, code) = (self.amount, self.currency.as_str());
                let limit = match most {
                    0 => "has no decimal places".to_owned(),
                    _ => format!("has {most} decimal places"),
                };
                let text = format!("is {amount}, and {code} {limit}; round it");
                Err(Refusal::field("price", text))
            }
            Some(_) | None => Ok(()),
        }
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
        let value = decimal("quantity", text, QUANTITY_MAX, "a number above 0")?;
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

/// Parses a decimal of digits, as in `1249.50`. Each digit counts as it is written, or the text is
/// refused. `least` says which numbers are allowed in place of a negative one.
fn decimal(field: &str, text: &str, max: i64, least: &str) -> Result<Decimal, Refusal> {
    let escaped: String = text.chars().take(40).flat_map(char::escape_default).collect();
    let digits = text.trim();
    if digits.is_empty() {
        return Err(Refusal::field(field, format!("is missing; give {least}")));
    }
    if !is_decimal(digits) {
        let fix = "write digits, with a point before decimal places, as in 1249.50";
        let message = format!("'{escaped}' is not a decimal number; {fix}");
        return Err(Refusal::field(field, message));
    }
    let is_short = digits.len() <= DECIMAL_BYTES_MAX;
    let parsed = if is_short { Decimal::from_str_exact(digits).ok() } else { None };
    let Some(value) = parsed else {
        let limit = format!("at most {DECIMAL_DIGITS_MAX} are allowed");
        return Err(Refusal::field(field, format!("'{escaped}' has too many digits; {limit}")));
    };
    if value.is_sign_negative() && !value.is_zero() {
        return Err(Refusal::field(field, format!("{escaped} is negative; give {least}")));
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

/// Reports whether a text is digits, perhaps with a minus before them and with a point between two
/// of them. All other forms, such as `1_5`, `1e3` and `.5`, are slips as often as they are meant.
fn is_decimal(text: &str) -> bool {
    let are_digits =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, places)) => are_digits(whole) && are_digits(places),
        None => are_digits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_prices_read_as_sealed() {
        let shown = |price: &Price| price.for_people();
        assert_eq!(shown(&Price::hidden()), "sealed");
        assert_eq!(shown(&Price::parse("12.50", "EUR").unwrap()), "12.50 EUR");
        assert_eq!(Price::hidden().to_string(), "0 XXX", "programs read the form as before");
    }

    #[test]
    fn quantities_are_positive_and_bounded() {
        for (text, piece) in [
            ("", "is missing; give a number above 0"),
            ("1e3", "is not a decimal number"),
            ("0", "is 0; give a number above 0"),
            ("-0.5", "-0.5 is negative; give a number above 0"),
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
    fn decimals_are_exact_or_refused() {
        for (text, expected) in [
            ("0.000001", "0.000001"),
            ("1234567890.123456", "1234567890.123456"),
            ("999999999999.999999", "999999999999.999999"),
            ("9.50", "9.50"),
            ("007", "7"),
            ("\t12\n", "12"),
        ] {
            assert_eq!(Price::parse(text, "EUR").unwrap().amount().to_string(), expected);
        }
        let others =
            "1_5|_15|15_|+5|.5|5.|-.5|-|.|1e3|1e-6|1E3|1,5|1.000,00|1 000|1.5.0|--5|0x10|NaN";
        for text in others.split('|').chain(["\u{661}", "\u{ff15}", "1\u{a0}000"]) {
            let refusal = Price::parse(text, "EUR").unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("price"), "{text}");
            let escaped: String = text.chars().flat_map(char::escape_default).collect();
            let quoted = format!("'{escaped}' is not a decimal number; write digits");
            assert!(refusal.message.starts_with(&quoted), "{text}: {refusal}");
        }
    }

    #[test]
    fn digits_of_decimals_are_bounded() {
        for text in ["9".repeat(29), format!("1.{}", "0".repeat(29)), "0".repeat(60_000)] {
            let refusal = Price::parse(&text, "EUR").unwrap_err();
            let fix = "has too many digits; at most 28 are allowed";
            assert!(refusal.message.ends_with(fix), "{text}: {refusal}");
        }
        // The longest texts of stored decimals.
        for text in [format!("0.5{}", "0".repeat(27)), format!("1.{}", "0".repeat(28))] {
            assert_eq!(Price::parse(&text, "EUR").unwrap().amount().to_string(), text);
        }
    }

    #[test]
    fn missing_and_wrong_prices_are_told_apart() {
        for (amount, currency, field, text) in [
            ("", "EUR", "price", "is missing; give 0 or more"),
            (" ", "EUR", "price", "is missing; give 0 or more"),
            ("-1", "EUR", "price", "-1 is negative; give 0 or more"),
            ("1", "", "currency", "is missing; give an ISO 4217 code such as EUR or INR"),
            ("1", "€", "currency", "'€' is not an ISO 4217 code such as EUR or INR"),
            ("1", "E\nR", "currency", "'E R' is not an ISO 4217 code such as EUR or INR"),
        ] {
            let refusal = Price::parse(amount, currency).unwrap_err();
            assert_eq!((refusal.field.as_deref(), refusal.message.as_str()), (Some(field), text));
        }
    }

    /// Both are checked of new prices only: what was stored before is read.
    #[test]
    fn currencies_are_listed_with_their_smallest_unit() {
        for (code, digits) in [("EUR", 2), ("inr", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)] {
            let currency = Currency::new(code).unwrap();
            assert_eq!((currency.check_listed(), currency.minor_digits()), (Ok(()), Some(digits)));
        }
        assert_eq!(Currency::new("XAU").unwrap().minor_digits(), None, "an ounce of gold");
        for code in ["EUX", "ZZZ", "XXX", "XTS", "ABC"] {
            let refusal = Currency::new(code).unwrap().check_listed().unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("currency"));
            let text = format!("{code} is not a currency of ISO 4217; ");
            assert!(refusal.message.starts_with(&text), "{refusal}");
        }
    }

    #[test]
    fn prices_are_whole_numbers_of_smallest_units() {
        for (price, fault) in [
            ("6999.99 EUR", None),
            ("6999.990 EUR", None),
            ("6999.999 EUR", Some("is 6999.999, and EUR has 2 decimal places; round it")),
            ("0.000001 EUR", Some("is 0.000001, and EUR has 2 decimal places; round it")),
            ("70 JPY", None),
            ("70.0 JPY", None),
            ("70.5 JPY", Some("is 70.5, and JPY has no decimal places; round it")),
            ("1.234 KWD", None),
            ("1.2345 KWD", Some("is 1.2345, and KWD has 3 decimal places; round it")),
            ("0.000001 XAU", None),
            ("0.000001 EUX", None),
        ] {
            let refusal = price.parse::<Price>().unwrap().check_minor_units().err();
            assert_eq!(refusal.as_ref().map(|refusal| refusal.message.as_str()), fault, "{price}");
            let field = refusal.and_then(|refusal| refusal.field);
            assert_eq!(field.as_deref(), fault.map(|_| "price"), "{price}");
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
