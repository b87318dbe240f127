//! The buyer's commands on an order that exists. Each is carried out by an edit of the order
//! request, or at the requestor, and is reported when the order's processor shows it.

use orderstream_api::duration::parse_ms;
use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::date;
use orderstream_core::input::{FollowUpInput, MessageInput, optional_text};
use orderstream_core::limits::{TEXT_CHARS_MAX, UNDO_WITHIN_MS_MAX};
use orderstream_core::request_phase::is_end;
use orderstream_core::spec::FollowUp;
use orderstream_core::{Phase, Reason};
use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};
use orderstream_rest_types::order::OrderView;

use super::execution::{ObservedEffect, VerbCommand, VerbOutcome};
use super::market::{Market, MarketArgs, Subject, await_optional};
use super::model::CommandReport;
use super::print::{self, length};
use super::show::OutputFormat;
use crate::cluster::edit::Edit;
use crate::exit::CliError;
use crate::output;

/// The arguments that all commands on an order share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OrderArgs {
    /// Name of the order request, or the order's id
    #[arg(value_name = "ORDER")]
    order: String,
    /// Idempotency key: a command repeated with the same key has one effect, if the order has no
    /// order request; an order request is edited again, whatever the key. Generated when absent
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

/// The arguments of a command that can have a reason.
#[derive(Debug, clap::Args)]
pub struct ReasonArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// The reason, for all who take part
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of a command without a reason.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    order: OrderArgs,
}

/// `orderstream ask ORDER MESSAGE`
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// The message
    #[arg(value_name = "MESSAGE")]
    message: String,
    /// The recipients; all sellers when absent
    #[arg(long, num_args = 1.., value_name = "SELLER")]
    to: Vec<String>,
    /// The id of the seller's question that it answers
    #[arg(long, value_name = "QUESTION")]
    answers: Option<String>,
    /// The URL of a document that belongs to it
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
}

/// `orderstream extend ORDER`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("length").required(true))]
pub struct ExtendArgs {
    /// The time to add
    #[arg(long, group = "length", value_name = "DURATION")]
    by: Option<String>,
    /// The new total time, counted from the opening
    #[arg(long, group = "length", value_name = "DURATION")]
    expires_in: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

impl OrderArgs {
    pub(super) async fn market(&self) -> Result<(Market, Subject), CliError> {
        let market = self.market_args.market().await?;
        let subject = market.subject(&self.order).await?;
        Ok((market, subject))
    }

    pub(super) fn key(&self) -> String {
        self.key.clone().unwrap_or_else(generate_key)
    }

    /// Returns the order's name as the user gave it.
    pub(super) fn name(&self) -> &str {
        &self.order
    }

    /// Reports whether only the requestor knows the command's reply: the command may have been
    /// decided under this key before, and the order may have changed since. A command without
    /// effect must be sent too, or a repetition might have one.
    pub(super) const fn may_be_decided(&self, subject: &Subject) -> bool {
        self.key.is_some() && subject.resource().is_none()
    }

    /// Makes the JSON output of a command.
    pub(super) fn report(&self, verb: &str, subject: &Subject, order: &OrderView) -> CommandReport {
        CommandReport {
            order_req_id: subject.id.clone(),
            verb: verb.to_owned(),
            last_seq: order.last_seq,
            phase: order.phase.clone(),
            key: self.key(),
            ..CommandReport::default()
        }
    }

    /// Prints `summary` for people, or all of `report` for programs.
    pub(super) fn print_report(
        &self,
        report: &CommandReport,
        summary: &str,
    ) -> Result<(), CliError> {
        if self.output == OutputFormat::Table {
            output::line(summary);
            return Ok(());
        }
        print::structured(report, self.output)
    }
}

/// Generates an idempotency key, 128 random bits.
pub(super) fn generate_key() -> String {
    format!("cli-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

pub(super) fn is_ended(order: &OrderView) -> bool {
    is_end(&order.phase)
}

/// Checks a reason as the servers do.
pub(super) fn reason(text: Option<&String>) -> Result<Option<String>, CliError> {
    Ok(optional_text("--reason", text.cloned(), TEXT_CHARS_MAX)?)
}

/// Parses a duration that was given with a flag.
pub(super) fn duration_ms(flag: &str, text: &str) -> Result<u64, CliError> {
    parse_ms(text).filter(|ms| *ms > 0).ok_or_else(|| {
        CliError::input(format!("{flag} '{text}' is not a duration such as 90s, 10m, 1h30m or 2d"))
    })
}

/// Parses the time in which an award can be undone, milliseconds.
pub(super) fn undo_within_ms(text: Option<&str>) -> Result<Option<u64>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let ms = duration_ms("--undo-within", text)?;
    if ms > UNDO_WITHIN_MS_MAX {
        return Err(CliError::input(format!("--undo-within {text} is too long; give 1s to 1d")));
    }
    Ok(Some(ms))
}

impl ReasonArgs {
    /// Pauses the order: it takes no proposals until it is resumed.
    pub(crate) async fn pause(self) -> Result<(), CliError> {
        let command = BuyerCommand::Pause(reason(self.reason.as_ref())?);
        let has_effect = |order: &OrderView| order.phase == Phase::Paused.as_str();
        let name = self.order.name().to_owned();
        self.run(
            "pause",
            command,
            &has_effect,
            &format!("order {name} paused; `orderstream resume {name}` goes on"),
        )
        .await
    }

    /// Closes the order without an award.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        let command = BuyerCommand::Close(reason(self.reason.as_ref())?);
        let has_effect = |order: &OrderView| order.phase == Phase::Closed.as_str();
        let summary = format!("order {} closed without an award", self.order.name());
        self.run("close", command, &has_effect, &summary).await
    }

    /// Cancels the order.
    pub(crate) async fn cancel(self) -> Result<(), CliError> {
        let command = BuyerCommand::Cancel(reason(self.reason.as_ref())?);
        let has_effect = |order: &OrderView| order.phase == Phase::Cancelled.as_str();
        let summary = format!("order {} cancelled", self.order.name());
        self.run("cancel", command, &has_effect, &summary).await
    }

    /// Undoes a pending award.
    pub(crate) async fn undo_award(self) -> Result<(), CliError> {
        let command = BuyerCommand::UndoAward(reason(self.reason.as_ref())?);
        let has_effect = |order: &OrderView| order.pending_award.is_none() && !is_ended(order);
        let (market, subject) = self.order.market().await?;
        if !self.order.may_be_decided(&subject)
            && let Some(before) = market.order_if_reachable(&subject).await?
            && before.pending_award.is_none()
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

    async fn run(
        &self,
        verb: &str,
        command: BuyerCommand,
        shows: &(dyn Fn(&OrderView) -> bool + Sync),
        summary: &str,
    ) -> Result<(), CliError> {
        let (market, subject) = self.order.market().await?;
        if !self.order.may_be_decided(&subject)
            && let Some(before) = market.order_if_reachable(&subject).await?
            && shows(&before)
        {
            // It was done before: an interrupted script repeats its command.
            return self.order.print_report(&self.order.report(verb, &subject, &before), summary);
        }
        let verb_command = VerbCommand { verb, edit: Edit::Command(command), has_effect: shows };
        let outcome = self.order.execute(&market, &subject, &verb_command).await?;
        self.order.print_outcome(&outcome, summary)
    }
}

impl ResumeArgs {
    /// Resumes the order: it takes proposals again.
    pub(crate) async fn resume(self) -> Result<(), CliError> {
        let (market, subject) = self.order.market().await?;
        let has_effect = |order: &OrderView| order.phase == "Open";
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

/// Describes the expiry of the order after a command.
fn until(outcome: &VerbOutcome) -> String {
    match &outcome.effect {
        ObservedEffect::Visible(order) | ObservedEffect::Superseded(order) => {
            print::moment(&order.expires_at, crate::clock::now())
        }
        ObservedEffect::Unknown => "-".to_owned(),
    }
}

impl AskArgs {
    pub(crate) async fn run(mut self) -> Result<(), CliError> {
        let key = self.order.key.get_or_insert_with(generate_key).clone();
        let message = MessageInput { message: self.message, urls: self.urls, kind: None };
        let input = FollowUpInput { id: key, audience: self.to, message, answers: self.answers };
        let FollowUp { id, audience, message, answers } = FollowUp::try_from(input)?;
        let follow_up = FollowUpDraft { id: Some(id.clone()), audience, message, answers };
        let (market, subject) = self.order.market().await?;
        let request = async {
            let order = market.order(&subject).await?;
            Ok((order, market.sellers().conversation(&subject.id).await?))
        };
        let before = await_optional(request).await?;
        // The number of follow-ups that the order has once this one is in its list.
        let mut least = 0;
        if let Some((order, messages)) = &before {
            check_audience(order, &follow_up)?;
            check_question(messages, &follow_up)?;
            let is_new = !messages.iter().any(|message| message.id.as_deref() == Some(id.as_str()));
            least = if is_new { order.follow_ups.saturating_add(1) } else { 0 };
        }
        let to = addressees(before.as_ref().map(|(order, _)| order), &follow_up);
        let answers = follow_up.answers.clone();
        let has_effect = |order: &OrderView| order.follow_ups >= least;
        let edit = Edit::FollowUp(id.clone(), follow_up);
        let verb_command = VerbCommand { verb: "ask", edit, has_effect: &has_effect };
        let mut outcome = self.order.execute(&market, &subject, &verb_command).await?;
        outcome.report.follow_up_id = Some(id.to_string());
        let summary = match answers {
            Some(question) => format!("question {question} answered to {to} (follow-up {id})"),
            None => format!("follow-up {id} sent to {to}"),
        };
        self.order.print_outcome(&outcome, &summary)
    }
}

/// Refuses an answer to a question that no seller asked: it would mislead all who receive it.
fn check_question(
    messages: &[ConversationMessageView],
    follow_up: &FollowUpDraft,
) -> Result<(), CliError> {
    let Some(question) = &follow_up.answers else { return Ok(()) };
    let questions: Vec<&str> = messages
        .iter()
        .filter(|message| message.kind == ConversationMessageKind::Question.as_str())
        .filter_map(|message| message.id.as_deref())
        .collect();
    if questions.contains(&question.as_str()) {
        return Ok(());
    }
    let known = match questions.as_slice() {
        [] => "no seller asked anything yet".to_owned(),
        questions => format!("asked were {}", questions.join(", ")),
    };
    Err(CliError::input(format!("--answers {question} is no question of this order; {known}")))
}

/// Refuses a follow-up to a seller who was not invited: it would not be delivered.
fn check_audience(order: &OrderView, follow_up: &FollowUpDraft) -> Result<(), CliError> {
    let invited: Vec<&str> = invited(order).collect();
    for seller in &follow_up.audience {
        if !invited.is_empty() && !invited.contains(&seller.as_str()) {
            return Err(CliError::input(format!(
                "--to {seller} is not invited to this order; invited are {}",
                invited.join(", ")
            )));
        }
    }
    Ok(())
}

fn invited(order: &OrderView) -> impl Iterator<Item = &str> {
    order.sellers.iter().filter(|seller| seller.chosen).map(|seller| seller.seller.as_str())
}

fn addressees(order: Option<&OrderView>, follow_up: &FollowUpDraft) -> String {
    if follow_up.audience.is_empty() {
        let Some(order) = order else { return "all sellers".to_owned() };
        return format!("all {}", print::count(invited(order).count(), "seller"));
    }
    follow_up.audience.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl ExtendArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        if self.by.is_some() && self.order.key.is_some() {
            let text = "--by counts from the order's present expiry, so the same command again \
                would extend it again whatever its --key; give --expires-in";
            return Err(CliError::input(text.to_owned()));
        }
        let (market, subject) = self.order.market().await?;
        let before = market.order_if_reachable(&subject).await?;
        let lifetime_ms = before.as_ref().map(lifetime_ms).transpose()?;
        let requested_ms = match (&self.by, &self.expires_in) {
            (Some(by), _) => {
                let by_ms = duration_ms("--by", by)?;
                lifetime_ms
                    .map(|current_ms| current_ms.saturating_add(by_ms))
                    .ok_or_else(expiry_unknown)?
            }
            (None, Some(whole)) => duration_ms("--expires-in", whole)?,
            (None, None) => return Err(CliError::input("give --by or --expires-in".to_owned())),
        };
        // A manifest counts in whole seconds.
        let requested_ms = requested_ms.div_ceil(1_000).saturating_mul(1_000);
        let requested_ms = orderstream_core::input::expires_in_ms(requested_ms)?;
        let has_effect = |order: &OrderView| {
            self::lifetime_ms(order).is_ok_and(|lifetime| lifetime >= requested_ms)
        };
        let edit = Edit::Command(BuyerCommand::Extend(requested_ms));
        let verb_command = VerbCommand { verb: "extend", edit, has_effect: &has_effect };
        if let Some(lifetime_ms) = lifetime_ms.filter(|current_ms| requested_ms < *current_ms)
            && !self.order.may_be_decided(&subject)
        {
            let text = format!(
                "the order lives {} already; an expiry can only grow [EXPIRY_SHRINKS]",
                length(lifetime_ms)
            );
            let reason = Some(Reason::ExpiryShrinks);
            return Err(CliError::from_server(reason, text));
        }
        let outcome = self.order.execute(&market, &subject, &verb_command).await?;
        let (name, until) = (self.order.name(), until(&outcome));
        let summary = format!("order {name} closes at {until}; all invited sellers are notified");
        self.order.print_outcome(&outcome, &summary)
    }
}

/// Makes the failure of `--by` where the order's expiry is not known.
fn expiry_unknown() -> CliError {
    let text = "the order's processor does not answer, and --by counts from the order's present \
                expiry; nothing was asked for; give --expires-in";
    CliError::not_reached(text.to_owned())
}

/// Returns an order's total time from its opening to its expiry, milliseconds.
fn lifetime_ms(order: &OrderView) -> Result<u64, CliError> {
    let times = date::parse(&order.opened_at).zip(date::parse(&order.expires_at));
    let (opened, expires) = times.ok_or_else(|| {
        CliError::unexpected("the processor's times of the order cannot be read".to_owned())
    })?;
    Ok(expires.ms_since(opened))
}
