//! Derives a run from a seed: orders, clients, faults and ends. Pure: the same seed yields the same
//! plan, but not the same timing.

mod clients;
mod faults;
#[cfg(test)]
mod tests;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use self::clients::ClientPlanner;
pub use self::clients::SELLERS;
use crate::command::{ClientCommand, ClientInterface, OpeningParameters};

/// The time for which clients send commands, milliseconds.
pub const WORKLOAD_MS: u64 = 6_500;
/// The times to decide after a deadline, milliseconds: the default, none, and a short one.
pub const DECIDE_WITHIN_MS: [Option<u64>; 3] = [None, Some(0), Some(2_000)];
/// The lifetime of an order that expires within a run, milliseconds: the shortest that is accepted.
pub const SHORT_LIFETIME_MS: u64 = 10_000;
/// The lifetime of an order that outlives a run, milliseconds.
pub const LONG_LIFETIME_MS: u64 = 600_000;

/// A set of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessTopology {
    /// A processor, and a requestor that follows it.
    Pair,
    /// `dev`, one process with all roles.
    Dev,
    /// Two processors that are peers, and a requestor that places its orders on both.
    Peers,
}

impl ProcessTopology {
    /// Returns the number of processors.
    pub const fn processors(self) -> usize {
        match self {
            Self::Pair | Self::Dev => 1,
            Self::Peers => 2,
        }
    }
}

/// A run that is derived from a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TorturePlan {
    /// The seed.
    pub seed: u64,
    /// The processes.
    pub topology: ProcessTopology,
    /// The scheme of the idempotency keys.
    pub keys: KeyScheme,
    /// The orders.
    pub orders: Vec<PlannedOrder>,
    /// The clients that send commands while faults occur.
    pub clients: Vec<PlannedClient>,
    /// The faults, in sequence.
    pub faults: Vec<PlannedFault>,
    /// The commands that end each order once all faults have ended, sent concurrently.
    pub ends: Vec<Vec<PlannedCommand>>,
}

/// The way in which clients choose idempotency keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyScheme {
    /// No two actors use the same key.
    Distinct,
    /// Every actor counts from 1, as many programs do.
    Sequential,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedOrder {
    /// The order's id.
    pub id: String,
    /// The order's specification.
    pub opening: OpeningParameters,
    /// The order's tracker.
    pub tracker: TrackerPlan,
    /// The processor at which the rig opens the order, if it does.
    pub home: usize,
}

/// The tracker of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerPlan {
    /// The requestor.
    Requestor,
    /// Two trackers of the rig; the second one takes over.
    Trackers {
        /// The start of the second one, milliseconds after the first.
        takeover_ms: u64,
    },
}

/// One client, which sends commands one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedClient {
    /// The client's name.
    pub name: String,
    /// The seller who sends the commands, or `buyer`.
    pub actor: String,
    /// The client's commands.
    pub steps: Vec<PlannedCommand>,
}

/// One command, sent at its time or later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCommand {
    /// The earliest time, milliseconds after the start.
    pub at_ms: u64,
    /// The order's index in the plan.
    pub order: usize,
    /// The command.
    pub command: ClientCommand,
    /// The interface.
    pub interface: ClientInterface,
    /// Set if the command is repeated although it had a reply.
    pub is_repeated: bool,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// The time before the fault, milliseconds.
    pub after_ms: u64,
    /// The fault's duration, milliseconds.
    pub for_ms: u64,
    /// The fault's kind.
    pub kind: InjectedFault,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InjectedFault {
    /// SIGKILL, followed by a restart.
    Kill(TargetProcess),
    /// SIGTERM, followed by a restart once the process has ended.
    Terminate(TargetProcess),
    /// SIGSTOP, followed by SIGCONT.
    Stop(TargetProcess),
    /// A fault of a link.
    Link(Link, LinkCondition),
    /// A full disk of this processor.
    FullDisk(usize),
    /// Almost no further descriptors for this process.
    FewDescriptors(TargetProcess),
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetProcess {
    /// The processor with this number; the single process for `dev`.
    Processor(usize),
    /// The requestor; the single process for `dev`.
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

/// The condition of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkCondition {
    /// Everything passes.
    Healthy,
    /// All connections are closed, including new ones.
    Cut,
    /// Nothing passes, and nothing is lost.
    Stalled,
    /// Bytes are lost without an error on either side.
    HalfOpen,
    /// Bytes pass one at a time.
    Bytewise,
}

/// Draws the plan of a seed.
pub fn plan(seed: u64) -> TorturePlan {
    let mut rng = Rng::with_seed(seed ^ 0x6f72_6465_7273_7472);
    let topology = match rng.u8(..10) {
        0..5 => ProcessTopology::Pair,
        5..7 => ProcessTopology::Dev,
        _ => ProcessTopology::Peers,
    };
    let keys = if rng.u8(..3) == 0 { KeyScheme::Sequential } else { KeyScheme::Distinct };
    let orders = orders(&mut rng, seed, topology);
    let mut planner = ClientPlanner::new(&mut rng, topology, &orders);
    let clients = planner.clients();
    let ends = planner.ends();
    let faults = faults::draw(&mut rng, topology);
    TorturePlan { seed, topology, keys, orders, clients, faults, ends }
}

fn orders(rng: &mut Rng, seed: u64, topology: ProcessTopology) -> Vec<PlannedOrder> {
    let count = rng.usize(6..=8);
    (0..count)
        .map(|index| {
            // The first two orders are of the kinds that every run must have.
            let is_sealed = index == 0 || rng.u8(..5) == 0;
            let is_short = is_sealed || index == 1 || rng.u8(..4) == 0;
            let by_rig = index == 2 || (index > 2 && rng.u8(..5) == 0);
            let limited = topology != ProcessTopology::Dev && rng.bool();
            let decide_within_ms = DECIDE_WITHIN_MS[rng.usize(..DECIDE_WITHIN_MS.len())];
            let opening = OpeningParameters {
                expires_in_ms: if is_short { SHORT_LIFETIME_MS } else { LONG_LIFETIME_MS },
                decide_within_ms,
                sealed: is_sealed,
                sellers: if limited {
                    SELLERS.iter().take(3).map(ToString::to_string).collect()
                } else {
                    Vec::new()
                },
            };
            let tracker = if by_rig {
                TrackerPlan::Trackers { takeover_ms: rng.u64(1_500..5_000) }
            } else {
                TrackerPlan::Requestor
            };
            let home = rng.usize(..topology.processors());
            PlannedOrder { id: format!("T{seed}-{index}"), opening, tracker, home }
        })
        .collect()
}
