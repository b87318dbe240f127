//! A buyer's act on its way: it is asked for, and told when it is known to be done. Where the server knows
//! by its key what came of an act, that is told, whatever the order came to since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orderstream_controller::cluster::edit::Edit;
use orderstream_core::Reason;
use orderstream_core::buyer::BuyerAct;

use super::acts::{On, is_ended};
use super::market::{Came, Market, Subject, Taken};
use super::model::{Done, OrderView};
use crate::exit::Failure;

/// Between two looks whether an act is done.
const LOOK: Duration = Duration::from_millis(50);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an order whose processor is silent.
pub(super) const UNTOLD: &str =
    "its processor does not answer, so how the order is now is not known";

/// What is asked of an order, and how it shows there.
pub(super) struct Wish<'a> {
    pub(super) verb: &'a str,
    pub(super) edit: Edit,
    pub(super) shows: &'a (dyn Fn(&OrderView) -> bool + Sync),
}

/// An act that is done, and the order after it.
#[derive(Debug)]
pub(super) struct Fulfilled {
    pub(super) done: Done,
    pub(super) order: After,
}

/// What the order is after an act.
#[derive(Debug)]
pub(super) enum After {
    /// It shows the act.
    Shows(Box<OrderView>),
    /// Other things were done to it since.
    Went(Box<OrderView>),
    /// Its processor does not answer.
    Untold,
}

impl On {
    /// Does it, and waits until it is known to be done.
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
                        format!("; it goes on by itself, and GET {place} tells what comes of it")
                    }
                    false => format!("; GET {place} cannot tell it now"),
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

    /// Tells people in a line, and programs all. What was done before stays done; people are told what
    /// the order is now.
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

/// The order as it shows what its order request wants.
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

/// The order after an act that the requestor tells to be done; where it cannot tell, the order that
/// shows it.
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

/// Waits so long as people do. The act was taken, so that it is not known to be done is a fact for the
/// caller, who is also told where to look: `at`.
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

/// Whether the order shows what was asked, and not what a rival did in the same moment.
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

/// The order reached another end than the one that was asked for, or before what was asked for.
fn overtaken(id: &str, wish: &Wish<'_>, phase: &str) -> Failure {
    let (reason, is_told) = match (&wish.edit, phase) {
        (Edit::Act(BuyerAct::Finalise { .. }), "Finalised") => (Reason::AlreadyAwarded, true),
        // An end does not tell what was before it.
        (Edit::Act(BuyerAct::Pause(_) | BuyerAct::Resume | BuyerAct::UndoAward(_)), phase) => {
            (ended_by(phase), false)
        }
        (_, phase) => (ended_by(phase), true),
    };
    let (verb, word) = (wish.verb, reason.as_str());
    let part = if is_told { "has no part in it" } else { "is nothing that it still shows" };
    let text = format!("the order {id} is {phase} by now, and {verb} {part} [{word}]");
    Failure::from_server(Some(reason), text)
}

fn ended_by(phase: &str) -> Reason {
    if phase == "Expired" { Reason::DeadlinePassed } else { Reason::OrderEnded }
}
