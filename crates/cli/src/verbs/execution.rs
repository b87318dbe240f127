//! A buyer's command in progress: it is sent, and reported when it is known to be done. If the
//! server has the reply for the command's key, that is reported, whatever happened to the order
//! since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orderstream_core::buyer::BuyerCommand;
use orderstream_core::request_phase::end_reason;
use orderstream_core::{Phase, Reason};
use orderstream_rest_types::order::OrderView;

use super::market::{Market, RemoteCommandState, Subject, VerbReceipt};
use super::model::CommandReport;
use super::order_commands::{OrderArgs, is_ended};
use crate::cluster::edit::Edit;
use crate::exit::CliError;
use crate::progress::Progress;

/// The time between two reads while a command is in progress.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The reads of an order for each read of its order request, which has the refusal of an edit.
const READS_PER_REFUSAL: u32 = 4;
/// The longest wait for a command to be done.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(10);
/// The text for an order whose processor does not respond.
pub(super) const STATE_UNKNOWN: &str =
    "its processor does not answer, so how the order is now is not known";

/// A command on an order, and the test for its effect on the order.
pub(super) struct VerbCommand<'a> {
    pub(super) verb: &'a str,
    pub(super) edit: Edit,
    pub(super) has_effect: &'a (dyn Fn(&OrderView) -> bool + Sync),
}

/// A command that is done, and the order after it.
#[derive(Debug)]
pub(super) struct VerbOutcome {
    pub(super) report: CommandReport,
    pub(super) effect: ObservedEffect,
}

/// The order after a command.
#[derive(Debug)]
pub(super) enum ObservedEffect {
    /// It shows the command's effect.
    Visible(Box<OrderView>),
    /// It has changed again, and does not show the effect.
    Superseded(Box<OrderView>),
    /// Its processor does not respond.
    Unknown,
}

impl OrderArgs {
    /// Sends the command, and waits until it is known to be done.
    pub(super) async fn execute(
        &self,
        market: &Market,
        subject: &Subject,
        command: &VerbCommand<'_>,
    ) -> Result<VerbOutcome, CliError> {
        let text = format!("{} of order {} is on its way", command.verb, self.name());
        Progress::new(&text).during(self.carry_out(market, subject, command)).await
    }

    async fn carry_out(
        &self,
        market: &Market,
        subject: &Subject,
        command: &VerbCommand<'_>,
    ) -> Result<VerbOutcome, CliError> {
        let key = self.key();
        let after = match market.send_command(subject, &command.edit, &key).await? {
            VerbReceipt::Done => market.order_if_reachable(subject).await?,
            VerbReceipt::Edited(generation) => {
                let polling = until_visible(market, subject, command, generation);
                with_timeout(subject, command, polling, String::new).await.map(Some)?
            }
            VerbReceipt::Pending(location) => {
                let is_pending = AtomicBool::new(true);
                let polling = until_reported(market, subject, command, &location, &is_pending);
                let location_hint = || match is_pending.load(Ordering::Relaxed) {
                    true => {
                        format!("; it goes on by itself, and GET {location} has the outcome")
                    }
                    false => format!("; GET {location} has no outcome yet"),
                };
                with_timeout(subject, command, polling, location_hint).await?
            }
        };
        let unknown = OrderView::default();
        let observed = after.as_ref().unwrap_or(&unknown);
        let done = CommandReport { key, ..self.report(command.verb, subject, observed) };
        let order = match after.map(Box::new) {
            Some(order) if (command.has_effect)(&order) => ObservedEffect::Visible(order),
            Some(order) => ObservedEffect::Superseded(order),
            None => ObservedEffect::Unknown,
        };
        Ok(VerbOutcome { report: done, effect: order })
    }

    /// Prints a line for people, or all for programs. A command that was done before counts as
    /// done; people also get the order's phase.
    pub(super) fn print_outcome(
        &self,
        outcome: &VerbOutcome,
        summary: &str,
    ) -> Result<(), CliError> {
        let (name, verb) = (self.name(), &outcome.report.verb);
        let summary = match &outcome.effect {
            ObservedEffect::Visible(_) => summary.to_owned(),
            ObservedEffect::Superseded(order) => {
                format!("{verb} of order {name} was done; it is {} by now", order.phase)
            }
            ObservedEffect::Unknown => format!("{verb} of order {name} is done; {STATE_UNKNOWN}"),
        };
        self.print_report(&outcome.report, &summary)
    }
}

/// Waits until the order shows the effect of its order request, and returns it. Fails where the
/// order request shows that the order refused it.
async fn until_visible(
    market: &Market,
    subject: &Subject,
    command: &VerbCommand<'_>,
    generation: i64,
) -> Result<OrderView, CliError> {
    let mut reads: u32 = 0;
    loop {
        reads = reads.wrapping_add(1);
        let order = market.order(subject).await?;
        if is_visible(market, subject, command, &order).await? {
            return Ok(order);
        }
        if is_ended(&order) {
            return Err(overtaken(&subject.id, command, &order.phase));
        }
        if reads.is_multiple_of(READS_PER_REFUSAL)
            && let Some(refused) = market.edit_failure(subject, &command.edit, generation).await
        {
            return Err(refused);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits until the requestor reports the command as done, or, where it does not know it, until the
/// order shows it. Returns the order, where its processor responds.
async fn until_reported(
    market: &Market,
    subject: &Subject,
    command: &VerbCommand<'_>,
    location: &str,
    is_pending: &AtomicBool,
) -> Result<Option<OrderView>, CliError> {
    loop {
        let state = market.command_state(location).await?;
        is_pending.store(state == RemoteCommandState::Pending, Ordering::Relaxed);
        match state {
            RemoteCommandState::Done => return market.order_if_reachable(subject).await,
            RemoteCommandState::Pending => {}
            RemoteCommandState::Unknown => {
                let order = market.order(subject).await?;
                if is_visible(market, subject, command, &order).await? {
                    return Ok(Some(order));
                }
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits for up to [`COMPLETION_TIMEOUT`]. The command was accepted, so a timeout is reported as
/// such, with `location_hint`: the path at which its reply can be read.
async fn with_timeout<T>(
    subject: &Subject,
    command: &VerbCommand<'_>,
    polling: impl Future<Output = Result<T, CliError>>,
    location_hint: impl Fn() -> String,
) -> Result<T, CliError> {
    let (verb, id) = (command.verb, &subject.id);
    match tokio::time::timeout(COMPLETION_TIMEOUT, polling).await {
        Ok(Err(failure)) if failure.is_processor_unreachable() => Err(CliError::too_late(format!(
            "{verb} is asked for, but whether it is done is not known{}: {failure}",
            location_hint()
        ))),
        Ok(result) => result,
        Err(_) => {
            let seconds = COMPLETION_TIMEOUT.as_secs();
            Err(CliError::too_late(format!(
                "{verb} is asked for, but whether it is done is not known after {seconds} s; see \
                 `orderstream status {id}` and `orderstream why {id}`{}",
                location_hint()
            )))
        }
    }
}

/// Reports whether the order shows the effect of this command, and not of a concurrent rival.
async fn is_visible(
    market: &Market,
    subject: &Subject,
    command: &VerbCommand<'_>,
    order: &OrderView,
) -> Result<bool, CliError> {
    match &command.edit {
        _ if !(command.has_effect)(order) => Ok(false),
        Edit::FollowUp(id, _) => market.has_follow_up(subject, id).await,
        Edit::Command(_) => Ok(true),
    }
}

/// Makes the failure of a command that the order's end has overtaken.
fn overtaken(id: &str, command: &VerbCommand<'_>, phase: &str) -> CliError {
    let is_awarded = phase == Phase::Finalised.as_str();
    let (reason, is_certain) = match &command.edit {
        Edit::Command(BuyerCommand::Finalise { .. }) if is_awarded => {
            (Reason::AlreadyAwarded, true)
        }
        // An end does not show what was before it.
        Edit::Command(
            BuyerCommand::Pause(_) | BuyerCommand::Resume | BuyerCommand::UndoAward(_),
        ) => (end_reason(phase), false),
        Edit::Command(_) | Edit::FollowUp(..) => (end_reason(phase), true),
    };
    let (verb, reason_text) = (command.verb, reason.as_str());
    let part = if is_certain { "has no part in it" } else { "is nothing that it still shows" };
    let text = format!("the order {id} is {phase} by now, and {verb} {part} [{reason_text}]");
    CliError::from_server(Some(reason), text)
}
