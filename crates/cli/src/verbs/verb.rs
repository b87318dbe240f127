//! The verbs of buyers, as the command line lists them.

use clap::Subcommand;

use super::award::AwardArgs;
use super::compare::CompareArgs;
use super::conversation::ConversationArgs;
use super::flags;
use super::order_commands::{AskArgs, ExtendArgs};
use super::phase_commands::{EndArgs, ReasonArgs, ResumeArgs};
use super::status::StatusArgs;
use super::submit::SubmitArgs;
use super::why::WhyArgs;
use crate::exit::CliError;

/// The buyer's verbs.
#[derive(Debug, Subcommand)]
pub enum BuyerVerb {
    /// Buyer: submit an order, from a manifest or from flags
    Submit(Box<SubmitArgs>),
    /// Buyer: show an order on one screen
    Status(StatusArgs),
    /// Buyer: show the proposals side by side
    Compare(CompareArgs),
    /// Buyer: explain why each seller was or was not invited, and why the stream is down
    Why(WhyArgs),
    /// Buyer: show the questions, follow-ups and answers
    Conversation(ConversationArgs),
    /// Buyer: send the sellers a follow-up, or answer a question to all
    Ask(AskArgs),
    /// Buyer: extend the time for proposals
    Extend(ExtendArgs),
    /// Buyer: pause the order, which takes no proposals until it is resumed
    Pause(ReasonArgs),
    /// Buyer: resume the order, which takes proposals again
    Resume(ResumeArgs),
    /// Buyer: award the order, whole or per line, or to nobody
    Award(AwardArgs),
    /// Buyer: undo an award that has not taken effect
    UndoAward(ReasonArgs),
    /// Buyer: end the order without an award
    Close(EndArgs),
    /// Buyer: cancel the order
    Cancel(EndArgs),
}

impl BuyerVerb {
    /// Runs the verb to its end.
    ///
    /// # Errors
    /// When the command line is wrong, or the server refuses the request or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let result = match self {
            Self::Submit(verb) => return verb.run().await,
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
        };
        result.map_err(|failure| failure.in_flags(flags::OF_BUYERS))
    }
}
