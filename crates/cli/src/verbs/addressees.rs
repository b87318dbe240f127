//! The sellers that a buyer's message goes to: those that take part in the order, or the named ones.

use std::collections::BTreeSet;

use orderstream_core::SellerId;
use orderstream_core::order::InvitationState;
use orderstream_core::seal::SEALED;
use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::proposal::ProposalView;

use super::print;
use crate::exit::CliError;

/// An order as it is before a message of its buyer.
#[derive(Debug)]
pub(super) struct OrderBeforeMessage {
    pub(super) order: OrderView,
    pub(super) proposals: Vec<ProposalView>,
    pub(super) messages: Vec<ConversationMessageView>,
}

impl OrderBeforeMessage {
    /// Returns the sellers that were invited, have proposed or have asked, as far as they are
    /// visible: a seal hides who did.
    fn participants(&self) -> BTreeSet<&str> {
        let invited = self.order.sellers.iter().filter(|seller| seller.chosen);
        let proposed = self.proposals.iter().map(|proposal| proposal.content.seller.as_str());
        let question = ConversationMessageKind::Question.as_str();
        let asked = self.messages.iter().filter(|message| message.kind == question);
        let asked = asked.filter_map(|message| message.seller.as_deref());
        let sellers = invited.map(|seller| seller.seller.as_str()).chain(proposed).chain(asked);
        sellers.filter(|seller| *seller != SEALED).collect()
    }

    /// Returns the sellers that are notified of a message to all: participants that declined are
    /// not.
    fn notified(&self) -> BTreeSet<&str> {
        let declined = InvitationState::Declined.as_str();
        let declined = self.order.invitations.iter().filter(|held| held.state == declined);
        let declined: BTreeSet<&str> = declined.map(|held| held.seller.as_str()).collect();
        self.participants().difference(&declined).copied().collect()
    }

    /// Refuses a message to a seller that takes no part in the order: its name is probably
    /// mistyped. Where anybody may take part, every seller is accepted that the processor knows, and
    /// any name where a seal hides who takes part, or nobody does yet.
    pub(super) fn check_audience(&self, audience: &[SellerId]) -> Result<(), CliError> {
        let participants = self.participants();
        let is_open =
            self.order.open_to_all || !self.order.sellers.iter().any(|seller| seller.chosen);
        if participants.is_empty() || (is_open && self.order.sealed) {
            return Ok(());
        }
        let is_known = |name: &str| self.order.sellers.iter().any(|seller| seller.seller == name);
        let is_stranger = |seller: &&SellerId| {
            let name = seller.as_str();
            !(participants.contains(name) || is_open && is_known(name))
        };
        let Some(seller) = audience.iter().find(is_stranger) else { return Ok(()) };
        let known = participants.iter().copied().collect::<Vec<_>>().join(", ");
        Err(CliError::input(format!(
            "--to {seller} takes no part in this order: it was not invited, and has neither \
             proposed nor asked; these do: {known}"
        )))
    }
}

/// Describes the recipients of a message for people.
pub(super) fn text(before: Option<&OrderBeforeMessage>, audience: &[SellerId]) -> String {
    if !audience.is_empty() {
        return audience.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    }
    match before.map(|before| before.notified().len()) {
        None => "all sellers that take part".to_owned(),
        Some(0) => "nobody: no seller takes part yet".to_owned(),
        Some(1) => "the only seller that takes part".to_owned(),
        Some(count) => format!("all {}", print::count(count, "seller")),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_rest_types::order::{ConsideredSellerView, InvitationView};
    use orderstream_rest_types::proposal::ContentView;

    use super::*;

    /// An order that invites `invited` and no other; `declined` declines, `proposed` proposes, and
    /// `asked` asks.
    fn before() -> OrderBeforeMessage {
        let considered = |seller: &str, chosen| ConsideredSellerView {
            seller: seller.to_owned(),
            chosen,
            ..ConsideredSellerView::default()
        };
        let declined = InvitationView {
            seller: "declined".to_owned(),
            state: "Declined".to_owned(),
            ..InvitationView::default()
        };
        let content = ContentView { seller: "proposed".to_owned(), ..ContentView::default() };
        let message = |kind: ConversationMessageKind, seller: Option<&str>| {
            let (kind, seller) = (kind.as_str().to_owned(), seller.map(str::to_owned));
            ConversationMessageView { kind, seller, ..ConversationMessageView::default() }
        };
        OrderBeforeMessage {
            order: OrderView {
                sellers: vec![
                    considered("invited", true),
                    considered("declined", true),
                    considered("far", false),
                ],
                invitations: vec![declined],
                ..OrderView::default()
            },
            proposals: vec![ProposalView { content, ..ProposalView::default() }],
            messages: vec![
                message(ConversationMessageKind::Question, Some("asked")),
                message(ConversationMessageKind::FollowUp, None),
                message(ConversationMessageKind::Question, Some(SEALED)),
            ],
        }
    }

    fn audience(seller: &str) -> Vec<SellerId> {
        vec![SellerId::new(seller).unwrap()]
    }

    #[test]
    fn invited_proposing_and_asking_sellers_are_counted() {
        let mut before = before();
        assert_eq!(text(Some(&before), &[]), "all 3 sellers");
        assert_eq!(text(Some(&before), &audience("far")), "far");
        assert_eq!(text(None, &[]), "all sellers that take part");
        before.order.sellers.clear();
        before.proposals.clear();
        assert_eq!(text(Some(&before), &[]), "the only seller that takes part");
        before.messages.clear();
        assert_eq!(text(Some(&before), &[]), "nobody: no seller takes part yet");
    }

    #[test]
    fn messages_to_strangers_are_refused() {
        let mut before = before();
        for seller in ["invited", "declined", "proposed", "asked"] {
            assert!(before.check_audience(&audience(seller)).is_ok(), "{seller}");
        }
        let failure = before.check_audience(&audience("far")).unwrap_err().to_string();
        assert!(failure.starts_with("--to far takes no part in this order: "), "{failure}");
        assert!(failure.ends_with("these do: asked, declined, invited, proposed"), "{failure}");
        // Anybody that the processor knows may come to take part.
        before.order.open_to_all = true;
        assert!(before.check_audience(&audience("far")).is_ok());
        assert!(before.check_audience(&audience("fra")).is_err(), "mistyped");
        before.order.sealed = true;
        assert!(before.check_audience(&audience("fra")).is_ok(), "who takes part is not visible");
    }
}
