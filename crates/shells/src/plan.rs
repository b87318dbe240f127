//! Derives a run from a seed: orders, clients, faults and ends. Pure.

use fastrand::Rng;
use orderstream_torture::command::{ClientCommand, ClientInterface, OpeningParameters};
pub use orderstream_torture::plan::LinkCondition;
use orderstream_torture::plan::{
    DECIDE_WITHIN_MS, LONG_LIFETIME_MS, PlannedClient, PlannedCommand, SELLERS, SHORT_LIFETIME_MS,
};

pub use crate::disk::{HostDiskFault, SyncEffect};

/// The time for which clients send commands, milliseconds.
pub const CLIENTS_ACTIVE_MS: u64 = 6_000;
/// The time by which every order is open, milliseconds: a command that was refused before and is
/// sent again later does not count as a repetition.
const OPEN_MS: u64 = 400;
/// The fault-free time at the start, milliseconds.
const FAULT_FREE_MS: u64 = 500;
/// The number of faults in a run.
const FAULTS: std::ops::RangeInclusive<usize> = 2..=6;
/// The number of commands of one client.
const STEPS: std::ops::RangeInclusive<usize> = 6..=12;
/// The duration of an edit lock, milliseconds, which is longer than a run; each command adds its
/// number, so that the duration identifies it.
const LEASE_MS: u64 = 120_000;
/// The times for which a drawn award can be undone, milliseconds.
const UNDO_MS: [u64; 3] = [0, 400, 60_000];
/// The number of processors.
pub const PROCESSORS: usize = 2;

/// A run that is derived from a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationPlan {
    /// The seed.
    pub seed: u64,
    /// The orders, by id, with their specification.
    pub orders: Vec<(String, OpeningParameters)>,
    /// The clients that send commands while faults occur.
    pub clients: Vec<PlannedClient>,
    /// The faults, sorted by their start.
    pub faults: Vec<FaultWindow>,
    /// The commands that end each order once all faults have ended, sent concurrently.
    pub ends: Vec<Vec<ClientCommand>>,
    /// The effect of syncs on the processors' disks.
    pub processors_sync: SyncEffect,
    /// The effect of syncs on the requestor's disk.
    pub requestor_syncs: SyncEffect,
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRole {
    /// The processor with this number.
    Processor(usize),
    /// The requestor.
    Requestor,
}

/// A fault with its start and its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultWindow {
    /// The fault's start, milliseconds after that of the run.
    pub at_ms: u64,
    /// The fault's duration, milliseconds.
    pub for_ms: u64,
    /// The fault's kind.
    pub kind: HostFault,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// A process ends abruptly, and is restarted.
    Crash(HostRole),
    /// A process drains, and is restarted after its end.
    Stop(HostRole),
    /// A process stalls, and then continues.
    Freeze(HostRole),
    /// A fault of all connections to a processor.
    Link(usize, LinkCondition),
    /// A fault of a process's disk.
    Disk(HostRole, HostDiskFault),
    /// A process's disk does not respond.
    Hold(HostRole),
    /// A process's wall clock jumps by this many milliseconds, permanently.
    Clock(HostRole, i64),
}

/// Draws the plan of a seed.
pub fn plan(seed: u64) -> SimulationPlan {
    let mut rng = Rng::with_seed(seed ^ 0x7368_656c_6c73);
    let orders = orders(&mut rng, seed);
    let mut planner =
        SimulationPlanner { rng, proposals: vec![Vec::new(); orders.len()], orders, serial: 0 };
    let mut clients = planner.clients();
    let ends = (0..planner.orders.len()).map(|order| planner.ends(order)).collect();
    let faults = planner.faults();
    if faults.iter().any(|it| matches!(it.kind, HostFault::Clock(HostRole::Processor(_), ..0))) {
        clients.iter_mut().for_each(without_locks);
    }
    let (processors_sync, requestor_syncs) = (SyncEffect::Durable, SyncEffect::Durable);
    SimulationPlan {
        seed,
        orders: planner.orders,
        clients,
        faults,
        ends,
        processors_sync,
        requestor_syncs,
    }
}

/// Replaces a client's locks: a lock is identified in a list by its duration, which appears shorter
/// when a clock jumps back.
fn without_locks(client: &mut PlannedClient) {
    let locks =
        client.steps.iter_mut().filter(|step| matches!(step.command, ClientCommand::Lock { .. }));
    locks.for_each(|step| step.command = ClientCommand::Ask);
}

fn orders(rng: &mut Rng, seed: u64) -> Vec<(String, OpeningParameters)> {
    (0..rng.usize(2..=3))
        .map(|index| {
            let sealed = rng.u8(..4) == 0;
            let is_short = sealed || rng.u8(..3) == 0;
            let decide_within_ms = DECIDE_WITHIN_MS[rng.usize(..DECIDE_WITHIN_MS.len())];
            let opening = OpeningParameters {
                expires_in_ms: if is_short { SHORT_LIFETIME_MS } else { LONG_LIFETIME_MS },
                decide_within_ms,
                sealed,
                ..OpeningParameters::default()
            };
            (format!("S{seed}-{index}"), opening)
        })
        .collect()
}

struct SimulationPlanner {
    rng: Rng,
    orders: Vec<(String, OpeningParameters)>,
    /// The proposals of each order: seller and id.
    proposals: Vec<Vec<(String, String)>>,
    /// A counter for values that are unique to each command.
    serial: u64,
}

impl SimulationPlanner {
    fn clients(&mut self) -> Vec<PlannedClient> {
        let mut clients = Vec::new();
        for seller in [SELLERS[0], SELLERS[1], SELLERS[2], SELLERS[0]] {
            let steps = self.steps(|planner, at_ms| planner.seller(seller, at_ms));
            let name = format!("{seller}-{}", clients.len());
            clients.push(PlannedClient { name, actor: seller.to_owned(), steps });
        }
        for _ in 0..2 {
            let steps = self.steps(Self::buyer);
            let name = format!("buyer-{}", clients.len());
            clients.push(PlannedClient { name, actor: "buyer".to_owned(), steps });
        }
        clients
    }

    fn steps(
        &mut self,
        mut step: impl FnMut(&mut Self, u64) -> PlannedCommand,
    ) -> Vec<PlannedCommand> {
        let count = self.rng.usize(STEPS);
        let mut moments: Vec<u64> =
            (0..count).map(|_| self.rng.u64(OPEN_MS..CLIENTS_ACTIVE_MS)).collect();
        moments.sort_unstable();
        moments.into_iter().map(|at_ms| step(self, at_ms)).collect()
    }

    fn seller(&mut self, seller: &str, at_ms: u64) -> PlannedCommand {
        let order = self.rng.usize(..self.orders.len());
        let own = self.proposals[order].iter().filter(|(by, _)| by == seller);
        let own: Vec<String> = own.map(|(_, id)| id.clone()).collect();
        let op = match (self.rng.u8(..20), self.rng.choice(&own).cloned()) {
            (0..6, _) | (_, None) => self.propose(order, seller),
            (6..10, Some(proposal)) => ClientCommand::Amend { proposal },
            (10 | 11, Some(proposal)) => ClientCommand::Withdraw { proposal },
            (12..15, Some(_)) => {
                self.serial += 1;
                let proposal = self.any_proposal(order);
                ClientCommand::Lock { proposal, lease_ms: LEASE_MS + self.serial }
            }
            (15 | 16, Some(proposal)) => ClientCommand::Unlock { proposal },
            (17, _) => ClientCommand::Ask,
            (18, _) => ClientCommand::See,
            _ => ClientCommand::Decline,
        };
        // The world sends the command to the order's owner.
        PlannedCommand {
            at_ms,
            order,
            command: op,
            interface: ClientInterface::Rest(0),
            is_repeated: self.rng.u8(..4) == 0,
        }
    }

    /// Draws a proposal: the seller's first one of an order, and then mostly alternatives. Another
    /// one without a label is refused while the first one is open.
    fn propose(&mut self, order: usize, seller: &str) -> ClientCommand {
        self.serial += 1;
        let proposal = format!("p{}", self.serial);
        let is_first = self.proposals[order].iter().all(|(by, _)| by != seller);
        let is_alternative = !is_first && self.rng.u8(..6) != 0;
        self.proposals[order].push((seller.to_owned(), proposal.clone()));
        ClientCommand::Propose { proposal, is_alternative }
    }

    fn any_proposal(&mut self, order: usize) -> String {
        let all = &self.proposals[order];
        self.rng.choice(all).map_or_else(|| "p1".to_owned(), |(_, id)| id.clone())
    }

    fn buyer(&mut self, at_ms: u64) -> PlannedCommand {
        let order = self.rng.usize(..self.orders.len());
        let may_end = at_ms > CLIENTS_ACTIVE_MS / 2 && !self.orders[order].1.sealed;
        let op = if may_end && self.rng.u8(..4) == 0 {
            let undo_within_ms = *self.rng.choice(&UNDO_MS).unwrap_or(&0);
            self.end(order, undo_within_ms)
        } else {
            match self.rng.u8(..12) {
                0..6 => ClientCommand::FollowUp,
                6 | 7 => ClientCommand::Pause,
                8 | 9 => ClientCommand::Resume,
                10 => self.extend(order),
                _ => ClientCommand::UndoAward,
            }
        };
        PlannedCommand {
            at_ms,
            order,
            command: op,
            interface: ClientInterface::Requestor,
            is_repeated: self.rng.u8(..4) == 0,
        }
    }

    /// Draws a longer lifetime for an order that outlives the run; the others must expire within
    /// it.
    fn extend(&mut self, order: usize) -> ClientCommand {
        if self.orders[order].1.expires_in_ms == SHORT_LIFETIME_MS {
            return ClientCommand::FollowUp;
        }
        self.serial += 1;
        ClientCommand::Extend { expires_in_ms: LONG_LIFETIME_MS + 1_000 * self.serial }
    }

    fn end(&mut self, order: usize, undo_within_ms: u64) -> ClientCommand {
        let proposal = self.any_proposal(order);
        match self.rng.u8(..6) {
            0..4 => ClientCommand::Award { proposal, undo_within_ms },
            4 => ClientCommand::Close,
            _ => ClientCommand::Cancel,
        }
    }

    fn ends(&mut self, order: usize) -> Vec<ClientCommand> {
        (0..self.rng.usize(2..=3)).map(|_| self.end(order, 0)).collect()
    }

    fn faults(&mut self) -> Vec<FaultWindow> {
        let mut faults: Vec<FaultWindow> = (0..self.rng.usize(FAULTS))
            .map(|_| {
                let at_ms = self.rng.u64(FAULT_FREE_MS..CLIENTS_ACTIVE_MS);
                let (for_ms, kind) = self.fault();
                FaultWindow { at_ms, for_ms, kind }
            })
            .collect();
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    }

    fn fault(&mut self) -> (u64, HostFault) {
        let processor = self.rng.usize(..PROCESSORS);
        let role =
            if self.rng.u8(..5) < 2 { HostRole::Requestor } else { HostRole::Processor(processor) };
        match self.rng.u8(..16) {
            0..4 => (self.rng.u64(0..600), HostFault::Crash(role)),
            4 | 5 => (self.rng.u64(0..300), HostFault::Stop(role)),
            6 | 7 => (self.rng.u64(200..2_500), HostFault::Freeze(role)),
            8..11 => (self.rng.u64(200..2_000), HostFault::Link(processor, self.weather())),
            11 | 12 => (self.rng.u64(50..1_200), HostFault::Disk(role, self.disk_fault())),
            13 => (self.rng.u64(200..1_500), HostFault::Hold(role)),
            _ => (0, HostFault::Clock(role, self.jump())),
        }
    }

    fn weather(&mut self) -> LinkCondition {
        let all = [
            LinkCondition::Cut,
            LinkCondition::Stalled,
            LinkCondition::HalfOpen,
            LinkCondition::Bytewise,
        ];
        *self.rng.choice(&all).unwrap_or(&LinkCondition::Cut)
    }

    fn disk_fault(&mut self) -> HostDiskFault {
        let all = [
            HostDiskFault::Full,
            HostDiskFault::WriteFails,
            HostDiskFault::SyncFails,
            HostDiskFault::SyncFailsAndLoses,
        ];
        *self.rng.choice(&all).unwrap_or(&HostDiskFault::Full)
    }

    /// Draws a jump backwards, or also forwards if that does not open a sealed order too early;
    /// milliseconds.
    fn jump(&mut self) -> i64 {
        let is_any_sealed = self.orders.iter().any(|(_, opening)| opening.sealed);
        let by_ms = self.rng.i64(-4_000..4_000);
        if is_any_sealed { -by_ms.abs() } else { by_ms }
    }
}
