//! An amendment before it is sent: whose proposal it changes, and if it changes anything.

use orderstream_core::command::ProposalContent;
use orderstream_core::comparison::changes;
use orderstream_core::input::ProposalInput;
use orderstream_core::{Phase, Price, Refusal};
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::proposal::ProposalView;

use super::model::CommandReport;
use crate::exit::CliError;

/// The status of a proposal that can be changed.
const OPEN: &str = "Open";

/// Checks that a proposal is this seller's own, as its processor does.
pub(super) fn must_be_own(before: &ProposalView, seller: &str) -> Result<(), CliError> {
    if before.content.seller == seller {
        return Ok(());
    }
    let text = format!("{} is not yours; amend your own", before.proposal_id);
    Err(CliError::from_refusal(&Refusal::field("seller", text)))
}

/// Checks an amended proposal. `has_kept_lines` says that only its price is new, so that its lines
/// may not add up to it.
#[allow(clippy::fn_params_excessive_bools, reason = "one fact of the command line")]
pub(super) fn checked(
    input: ProposalInput,
    has_kept_lines: bool,
) -> Result<ProposalContent, CliError> {
    let is_price = Price::parse(&input.price, &input.currency).is_ok();
    ProposalContent::try_from(input).map_err(|refusal| {
        if !has_kept_lines || !is_price || refusal.field.as_deref() != Some("price") {
            return CliError::from(refusal);
        }
        let text = "give --line for the lines that change, or --no-lines for one price for all";
        let message = format!("{}; {text}", refusal.message);
        CliError::from(Refusal { message, ..refusal })
    })
}

/// Returns the result of an amendment that changes nothing and that the order would take; `None`
/// for any other.
pub(super) fn repetition(
    current: &OrderView,
    before: &ProposalView,
    former: Option<&ProposalContent>,
    proposed: &ProposalContent,
) -> Option<CommandReport> {
    let is_taken = current.phase == Phase::Open.as_str()
        && current.pending_award.is_none()
        && before.status == OPEN
        && before.locked_by.is_none();
    if !is_taken || !changes(former?, proposed).is_empty() {
        return None;
    }
    Some(CommandReport {
        order_req_id: current.order_req_id.clone(),
        verb: "amend".to_owned(),
        last_seq: current.last_seq,
        phase: current.phase.clone(),
        proposal_id: Some(before.proposal_id.clone()),
        ..CommandReport::default()
    })
}

#[cfg(test)]
mod tests {
    use orderstream_core::input::ProposalLineInput;
    use orderstream_rest_types::proposal::ContentView;

    use super::*;

    fn proposed(price: &str, line: &str) -> ProposalInput {
        let line = ProposalLineInput {
            sku: "DESK".to_owned(),
            quantity: "2".to_owned(),
            price: line.to_owned(),
            ..ProposalLineInput::default()
        };
        ProposalInput {
            seller: "acme".to_owned(),
            price: price.to_owned(),
            currency: "EUR".to_owned(),
            lines: vec![line],
            ..ProposalInput::default()
        }
    }

    fn before() -> ProposalView {
        ProposalView {
            proposal_id: "p-1".to_owned(),
            status: OPEN.to_owned(),
            content: ContentView { seller: "acme".to_owned(), ..ContentView::default() },
            ..ProposalView::default()
        }
    }

    #[test]
    fn proposals_of_others_are_not_yours() {
        assert!(must_be_own(&before(), "acme").is_ok());
        let failure = must_be_own(&before(), "bolt").unwrap_err();
        assert_eq!(failure.to_string(), "seller: p-1 is not yours; amend your own [INVALID_FIELD]");
    }

    #[test]
    fn a_new_price_beside_lines_has_a_fix() {
        let text = |price: &str, has_kept_lines| {
            checked(proposed(price, "66"), has_kept_lines).unwrap_err().to_string()
        };
        let sum = "price is 1, but the lines add up to 66";
        assert_eq!(text("1", false), sum);
        assert!(
            text("1", true).starts_with(&format!("{sum}; give --line ")),
            "{}",
            text("1", true)
        );
        assert!(!text("one", true).contains("--no-lines"), "no decimal");
        assert!(checked(proposed("66", "66"), true).is_ok());
    }

    #[test]
    fn equal_amendments_are_repetitions() {
        let content = |price: &str| ProposalContent::try_from(proposed(price, price)).unwrap();
        let (same, other) = (content("66"), content("67"));
        let current = OrderView { phase: "Open".to_owned(), last_seq: 7, ..OrderView::default() };
        let repeated = repetition(&current, &before(), Some(&same), &same).unwrap();
        assert_eq!((repeated.last_seq, repeated.proposal_id.as_deref()), (7, Some("p-1")));
        assert!(repetition(&current, &before(), Some(&same), &other).is_none());
        let paused = OrderView { phase: "Paused".to_owned(), ..OrderView::default() };
        assert!(repetition(&paused, &before(), Some(&same), &same).is_none(), "it is refused");
    }
}
