//! Properties that hold for all inputs.

mod book;
mod comparison;
mod display;
mod inputs;
mod late;
mod plan;
mod published_view;
mod tracker;

use orderstream_core::book::Context;
use orderstream_core::command::{Actor, Award, OrderOpening, ProposalContent};
use orderstream_core::spec::{FollowUp, Message, NotificationType, SellerChoice, Verdict};
use orderstream_core::withheld::ListHash;
use orderstream_core::{
    Book, Command, CommandKind, Durable, Epoch, Event, FollowUpId, IdempotencyKey, Incarnation,
    OrderKey, OrderSpec, Price, ProposalId, Refusal, Reply, SellerId, Seq, Timestamp,
};
use proptest::prelude::*;

/// The wall clock at the start of a property's run.
const T0: i64 = 1_790_000_000_000;

/// A command, and the clock's movement before it.
#[derive(Clone, Debug)]
struct Move {
    jump_ms: i64,
    command: Command,
}

fn sellers() -> impl Strategy<Value = SellerId> {
    (0..3u8).prop_map(|n| SellerId::new(format!("s{n}")).unwrap())
}

fn proposal_ids() -> impl Strategy<Value = ProposalId> {
    (0..4u8).prop_map(|n| ProposalId::new(format!("p{n}")).unwrap())
}

fn follow_up_ids() -> impl Strategy<Value = FollowUpId> {
    (0..3u8).prop_map(|n| FollowUpId::new(format!("f{n}")).unwrap())
}

fn reasons() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[a-z]{0,4}")
}

fn proposals() -> impl Strategy<Value = ProposalContent> {
    let labels = proptest::option::weighted(0.4, "[xy]");
    (proptest::option::weighted(0.8, proposal_ids()), sellers(), 0..3u8, labels).prop_map(
        |(proposal_id, seller, price, label)| ProposalContent {
            proposal_id,
            alternative: label.map(Into::into),
            ..ProposalContent::new(seller, Price::parse(&price.to_string(), "EUR").unwrap())
        },
    )
}

fn openings() -> impl Strategy<Value = CommandKind> {
    (0..8u8, 10_000..100_000u64, any::<bool>()).prop_map(|(n, expires_in_ms, sealed)| {
        // Mostly the same incarnation.
        let incarnation = Incarnation::new(if n == 0 { "uid-2" } else { "uid-1" }).unwrap();
        let spec = OrderSpec { expires_in_ms, sealed, ..OrderSpec::default() };
        CommandKind::Open(Box::new(OrderOpening { incarnation, spec, choices: invited() }))
    })
}

fn invited() -> Vec<SellerChoice> {
    let choice = |name: &str| SellerChoice {
        seller: SellerId::new(name).unwrap(),
        verdict: Verdict::Chosen,
        distance_m: None,
        display_name: None,
    };
    ["s1", "s2"].map(choice).to_vec()
}

fn awards() -> impl Strategy<Value = Option<Award>> {
    prop_oneof![
        Just(None),
        proposal_ids().prop_map(|id| Some(Award::Whole(id))),
        proptest::collection::vec(("[ab]", proposal_ids()), 0..3)
            .prop_map(|lines| Some(Award::Lines(lines))),
    ]
}

fn command_kinds() -> impl Strategy<Value = CommandKind> {
    let follow_ups = follow_up_ids().prop_map(|id| {
        CommandKind::FollowUp(FollowUp {
            id,
            audience: Vec::new(),
            message: Message::default(),
            answers: None,
        })
    });
    let leases = prop_oneof![0..20_000u64, Just(u64::MAX)];
    let lifetimes = prop_oneof![0..200_000u64, Just(u64::MAX)];
    prop_oneof![
        4 => openings(),
        8 => proposals().prop_map(CommandKind::Propose),
        6 => proposals().prop_map(CommandKind::Amend),
        3 => (proposal_ids(), reasons(), proptest::option::weighted(0.3, sellers())).prop_map(
            |(proposal_id, reason, seller)| CommandKind::Withdraw { proposal_id, reason, seller }
        ),
        2 => (sellers(), reasons()).prop_map(|(seller, reason)| CommandKind::Decline { seller, reason }),
        3 => (sellers(), follow_up_ids(), "[a-z]{0,4}").prop_map(
            |(seller, follow_up_id, message)| CommandKind::Answer { seller, follow_up_id, message }
        ),
        3 => follow_ups,
        4 => (proposal_ids(), sellers(), leases).prop_map(
            |(proposal_id, holder, lease_ms)| CommandKind::Lock { proposal_id, holder, lease_ms }
        ),
        3 => (proposal_ids(), sellers())
            .prop_map(|(proposal_id, holder)| CommandKind::Unlock { proposal_id, holder }),
        2 => reasons().prop_map(|reason| CommandKind::Pause { reason }),
        3 => Just(CommandKind::Resume),
        2 => lifetimes.prop_map(|expires_in_ms| CommandKind::Extend { expires_in_ms }),
        1 => reasons().prop_map(|reason| CommandKind::Close { reason }),
        1 => (awards(), reasons(), proptest::option::of(0..20_000u64)).prop_map(
            |(award, reason, undo_within_ms)| CommandKind::Finalise { award, reason, undo_within_ms }
        ),
        1 => reasons().prop_map(|reason| CommandKind::UndoAward { reason }),
        3 => (sellers(), proptest::option::of(follow_up_ids()), "[a-z]{0,4}").prop_map(
            |(seller, question_id, message)| CommandKind::Ask { seller, question_id, message }
        ),
        2 => sellers().prop_map(|seller| CommandKind::See { seller }),
        2 => (sellers(), reasons()).prop_map(|(seller, failure)| CommandKind::Notified {
            seller,
            channel: NotificationType::Email,
            failure,
        }),
        1 => reasons().prop_map(|reason| CommandKind::Cancel { reason }),
        2 => Just(CommandKind::Tick),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let keys = proptest::option::of(0..6u8);
    let epochs = proptest::option::weighted(0.2, 0..4u64);
    let incarnations = proptest::option::weighted(0.2, 1..3u8);
    let jumps = prop_oneof![
        20 => 0..2_000i64,
        1 => Just(3_600_000i64),
        1 => Just(-3_600_000i64),
        1 => -5_000..60_000i64,
    ];
    let one = (jumps, keys, epochs, incarnations, command_kinds(), sellers());
    let one = one.prop_map(|(jump_ms, key, epoch, incarnation_number, kind, sender)| {
        let key = key.map(|n| IdempotencyKey::new(format!("k{n}")).unwrap());
        let incarnation = incarnation_number.map(|n| Incarnation::new(format!("uid-{n}")).unwrap());
        // A withdrawal may name no seller, so its actor is given.
        let is_named = !matches!(kind, CommandKind::Withdraw { seller: None, .. });
        let actor = if is_named { None } else { Some(Actor::Seller(sender)) };
        let epoch = epoch.map(Epoch);
        let command = Command { key, actor, incarnation, epoch, ..Command::bare(kind) };
        Move { jump_ms, command }
    });
    proptest::collection::vec(one, 1..60)
}

struct ProvesEverything;

impl Durable for ProvesEverything {
    fn proves(&self, _: ListHash, _: Seq) -> bool {
        true
    }
}

type StepResult = Result<Reply, Refusal>;

/// A book with a clock, and the list of events that it returned.
struct Owner {
    book: Book,
    now: Timestamp,
    list: Vec<Event>,
    fresh: u64,
}

impl Owner {
    fn new() -> Self {
        let book = Book::new(OrderKey::new("", "SB1").unwrap());
        Self { book, now: Timestamp(T0), list: Vec::new(), fresh: 0 }
    }

    /// Makes an owner whose order is open: most rules only apply then.
    fn open() -> Self {
        let mut owner = Self::new();
        let incarnation = Incarnation::new("uid-1").unwrap();
        let opening = OrderOpening { incarnation, spec: OrderSpec::default(), choices: Vec::new() };
        owner.step(&Command::bare(CommandKind::Open(Box::new(opening)))).unwrap();
        owner
    }

    fn step(&mut self, command: &Command) -> StepResult {
        self.fresh += 1;
        let fresh_id = ProposalId::new(format!("fresh-{}", self.fresh)).ok();
        let output = self.book.step(&Context { now: self.now, fresh_id }, command);
        self.list.extend(output.events);
        output.reply.release(&ProvesEverything).unwrap()
    }

    fn play(&mut self, moved: &Move) -> StepResult {
        self.now = Timestamp(self.now.0 + moved.jump_ms);
        self.step(&moved.command)
    }

    fn played(moves: &[Move]) -> Self {
        let mut owner = Self::open();
        for moved in moves {
            drop(owner.play(moved));
        }
        owner
    }
}
