//! The templates of notifications, by name.

use serde::{Deserialize, Serialize};

/// The template of a notification: what happened, for its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// To a seller: it is invited to propose.
    Invitation,
    /// To the buyer: the request was accepted.
    Acknowledgement,
    /// To a seller: its proposal was accepted.
    Receipt,
    /// To the buyer: a seller proposed.
    Proposal,
    /// To the buyer: a proposal changed.
    Amendment,
    /// To the buyer: a proposal was withdrawn.
    Withdrawal,
    /// To the buyer: a seller will not propose.
    Decline,
    /// To the buyer: a seller answered.
    Answer,
    /// To the buyer: a seller asks a question.
    Question,
    /// To sellers: the buyer's question or remark.
    FollowUp,
    /// To sellers: there is more time.
    Extension,
    /// To sellers: no proposals are accepted for a while.
    Pause,
    /// To sellers: proposals are accepted again.
    Resumption,
    /// To the buyer: the deadline has passed, and a decision is due; a sealed order is opened.
    Opening,
    /// To a seller: it won.
    Awarded,
    /// To a seller: it did not win.
    NotAwarded,
    /// To all: the order has ended.
    End,
    /// To the buyer: a seller could not be notified.
    SellerNotReached,
    /// To the operator's programs: the buyer could not be notified.
    BuyerNotReached,
}

impl Template {
    /// Every template, for tables.
    pub const ALL: [Self; 19] = [
        Self::Invitation,
        Self::Acknowledgement,
        Self::Receipt,
        Self::Proposal,
        Self::Amendment,
        Self::Withdrawal,
        Self::Decline,
        Self::Answer,
        Self::Question,
        Self::FollowUp,
        Self::Extension,
        Self::Pause,
        Self::Resumption,
        Self::Opening,
        Self::Awarded,
        Self::NotAwarded,
        Self::End,
        Self::SellerNotReached,
        Self::BuyerNotReached,
    ];

    /// Returns the name of its files, which is also its spelling in replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Acknowledgement => "acknowledgement",
            Self::Receipt => "receipt",
            Self::Proposal => "proposal",
            Self::Amendment => "amendment",
            Self::Withdrawal => "withdrawal",
            Self::Decline => "decline",
            Self::Answer => "answer",
            Self::Question => "question",
            Self::FollowUp => "follow-up",
            Self::Extension => "extension",
            Self::Pause => "pause",
            Self::Resumption => "resumption",
            Self::Opening => "opening",
            Self::Awarded => "awarded",
            Self::NotAwarded => "not-awarded",
            Self::End => "end",
            Self::SellerNotReached => "seller-not-reached",
            Self::BuyerNotReached => "buyer-not-reached",
        }
    }

    /// Returns the template with this name; `None` for an unknown name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_parsed() {
        for template in Template::ALL {
            assert_eq!(Template::parse(template.as_str()), Some(template));
        }
        assert_eq!(Template::parse("Invitation"), None);
    }
}
