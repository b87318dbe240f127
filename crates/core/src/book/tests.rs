//! Tests of single rules of the book. Tests of whole orders are in `tests/`.

use super::*;
use crate::command::{Award, ProposalContent};
use crate::event::ProposalUpdate;
use crate::id::{FollowUpId, IdempotencyKey, SellerId};
use crate::limits::{EXPIRES_IN_MS_MAX, LEASE_MS_MAX};
use crate::order::Phase;
use crate::price::Price;
use crate::spec::{FollowUp, Message, OrderSpec};
use crate::withheld::{Durable, ListHash};

mod alternatives;
mod deciding;
mod decision;
mod ends;
mod invited;
mod keys;
mod late;
mod messaging;
mod proposals;
mod repeats;
mod sealed;
mod strict;

struct AllDurable;

impl Durable for AllDurable {
    fn proves(&self, _: ListHash, _: Seq) -> bool {
        true
    }
}

struct DurableThrough(u64);

impl Durable for DurableThrough {
    fn proves(&self, _: ListHash, until: Seq) -> bool {
        Seq(self.0) >= until
    }
}

const T0: i64 = 1_000_000;
const LIFETIME_MS: u64 = 60_000;

/// A book with a clock that the test moves.
#[derive(Clone)]
struct BookHarness {
    book: Book,
    now: i64,
    stored: Vec<Event>,
}

type CommandResult = Result<Reply, Refusal>;

impl BookHarness {
    /// Returns a harness with an open order: two events.
    fn open() -> Self {
        let mut harness = Self::closed();
        harness.run(opening("uid-1")).expect("a new order opens");
        harness
    }

    fn closed() -> Self {
        let book = Book::new(OrderKey::new("", "SB1").unwrap());
        Self { book, now: T0, stored: Vec::new() }
    }

    fn step(&mut self, command: &Command) -> CommandResult {
        let fresh_id = ProposalId::new(format!("fresh-{}", self.stored.len())).ok();
        let context = Context { now: Timestamp(self.now), fresh_id };
        let output = self.book.step(&context, command);
        self.stored.extend(output.events);
        output.reply.release(&AllDurable).expect("everything is durable")
    }

    fn run(&mut self, act: CommandKind) -> CommandResult {
        self.step(&Command::bare(act))
    }

    fn run_keyed(&mut self, key: &str, kind: CommandKind) -> CommandResult {
        let key = Some(IdempotencyKey::new(key).unwrap());
        self.step(&Command { key, ..Command::bare(kind) })
    }

    /// Does the same as [`BookHarness::run_keyed`], as a seller.
    fn run_keyed_by(&mut self, by: &str, key: &str, kind: CommandKind) -> CommandResult {
        let (key, actor) = (IdempotencyKey::new(key).ok(), Some(Actor::Seller(seller(by))));
        self.step(&Command { key, actor, ..Command::bare(kind) })
    }

    fn expect_refusal(&mut self, kind: CommandKind) -> Reason {
        let before = self.stored.len();
        let refusal = self.run(kind).expect_err("must be refused");
        assert_eq!(self.stored.len(), before, "a refusal leaves no event");
        refusal.reason
    }

    /// Does the same as [`BookHarness::expect_refusal`], where the clock demands an event first.
    fn expect_late_refusal(&mut self, kind: CommandKind) -> Reason {
        self.run(kind).expect_err("must be refused").reason
    }

    fn phase(&self) -> Phase {
        self.book.order().unwrap().phase
    }

    fn event_names(&self) -> Vec<&'static str> {
        self.stored.iter().map(|event| event.kind.as_str()).collect()
    }

    fn replayed(&self) -> Book {
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

fn proposal_id(id: &str) -> ProposalId {
    ProposalId::new(id).unwrap()
}

fn opening(incarnation: &str) -> CommandKind {
    let spec = OrderSpec { expires_in_ms: LIFETIME_MS, ..OrderSpec::default() };
    let incarnation = Incarnation::new(incarnation).unwrap();
    CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices: Vec::new() }))
}

fn proposal_content(id: Option<&str>, by: &str, price: &str) -> ProposalContent {
    ProposalContent {
        proposal_id: id.map(proposal_id),
        ..ProposalContent::new(seller(by), Price::parse(price, "EUR").unwrap())
    }
}

fn propose(id: &str, by: &str) -> CommandKind {
    CommandKind::Propose(proposal_content(Some(id), by, "10"))
}

fn amend(id: &str, by: &str, price: &str) -> CommandKind {
    CommandKind::Amend(proposal_content(Some(id), by, price))
}

fn withdraw(id: &str) -> CommandKind {
    CommandKind::Withdraw { proposal_id: proposal_id(id), reason: None, seller: None }
}

fn lock(id: &str, by: &str, lease_ms: u64) -> CommandKind {
    CommandKind::Lock { proposal_id: proposal_id(id), holder: seller(by), lease_ms }
}

fn unlock(id: &str, by: &str) -> CommandKind {
    CommandKind::Unlock { proposal_id: proposal_id(id), holder: seller(by) }
}

fn ask(by: &str, id: &str) -> CommandKind {
    let question_id = FollowUpId::new(id).ok();
    CommandKind::Ask { seller: seller(by), question_id, message: "when?".to_owned() }
}

fn pause() -> CommandKind {
    CommandKind::Pause { reason: None }
}

fn close() -> CommandKind {
    CommandKind::Close { reason: None }
}

fn cancel() -> CommandKind {
    CommandKind::Cancel { reason: None }
}

fn finalise(id: Option<&str>) -> CommandKind {
    CommandKind::Finalise {
        award: id.map(|id| Award::Whole(proposal_id(id))),
        reason: None,
        undo_within_ms: None,
    }
}

fn follow_up(id: &str) -> CommandKind {
    let id = FollowUpId::new(id).unwrap();
    CommandKind::FollowUp(FollowUp {
        id,
        audience: Vec::new(),
        message: Message::default(),
        answers: None,
    })
}

/// Returns commands of many kinds, none of which opens an order or checks the clock.
fn sample_commands() -> Vec<CommandKind> {
    vec![
        propose("p9", "a"),
        amend("p1", "a", "9"),
        withdraw("p1"),
        CommandKind::Decline { seller: seller("a"), reason: None },
        CommandKind::Answer {
            seller: seller("a"),
            follow_up_id: FollowUpId::new("f1").unwrap(),
            message: "yes".to_owned(),
        },
        follow_up("f1"),
        lock("p1", "a", 1_000),
        unlock("p1", "a"),
        pause(),
        CommandKind::Resume,
        CommandKind::Extend { expires_in_ms: LIFETIME_MS * 2 },
        close(),
        finalise(None),
        cancel(),
    ]
}
