//! Inputs from outside are accepted or refused, and a refusal names the wrong field.

use orderstream_core::command::{Award, ProposalContent};
use orderstream_core::input::{
    AwardInput, DeliveryInput, FollowUpInput, ItemInput, MessageInput, ProposalInput,
    ProposalLineInput, SellersInput, SpecInput,
};
use orderstream_core::spec::FollowUp;
use orderstream_core::{OrderSpec, Price, Reason, Refusal};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// Texts of all kinds: usual, empty, odd, too long.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-zA-Z0-9_.:-]{1,12}",
        1 => Just(String::new()),
        2 => any::<String>(),
        1 => "[a-z\u{0}-\u{1f}\u{202e}]{0,8}",
        1 => (100..5_000usize).prop_map(|n| "x".repeat(n)),
    ]
}

fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[0-9]{1,4}(\\.[0-9]{1,3})?",
        1 => "-?[0-9]{1,40}(\\.[0-9]{0,40})?",
        2 => "[+-]?[0-9_]{0,3}[.,]?[0-9_]{0,3}([eE]-?[0-9])?",
        1 => Just("NaN".to_owned()),
        1 => Just("1e9".to_owned()),
        1 => any::<String>(),
    ]
}

fn spellings(known: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    of(prop_oneof![4 => proptest::sample::select(known).prop_map(str::to_owned), 1 => texts()])
}

fn floats(usual: f64) -> impl Strategy<Value = Option<f64>> {
    of(prop_oneof![4 => -usual..usual, 1 => any::<f64>(), 1 => Just(f64::NAN)])
}

fn messages() -> impl Strategy<Value = MessageInput> {
    (spellings(&["text", "HTML", "markdown"]), texts(), vec(texts(), 0..3))
        .prop_map(|(kind, message, urls)| MessageInput { kind, message, urls })
}

fn items() -> impl Strategy<Value = ItemInput> {
    (texts(), of(texts()), numbers(), of(texts()), of(texts())).prop_map(
        |(sku, description, quantity, unit, line)| ItemInput {
            sku,
            description,
            quantity,
            unit,
            line,
        },
    )
}

fn deliveries() -> impl Strategy<Value = DeliveryInput> {
    (floats(90.0), floats(180.0), of(texts()), of(texts())).prop_map(
        |(latitude, longitude, address, by)| DeliveryInput { latitude, longitude, address, by },
    )
}

fn sellers() -> impl Strategy<Value = SellersInput> {
    let switches = (any::<bool>(), of(any::<bool>()));
    (of(any::<u32>()), floats(100.0), vec(texts(), 0..4), switches).prop_map(
        |(max_count, max_distance_km, names, (open_to_all, late))| SellersInput {
            max_count,
            max_distance_km,
            names,
            excluded: Vec::new(),
            open_to_all,
            late,
        },
    )
}

fn specs() -> impl Strategy<Value = SpecInput> {
    let lifetimes = of(prop_oneof![10_000..100_000u64, any::<u64>()]);
    let first = (of(texts()), spellings(&["email", "SMS"]), of(texts()), vec(items(), 0..3));
    let second = (of(texts()), of(deliveries()), of(sellers()), of(messages()), lifetimes);
    let decide_within = of(prop_oneof![0..100_000u64, any::<u64>()]);
    let places = (spellings(&["EUR", "inr", "EUX"]), spellings(&["Europe/Berlin", "UTC"]));
    let third = (any::<bool>(), decide_within, places);
    (first, second, third).prop_map(
        |(
            (title, notification_type, session, items),
            (category, delivery, sellers, message, expires_in_ms),
            (sealed, decide_within_ms, (currency, time_zone)),
        )| SpecInput {
            title,
            notification_type,
            session,
            items,
            category,
            delivery,
            sellers,
            message,
            expires_in_ms,
            decide_within_ms,
            sealed,
            buyer: None,
            currency,
            time_zone,
        },
    )
}

fn proposals() -> impl Strategy<Value = ProposalInput> {
    let lines = (texts(), numbers(), of(texts()), numbers(), (of(texts()), of(texts()))).prop_map(
        |(sku, quantity, unit, price, (line, substitutes))| ProposalLineInput {
            sku,
            quantity,
            unit,
            price,
            line,
            substitutes,
        },
    );
    let ids = (of(texts()), texts(), numbers(), spellings(&["EUR", "inr"]));
    let texts = (of(texts()), of(texts()), of(texts()), of(texts()), of(texts()));
    (ids, vec(lines, 0..3), texts).prop_map(
        |((proposal_id, seller, price, currency), lines, texts)| {
            let (note, delivery_date, valid_until, your_reference, alternative) = texts;
            let currency = currency.unwrap_or_default();
            ProposalInput {
                proposal_id,
                seller,
                price,
                currency,
                lines,
                note,
                delivery_date,
                valid_until,
                attachments: Vec::new(),
                your_reference,
                alternative,
            }
        },
    )
}

fn names_a_field<T>(result: &Result<T, Refusal>) -> Result<(), TestCaseError> {
    if let Err(refusal) = result {
        prop_assert_eq!(refusal.reason, Reason::InvalidField);
        prop_assert!(refusal.field.as_ref().is_some_and(|field| !field.is_empty()));
        prop_assert!(!refusal.message.is_empty());
        let displayed = refusal.to_string();
        prop_assert!(
            !displayed.chars().any(char::is_control),
            "a log line is broken: {:?}",
            displayed
        );
        prop_assert!(displayed.len() < 1_000, "too long for a log line: {:?}", displayed);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn refused_specs_name_wrong_field(input in specs()) {
        let strict = OrderSpec::try_from(input);
        names_a_field(&strict)?;
        if let Ok(spec) = strict {
            let text = serde_json::to_string(&spec).unwrap();
            prop_assert_eq!(serde_json::from_str::<OrderSpec>(&text).unwrap(), spec);
        }
    }

    #[test]
    fn prices_are_read_as_they_are_written(amount in numbers(), currency in "[A-Za-z]{3}") {
        if let Ok(price) = Price::parse(&amount, &currency) {
            prop_assert_eq!(price.to_string().parse::<Price>(), Ok(price));
        }
    }

    /// Zeros before the number are the only digits that may be left out.
    #[test]
    fn amounts_are_exact_or_refused(amount in numbers()) {
        let digits = |text: &str| text.trim_start_matches('-').trim_start_matches('0').to_owned();
        if let Ok(price) = Price::parse(&amount, "EUR") {
            prop_assert_eq!(digits(&price.amount().to_string()), digits(amount.trim()));
        }
    }

    #[test]
    fn refused_proposals_name_wrong_field(input in proposals()) {
        let strict = ProposalContent::try_from(input);
        names_a_field(&strict)?;
        if let Ok(proposed) = strict {
            prop_assert!(!proposed.price.amount().is_sign_negative() || proposed.price.amount().is_zero());
            let text = serde_json::to_string(&proposed).unwrap();
            prop_assert_eq!(serde_json::from_str::<ProposalContent>(&text).unwrap(), proposed);
        }
    }

    #[test]
    fn refused_follow_ups_name_wrong_field(
        id in texts(), audience in vec(texts(), 0..4), message in messages(),
    ) {
        names_a_field(&FollowUp::try_from(FollowUpInput { id, audience, message, answers: None }))?;
    }

    #[test]
    fn refused_awards_name_wrong_field(
        proposal_id in of(texts()), lines in vec((texts(), texts()), 0..4),
    ) {
        names_a_field(&Option::<Award>::try_from(AwardInput { proposal_id, lines }))?;
    }
}
