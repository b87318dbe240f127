//! The reasons for which a proposal is set aside: it is shown in a comparison and competes with no
//! other there.

use serde::Serialize;

use crate::command::ProposalContent;
use crate::date::{DateOrTime, Zone};
use crate::id::Timestamp;
use crate::order::{Order, Proposal};

use super::wanted::{LineFit, WantedLines};

/// A reason for which a proposal is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum SetAside {
    /// It is an alternative beside the seller's main proposal.
    Alternative,
    /// Sellers were selected for the order, and its seller is not one of them.
    NotInvited,
    /// Its currency is not the one that the order takes.
    OtherCurrency,
    /// It lacks lines that the order wants, or offers less of some.
    Incomplete,
    /// It offers lines in other units than the order wants.
    OtherUnit,
    /// It is no longer valid.
    Lapsed,
    /// Its delivery date is past.
    DeliveryPast,
    /// Its delivery is later than the order wants.
    TooLate,
    /// Its seller has declined the order after its newest version.
    Declined,
}

impl SetAside {
    /// Every reason, for tables.
    pub const ALL: [Self; 9] = [
        Self::Alternative,
        Self::NotInvited,
        Self::OtherCurrency,
        Self::Incomplete,
        Self::OtherUnit,
        Self::Lapsed,
        Self::DeliveryPast,
        Self::TooLate,
        Self::Declined,
    ];

    /// Returns the spelling in replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alternative => "Alternative",
            Self::NotInvited => "NotInvited",
            Self::OtherCurrency => "OtherCurrency",
            Self::Incomplete => "Incomplete",
            Self::OtherUnit => "OtherUnit",
            Self::Lapsed => "Lapsed",
            Self::DeliveryPast => "DeliveryPast",
            Self::TooLate => "TooLate",
            Self::Declined => "Declined",
        }
    }

    /// Returns the reason with this spelling; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Reports whether the reason is in some lines; the others may compete all the same.
    pub(super) const fn is_of_lines(self) -> bool {
        matches!(self, Self::Incomplete | Self::OtherUnit)
    }
}

/// The terms of an order, by which its proposals are judged at one time.
#[derive(Debug)]
pub(super) struct OrderTerms<'a> {
    pub(super) order: &'a Order,
    pub(super) wanted: WantedLines<'a>,
    zone: Zone,
    due_by: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> OrderTerms<'a> {
    /// Returns the terms at this time; once the order has ended, those at its end.
    pub(super) fn of(order: &'a Order, now: Timestamp) -> Self {
        let zone = order.spec.zone();
        let by = order.spec.delivery.as_ref().and_then(|delivery| delivery.by.as_deref());
        let due_by = end(by, &zone);
        let now = order.ended_at.map_or(now, |ended_at| ended_at.min(now));
        let wanted = WantedLines::of(&order.spec.items);
        Self { order, wanted, zone, due_by, now }
    }

    /// Returns the time of the judgement.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the end of a proposal's delivery date; `None` where there is none, and for the words
    /// of earlier versions.
    pub(super) fn delivery(&self, content: &ProposalContent) -> Option<Timestamp> {
        end(content.delivery_date.as_deref(), &self.zone)
    }

    /// Reports whether a proposal is delivered by the order's date; `None` where either has none.
    pub(super) fn is_in_time(&self, content: &ProposalContent) -> Option<bool> {
        self.delivery(content).zip(self.due_by).map(|(at, wanted)| at <= wanted)
    }

    /// Reports whether a proposal has a delivery date where the order wants one.
    pub(super) fn has_wanted_date(&self, content: &ProposalContent) -> bool {
        let delivery = self.order.spec.delivery.as_ref();
        delivery.is_none_or(|wanted| wanted.by.is_none()) || self.delivery(content).is_some()
    }

    /// Reports whether a proposal's validity has ended.
    pub(super) fn is_lapsed(&self, content: &ProposalContent) -> bool {
        end(content.valid_until.as_deref(), &self.zone).is_some_and(|end| end < self.now)
    }

    /// Returns the first time at which a proposal that competes does not any more, by the end of
    /// its validity or of its delivery date; `None` where it has neither.
    pub(super) fn lapse(&self, content: &ProposalContent) -> Option<Timestamp> {
        let valid_until = end(content.valid_until.as_deref(), &self.zone);
        let ends = [valid_until, self.delivery(content)];
        // The end itself still counts.
        ends.into_iter().flatten().min().map(|last| last.plus_ms(1))
    }

    /// Reports whether a seller might propose: once sellers were selected, only these may. What
    /// others proposed before that competes.
    fn is_invited(&self, proposal: &Proposal) -> bool {
        let order = self.order;
        let was_first = || order.invited_since() > proposal.versions.first().copied();
        order.spec.sellers.open_to_all
            || order.invitations.is_empty()
            || order.invitation(&proposal.content.seller).is_some()
            || was_first()
    }

    /// Returns the label of an alternative; `None` for a main proposal.
    pub(super) fn alternative(content: &'a ProposalContent) -> Option<&'a str> {
        content.alternative.as_deref()
    }

    /// Returns the reasons for which a proposal is set aside; none where it competes.
    pub(super) fn reasons(&self, proposal: &'a Proposal) -> Vec<SetAside> {
        let content = &proposal.content;
        let fits = self.wanted.fits(content);
        let currency = content.price.currency();
        let is_other_currency = self.order.spec.currency.is_some_and(|only| only != currency);
        let delivery = self.delivery(content);
        let marks = [
            (SetAside::Alternative, Self::alternative(content).is_some()),
            (SetAside::NotInvited, !self.is_invited(proposal)),
            (SetAside::OtherCurrency, is_other_currency),
            (
                SetAside::Incomplete,
                fits.contains(&LineFit::Missing) || fits.contains(&LineFit::Short),
            ),
            (SetAside::OtherUnit, fits.contains(&LineFit::OtherUnit)),
            (SetAside::Lapsed, self.is_lapsed(content)),
            (SetAside::DeliveryPast, delivery.is_some_and(|at| at < self.now)),
            (SetAside::TooLate, self.is_in_time(content) == Some(false)),
            (SetAside::Declined, proposal.declined),
        ];
        marks.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
    }
}

/// Returns the end of a stored date in a zone.
fn end(text: Option<&str>, zone: &Zone) -> Option<Timestamp> {
    text.and_then(DateOrTime::read_stored).map(|date| date.end(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_parsed() {
        for reason in SetAside::ALL {
            assert_eq!(SetAside::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(SetAside::parse("incomplete"), None);
    }
}
