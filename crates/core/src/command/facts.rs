//! The answers to what readers ask of a command, and what they are made of.

use crate::id::{FollowUpId, ProposalId, SellerId};

/// The answers to what is asked of a command.
pub(super) struct CommandFacts<'a> {
    /// The stable name.
    pub(super) name: &'static str,
    /// The actor that the body names.
    pub(super) actor: NamedActor<'a>,
    /// The proposal or message that the body names.
    pub(super) id: Option<ReferencedId<'a>>,
    /// The effect that no later command undoes. Where there is none, and a later command can undo
    /// what this one did, the rules restate the state under its key.
    pub(super) effect: Option<PermanentEffect>,
}

impl<'a> CommandFacts<'a> {
    pub(super) const fn new(
        name: &'static str,
        actor: NamedActor<'a>,
        id: Option<ReferencedId<'a>>,
        effect: Option<PermanentEffect>,
    ) -> Self {
        Self { name, actor, id, effect }
    }
}

/// The actor that a command's body names.
pub(super) enum NamedActor<'a> {
    Buyer,
    Seller(&'a SellerId),
    /// None: the owner acts, or the seller of the proposal that the body names.
    Unnamed,
}

/// The id that a command or an event names.
#[derive(Clone, Copy)]
pub(crate) enum ReferencedId<'a> {
    /// A proposal's.
    Proposal(&'a ProposalId),
    /// A follow-up's or a question's.
    Message(&'a FollowUpId),
}

impl<'a> ReferencedId<'a> {
    pub(crate) const fn proposal(self) -> Option<&'a ProposalId> {
        match self {
            Self::Proposal(id) => Some(id),
            Self::Message(_) => None,
        }
    }

    pub(crate) const fn message(self) -> Option<&'a FollowUpId> {
        match self {
            Self::Proposal(_) => None,
            Self::Message(id) => Some(id),
        }
    }
}

/// An effect that no later command undoes, so that a repetition of its command has nothing to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PermanentEffect {
    /// The first content of a proposal; recorded only once it is amended.
    Proposed(ProposalId),
    Withdrawn(ProposalId),
    /// Permanent only as long as the seller proposes nothing later.
    Declined(SellerId),
    Seen(SellerId),
    FollowUp(FollowUpId),
    Question(FollowUpId),
}
