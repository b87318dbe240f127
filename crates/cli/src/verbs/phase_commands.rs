//! The buyer's commands that change an order's phase: pause and resume, close and cancel, and undoing
//! an award.

use orderstream_core::buyer::BuyerCommand;
use orderstream_core::{Phase, Reason};
use orderstream_rest_types::order::OrderView;

use super::confirm::ConfirmArgs;
use super::execution::VerbCommand;
use super::order_commands::{OrderArgs, is_ended, reason, until};
use super::{print, stalled};
use crate::cluster::edit::Edit;
use crate::exit::CliError;

/// The arguments of a command that can have a reason.
#[derive(Debug, clap::Args)]
pub struct ReasonArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// The reason, for all who take part
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of a command that ends the order.
#[derive(Debug, clap::Args)]
pub struct EndArgs {
    #[command(flatten)]
    reason_args: ReasonArgs,
    #[command(flatten)]
    confirm_args: ConfirmArgs,
}

/// The arguments of a command without a reason.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    order: OrderArgs,
}

/// A command that leads to a phase, and its result in words.
struct PhaseCommand<'a> {
    verb: &'a str,
    command: BuyerCommand,
    phase: Phase,
    summary: String,
    /// The question for a person at a terminal, of a command that cannot be undone.
    question: Option<(ConfirmArgs, String)>,
}

impl ReasonArgs {
    /// Pauses the order: it takes no proposals until it is resumed.
    pub(crate) async fn pause(self) -> Result<(), CliError> {
        let name = self.order.name();
        let command = PhaseCommand {
            verb: "pause",
            command: BuyerCommand::Pause(reason(self.reason.as_ref())?),
            phase: Phase::Paused,
            summary: format!("order {name} paused; `orderstream resume {name}` goes on"),
            question: None,
        };
        self.order.run(command).await
    }

    /// Undoes a pending award.
    pub(crate) async fn undo_award(self) -> Result<(), CliError> {
        let command = BuyerCommand::UndoAward(reason(self.reason.as_ref())?);
        let has_effect = |order: &OrderView| order.pending_award.is_none() && !is_ended(order);
        let (market, subject) = self.order.market().await?;
        let is_refused = subject.resource().is_some_and(stalled::has_refused_award);
        if !self.order.may_be_decided(&subject)
            && let Some(before) = market.order_if_reachable(&subject).await?
            && before.pending_award.is_none()
            && (is_ended(&before) || !is_refused)
        {
            let text = "no award waits to count; there is nothing to undo [AWARD_NOT_PENDING]";
            let reason = Some(Reason::AwardNotPending);
            return Err(CliError::from_server(reason, text.to_owned()));
        }
        let verb_command = VerbCommand {
            verb: "undo-award",
            edit: Edit::Command(command),
            has_effect: &has_effect,
        };
        let outcome = self.order.execute(&market, &subject, &verb_command).await?;
        let summary = format!("award of order {} undone; nobody was notified", self.order.name());
        self.order.print_outcome(&outcome, &summary)
    }
}

impl EndArgs {
    /// Closes the order without an award.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        let Self { reason_args: ReasonArgs { order, reason: given }, confirm_args } = self;
        let name = order.name();
        let question = format!("Close order {name} without an award?");
        let command = PhaseCommand {
            verb: "close",
            command: BuyerCommand::Close(reason(given.as_ref())?),
            phase: Phase::Closed,
            summary: format!("order {name} closed without an award"),
            question: Some((confirm_args, question)),
        };
        order.run(command).await
    }

    /// Cancels the order.
    pub(crate) async fn cancel(self) -> Result<(), CliError> {
        let Self { reason_args: ReasonArgs { order, reason: given }, confirm_args } = self;
        let name = order.name();
        let question = format!("Cancel order {name}?");
        let command = PhaseCommand {
            verb: "cancel",
            command: BuyerCommand::Cancel(reason(given.as_ref())?),
            phase: Phase::Cancelled,
            summary: format!("order {name} cancelled"),
            question: Some((confirm_args, question)),
        };
        order.run(command).await
    }
}

impl OrderArgs {
    /// Carries out a command, unless the order is in its phase already.
    async fn run(&self, command: PhaseCommand<'_>) -> Result<(), CliError> {
        let PhaseCommand { verb, command, phase, summary, question } = command;
        let has_effect = |order: &OrderView| order.phase == phase.as_str();
        let (market, subject) = self.market().await?;
        let mut open = None;
        if !self.may_be_decided(&subject)
            && let Some(before) = market.order_if_reachable(&subject).await?
        {
            if has_effect(&before) {
                // It was done before: an interrupted script repeats its command.
                return self.print_report(&self.report(verb, &subject, &before), &summary);
            }
            open = Some(before.proposals.open).filter(|_| !is_ended(&before));
        }
        if let Some((confirm_args, question)) = question {
            let open = open.and_then(|open| usize::try_from(open).ok());
            let open =
                open.map(|open| format!(" and ends {}", print::count(open, "open proposal")));
            let open = open.unwrap_or_default();
            confirm_args.confirm(&format!("{question} That cannot be undone{open}."))?;
        }
        let verb_command =
            VerbCommand { verb, edit: Edit::Command(command), has_effect: &has_effect };
        let outcome = self.execute(&market, &subject, &verb_command).await?;
        self.print_outcome(&outcome, &summary)
    }
}

impl ResumeArgs {
    /// Resumes the order: it takes proposals again.
    pub(crate) async fn resume(self) -> Result<(), CliError> {
        let (market, subject) = self.order.market().await?;
        let has_effect = |order: &OrderView| order.phase == Phase::Open.as_str();
        let verb_command = VerbCommand {
            verb: "resume",
            edit: Edit::Command(BuyerCommand::Resume),
            has_effect: &has_effect,
        };
        let outcome = self.order.execute(&market, &subject, &verb_command).await?;
        let summary =
            format!("order {} takes proposals until {}", self.order.name(), until(&outcome));
        self.order.print_outcome(&outcome, &summary)
    }
}
