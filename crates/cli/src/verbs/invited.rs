//! The sellers that an order invites: their number, the named ones that are not known, and what
//! follows where it invites none.

use std::collections::BTreeMap;
use std::time::Duration;

use orderstream_core::{Reason, Refusal};
use orderstream_rest_types::order::{ConsideredSellerView, OrderView};
use serde_json::Value;

use super::market::{MarketArgs, ProcessorRest};
use super::nearest::nearest;
use super::why::verdict_text;
use super::{print, shell};
use crate::exit::CliError;
use crate::output;
use crate::progress::Progress;

/// The most considered sellers that an order lists.
const CONSIDERED_MAX: usize = 1_000;
/// The time limit for a new order to be at its processor.
const OPENED_WITHIN: Duration = Duration::from_secs(2);
/// The interval between two reads of it.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Counts the invited sellers: `3 of 10 sellers invited`.
pub(super) fn count_text(sellers: &[ConsideredSellerView]) -> String {
    let invited = sellers.iter().filter(|seller| seller.chosen).count();
    format!("{invited} of {} invited", print::count(sellers.len(), "seller"))
}

/// Describes why nobody is invited, and what follows; `None` where somebody is.
pub(super) fn none_text(sellers: &[ConsideredSellerView]) -> Option<String> {
    if sellers.iter().any(|seller| seller.chosen) {
        return None;
    }
    let cause = if sellers.is_empty() {
        "the processor knows no sellers".to_owned()
    } else {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for seller in sellers {
            let count = counts.entry(verdict_text(&seller.reason)).or_default();
            *count = count.saturating_add(1);
        }
        let causes: Vec<String> =
            counts.into_iter().map(|(verdict, count)| format!("{count}: {verdict}")).collect();
        let causes = print::one_line(&causes.join("; "));
        format!("none of {} fits ({causes})", print::count(sellers.len(), "seller"))
    };
    Some(format!("{cause}; nobody is invited, so anybody may propose"))
}

/// Describes the sellers that an order names and that its processor does not know.
fn unknown_texts(names: &[&str], sellers: &[ConsideredSellerView]) -> Vec<String> {
    if sellers.len() >= CONSIDERED_MAX {
        // The list may be cut.
        return Vec::new();
    }
    let known = || sellers.iter().map(|seller| seller.seller.as_str());
    let unknown = names.iter().filter(|name| known().all(|other| other != **name));
    let text = |name: &&str| {
        let meant = nearest(name, known()).map(|meant| format!("; did you mean {meant}?"));
        let text = format!("no seller is named {name}{}", meant.unwrap_or_default());
        print::one_line(&text)
    };
    unknown.map(text).collect()
}

/// Warns that an order whose sellers are named is not for these alone; `None` where one is invited.
fn named_text(order: &str, names: &[&str], sellers: &[ConsideredSellerView]) -> Option<String> {
    if names.is_empty() || sellers.iter().any(|seller| seller.chosen) {
        return None;
    }
    let cancel = shell::command(&["cancel", order]);
    Some(format!(
        "the order was meant for named sellers only, and is open to all: `{cancel}` ends it"
    ))
}

/// Checks that an order invites this seller: its name is probably mistyped otherwise.
pub(super) fn must_be_invited(order: &OrderView, seller: &str) -> Result<(), CliError> {
    let chosen = order.sellers.iter().filter(|one| one.chosen);
    let invited: Vec<&str> = chosen.map(|one| one.seller.as_str()).collect();
    if invited.contains(&seller) {
        return Ok(());
    }
    let text =
        format!("{seller} is not invited to order {}; nothing is recorded", order.order_req_id);
    let refusal =
        Refusal { field: Some("seller".to_owned()), ..Refusal::new(Reason::NotInvited, text) };
    Err(CliError::from_refusal(&refusal).meaning(nearest(seller, invited.into_iter())))
}

/// Prints how many sellers an order invites that was just applied, and warns where it is none, and
/// of named sellers that are not known. Prints nothing where the processors are not reached, or do not have the order soon.
pub(super) async fn print_of_applied(market_args: &MarketArgs, resource: &Value) {
    let read = async {
        let sellers = market_args.processor_rest().await.ok()?;
        opened(sellers, resource).await
    };
    let progress = Progress::new("waiting for the order at its processor");
    let read = progress.during(tokio::time::timeout(OPENED_WITHIN, read));
    let Ok(Some(order)) = read.await else { return };
    let others = if order.open_to_all { "; others may propose too" } else { "" };
    output::line(&format!("{}{others}", count_text(&order.sellers)));
    if let Some(text) = none_text(&order.sellers) {
        output::note(&format!("warning: {text}"));
    }
    let names = resource.pointer("/spec/sellers/names").and_then(Value::as_array);
    let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
    let name = resource.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let mut warnings = unknown_texts(&names, &order.sellers);
    if !order.open_to_all {
        warnings.extend(named_text(name, &names, &order.sellers));
    }
    for text in warnings {
        output::note(&format!("warning: {text}"));
    }
}

/// Reads the order of an order request as soon as its processor has it.
async fn opened(sellers: ProcessorRest, resource: &Value) -> Option<OrderView> {
    let text = |path: &str| resource.pointer(path).and_then(Value::as_str);
    let id = text("/spec/orderReqId").or_else(|| text("/metadata/name"))?;
    let incarnation = text("/metadata/uid")?;
    let sellers = match text("/metadata/namespace") {
        Some(namespace) => sellers.in_tenant(namespace),
        None => sellers,
    };
    loop {
        match sellers.read::<OrderView>(id, "", &[]).await {
            Ok(order) if order.incarnation == incarnation => return Some(order),
            Err(failure) if failure.is_processor_unreachable() => return None,
            // It is not there yet, or a former incarnation still is.
            Ok(_) | Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sellers(verdicts: &[&str]) -> Vec<ConsideredSellerView> {
        let seller = |verdict: &&str| ConsideredSellerView {
            chosen: *verdict == "Chosen",
            reason: (*verdict).to_owned(),
            ..ConsideredSellerView::default()
        };
        verdicts.iter().map(seller).collect()
    }

    #[test]
    fn invited_sellers_are_counted_and_missed() {
        let wrong = "WrongCategory";
        for (verdicts, count, none) in [
            (&["Chosen", "TooFar", "Chosen"][..], "2 of 3 sellers invited", None),
            (&["Chosen"], "1 of 1 seller invited", None),
            (
                &[],
                "0 of 0 sellers invited",
                Some("the processor knows no sellers; nobody is invited, so anybody may propose"),
            ),
            (
                &[wrong, "Suspended", wrong],
                "0 of 3 sellers invited",
                Some(
                    "none of 3 sellers fits (2: does not sell the order's category; 1: is \
                     suspended); nobody is invited, so anybody may propose",
                ),
            ),
        ] {
            let sellers = sellers(verdicts);
            assert_eq!(count_text(&sellers), count);
            assert_eq!(none_text(&sellers).as_deref(), none);
        }
    }

    fn named(name: &str, verdict: &str) -> ConsideredSellerView {
        let chosen = verdict == "Chosen";
        let (seller, reason) = (name.to_owned(), verdict.to_owned());
        ConsideredSellerView { seller, chosen, reason, ..ConsideredSellerView::default() }
    }

    #[test]
    fn unknown_names_are_warned_of() {
        let known = [named("twin1", "Chosen"), named("saar-coils", "NotNamed")];
        let names = ["twin1", "saar-coil", "nosuch"];
        let expected =
            ["no seller is named saar-coil; did you mean saar-coils?", "no seller is named nosuch"];
        assert_eq!(unknown_texts(&names, &known), expected);
        assert_eq!(named_text("desks", &names, &known), None);
        let text = named_text("desks", &["nosuch"], &known[1..]).unwrap();
        assert!(text.ends_with("open to all: `orderstream cancel desks` ends it"), "{text}");
        assert_eq!(named_text("desks", &[], &known[1..]), None);
    }

    #[test]
    fn mistyped_sellers_are_not_believed() {
        let order = OrderView {
            order_req_id: "OR-2041".to_owned(),
            sellers: vec![named("moebel-augsburg", "Chosen"), named("saar-coils", "NotNamed")],
            ..OrderView::default()
        };
        assert!(must_be_invited(&order, "moebel-augsburg").is_ok());
        let refused = |seller: &str| must_be_invited(&order, seller).unwrap_err();
        assert_eq!(
            refused("moebel-ausburg").to_string(),
            "seller: moebel-ausburg is not invited to order OR-2041; nothing is recorded; did you \
             mean moebel-augsburg? [NOT_INVITED]"
        );
        assert!(!refused("saar-coils").to_string().contains("did you mean"));
        assert_eq!(refused("saar-coils").code(), 4);
    }
}
