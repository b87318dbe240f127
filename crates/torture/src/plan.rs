//! Everything that a seed decides: orders, clients, faults, ends. Pure: the same seed gives the same
//! plan, though never the same moments.

mod clients;
mod faults;
#[cfg(test)]
mod tests;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use self::clients::Cast;
pub use self::clients::SELLERS;
use crate::op::{Op, Opening, Over};

/// How long clients act, milliseconds.
pub const ACTING_MS: u64 = 6_500;
/// Life of an order that expires within a run, milliseconds: the shortest that is taken.
pub const SHORT_LIFE_MS: u64 = 10_000;
/// Life of an order that outlives a run, milliseconds.
pub const LONG_LIFE_MS: u64 = 600_000;

/// Which processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A processor, and a requestor that follows it.
    Pair,
    /// All in one.
    Dev,
    /// Two processors that know one another, and a requestor that places its orders on both.
    Peers,
}

impl Shape {
    /// How many processors there are.
    pub const fn processors(self) -> usize {
        match self {
            Self::Pair | Self::Dev => 1,
            Self::Peers => 2,
        }
    }
}

/// All that a seed decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// From which seed.
    pub seed: u64,
    /// Which processes.
    pub shape: Shape,
    /// Whose keys they are: each client's own, or the same short ones for all.
    pub keys: Keys,
    /// The orders.
    pub orders: Vec<Order>,
    /// Who acts while things break.
    pub clients: Vec<Client>,
    /// What breaks, one after the other.
    pub faults: Vec<Fault>,
    /// What ends each order when all is well again, at once.
    pub ends: Vec<Vec<Step>>,
}

/// How clients choose idempotency keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// No two actors use the same.
    Apart,
    /// Every actor counts from 1, as many programs do.
    Counted,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// What is asked for.
    pub opening: Opening,
    /// Who follows it as its owner.
    pub owner: Owner,
    /// At which processor it is opened, where the rig opens it.
    pub home: usize,
}

/// Who follows an order as its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The requestor.
    Requestor,
    /// Trackers of the rig, the second of which takes over after this many milliseconds.
    Trackers {
        /// Milliseconds after the first.
        takeover_ms: u64,
    },
}

/// One client: acts one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// The seller that acts, or `buyer`.
    pub actor: String,
    /// What it does.
    pub steps: Vec<Step>,
}

/// One act, not before its moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Not before, milliseconds after the start.
    pub at_ms: u64,
    /// Which order, by its place in the plan.
    pub order: usize,
    /// What.
    pub op: Op,
    /// By what way.
    pub over: Over,
    /// Whether it is sent again although it was answered.
    pub again: bool,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Pause before it, milliseconds.
    pub after_ms: u64,
    /// How long, milliseconds.
    pub for_ms: u64,
    /// What.
    pub what: Trouble,
}

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// `kill -9`, and a start after it.
    Kill(Whom),
    /// SIGTERM, and a start after its end.
    Terminate(Whom),
    /// SIGSTOP, and SIGCONT.
    Stop(Whom),
    /// A link between two of the parties.
    Link(Link, Weather),
    /// The disk takes nothing more.
    FullDisk(usize),
    /// No more descriptors.
    FewDescriptors(Whom),
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// The processor with this number; in `dev` everything.
    Processor(usize),
    /// The requestor; in `dev` everything.
    Requestor,
}

/// A link that the rig holds in its hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// From clients to a processor's REST.
    Rest(usize),
    /// From clients to a processor's gRPC.
    Grpc(usize),
    /// From clients to the requestor.
    Requestor,
    /// From the requestor to a processor.
    Between(usize),
}

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weather {
    /// All passes.
    Fair,
    /// Connections are cut, also new ones.
    Cut,
    /// Nothing moves, and nothing is lost.
    Stalled,
    /// Bytes vanish, and nobody is told.
    HalfOpen,
    /// One byte at a time.
    Bytewise,
}

/// Draws the plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed ^ 0x6f72_6465_7273_7472);
    let shape = match rng.u8(..10) {
        0..5 => Shape::Pair,
        5..7 => Shape::Dev,
        _ => Shape::Peers,
    };
    let keys = if rng.u8(..3) == 0 { Keys::Counted } else { Keys::Apart };
    let orders = orders(&mut rng, seed, shape);
    let mut cast = Cast::new(&mut rng, shape, &orders);
    let clients = cast.clients();
    let ends = cast.ends();
    let faults = faults::draw(&mut rng, shape);
    Plan { seed, shape, keys, orders, clients, faults, ends }
}

fn orders(rng: &mut Rng, seed: u64, shape: Shape) -> Vec<Order> {
    let count = rng.usize(6..=8);
    (0..count)
        .map(|place| {
            // The first two are of the kinds that must not be missing from any run.
            let is_sealed = place == 0 || rng.u8(..5) == 0;
            let is_short = is_sealed || place == 1 || rng.u8(..4) == 0;
            let by_rig = place == 2 || (place > 2 && rng.u8(..5) == 0);
            let limited = shape != Shape::Dev && rng.bool();
            let opening = Opening {
                expires_in_ms: if is_short { SHORT_LIFE_MS } else { LONG_LIFE_MS },
                sealed: is_sealed,
                sellers: if limited {
                    SELLERS.iter().take(3).map(ToString::to_string).collect()
                } else {
                    Vec::new()
                },
            };
            let owner = if by_rig {
                Owner::Trackers { takeover_ms: rng.u64(1_500..5_000) }
            } else {
                Owner::Requestor
            };
            let home = rng.usize(..shape.processors());
            Order { id: format!("T{seed}-{place}"), opening, owner, home }
        })
        .collect()
}
