//! What an order wants besides its items, in words for people.

use orderstream_rest_types::order::DeliveryView;

use super::model::StatusReport;
use super::print;

/// Returns what the order wants besides its items, each with its name; texts have one line.
pub(super) fn of(report: &StatusReport) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(category) = &report.category {
        facts.push(("category", print::one_line(category)));
    }
    let delivery = report.delivery.as_ref().map(delivery).filter(|text| !text.is_empty());
    facts.extend(delivery.map(|text| ("delivery", text)));
    if let Some(currency) = &report.currency {
        facts.push(("currency", print::one_line(currency)));
    }
    if let Some(zone) = &report.time_zone {
        facts.push(("time zone", print::one_line(zone)));
    }
    if let Some(message) = &report.message {
        facts.push(("message", print::one_line(&message.message)));
        facts.extend(message.urls.iter().map(|url| ("document", print::one_line(url))));
    }
    facts
}

/// Describes the place and the date of delivery.
fn delivery(delivery: &DeliveryView) -> String {
    let place = delivery.latitude.zip(delivery.longitude);
    let place = place.map(|(latitude, longitude)| format!("{latitude}, {longitude}"));
    let place = match (&delivery.address, place) {
        (Some(address), Some(place)) => Some(format!("{address} ({place})")),
        (Some(address), None) => Some(address.clone()),
        (None, place) => place,
    };
    let by = delivery.by.as_ref().map(|by| format!("by {by}"));
    print::one_line(&place.into_iter().chain(by).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use orderstream_rest_types::order::MessageView;

    use super::*;

    #[test]
    fn requests_say_what_sellers_ask_first() {
        let delivery = DeliveryView {
            latitude: Some(48.137_154),
            longitude: Some(11.576_124),
            address: Some("Marienplatz 1,\nMunich".to_owned()),
            by: Some("2027-02-01".to_owned()),
        };
        let message = MessageView {
            message: "Both lines, please.".to_owned(),
            urls: vec!["https://example.com/terms.pdf".to_owned()],
            ..MessageView::default()
        };
        let report = StatusReport {
            category: Some("furniture".to_owned()),
            delivery: Some(delivery),
            message: Some(message),
            currency: Some("EUR".to_owned()),
            ..StatusReport::default()
        };
        let facts = of(&report);
        let lines: Vec<_> = facts.iter().map(|(name, text)| format!("{name}: {text}")).collect();
        assert_eq!(
            lines,
            [
                "category: furniture",
                "delivery: Marienplatz 1, Munich (48.137154, 11.576124), by 2027-02-01",
                "currency: EUR",
                "message: Both lines, please.",
                "document: https://example.com/terms.pdf",
            ]
        );
        assert!(of(&StatusReport::default()).is_empty());
    }
}
