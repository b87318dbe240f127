//! The lookup of all verbs: an order by the name of its order request or by its id; a proposal, a
//! question or a follow-up by its id or the first letters of it, a proposal also by its seller.

use orderstream_core::Reason;
use orderstream_core::seal::SEALED;
use orderstream_core::visible::folded;
use orderstream_rest_types::proposal::ProposalView;
use serde_json::Value;

use super::nearest::nearest;
use super::print;
use super::server::{BuyerServer, ListScope};
use crate::exit::CliError;

/// The fewest letters of an id that stand for it.
const PREFIX_CHARS: usize = 3;
/// The status of a proposal that can be awarded.
const OPEN: &str = "Open";
/// The most ids that an ambiguous text is answered with.
const CANDIDATES_MAX: usize = 5;

/// An order request that was asked for by its name or by its order's id.
#[derive(Clone, Debug, Default)]
pub(super) struct OrderLookup {
    /// The order request, where there is one.
    pub(super) resource: Option<Value>,
    /// The name or id that was probably meant, where there is none.
    pub(super) meant: Option<String>,
}

impl BuyerServer {
    /// Finds the order request of this name, or the one whose order has this id.
    pub(super) async fn find(&self, name: &str) -> Result<OrderLookup, CliError> {
        let failure = match self.get(name).await {
            Ok(resource) => return Ok(OrderLookup { resource: Some(resource), meant: None }),
            Err(failure) => failure,
        };
        match failure.reason() {
            // A server without order requests: there, orders are known by their ids only.
            Some(Reason::InvalidRequest) => Ok(OrderLookup::default()),
            // An id need not be a resource's name.
            Some(Reason::OrderNotFound | Reason::InvalidField) => self.find_by_id(name).await,
            Some(_) | None => Err(failure),
        }
    }

    /// Returns the order request of this name, or the one whose order has this id.
    pub(super) async fn require(&self, name: &str) -> Result<Value, CliError> {
        let failure = match self.get(name).await {
            Ok(resource) => return Ok(resource),
            Err(failure) => failure,
        };
        if !matches!(failure.reason(), Some(Reason::OrderNotFound | Reason::InvalidField)) {
            return Err(failure);
        }
        // Who may not list gets the failure of the name.
        let OrderLookup { resource, meant } = self.find_by_id(name).await.unwrap_or_default();
        resource.ok_or_else(|| failure.meaning(meant.as_deref()))
    }

    /// Returns the order request whose order has this id.
    pub(super) async fn find_by_id(&self, id: &str) -> Result<OrderLookup, CliError> {
        let all = self.list(ListScope::Namespace).await?;
        let items = all.get("items").and_then(Value::as_array).map(Vec::as_slice);
        let items = items.unwrap_or_default();
        let found = items.iter().find(|item| order_id(item) == Some(id)).cloned();
        let meant = match found {
            Some(_) => None,
            None => {
                let names = items.iter().filter_map(super::wait::name_of);
                let known = names.chain(items.iter().filter_map(order_id));
                nearest(id, known).map(ToOwned::to_owned)
            }
        };
        Ok(OrderLookup { resource: found, meant })
    }
}

/// Returns the id of an order request's order, where it is not the name.
fn order_id(resource: &Value) -> Option<&str> {
    resource.pointer("/spec/orderReqId").and_then(Value::as_str)
}

/// Returns the proposal that a text names: by its id, by the first letters of its id, or by one of
/// its seller's names.
pub(super) fn proposal<'a>(
    proposals: impl IntoIterator<Item = &'a ProposalView>,
    text: &str,
) -> Result<&'a ProposalView, CliError> {
    let all: Vec<&ProposalView> = proposals.into_iter().collect();
    if let Some(found) = all.iter().copied().find(|one| one.proposal_id == text) {
        return Ok(found);
    }
    // A name that reads like another seller's names both of them.
    let plain = Some(folded(text)).filter(|plain| !plain.is_empty());
    let of_seller = |one: &ProposalView| {
        let name = one.seller_name.as_deref().map(folded);
        let is_named = one.content.seller == text || (name.is_some() && name == plain);
        is_named && text != SEALED
    };
    // A seller means what it still offers.
    let has_open =
        |seller: &str| all.iter().any(|one| one.content.seller == seller && one.status == OPEN);
    let is_named = |one: &&&ProposalView| {
        let counts = || one.status == OPEN || !has_open(&one.content.seller);
        begins(&one.proposal_id, text) || (of_seller(one) && counts())
    };
    let named: Vec<&ProposalView> = all.iter().filter(is_named).copied().collect();
    match named.as_slice() {
        [one] => Ok(*one),
        [] => {
            let words = all.iter().flat_map(|one| [&one.proposal_id, &one.content.seller]);
            let names = all.iter().filter_map(|one| one.seller_name.as_ref());
            let words = words.chain(names).map(String::as_str).filter(|word| *word != SEALED);
            let meant = nearest(text, words).map(|meant| format!("; did you mean {meant}?"));
            let code = Reason::ProposalNotFound;
            let meant = meant.unwrap_or_default();
            let text = format!("the order has no proposal {text}{meant} [{}]", code.as_str());
            Err(CliError::from_server(Some(code), text))
        }
        several => {
            let names = several.iter().map(|one| {
                let ProposalView { proposal_id, status, content, .. } = one;
                format!("{proposal_id} of {} ({status})", content.seller)
            });
            Err(ambiguous(text, "proposal", names))
        }
    }
}

/// Returns the id that a text names: the text itself where it is one, or the only id that begins
/// with it; `None` where none does.
pub(super) fn id<'a>(
    ids: impl IntoIterator<Item = &'a str>,
    text: &str,
    noun: &str,
) -> Result<Option<&'a str>, CliError> {
    let all: Vec<&str> = ids.into_iter().collect();
    if let Some(same) = all.iter().copied().find(|id| *id == text) {
        return Ok(Some(same));
    }
    let begun: Vec<&str> = all.into_iter().filter(|id| begins(id, text)).collect();
    match begun.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => Err(ambiguous(text, noun, several.iter().map(|id| (*id).to_owned()))),
    }
}

fn begins(id: &str, text: &str) -> bool {
    text.chars().count() >= PREFIX_CHARS && id.starts_with(text)
}

fn ambiguous(text: &str, noun: &str, names: impl Iterator<Item = String>) -> CliError {
    let names: Vec<String> = names.collect();
    let listed = names[..names.len().min(CANDIDATES_MAX)].join(", ");
    let more = if names.len() > CANDIDATES_MAX { ", …" } else { "" };
    let count = print::count(names.len(), noun);
    CliError::input(format!("{text} names {count}: {listed}{more}; give more of the id"))
}

#[cfg(test)]
mod tests {
    use orderstream_rest_types::proposal::ContentView;

    use super::*;

    fn held(id: &str, seller: &str, status: &str) -> ProposalView {
        ProposalView {
            proposal_id: id.to_owned(),
            status: status.to_owned(),
            content: ContentView { seller: seller.to_owned(), ..ContentView::default() },
            ..ProposalView::default()
        }
    }

    fn all() -> [ProposalView; 7] {
        [
            held("p-1", "acme", "Open"),
            held("p-10", "bolt", "Withdrawn"),
            held("p-11", "bolt", "Open"),
            held("p-12", "cargo", "Withdrawn"),
            held("01a22855-0c47", "delta", "Open"),
            held("01a22855-0b5b", "delta", "Open"),
            held("acme-2", "echo", "Open"),
        ]
    }

    #[test]
    fn proposals_are_named_by_id_prefix_or_seller() {
        let all = all();
        for (text, expected) in [
            ("p-1", "p-1"),
            ("p-12", "p-12"),
            ("01a22855-0c", "01a22855-0c47"),
            ("bolt", "p-11"),
            ("cargo", "p-12"),
            ("echo", "acme-2"),
            ("acme-", "acme-2"),
        ] {
            assert_eq!(proposal(&all, text).unwrap().proposal_id, expected, "{text}");
        }
        let seller_name = Some("Möbel Müller".to_owned());
        let named = [ProposalView { seller_name, ..held("p-9", "moebel-mueller", "Open") }];
        assert_eq!(proposal(&named, "Möbel Müller").unwrap().proposal_id, "p-9");
    }

    /// Whoever takes another seller's name as its own gets nothing by it.
    #[test]
    fn borrowed_names_are_ambiguous() {
        let named = |id: &str, seller: &str, status: &str, name: &str| {
            let seller_name = Some(name.to_owned());
            ProposalView { seller_name, ..held(id, seller, status) }
        };
        for name in ["acme", "ac\u{200b}me", "\u{200e}acme", "Ac\u{ad}me", "\u{ff41}cme"] {
            for status in ["Open", "Withdrawn"] {
                let all = [held("p-1", "acme", status), named("p-2", "evil", "Open", name)];
                let failure = proposal(&all, "acme").unwrap_err().to_string();
                assert!(failure.contains("p-1 of acme") && failure.contains("p-2 of evil"));
            }
        }
        let marked = [named("p-1", "neu", "Open", "\u{200e}Möbel Neu GmbH")];
        assert_eq!(proposal(&marked, "Möbel Neu GmbH").unwrap().proposal_id, "p-1");
        let blank = [named("p-1", "neu", "Open", "\u{3164}")];
        assert!(proposal(&blank, " ").is_err(), "it has no name");
    }

    #[test]
    fn ambiguous_names_are_refused_with_their_candidates() {
        let all = all();
        for (text, parts) in [
            ("01a22855", ["01a22855-0c47 of delta (Open)", "give more of the id"]),
            ("delta", ["2 proposals", "01a22855-0b5b of delta (Open)"]),
            // It is a seller and the beginning of another proposal's id.
            ("acme", ["p-1 of acme", "acme-2 of echo"]),
        ] {
            let failure = proposal(&all, text).unwrap_err();
            assert_eq!(failure.code(), 2, "{failure}");
            for part in parts {
                assert!(failure.to_string().contains(part), "{failure}");
            }
        }
    }

    #[test]
    fn unknown_proposals_come_with_the_nearest_name() {
        let all = all();
        let text = |named: &str| proposal(&all, named).unwrap_err().to_string();
        assert!(text("p1").contains("no proposal p1; did you mean p-1? [PROPOSAL_NOT_FOUND]"));
        assert!(text("bold").contains("did you mean bolt?"));
        assert_eq!(text("p-"), "the order has no proposal p- [PROPOSAL_NOT_FOUND]", "too short");
        let sealed = [held("p-7", SEALED, "Open")];
        assert!(proposal(&sealed, SEALED).is_err(), "the sellers are hidden");
    }

    #[test]
    fn ids_are_named_by_their_first_letters() {
        let ids = ["q-1", "cli-5b70de66", "cli-5b81"];
        assert_eq!(id(ids, "cli-5b7", "question").unwrap(), Some("cli-5b70de66"));
        assert_eq!(id(ids, "q-1", "question").unwrap(), Some("q-1"));
        assert_eq!(id(ids, "q", "question").unwrap(), None);
        let failure = id(ids, "cli-5b", "question").unwrap_err().to_string();
        let expected = "cli-5b names 2 questions: cli-5b70de66, cli-5b81; give more of the id";
        assert_eq!(failure, expected);
    }
}
