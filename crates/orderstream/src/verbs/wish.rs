//! A buyer's command in progress: it is sent, and reported when it is known to be done. If the
//! server has the reply for the command's key, that is reported, whatever happened to the order
//! since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orderstream_controller::cluster::edit::Edit;
use orderstream_core::buyer::BuyerAct;
use orderstream_core::request_phase::end_reason;
use orderstream_core::{Phase, Reason};

use super::acts::{On, is_ended};
use super::market::{Came, Market, Subject, Taken};
use super::model::{Done, OrderView};
use crate::exit::Failure;

/// The time between two reads while a command is in progress.
const LOOK: Duration = Duration::from_millis(50);
/// The longest wait for a command to be done.
const PATIENCE: Duration = Duration::from_secs(10);
/// The text for an order whose processor does not answer.
pub(super) const UNTOLD: &str =
    "its processor does not answer, so how the order is now is not known";

/// A command on an order, and the test for its effect on the order.
pub(super) struct Wish<'a> {
    pub(super) verb: &'a str,
    pub(super) edit: Edit,
    pub(super) shows: &'a (dyn Fn(&OrderView) -> bool + Sync),
}

/// A command that is done, and the order after it.
#[derive(Debug)]
pub(super) struct Fulfilled {
    pub(super) done: Done,
    pub(super) order: After,
}

/// The order after a command.
#[derive(Debug)]
pub(super) enum After {
    /// It shows the command's effect.
    Shows(Box<OrderView>),
    /// It has changed again, and does not show the effect.
    Went(Box<OrderView>),
    /// Its processor does not answer.
    Untold,
}

impl On {
    /// Sends the command, and waits until it is known to be done.
    pub(super) async fn wish(
        &self,
        (market, subject): (&Market, &Subject),
        wish: &Wish<'_>,
    ) -> Result<Fulfilled, Failure> {
        let key = self.key();
        let after = match market.act(subject, &wish.edit, &key).await? {
            Taken::Done => market.order_if_told(subject).await?,
            Taken::Wished => {
                let looking = seen((market, subject), wish);
                in_time(subject, wish, looking, String::new).await.map(Some)?
            }
            Taken::Pending(place) => {
                let is_pending = AtomicBool::new(true);
                let looking = told((market, subject), wish, (&place, &is_pending));
                let at = || match is_pending.load(Ordering::Relaxed) {
                    true => {
                        format!("; it goes on by itself, and GET {place} has the outcome")
                    }
                    false => format!("; GET {place} has no outcome yet"),
                };
                in_time(subject, wish, looking, at).await?
            }
        };
        let unknown = OrderView::default();
        let shown = after.as_ref().unwrap_or(&unknown);
        let done = Done { key, ..self.done(wish.verb, subject, shown) };
        let order = match after.map(Box::new) {
            Some(order) if (wish.shows)(&order) => After::Shows(order),
            Some(order) => After::Went(order),
            None => After::Untold,
        };
        Ok(Fulfilled { done, order })
    }

    /// Prints a line for people, or all for programs. A command that was done before counts as
    /// done; people also get the order's phase.
    pub(super) fn tell_of(&self, came: &Fulfilled, said: &str) -> Result<(), Failure> {
        let (name, act) = (self.name(), &came.done.act);
        let said = match &came.order {
            After::Shows(_) => said.to_owned(),
            After::Went(order) => {
                format!("{act} of order {name} was done; it is {} by now", order.phase)
            }
            After::Untold => format!("{act} of order {name} is done; {UNTOLD}"),
        };
        self.tell(&came.done, &said)
    }
}

/// Waits until the order shows what its order request wants, and returns it.
async fn seen(
    (market, subject): (&Market, &Subject),
    wish: &Wish<'_>,
) -> Result<OrderView, Failure> {
    loop {
        let order = market.order(subject).await?;
        if shows(market, subject, wish, &order).await? {
            return Ok(order);
        }
        if is_ended(&order) {
            return Err(overtaken(&subject.id, wish, &order.phase));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the requestor reports the command as done, or, where it does not know it, until the
/// order shows it. Returns the order, where its processor answers.
async fn told(
    (market, subject): (&Market, &Subject),
    wish: &Wish<'_>,
    (place, is_pending): (&str, &AtomicBool),
) -> Result<Option<OrderView>, Failure> {
    loop {
        let came = market.came_of(place).await?;
        is_pending.store(came == Came::Pending, Ordering::Relaxed);
        match came {
            Came::Done => return market.order_if_told(subject).await,
            Came::Pending => {}
            Came::Untold => {
                let order = market.order(subject).await?;
                if shows(market, subject, wish, &order).await? {
                    return Ok(Some(order));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for up to [`PATIENCE`]. The command was taken, so a timeout is reported as such, with
/// `at`: the path at which its reply can be read.
async fn in_time<T>(
    subject: &Subject,
    wish: &Wish<'_>,
    looking: impl Future<Output = Result<T, Failure>>,
    at: impl Fn() -> String,
) -> Result<T, Failure> {
    let (verb, id) = (wish.verb, &subject.id);
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(Err(failure)) if failure.is_for_want_of_an_answer() => Err(Failure::too_late(format!(
            "{verb} is asked for, but whether it is done is not known{}: {failure}",
            at()
        ))),
        Ok(result) => result,
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            Err(Failure::too_late(format!(
                "{verb} is asked for, but whether it is done is not known after {seconds} s; see \
                 `orderstream status {id}` and `orderstream why {id}`{}",
                at()
            )))
        }
    }
}

/// Reports whether the order shows the effect of this command, and not of a concurrent rival.
async fn shows(
    market: &Market,
    subject: &Subject,
    wish: &Wish<'_>,
    order: &OrderView,
) -> Result<bool, Failure> {
    match &wish.edit {
        _ if !(wish.shows)(order) => Ok(false),
        Edit::FollowUp(id, _) => market.has_follow_up(subject, id).await,
        Edit::Act(_) => Ok(true),
    }
}

/// Makes the failure of a command that the order's end has overtaken.
fn overtaken(id: &str, wish: &Wish<'_>, phase: &str) -> Failure {
    let is_awarded = phase == Phase::Finalised.as_str();
    let (reason, is_told) = match &wish.edit {
        Edit::Act(BuyerAct::Finalise { .. }) if is_awarded => (Reason::AlreadyAwarded, true),
        // An end does not show what was before it.
        Edit::Act(BuyerAct::Pause(_) | BuyerAct::Resume | BuyerAct::UndoAward(_)) => {
            (end_reason(phase), false)
        }
        Edit::Act(_) | Edit::FollowUp(..) => (end_reason(phase), true),
    };
    let (verb, word) = (wish.verb, reason.as_str());
    let part = if is_told { "has no part in it" } else { "is nothing that it still shows" };
    let text = format!("the order {id} is {phase} by now, and {verb} {part} [{word}]");
    Failure::from_server(Some(reason), text)
}
