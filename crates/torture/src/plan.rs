//! Everything that a seed decides: orders, clients, faults, ends. Pure: the same seed gives the
//! same plan, though never the same timing.

mod clients;
mod faults;
#[cfg(test)]
mod tests;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use self::clients::Cast;
pub use self::clients::SELLERS;
use crate::op::{Op, Opening, Over};

/// The time for which clients act, milliseconds.
pub const ACTING_MS: u64 = 6_500;
/// The lifetime of an order that expires within a run, milliseconds: the shortest that is accepted.
pub const SHORT_LIFE_MS: u64 = 10_000;
/// The lifetime of an order that outlives a run, milliseconds.
pub const LONG_LIFE_MS: u64 = 600_000;

/// A set of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A processor, and a requestor that follows it.
    Pair,
    /// `dev`, one process with all roles.
    Dev,
    /// Two processors that are peers, and a requestor that places its orders on both.
    Peers,
}

impl Shape {
    /// Returns the number of processors.
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
    /// The seed.
    pub seed: u64,
    /// The processes.
    pub shape: Shape,
    /// The choice of idempotency keys.
    pub keys: Keys,
    /// The orders.
    pub orders: Vec<Order>,
    /// The clients that act while faults happen.
    pub clients: Vec<Client>,
    /// The faults, one after the other.
    pub faults: Vec<Fault>,
    /// The commands that end each order once all faults have ended, sent at once.
    pub ends: Vec<Vec<Step>>,
}

/// The way in which clients choose idempotency keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// No two actors use the same key.
    Apart,
    /// Every actor counts from 1, as many programs do.
    Counted,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Its specification.
    pub opening: Opening,
    /// Its tracker.
    pub owner: Owner,
    /// The processor at which the rig opens it, where the rig does.
    pub home: usize,
}

/// The tracker of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The requestor.
    Requestor,
    /// Trackers of the rig, the second of which takes over.
    Trackers {
        /// The start of the second one, milliseconds after the first.
        takeover_ms: u64,
    },
}

/// One client, which sends commands one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// The seller that acts, or `buyer`.
    pub actor: String,
    /// Its commands.
    pub steps: Vec<Step>,
}

/// One command, sent at its time or later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The earliest time, milliseconds after the start.
    pub at_ms: u64,
    /// The order's index in the plan.
    pub order: usize,
    /// The command.
    pub op: Op,
    /// The interface.
    pub over: Over,
    /// Set when it is repeated although it was answered.
    pub again: bool,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The pause before it, milliseconds.
    pub after_ms: u64,
    /// Its duration, milliseconds.
    pub for_ms: u64,
    /// Its kind.
    pub what: Trouble,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// `kill -9`, and a restart after it.
    Kill(Whom),
    /// SIGTERM, and a restart after the process has ended.
    Terminate(Whom),
    /// SIGSTOP, and SIGCONT after it.
    Stop(Whom),
    /// A fault of a link.
    Link(Link, Weather),
    /// A full disk of this processor.
    FullDisk(usize),
    /// Almost no further descriptors for this process.
    FewDescriptors(Whom),
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// The processor with this number; in `dev` the one process.
    Processor(usize),
    /// The requestor; in `dev` the one process.
    Requestor,
}

/// A link through a relay of the rig.
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

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// All connections are cut, also new ones.
    Cut,
    /// Nothing passes, and nothing is lost.
    Stalled,
    /// Bytes are lost, and neither side is notified.
    HalfOpen,
    /// Bytes pass one at a time.
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
