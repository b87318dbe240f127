//! Short directed scenarios: one kind of fault each, run against real processes and judged by the
//! same predicates as drawn runs.

mod answers;
mod lives;

use std::fmt;

use tokio::task::JoinSet;

use crate::op::{Op, Outcome, Over};
use crate::plan::{Client, Keys, Order, Owner, Plan, SELLERS, Shape};
use crate::run::{Desk, Place, Stage, await_opening, finish, long_opening};
use crate::world::World;

/// A directed scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Awards and cancellations that compete in one order.
    Awards,
    /// Every command repeated under its key, at once, after others, and after the end.
    Repeats,
    /// The same keys for several sellers and the buyer.
    Keys,
    /// The id of an ended order is opened again on a full disk.
    Relife,
    /// The requestor is killed while buyers poll it.
    Goback,
    /// A processor drains under requests.
    Drain,
}

impl Case {
    /// All cases.
    pub const ALL: [Self; 6] =
        [Self::Awards, Self::Repeats, Self::Keys, Self::Relife, Self::Goback, Self::Drain];

    /// Returns the case of this name, or all of them for `all`.
    #[must_use]
    pub fn named(name: &str) -> Option<Vec<Self>> {
        if name == "all" {
            return Some(Self::ALL.to_vec());
        }
        let case = Self::ALL.into_iter().find(|case| case.to_string() == name)?;
        Some(vec![case])
    }

    /// Returns all names, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|case| case.to_string()).join(", ")
    }

    const fn shape(self) -> Shape {
        match self {
            Self::Awards => Shape::Dev,
            Self::Repeats | Self::Keys | Self::Relife | Self::Goback | Self::Drain => Shape::Pair,
        }
    }

    /// Runs it against the binary, to the end of all its orders.
    pub async fn play(self, Place { binary, dir, recorder }: Place) {
        let mut world = World::start(&binary, self.shape(), &dir, &SELLERS).await;
        let stage = Stage::new(&world, recorder);
        let plan = self.plan();
        let desk = Desk::new(&stage, &plan);
        let mut readers = JoinSet::new();
        let mut scene = Scene { plan, desk, readers: &mut readers };
        match self {
            Self::Awards => answers::awards(&scene).await,
            Self::Repeats => answers::repeats(&scene).await,
            Self::Keys => answers::keys(&scene).await,
            Self::Relife => lives::relife(&mut scene, &world).await,
            Self::Goback => lives::goback(&mut scene, &mut world).await,
            Self::Drain => lives::drain(&mut scene, &mut world).await,
        }
        let Scene { plan, desk, .. } = scene;
        finish(&plan, &mut world, &desk, readers).await;
    }

    fn plan(self) -> Plan {
        let (orders, owner) = match self {
            Self::Awards => (12, Owner::Requestor),
            Self::Goback => (20, Owner::Requestor),
            Self::Repeats | Self::Keys => (2, Owner::Requestor),
            Self::Drain => (1, Owner::Requestor),
            // Opened by the rig itself, which chooses the life.
            Self::Relife => (1, Owner::Trackers { takeover_ms: 0 }),
        };
        let order = |place: usize| {
            // The life that is to be kept is named from the first.
            let life = if self == Self::Relife { "@life-1" } else { "" };
            let (id, opening) = (format!("{self}-{place}{life}"), long_opening(&[]));
            Order { id, opening, owner, home: 0 }
        };
        let actors = SELLERS.iter().chain(&["buyer"]);
        let client = |actor: &&str| Client {
            name: (*actor).to_owned(),
            actor: (*actor).to_owned(),
            steps: Vec::new(),
        };
        Plan {
            seed: 0,
            shape: self.shape(),
            keys: if self == Self::Keys { Keys::Counted } else { Keys::Apart },
            orders: (0..orders).map(order).collect(),
            clients: actors.map(client).collect(),
            faults: Vec::new(),
            ends: vec![Vec::new(); orders],
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Awards => "awards",
            Self::Repeats => "repeats",
            Self::Keys => "keys",
            Self::Relife => "relife",
            Self::Goback => "goback",
            Self::Drain => "drain",
        })
    }
}

/// The plan and the parts of a case that runs.
struct Scene<'a> {
    plan: Plan,
    desk: Desk,
    readers: &'a mut JoinSet<()>,
}

impl Scene<'_> {
    /// Opens all orders at the requestor, and waits until the processor has them.
    async fn open(&self) {
        for (place, order) in self.plan.orders.iter().enumerate() {
            let op = Op::Open(order.opening.clone());
            self.desk.attempt(place, &op, Over::Requestor, "opener").await;
        }
        for order in &self.plan.orders {
            await_opening(&self.desk.stage, &order.id).await;
        }
    }

    /// Sends one command once.
    async fn act(&self, order: usize, op: Op, over: Over, actor: &str) -> Outcome {
        let call = self.desk.call(order, &op, actor, actor);
        self.desk.once(&call, over, actor, &mut None).await
    }

    /// Sends a proposal of this id.
    async fn propose(&self, order: usize, proposal: &str, seller: &str) {
        let op = Op::Propose { proposal: proposal.to_owned() };
        self.act(order, op, Over::Rest(0), seller).await;
    }

    /// Sends one command twice under its key.
    async fn twice(&self, order: usize, op: Op, over: Over, actor: &str) {
        let call = self.desk.call(order, &op, actor, actor);
        for _ in 0..2 {
            self.desk.once(&call, over, actor, &mut None).await;
        }
    }
}

/// Returns an award of a proposal that counts at once.
fn award(proposal: &str) -> Op {
    Op::Award { proposal: proposal.to_owned(), undo_within_ms: 0 }
}
