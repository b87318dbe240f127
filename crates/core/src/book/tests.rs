//! Tests of single rules of the book. Tests of whole orders are in `tests/`.

use super::*;
use crate::command::{Award, Proposed};
use crate::event::ProposalUpdate;
use crate::id::{FollowUpId, IdempotencyKey, SellerId};
use crate::limits::{EXPIRES_IN_MS_MAX, LEASE_MS_MAX};
use crate::order::Phase;
use crate::price::Price;
use crate::spec::{FollowUp, Message, OrderSpec};
use crate::withheld::{Durable, ListHash};

mod decision;
mod ends;
mod keys;
mod proposals;
mod repeats;
mod sealed;
mod talk;

struct All;

impl Durable for All {
    fn proves(&self, _: ListHash, _: Seq) -> bool {
        true
    }
}

struct Through(u64);

impl Durable for Through {
    fn proves(&self, _: ListHash, until: Seq) -> bool {
        Seq(self.0) >= until
    }
}

const T0: i64 = 1_000_000;
const LIFE_MS: u64 = 60_000;

/// A book with a clock that the test moves.
#[derive(Clone)]
struct Desk {
    book: Book,
    now: i64,
    stored: Vec<Event>,
}

type Done = Result<Answer, Refusal>;

impl Desk {
    /// Returns a desk with an open order: two events.
    fn open() -> Self {
        let mut desk = Self::closed();
        desk.act(opening("uid-1")).expect("a new order opens");
        desk
    }

    fn closed() -> Self {
        let book = Book::new(OrderKey::new("", "SB1").unwrap());
        Self { book, now: T0, stored: Vec::new() }
    }

    fn step(&mut self, command: &Command) -> Done {
        let fresh_id = ProposalId::new(format!("fresh-{}", self.stored.len())).ok();
        let context = Context { now: Timestamp(self.now), fresh_id };
        let output = self.book.step(&context, command);
        self.stored.extend(output.events);
        output.answer.release(&All).expect("everything is durable")
    }

    fn act(&mut self, act: Act) -> Done {
        self.step(&Command::bare(act))
    }

    fn keyed(&mut self, key: &str, act: Act) -> Done {
        let key = Some(IdempotencyKey::new(key).unwrap());
        self.step(&Command { key, ..Command::bare(act) })
    }

    /// Does the same as [`Desk::keyed`], as a seller.
    fn keyed_by(&mut self, by: &str, key: &str, act: Act) -> Done {
        let (key, actor) = (IdempotencyKey::new(key).ok(), Some(Actor::Seller(seller(by))));
        self.step(&Command { key, actor, ..Command::bare(act) })
    }

    fn refused(&mut self, act: Act) -> Reason {
        let before = self.stored.len();
        let refusal = self.act(act).expect_err("must be refused");
        assert_eq!(self.stored.len(), before, "a refusal leaves no event");
        refusal.reason
    }

    /// Does the same as [`Desk::refused`], where the clock demands an event first.
    fn refused_late(&mut self, act: Act) -> Reason {
        self.act(act).expect_err("must be refused").reason
    }

    fn phase(&self) -> Phase {
        self.book.order().unwrap().phase
    }

    fn words(&self) -> Vec<&'static str> {
        self.stored.iter().map(|event| event.kind.as_str()).collect()
    }

    fn reborn(&self) -> Book {
        let mut book = Book::new(self.book.key.clone());
        for event in &self.stored {
            book.replay(event).unwrap();
        }
        book.replay_grant(self.book.floor());
        book
    }
}

fn seller(name: &str) -> SellerId {
    SellerId::new(name).unwrap()
}

fn pid(id: &str) -> ProposalId {
    ProposalId::new(id).unwrap()
}

fn opening(incarnation: &str) -> Act {
    let spec = OrderSpec { expires_in_ms: LIFE_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new(incarnation).unwrap();
    Act::Open(Box::new(Opening { incarnation, spec, choices: Vec::new() }))
}

fn offer(id: Option<&str>, by: &str, price: &str) -> Proposed {
    Proposed {
        proposal_id: id.map(pid),
        seller: seller(by),
        price: Price::parse(price, "EUR").unwrap(),
        lines: Vec::new(),
        note: None,
        delivery_date: None,
        valid_until: None,
        attachments: Vec::new(),
    }
}

fn propose(id: &str, by: &str) -> Act {
    Act::Propose(offer(Some(id), by, "10"))
}

fn amend(id: &str, by: &str, price: &str) -> Act {
    Act::Amend(offer(Some(id), by, price))
}

fn withdraw(id: &str) -> Act {
    Act::Withdraw { proposal_id: pid(id), reason: None }
}

fn lock(id: &str, by: &str, lease_ms: u64) -> Act {
    Act::Lock { proposal_id: pid(id), holder: seller(by), lease_ms }
}

fn unlock(id: &str, by: &str) -> Act {
    Act::Unlock { proposal_id: pid(id), holder: seller(by) }
}

fn pause() -> Act {
    Act::Pause { reason: None }
}

fn close() -> Act {
    Act::Close { reason: None }
}

fn cancel() -> Act {
    Act::Cancel { reason: None }
}

fn finalise(id: Option<&str>) -> Act {
    Act::Finalise { award: id.map(|id| Award::Whole(pid(id))), reason: None, undo_within_ms: None }
}

fn follow_up(id: &str) -> Act {
    let id = FollowUpId::new(id).unwrap();
    Act::FollowUp(FollowUp { id, audience: Vec::new(), message: Message::default(), answers: None })
}

/// Returns commands of many kinds, none of which opens an order or checks the clock.
fn one_of_each() -> Vec<Act> {
    vec![
        propose("p9", "a"),
        amend("p1", "a", "9"),
        withdraw("p1"),
        Act::Decline { seller: seller("a"), reason: None },
        Act::Answer {
            seller: seller("a"),
            follow_up_id: FollowUpId::new("f1").unwrap(),
            message: "yes".to_owned(),
        },
        follow_up("f1"),
        lock("p1", "a", 1_000),
        unlock("p1", "a"),
        pause(),
        Act::Resume,
        Act::Extend { expires_in_ms: LIFE_MS * 2 },
        close(),
        finalise(None),
        cancel(),
    ]
}
