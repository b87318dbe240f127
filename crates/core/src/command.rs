//! The commands to an order, and its replies.

use serde::{Deserialize, Serialize};

use crate::buyer::BuyerCommand;
use crate::id::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, ProposalId, SellerId, Seq, Timestamp,
};
use crate::order::Phase;
use crate::price::{Price, Quantity};
use crate::spec::{FollowUp, NotificationType, OrderSpec, SellerChoice};

use facts::{CommandFacts, NamedActor};
pub(crate) use facts::{PermanentEffect, ReferencedId};

mod facts;

/// A command: its body, with the guards against a repetition, a former leader and an outdated view.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The idempotency key: the same key of the same actor has one effect and one reply.
    pub key: Option<IdempotencyKey>,
    /// The actor, where the caller is known; absent: the one that the body names.
    pub actor: Option<Actor>,
    /// The incarnation that the caller means; a different one is refused as not found.
    pub incarnation: Option<Incarnation>,
    /// The caller's epoch, where the command is to be fenced.
    pub epoch: Option<Epoch>,
    /// The state that the caller has observed; where it has changed since, nothing is done.
    pub precondition: Option<Precondition>,
    /// The command's body.
    pub kind: CommandKind,
}

impl Command {
    /// Returns a command that has a body and no guard.
    pub const fn bare(kind: CommandKind) -> Self {
        Self { key: None, actor: None, incarnation: None, epoch: None, precondition: None, kind }
    }
}

/// The party behind a command. A key belongs to its actor: the same text from another actor is
/// another key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The buyer, or whoever acts for it.
    Buyer,
    /// One seller.
    Seller(SellerId),
}

/// The state that a caller has observed, so that its command does not overwrite a change that it
/// does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The order's last event.
    LastSeq(Seq),
    /// The version of the proposal that the command names.
    Version(u32),
}

/// The body of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CommandKind {
    /// Open the order, with the sellers that were considered for it.
    Open(Box<OrderOpening>),
    /// A seller's new proposal.
    Propose(ProposalContent),
    /// A seller's changed proposal.
    Amend(ProposalContent),
    /// A seller withdraws a proposal.
    Withdraw {
        /// The proposal's id.
        proposal_id: ProposalId,
        /// The seller's reason, for the buyer.
        reason: Option<String>,
        /// The seller that withdraws it; absent where the caller names none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seller: Option<SellerId>,
    },
    /// A seller will not propose.
    Decline {
        /// The seller that declines.
        seller: SellerId,
        /// The seller's reason, for the buyer.
        reason: Option<String>,
    },
    /// A seller answers a follow-up.
    Answer {
        /// The seller that answers.
        seller: SellerId,
        /// The follow-up that it answers.
        follow_up_id: FollowUpId,
        /// The answer's text.
        message: String,
    },
    /// The buyer's follow-up.
    FollowUp(FollowUp),
    /// A seller asks the buyer something.
    Ask {
        /// The seller that asks.
        seller: SellerId,
        /// The question's id, unique in the order. Where it is absent, the command's key becomes
        /// the id, or the owner makes one up where there is no key or another question has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question_id: Option<FollowUpId>,
        /// The question's text.
        message: String,
    },
    /// A seller has seen the order.
    See {
        /// The seller that has seen it.
        seller: SellerId,
    },
    /// A seller was notified of the order, or could not be; the owner's own command.
    Notified {
        /// The seller concerned.
        seller: SellerId,
        /// The kind of channel that was used.
        channel: NotificationType,
        /// The cause for which it could not be notified; absent where it was.
        failure: Option<String>,
    },
    /// Invite sellers that came while the order is open; the owner's own command. Those that are
    /// invited already are skipped.
    Invite {
        /// The sellers that fit, the nearest first.
        choices: Vec<SellerChoice>,
    },
    /// Take the edit lock of a proposal.
    Lock {
        /// The proposal to lock.
        proposal_id: ProposalId,
        /// The seller that edits it.
        holder: SellerId,
        /// The lease, milliseconds.
        lease_ms: u64,
    },
    /// Release the edit lock of a proposal.
    Unlock {
        /// The locked proposal.
        proposal_id: ProposalId,
        /// The seller that held the lock.
        holder: SellerId,
    },
    /// Stop taking proposals for a while.
    Pause {
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// Take proposals again.
    Resume,
    /// Extend the order.
    Extend {
        /// The new lifetime from the order's opening, milliseconds.
        expires_in_ms: u64,
    },
    /// End the order without an award.
    Close {
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// End the order, with or without a winner.
    Finalise {
        /// The winner, or the winners of lines; nobody wins where it is absent.
        award: Option<Award>,
        /// The buyer's reason, for all who took part.
        reason: Option<String>,
        /// The time in which the award can be undone, before it takes effect and anybody is
        /// notified, milliseconds; absent or 0: it takes effect at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo_within_ms: Option<u64>,
    },
    /// Undo an award that has not taken effect.
    UndoAward {
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// End the order as if it had not been requested.
    Cancel {
        /// The buyer's reason.
        reason: Option<String>,
    },
    /// Check the clock, and apply what it demands.
    Tick,
}

impl CommandKind {
    /// Reports whether the command ends the order by itself.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Close { .. } | Self::Finalise { .. } | Self::Cancel { .. })
    }

    /// Reports whether the owner may have to assign the id of a new proposal or question.
    pub const fn needs_id(&self) -> bool {
        matches!(
            self,
            Self::Propose(ProposalContent { proposal_id: None, .. })
                | Self::Ask { question_id: None, .. }
        )
    }

    /// Returns the stable name of the command.
    pub fn name(&self) -> &'static str {
        self.facts().name
    }

    /// Returns the actor that the body names. `None` for the owner's own commands, which have no
    /// key, and for a withdrawal that names only its proposal.
    pub fn actor(&self) -> Option<Actor> {
        match self.facts().actor {
            NamedActor::Buyer => Some(Actor::Buyer),
            NamedActor::Seller(seller) => Some(Actor::Seller(seller.clone())),
            NamedActor::Unnamed => None,
        }
    }

    /// Returns the seller that the body names as its sender. `None` for the buyer's commands, for the
    /// owner's own, and for a withdrawal that names only its proposal.
    pub(crate) fn seller(&self) -> Option<&SellerId> {
        match self.facts().actor {
            NamedActor::Seller(seller) => Some(seller),
            NamedActor::Buyer | NamedActor::Unnamed => None,
        }
    }

    /// Returns the id of the proposal that the body names, if any.
    pub fn proposal_id(&self) -> Option<&ProposalId> {
        self.facts().id.and_then(ReferencedId::proposal)
    }

    /// Returns the id of the follow-up or question that the body names, if any.
    pub fn follow_up_id(&self) -> Option<&FollowUpId> {
        self.facts().id.and_then(ReferencedId::message)
    }

    /// Returns the effect that no later command undoes, if the command has one.
    pub(crate) fn permanent_effect(&self) -> Option<PermanentEffect> {
        self.facts().effect
    }

    /// Answers what is asked of a command, wherever it is read: a new command answers it here.
    fn facts(&self) -> CommandFacts<'_> {
        use NamedActor::{Buyer, Seller, Unnamed};
        use PermanentEffect as Effect;
        use ReferencedId as Id;
        let facts = CommandFacts::new;
        match self {
            Self::Open(_) => facts("open", Buyer, None, None),
            Self::Propose(proposed) => {
                let id = proposed.proposal_id.as_ref();
                let effect = id.cloned().map(Effect::Proposed);
                facts("propose", Seller(&proposed.seller), id.map(Id::Proposal), effect)
            }
            Self::Amend(proposed) => {
                let id = proposed.proposal_id.as_ref().map(Id::Proposal);
                facts("amend", Seller(&proposed.seller), id, None)
            }
            Self::Withdraw { proposal_id: id, seller, .. } => {
                let actor = seller.as_ref().map_or(Unnamed, Seller);
                let effect = Effect::Withdrawn(id.clone());
                facts("withdraw", actor, Some(Id::Proposal(id)), Some(effect))
            }
            Self::Decline { seller, .. } => {
                let effect = Effect::Declined(seller.clone());
                facts("decline", Seller(seller), None, Some(effect))
            }
            Self::Answer { seller, follow_up_id: id, .. } => {
                facts("answer", Seller(seller), Some(Id::Message(id)), None)
            }
            Self::FollowUp(FollowUp { id, .. }) => {
                let effect = Effect::FollowUp(id.clone());
                facts("follow-up", Buyer, Some(Id::Message(id)), Some(effect))
            }
            Self::Ask { seller, question_id, .. } => {
                let effect = question_id.clone().map(Effect::Question);
                facts("ask", Seller(seller), question_id.as_ref().map(Id::Message), effect)
            }
            Self::See { seller } => {
                facts("see", Seller(seller), None, Some(Effect::Seen(seller.clone())))
            }
            Self::Notified { .. } => facts("notified", Unnamed, None, None),
            Self::Invite { .. } => facts("invite", Unnamed, None, None),
            Self::Lock { proposal_id: id, holder, .. } => {
                facts("lock", Seller(holder), Some(Id::Proposal(id)), None)
            }
            Self::Unlock { proposal_id: id, holder } => {
                facts("unlock", Seller(holder), Some(Id::Proposal(id)), None)
            }
            Self::Pause { .. } => facts("pause", Buyer, None, None),
            Self::Resume => facts("resume", Buyer, None, None),
            Self::Extend { .. } => facts("extend", Buyer, None, None),
            Self::Close { .. } => facts("close", Buyer, None, None),
            Self::Finalise { .. } => facts("finalise", Buyer, None, None),
            Self::UndoAward { .. } => facts("undo-award", Buyer, None, None),
            Self::Cancel { .. } => facts("cancel", Buyer, None, None),
            Self::Tick => facts("tick", Unnamed, None, None),
        }
    }

    /// Returns the command as the buyer's, on an order that was opened. `None` for a follow-up,
    /// which is a message, and for all commands that are not the buyer's.
    pub fn buyer_command(&self) -> Option<BuyerCommand> {
        Some(match self {
            Self::Pause { reason } => BuyerCommand::Pause(reason.clone()),
            Self::Resume => BuyerCommand::Resume,
            Self::Extend { expires_in_ms } => BuyerCommand::Extend(*expires_in_ms),
            Self::Close { reason } => BuyerCommand::Close(reason.clone()),
            Self::Finalise { award, reason, undo_within_ms } => BuyerCommand::Finalise {
                award: award.clone(),
                reason: reason.clone(),
                undo_within_ms: *undo_within_ms,
            },
            Self::UndoAward { reason } => BuyerCommand::UndoAward(reason.clone()),
            Self::Cancel { reason } => BuyerCommand::Cancel(reason.clone()),
            Self::Open(_)
            | Self::Propose(_)
            | Self::Amend(_)
            | Self::Withdraw { .. }
            | Self::Decline { .. }
            | Self::Answer { .. }
            | Self::FollowUp(_)
            | Self::Ask { .. }
            | Self::See { .. }
            | Self::Notified { .. }
            | Self::Invite { .. }
            | Self::Lock { .. }
            | Self::Unlock { .. }
            | Self::Tick => return None,
        })
    }
}

/// The content of an order's opening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderOpening {
    /// The order's incarnation.
    pub incarnation: Incarnation,
    /// The order's content.
    pub spec: OrderSpec,
    /// The sellers that were considered, with the verdict on each.
    pub choices: Vec<SellerChoice>,
}

/// A proposal as a seller sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalContent {
    /// The proposal's id; where it is absent, the owner assigns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// The proposal's seller.
    pub seller: SellerId,
    /// The total price.
    pub price: Price,
    /// The lines with their prices; empty where the seller offers only the whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ProposalLine>,
    /// A note for the buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The delivery date, as the seller wrote it: a date or a time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_date: Option<String>,
    /// The end of the proposal's validity, as the seller wrote it: a date or a time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// The URLs of documents that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// The seller's own number for the proposal, which is sent back with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub your_reference: Option<String>,
    /// The label of an alternative, which stands beside its seller's main proposal; absent for the
    /// main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternative: Option<Box<str>>,
}

impl ProposalContent {
    /// Returns a proposal that has a total and nothing else.
    pub const fn new(seller: SellerId, price: Price) -> Self {
        Self {
            proposal_id: None,
            seller,
            price,
            lines: Vec::new(),
            note: None,
            delivery_date: None,
            valid_until: None,
            attachments: Vec::new(),
            your_reference: None,
            alternative: None,
        }
    }
}

/// One line of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalLine {
    /// The buyer's article number, or the seller's of a substitute.
    pub sku: String,
    /// The quantity offered, in `unit`.
    pub quantity: Quantity,
    /// The unit of the quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The price of the whole line.
    pub price: Price,
    /// The name of the order's line that it is for; absent where the article number says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The order's article that this one stands for; absent where it is the order's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitutes: Option<String>,
}

/// The winner of an order, or the winners of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Award {
    /// One proposal wins the whole order.
    Whole(ProposalId),
    /// The lines go to different proposals: (line or article number, proposal).
    Lines(Vec<(String, ProposalId)>),
}

/// Describes an award, or its absence, for people.
pub fn winners(award: Option<&Award>) -> String {
    match award {
        None => "no award".to_owned(),
        Some(Award::Whole(id)) => format!("won by {id}"),
        Some(Award::Lines(lines)) => {
            let lines: Vec<_> = lines.iter().map(|(sku, id)| format!("{sku} by {id}")).collect();
            format!("won: {}", lines.join(", "))
        }
    }
}

/// The reply to a command that was done, with the order's standing at that time. The same key of
/// the same actor gets the same reply for the whole incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The last event that the command caused. If it had already been done for good, the event that
    /// did it. If it found nothing to do and a later command could undo that, the last event of the
    /// list; a keyed command causes an event then.
    pub seq: Seq,
    /// The proposal that the command was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<ProposalId>,
    /// The follow-up or question that the command was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_id: Option<FollowUpId>,
    /// The order's phase after that event.
    pub phase: Phase,
    /// The time at which the order was to expire after that event; absent once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_proposals_need_an_id() {
        let seller = SellerId::new("seller1").unwrap();
        let propose = |proposal_id| {
            let price = Price::parse("7", "EUR").unwrap();
            let content = ProposalContent::new(seller.clone(), price);
            CommandKind::Propose(ProposalContent { proposal_id, ..content })
        };
        assert!(propose(None).needs_id());
        assert!(!propose(Some(ProposalId::new("p1").unwrap())).needs_id());
        assert!(!CommandKind::Tick.needs_id());
    }
}
