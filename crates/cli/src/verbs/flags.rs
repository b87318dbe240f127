//! Flags in failures: what was typed is named, in its unit, and not the field that it became.

use std::ops::RangeInclusive;
use std::time::Duration;

use orderstream_api::duration::parse_friendly_ms;

use super::print::length;
use crate::exit::CliError;

/// A field, and the flag or argument that it is given with.
type FieldFlag = (&'static str, &'static str);

/// The flags of sellers' commands.
pub(super) const OF_SELLERS: &[FieldFlag] = &[
    ("order_req_id", "ORDER"),
    ("proposal_id", "PROPOSAL"),
    ("follow_up_id", "FOLLOW-UP"),
    ("question_id", "--question-id"),
    ("message", "MESSAGE"),
    ("seller", "--seller"),
    ("holder", "--seller"),
    ("reason", "--reason"),
    ("price", "--price"),
    ("currency", "--currency"),
    ("lines", "--line"),
    ("note", "--note"),
    ("delivery_date", "--delivery-date"),
    ("valid_until", "--valid-until"),
    ("attachments", "--attach"),
    ("your_reference", "--reference"),
    ("alternative", "--alternative"),
    ("lease_ms", "--for"),
];

/// The flags of buyers' commands on an order that exists.
pub(super) const OF_BUYERS: &[FieldFlag] = &[
    ("order_req_id", "ORDER"),
    ("proposal_id", "PROPOSAL"),
    ("lines", "--line"),
    ("audience", "--to"),
    ("answers", "--answers"),
    ("message.urls", "--url"),
    ("message", "MESSAGE"),
    ("reason", "--reason"),
    ("undo_within_ms", "--undo-within"),
    ("expires_in_ms", "--expires-in"),
    ("spec.award.undoWithin", "--undo-within"),
    ("spec.award.lines", "--line"),
    ("spec.award.proposal", "PROPOSAL"),
    ("spec.expiresIn", "--expires-in"),
];

/// The flags of `submit`.
pub(super) const OF_SUBMIT: &[FieldFlag] = &[
    ("metadata.name", "--name"),
    ("spec.orderReqId", "--order-id"),
    ("spec.title", "--title"),
    ("spec.items", "--item"),
    ("spec.category", "--category"),
    ("spec.delivery.latitude", "--place"),
    ("spec.delivery.longitude", "--place"),
    ("spec.delivery.address", "--address"),
    ("spec.delivery.by", "--deliver-by"),
    ("spec.timeZone", "--time-zone"),
    ("spec.sellers.maxCount", "--max-sellers"),
    ("spec.sellers.maxDistanceKm", "--max-distance-km"),
    ("spec.sellers.names", "--seller"),
    ("spec.sellers.excluded", "--exclude"),
    ("spec.sellers.openToAll", "--open-to-all"),
    ("spec.message.message", "--message"),
    ("spec.message", "--message"),
    ("spec.expiresIn", "--expires-in"),
    ("spec.decideWithin", "--decide-within"),
    ("spec.currency", "--currency"),
    ("spec.controllerName", "--controller-name"),
    ("spec.sealed", "--sealed"),
    ("spec.buyer.channels", "--notify"),
];

/// Returns the flag that a field was given with, and the part of it: `--item 2 (quantity)` is
/// `spec.items[1].quantity`. `None` where no flag is known.
pub(crate) fn flag_of(field: &str, flags: &[FieldFlag]) -> Option<String> {
    let (flag, below) = flags.iter().find_map(|(name, flag)| {
        let below = field.strip_prefix(name)?;
        (below.is_empty() || below.starts_with(['.', '['])).then_some((*flag, below))
    })?;
    let mut named = flag.to_owned();
    for part in below.split(['.', '[']).filter(|part| !part.is_empty()) {
        let index = part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
        match index {
            Some(index) => named.push_str(&format!(" {}", index.saturating_add(1))),
            None => named.push_str(&format!(" ({part})")),
        }
    }
    Some(named)
}

/// Parses a flag's duration, milliseconds.
pub(crate) fn duration_ms(flag: &str, text: &str) -> Result<u64, CliError> {
    parse_friendly_ms(text).ok_or_else(|| {
        CliError::input(format!("{flag} '{text}' is not a duration such as 90s, 10m, 1h30m or 2d"))
    })
}

/// Parses a flag's duration.
pub(crate) fn duration(flag: &str, text: &str) -> Result<Duration, CliError> {
    duration_ms(flag, text).map(Duration::from_millis)
}

/// Parses a flag's duration, milliseconds, and checks that it is within its limits.
pub(crate) fn duration_within(
    flag: &str,
    text: &str,
    limits: RangeInclusive<u64>,
) -> Result<u64, CliError> {
    let ms = duration_ms(flag, text)?;
    if limits.contains(&ms) {
        return Ok(ms);
    }
    let fault = if ms < *limits.start() { "short" } else { "long" };
    let (least, most) = (length(*limits.start()), length(*limits.end()));
    Err(CliError::input(format!("{flag} {text} is too {fault}; give {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use orderstream_core::{Reason, Refusal};

    use super::*;

    #[test]
    fn fields_are_named_by_their_flags() {
        for (field, flag) in [
            ("spec.delivery.by", Some("--deliver-by")),
            ("spec.items[1].quantity", Some("--item 2 (quantity)")),
            ("spec.buyer.channels[0].address", Some("--notify 1 (address)")),
            ("spec.message.message", Some("--message")),
            ("spec.expiresInside", None),
            ("spec.ttlAfterFinished", None),
        ] {
            assert_eq!(flag_of(field, OF_SUBMIT).as_deref(), flag, "{field}");
        }
        assert_eq!(flag_of("message.urls[0]", OF_BUYERS).as_deref(), Some("--url 1"));
        assert_eq!(flag_of("lines[2].sku", OF_SELLERS).as_deref(), Some("--line 3 (sku)"));
    }

    #[test]
    fn failures_name_what_was_typed() {
        let refusal = Refusal::field("spec.delivery.by", "'tomorrow' is not a time");
        let failure = CliError::from(refusal.clone()).in_flags(OF_SUBMIT);
        assert_eq!(failure.to_string(), "--deliver-by 'tomorrow' is not a time");
        assert_eq!(failure.field(), Some("--deliver-by"));
        let failure = CliError::from_refusal(&refusal).in_flags(OF_SUBMIT);
        assert_eq!(failure.to_string(), "--deliver-by: 'tomorrow' is not a time [INVALID_FIELD]");
        assert_eq!(failure.detail(), "'tomorrow' is not a time");
        assert_eq!(failure.reason(), Some(Reason::InvalidField));
        // What no flag gives keeps its field.
        let failure = CliError::from(Refusal::field("spec.close", "is set")).in_flags(OF_SUBMIT);
        assert_eq!(failure.to_string(), "spec.close is set");
    }

    #[test]
    fn durations_are_refused_in_their_unit() {
        let hour = || 1_000..=3_600_000;
        assert_eq!(duration_within("--for", "1h", hour()).unwrap(), 3_600_000);
        assert_eq!(duration_within("--for", "5 min", hour()).unwrap(), 300_000);
        for (text, expected) in [
            ("2h", "--for 2h is too long; give 1s to 1h"),
            ("0s", "--for 0s is too short; give 1s to 1h"),
            ("soon", "--for 'soon' is not a duration such as 90s, 10m, 1h30m or 2d"),
        ] {
            let failure = duration_within("--for", text, hour()).unwrap_err();
            assert_eq!((failure.to_string().as_str(), failure.code()), (expected, 2));
        }
    }
}
