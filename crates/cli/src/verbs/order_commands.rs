//! The buyer's commands on an order that exists. Each is carried out by an edit of the order
//! request, or at the requestor, and is reported when the order's processor shows it.

use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::date::parse_rfc3339;
use orderstream_core::input::{FollowUpInput, MessageInput, reason_text};
use orderstream_core::limits::{
    EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN, PROPOSALS_MAX, UNDO_WITHIN_MS_MAX,
};
use orderstream_core::request_phase::is_end;
use orderstream_core::spec::FollowUp;
use orderstream_core::{FollowUpId, Reason};
use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};
use orderstream_rest_types::order::OrderView;

use super::addressees::{self, OrderBeforeMessage};
use super::execution::{ObservedEffect, VerbCommand, VerbOutcome};
use super::flags::duration_within;
use super::ids::KEY_PREFIX;
use super::lookup;
use super::market::{Market, MarketArgs, Subject, await_optional};
use super::model::CommandReport;
use super::print::{self, length};
use super::show::OutputFormat;
use crate::cluster::edit::Edit;
use crate::exit::CliError;

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
    /// The seller's question that it answers: its id, or the first letters of it
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
            print::lines(summary);
            return Ok(());
        }
        print::structured(report, self.output)
    }
}

/// Generates an idempotency key, 128 random bits.
pub(super) fn generate_key() -> String {
    format!("{KEY_PREFIX}{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

pub(super) fn is_ended(order: &OrderView) -> bool {
    is_end(&order.phase)
}

/// Checks a reason as the servers do.
pub(super) fn reason(text: Option<&String>) -> Result<Option<String>, CliError> {
    Ok(reason_text("--reason", text.cloned())?)
}

/// Parses the time in which an award can be undone, milliseconds.
pub(super) fn undo_within_ms(text: Option<&str>) -> Result<Option<u64>, CliError> {
    let limits = 1_000..=UNDO_WITHIN_MS_MAX;
    text.map(|text| duration_within("--undo-within", text, limits)).transpose()
}

/// Describes the expiry of the order after a command.
pub(super) fn until(outcome: &VerbOutcome) -> String {
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
        let mut follow_up = FollowUpDraft { id: Some(id.clone()), audience, message, answers };
        let (market, subject) = self.order.market().await?;
        let request = async {
            let order = market.order(&subject).await?;
            let proposals = market.sellers().proposals(&subject.id, PROPOSALS_MAX).await?;
            let messages = market.conversation(&subject).await?;
            Ok(OrderBeforeMessage { order, proposals, messages })
        };
        let before = await_optional(request).await?;
        // The number of follow-ups that the order has once this one is in its list.
        let mut least = 0;
        if let Some(before) = &before {
            before.check_audience(&follow_up.audience)?;
            let OrderBeforeMessage { order, messages, .. } = before;
            follow_up.answers = asked_question(messages, follow_up.answers.take())?;
            let is_new = !messages.iter().any(|message| message.id.as_deref() == Some(id.as_str()));
            least = if is_new { order.follow_ups.saturating_add(1) } else { 0 };
        }
        let to = addressees::text(before.as_ref(), &follow_up.audience);
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

/// Returns the question that an answer names. Refuses one that no seller asked: the answer would
/// mislead all who receive it.
fn asked_question(
    messages: &[ConversationMessageView],
    named: Option<FollowUpId>,
) -> Result<Option<FollowUpId>, CliError> {
    let Some(named) = named else { return Ok(None) };
    let questions: Vec<&str> = messages
        .iter()
        .filter(|message| message.kind == ConversationMessageKind::Question.as_str())
        .filter_map(|message| message.id.as_deref())
        .collect();
    if let Some(id) = lookup::id(questions.iter().copied(), named.as_str(), "question")? {
        return Ok(Some(FollowUpId::new(id)?));
    }
    let known = match questions.as_slice() {
        [] => "no seller asked anything yet".to_owned(),
        questions => format!("asked were {}", questions.join(", ")),
    };
    Err(CliError::input(format!("--answers {named} is not a question of this order; {known}")))
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
                let by_ms = duration_within("--by", by, 1_000..=EXPIRES_IN_MS_MAX)?;
                lifetime_ms
                    .map(|current_ms| current_ms.saturating_add(by_ms))
                    .ok_or_else(expiry_unknown)?
            }
            (None, Some(whole)) => {
                let limits = EXPIRES_IN_MS_MIN..=EXPIRES_IN_MS_MAX;
                duration_within("--expires-in", whole, limits)?
            }
            (None, None) => return Err(CliError::input("give --by or --expires-in".to_owned())),
        };
        // A manifest counts in whole seconds.
        let requested_ms = requested_ms.div_ceil(1_000).saturating_mul(1_000);
        check_lifetime(requested_ms)?;
        let has_effect = |order: &OrderView| {
            self::lifetime_ms(order).is_ok_and(|lifetime| lifetime >= requested_ms)
        };
        let edit = Edit::Command(BuyerCommand::Extend(requested_ms));
        let verb_command = VerbCommand { verb: "extend", edit, has_effect: &has_effect };
        if let Some(lifetime_ms) = lifetime_ms.filter(|current_ms| requested_ms < *current_ms)
            && !self.order.may_be_decided(&subject)
        {
            let text = format!(
                "the deadline is already {} after the opening and can only move later \
                 [EXPIRY_SHRINKS]",
                length(lifetime_ms)
            );
            let reason = Some(Reason::ExpiryShrinks);
            return Err(CliError::from_server(reason, text));
        }
        let outcome = self.order.execute(&market, &subject, &verb_command).await?;
        let (name, until) = (self.order.name(), until(&outcome));
        let summary = format!("order {name} closes at {until}; all who take part can read it");
        self.order.print_outcome(&outcome, &summary)
    }
}

/// Checks the total time that an extension leads to.
fn check_lifetime(requested_ms: u64) -> Result<(), CliError> {
    if (EXPIRES_IN_MS_MIN..=EXPIRES_IN_MS_MAX).contains(&requested_ms) {
        return Ok(());
    }
    let (requested, most) = (length(requested_ms), length(EXPIRES_IN_MS_MAX));
    let text =
        format!("the order would take proposals for {requested}; at most {most} are possible");
    Err(CliError::input(text))
}

/// Makes the failure of `--by` where the order's expiry is not known.
fn expiry_unknown() -> CliError {
    let text = "the order's processor does not answer, and --by counts from the order's present \
                expiry; nothing was asked for; give --expires-in";
    CliError::not_reached(text.to_owned())
}

/// Returns an order's total time from its opening to its expiry, milliseconds.
fn lifetime_ms(order: &OrderView) -> Result<u64, CliError> {
    let times = parse_rfc3339(&order.opened_at).zip(parse_rfc3339(&order.expires_at));
    let (opened, expires) = times.ok_or_else(|| {
        CliError::unexpected("the processor's times of the order cannot be read".to_owned())
    })?;
    Ok(expires.ms_since(opened))
}
