//! The buyer's commands on an order that exists. Each is carried out by an edit of the order
//! request, or at the requestor, and is reported when the order's processor shows it.

use orderstream_controller::cluster::edit::Edit;
use orderstream_controller::duration::parse_ms;
use orderstream_core::buyer::{BuyerAct, Note};
use orderstream_core::date;
use orderstream_core::input::{FollowUpInput, MessageInput, optional_text};
use orderstream_core::limits::{TEXT_CHARS_MAX, UNDO_WITHIN_MS_MAX};
use orderstream_core::request_phase::is_end;
use orderstream_core::spec::FollowUp;
use orderstream_core::{Phase, Reason};

use super::market::{Market, Place, Subject, briefly};
use super::model::{Done, OrderView, Said};
use super::print::{self, length};
use super::show::Format;
use super::wish::{After, Fulfilled, Wish};
use crate::exit::Failure;
use crate::output;

/// The arguments that all commands on an order share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct On {
    /// Name of the order request, or the order's id
    #[arg(value_name = "ORDER")]
    order: String,
    /// Idempotency key: a command repeated with the same key has one effect, if the order has no
    /// order request; an order request is edited again, whatever the key. Generated when absent
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: Format,
}

/// The arguments of a command that can have a reason.
#[derive(Debug, clap::Args)]
pub(crate) struct Reasoned {
    #[command(flatten)]
    on: On,
    /// The reason, for all who take part
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of a command without a reason.
#[derive(Debug, clap::Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    on: On,
}

/// `orderstream ask ORDER MESSAGE`
#[derive(Debug, clap::Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    on: On,
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
pub(crate) struct Extend {
    /// The time to add
    #[arg(long, group = "length", value_name = "DURATION")]
    by: Option<String>,
    /// The new total time, counted from the opening
    #[arg(long, group = "length", value_name = "DURATION")]
    expires_in: Option<String>,
    #[command(flatten)]
    on: On,
}

impl On {
    pub(super) async fn market(&self) -> Result<(Market, Subject), Failure> {
        let market = self.place.market().await?;
        let subject = market.subject(&self.order).await?;
        Ok((market, subject))
    }

    pub(super) fn key(&self) -> String {
        self.key.clone().unwrap_or_else(made_up_key)
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
    pub(super) fn done(&self, verb: &str, subject: &Subject, order: &OrderView) -> Done {
        Done {
            order_req_id: subject.id.clone(),
            act: verb.to_owned(),
            last_seq: order.last_seq,
            phase: order.phase.clone(),
            key: self.key(),
            ..Done::default()
        }
    }

    /// Prints `said` for people, or all of `done` for programs.
    pub(super) fn tell(&self, done: &Done, said: &str) -> Result<(), Failure> {
        if self.output == Format::Table {
            output::line(said);
            return Ok(());
        }
        print::structured(done, self.output)
    }
}

/// Generates an idempotency key, 128 random bits.
pub(super) fn made_up_key() -> String {
    format!("cli-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

pub(super) fn is_ended(order: &OrderView) -> bool {
    is_end(&order.phase)
}

/// Checks a reason as the servers do.
pub(super) fn reason(text: Option<&String>) -> Result<Option<String>, Failure> {
    Ok(optional_text("--reason", text.cloned(), TEXT_CHARS_MAX)?)
}

/// Parses a duration that was given with a flag.
pub(super) fn duration_ms(flag: &str, text: &str) -> Result<u64, Failure> {
    parse_ms(text).filter(|ms| *ms > 0).ok_or_else(|| {
        Failure::input(format!("{flag} '{text}' is not a duration such as 90s, 10m, 1h30m or 2d"))
    })
}

/// Parses the time in which an award can be undone, milliseconds.
pub(super) fn undo_within_ms(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let ms = duration_ms("--undo-within", text)?;
    if ms > UNDO_WITHIN_MS_MAX {
        return Err(Failure::input(format!("--undo-within {text} is too long; give 1s to 1d")));
    }
    Ok(Some(ms))
}

impl Reasoned {
    /// Pauses the order: it takes no proposals until it is resumed.
    pub(crate) async fn pause(self) -> Result<(), Failure> {
        let act = BuyerAct::Pause(reason(self.reason.as_ref())?);
        let shows = |order: &OrderView| order.phase == Phase::Paused.as_str();
        let name = self.on.name().to_owned();
        self.run(
            "pause",
            act,
            &shows,
            &format!("order {name} paused; `orderstream resume {name}` goes on"),
        )
        .await
    }

    /// Closes the order without an award.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let act = BuyerAct::Close(reason(self.reason.as_ref())?);
        let shows = |order: &OrderView| order.phase == Phase::Closed.as_str();
        let said = format!("order {} closed without an award", self.on.name());
        self.run("close", act, &shows, &said).await
    }

    /// Cancels the order.
    pub(crate) async fn cancel(self) -> Result<(), Failure> {
        let act = BuyerAct::Cancel(reason(self.reason.as_ref())?);
        let shows = |order: &OrderView| order.phase == Phase::Cancelled.as_str();
        let said = format!("order {} cancelled", self.on.name());
        self.run("cancel", act, &shows, &said).await
    }

    /// Undoes a pending award.
    pub(crate) async fn undo_award(self) -> Result<(), Failure> {
        let act = BuyerAct::UndoAward(reason(self.reason.as_ref())?);
        let shows = |order: &OrderView| order.pending_award.is_none() && !is_ended(order);
        let (market, subject) = self.on.market().await?;
        if !self.on.may_be_decided(&subject)
            && let Some(before) = market.order_if_told(&subject).await?
            && before.pending_award.is_none()
        {
            let text = "no award waits to count; there is nothing to undo [AWARD_NOT_PENDING]";
            let reason = Some(Reason::AwardNotPending);
            return Err(Failure::from_server(reason, text.to_owned()));
        }
        let wish = Wish { verb: "undo-award", edit: Edit::Act(act), shows: &shows };
        let came = self.on.wish((&market, &subject), &wish).await?;
        let said = format!("award of order {} undone; nobody was notified", self.on.name());
        self.on.tell_of(&came, &said)
    }

    async fn run(
        &self,
        verb: &str,
        act: BuyerAct,
        shows: &(dyn Fn(&OrderView) -> bool + Sync),
        said: &str,
    ) -> Result<(), Failure> {
        let (market, subject) = self.on.market().await?;
        if !self.on.may_be_decided(&subject)
            && let Some(before) = market.order_if_told(&subject).await?
            && shows(&before)
        {
            // It was done before: an interrupted script repeats its command.
            return self.on.tell(&self.on.done(verb, &subject, &before), said);
        }
        let wish = Wish { verb, edit: Edit::Act(act), shows };
        let came = self.on.wish((&market, &subject), &wish).await?;
        self.on.tell_of(&came, said)
    }
}

impl Plain {
    /// Resumes the order: it takes proposals again.
    pub(crate) async fn resume(self) -> Result<(), Failure> {
        let (market, subject) = self.on.market().await?;
        let shows = |order: &OrderView| order.phase == "Open";
        let wish = Wish { verb: "resume", edit: Edit::Act(BuyerAct::Resume), shows: &shows };
        let came = self.on.wish((&market, &subject), &wish).await?;
        let said = format!("order {} takes proposals until {}", self.on.name(), until(&came));
        self.on.tell_of(&came, &said)
    }
}

/// Describes the expiry of the order after a command.
fn until(came: &Fulfilled) -> String {
    match &came.order {
        After::Shows(order) | After::Went(order) => {
            print::moment(&order.expires_at, crate::clock::now())
        }
        After::Untold => "-".to_owned(),
    }
}

impl Ask {
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let key = self.on.key.get_or_insert_with(made_up_key).clone();
        let message = MessageInput { message: self.message, urls: self.urls, kind: None };
        let input = FollowUpInput { id: key, audience: self.to, message, answers: self.answers };
        let FollowUp { id, audience, message, answers } = FollowUp::try_from(input)?;
        let note = Note { id: Some(id.clone()), audience, message, answers };
        let (market, subject) = self.on.market().await?;
        let asked = async {
            let order = market.order(&subject).await?;
            Ok((order, market.sellers().conversation(&subject.id).await?))
        };
        let before = briefly(asked).await?;
        // The number of follow-ups that the order has once this one is in its list.
        let mut least = 0;
        if let Some((order, said)) = &before {
            check_audience(order, &note)?;
            check_question(said, &note)?;
            let is_new = !said.iter().any(|said| said.id.as_deref() == Some(id.as_str()));
            least = if is_new { order.follow_ups.saturating_add(1) } else { 0 };
        }
        let to = addressees(before.as_ref().map(|(order, _)| order), &note);
        let answers = note.answers.clone();
        let shows = |order: &OrderView| order.follow_ups >= least;
        let edit = Edit::FollowUp(id.clone(), note);
        let wish = Wish { verb: "ask", edit, shows: &shows };
        let mut came = self.on.wish((&market, &subject), &wish).await?;
        came.done.follow_up_id = Some(id.to_string());
        let said = match answers {
            Some(question) => format!("question {question} answered to {to} (follow-up {id})"),
            None => format!("follow-up {id} sent to {to}"),
        };
        self.on.tell_of(&came, &said)
    }
}

/// Refuses an answer to a question that no seller asked: it would mislead all who receive it.
fn check_question(said: &[Said], note: &Note) -> Result<(), Failure> {
    let Some(question) = &note.answers else { return Ok(()) };
    let asked: Vec<&str> = said
        .iter()
        .filter(|said| said.kind == "question")
        .filter_map(|said| said.id.as_deref())
        .collect();
    if asked.contains(&question.as_str()) {
        return Ok(());
    }
    let known = match asked.as_slice() {
        [] => "no seller asked anything yet".to_owned(),
        asked => format!("asked were {}", asked.join(", ")),
    };
    Err(Failure::input(format!("--answers {question} is no question of this order; {known}")))
}

/// Refuses a follow-up to a seller who was not invited: it would not be delivered.
fn check_audience(order: &OrderView, note: &Note) -> Result<(), Failure> {
    let invited: Vec<&str> = invited(order).collect();
    for seller in &note.audience {
        if !invited.is_empty() && !invited.contains(&seller.as_str()) {
            return Err(Failure::input(format!(
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

fn addressees(order: Option<&OrderView>, note: &Note) -> String {
    if note.audience.is_empty() {
        let Some(order) = order else { return "all sellers".to_owned() };
        return format!("all {}", print::count(invited(order).count(), "seller"));
    }
    note.audience.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Extend {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.by.is_some() && self.on.key.is_some() {
            let text = "--by counts from what the order's life is now, so the same command again \
                would extend it again whatever its --key; give --expires-in";
            return Err(Failure::input(text.to_owned()));
        }
        let (market, subject) = self.on.market().await?;
        let before = market.order_if_told(&subject).await?;
        let life_ms = before.as_ref().map(life_ms).transpose()?;
        let wanted_ms = match (&self.by, &self.expires_in) {
            (Some(by), _) => {
                let by_ms = duration_ms("--by", by)?;
                life_ms.map(|life_ms| life_ms.saturating_add(by_ms)).ok_or_else(silent)?
            }
            (None, Some(whole)) => duration_ms("--expires-in", whole)?,
            (None, None) => return Err(Failure::input("give --by or --expires-in".to_owned())),
        };
        // A manifest counts in whole seconds.
        let wanted_ms = wanted_ms.div_ceil(1_000).saturating_mul(1_000);
        let wanted_ms = orderstream_core::input::expires_in_ms(wanted_ms)?;
        let shows = |order: &OrderView| self::life_ms(order).is_ok_and(|life| life >= wanted_ms);
        let edit = Edit::Act(BuyerAct::Extend(wanted_ms));
        let wish = Wish { verb: "extend", edit, shows: &shows };
        if let Some(life_ms) = life_ms.filter(|life_ms| wanted_ms < *life_ms)
            && !self.on.may_be_decided(&subject)
        {
            let text = format!(
                "the order lives {} already; an expiry can only grow [EXPIRY_SHRINKS]",
                length(life_ms)
            );
            let reason = Some(Reason::ExpiryShrinks);
            return Err(Failure::from_server(reason, text));
        }
        let came = self.on.wish((&market, &subject), &wish).await?;
        let (name, until) = (self.on.name(), until(&came));
        let said = format!("order {name} closes at {until}; all invited sellers are notified");
        self.on.tell_of(&came, &said)
    }
}

/// Makes the failure of `--by` where the order's expiry is not known.
fn silent() -> Failure {
    let text = "the order's processor does not answer, and --by counts from what the order's life is \
                now; nothing was asked for; give --expires-in";
    Failure::not_reached(text.to_owned())
}

/// Returns an order's total time from its opening to its expiry, milliseconds.
fn life_ms(order: &OrderView) -> Result<u64, Failure> {
    let times = date::parse(&order.opened_at).zip(date::parse(&order.expires_at));
    let (opened, expires) = times.ok_or_else(|| {
        Failure::unexpected("the processor's times of the order cannot be read".to_owned())
    })?;
    Ok(expires.ms_since(opened))
}
