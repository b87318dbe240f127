//! The verbs of buyers and of sellers, as the command line lists them.

use clap::Subcommand;

use super::acts::{Ask, Extend, Plain, Reasoned};
use super::award::Award;
use super::compare::Compare;
use super::conversation::Conversation;
use super::offers::{Amend, Lock, Propose, Unlock, Withdraw};
use super::seller::{Answer, Decline, Question, Seen};
use super::status::Status;
use super::submit::Submit;
use super::why::Why;
use crate::exit::Failure;

/// The buyer's verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum BuyerVerb {
    /// Buyer: submit an order, from a manifest or from flags
    Submit(Box<Submit>),
    /// Buyer: show an order on one screen
    Status(Status),
    /// Buyer: show the proposals side by side
    Compare(Compare),
    /// Buyer: explain why each seller was or was not invited, and why the stream is down
    Why(Why),
    /// Buyer: show the questions, follow-ups and answers
    Conversation(Conversation),
    /// Buyer: send the sellers a follow-up, or answer a question to all
    Ask(Ask),
    /// Buyer: extend the time for proposals
    Extend(Extend),
    /// Buyer: pause the order, which takes no proposals until it is resumed
    Pause(Reasoned),
    /// Buyer: resume the order, which takes proposals again
    Resume(Plain),
    /// Buyer: award the order, whole or per line, or to nobody
    Award(Award),
    /// Buyer: undo an award that has not taken effect
    UndoAward(Reasoned),
    /// Buyer: end the order without an award
    Close(Reasoned),
    /// Buyer: cancel the order
    Cancel(Reasoned),
}

/// The seller's verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum SellerVerb {
    /// Seller: make a proposal
    Propose(Box<Propose>),
    /// Seller: change a proposal; fields that are not given stay
    Amend(Box<Amend>),
    /// Seller: withdraw a proposal
    Withdraw(Withdraw),
    /// Seller: decline to propose
    Decline(Decline),
    /// Seller: ask the buyer a question
    Question(Question),
    /// Seller: answer the buyer's follow-up
    Answer(Answer),
    /// Seller: keep others from changing a proposal for a while
    Lock(Lock),
    /// Seller: release the edit lock
    Unlock(Unlock),
    /// Seller: mark the invitation as seen
    Seen(Seen),
}

impl BuyerVerb {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Submit(verb) => verb.run().await,
            Self::Status(verb) => verb.run().await,
            Self::Compare(verb) => verb.run().await,
            Self::Why(verb) => verb.run().await,
            Self::Conversation(verb) => verb.run().await,
            Self::Ask(verb) => verb.run().await,
            Self::Extend(verb) => verb.run().await,
            Self::Pause(verb) => verb.pause().await,
            Self::Resume(verb) => verb.resume().await,
            Self::Award(verb) => verb.run().await,
            Self::UndoAward(verb) => verb.undo_award().await,
            Self::Close(verb) => verb.close().await,
            Self::Cancel(verb) => verb.cancel().await,
        }
    }
}

impl SellerVerb {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Propose(verb) => verb.run().await,
            Self::Amend(verb) => verb.run().await,
            Self::Withdraw(verb) => verb.run().await,
            Self::Decline(verb) => verb.run().await,
            Self::Question(verb) => verb.run().await,
            Self::Answer(verb) => verb.run().await,
            Self::Lock(verb) => verb.run().await,
            Self::Unlock(verb) => verb.run().await,
            Self::Seen(verb) => verb.run().await,
        }
    }
}
