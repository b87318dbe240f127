//! Everything that a seed decides: orders, clients, faults, ends. Pure.

use fastrand::Rng;
use orderstream_torture::op::{Op, Opening, Over};
pub use orderstream_torture::plan::Weather;
use orderstream_torture::plan::{Client, LONG_LIFE_MS, SELLERS, SHORT_LIFE_MS, Step};

pub use crate::disk::{Syncs, Trouble};

/// The time for which clients act, milliseconds.
pub const ACTING_MS: u64 = 6_000;
/// The time by which every order is open, milliseconds: a command that is refused before, and sent
/// again later, is not a repetition.
const OPEN_MS: u64 = 400;
/// The time at the start without faults, milliseconds.
const CALM_MS: u64 = 500;
/// The number of faults in one run.
const FAULTS: std::ops::RangeInclusive<usize> = 2..=6;
/// The number of commands of one client.
const STEPS: std::ops::RangeInclusive<usize> = 6..=12;
/// The lease of an edit lock, milliseconds, which outlives a run; each command adds its number, so
/// that the lease names it.
const LEASE_MS: u64 = 120_000;
/// The times in which a drawn award can be undone, milliseconds.
const UNDO_MS: [u64; 3] = [0, 400, 60_000];
/// The number of processors.
pub const PROCESSORS: usize = 2;

/// All that a seed decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The orders, by id, with their specification.
    pub orders: Vec<(String, Opening)>,
    /// The clients that act while faults happen.
    pub clients: Vec<Client>,
    /// The faults, by their start.
    pub faults: Vec<Fault>,
    /// The commands that end each order once all faults have ended, sent at once.
    pub ends: Vec<Vec<Op>>,
    /// The effect of syncs on the processors' disks.
    pub processors_sync: Syncs,
    /// The effect of syncs on the requestor's disk.
    pub requestor_syncs: Syncs,
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The processor with this number.
    Processor(usize),
    /// The requestor.
    Requestor,
}

/// A fault that lasts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its start, milliseconds after that of the run.
    pub at_ms: u64,
    /// Its duration, milliseconds.
    pub for_ms: u64,
    /// Its kind.
    pub what: What,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A process ends in the middle of whatever it does, and is restarted.
    Crash(Part),
    /// A process drains, and is restarted after its end.
    Stop(Part),
    /// A process stands still, and then continues.
    Freeze(Part),
    /// A fault of all connections to a processor.
    Link(usize, Weather),
    /// A fault of a process's disk.
    Disk(Part, Trouble),
    /// A process's disk does not respond.
    Hold(Part),
    /// A process's wall clock jumps by this many milliseconds, and stays there.
    Clock(Part, i64),
}

/// Draws the plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed ^ 0x7368_656c_6c73);
    let orders = orders(&mut rng, seed);
    let mut cast = Cast { rng, proposals: vec![Vec::new(); orders.len()], orders, serial: 0 };
    let mut clients = cast.clients();
    let ends = (0..cast.orders.len()).map(|order| cast.ends(order)).collect();
    let faults = cast.faults();
    if faults.iter().any(|it| matches!(it.what, What::Clock(Part::Processor(_), ..0))) {
        clients.iter_mut().for_each(without_locks);
    }
    let (processors_sync, requestor_syncs) = (Syncs::Honest, Syncs::Honest);
    Plan { seed, orders: cast.orders, clients, faults, ends, processors_sync, requestor_syncs }
}

/// Replaces a client's locks: a lock is recognised in a list by its duration, which a clock that
/// goes back makes look shorter.
fn without_locks(client: &mut Client) {
    let locks = client.steps.iter_mut().filter(|step| matches!(step.op, Op::Lock { .. }));
    locks.for_each(|step| step.op = Op::Ask);
}

fn orders(rng: &mut Rng, seed: u64) -> Vec<(String, Opening)> {
    (0..rng.usize(2..=3))
        .map(|place| {
            let sealed = rng.u8(..4) == 0;
            let is_short = sealed || rng.u8(..3) == 0;
            let opening = Opening {
                expires_in_ms: if is_short { SHORT_LIFE_MS } else { LONG_LIFE_MS },
                sealed,
                ..Opening::default()
            };
            (format!("S{seed}-{place}"), opening)
        })
        .collect()
}

struct Cast {
    rng: Rng,
    orders: Vec<(String, Opening)>,
    /// The proposals of each order: seller and id.
    proposals: Vec<Vec<(String, String)>>,
    /// A counter for values that differ in each command.
    serial: u64,
}

impl Cast {
    fn clients(&mut self) -> Vec<Client> {
        let mut clients = Vec::new();
        for seller in [SELLERS[0], SELLERS[1], SELLERS[2], SELLERS[0]] {
            let steps = self.steps(|cast, at_ms| cast.seller(seller, at_ms));
            let name = format!("{seller}-{}", clients.len());
            clients.push(Client { name, actor: seller.to_owned(), steps });
        }
        for _ in 0..2 {
            let steps = self.steps(Self::buyer);
            let name = format!("buyer-{}", clients.len());
            clients.push(Client { name, actor: "buyer".to_owned(), steps });
        }
        clients
    }

    fn steps(&mut self, mut step: impl FnMut(&mut Self, u64) -> Step) -> Vec<Step> {
        let count = self.rng.usize(STEPS);
        let mut moments: Vec<u64> = (0..count).map(|_| self.rng.u64(OPEN_MS..ACTING_MS)).collect();
        moments.sort_unstable();
        moments.into_iter().map(|at_ms| step(self, at_ms)).collect()
    }

    fn seller(&mut self, seller: &str, at_ms: u64) -> Step {
        let order = self.rng.usize(..self.orders.len());
        let own = self.proposals[order].iter().filter(|(by, _)| by == seller);
        let own: Vec<String> = own.map(|(_, id)| id.clone()).collect();
        let op = match (self.rng.u8(..20), self.rng.choice(&own).cloned()) {
            (0..6, _) | (_, None) => self.propose(order, seller),
            (6..10, Some(proposal)) => Op::Amend { proposal },
            (10 | 11, Some(proposal)) => Op::Withdraw { proposal },
            (12..15, Some(_)) => {
                self.serial += 1;
                let proposal = self.any_proposal(order);
                Op::Lock { proposal, lease_ms: LEASE_MS + self.serial }
            }
            (15 | 16, Some(proposal)) => Op::Unlock { proposal },
            (17, _) => Op::Ask,
            (18, _) => Op::See,
            _ => Op::Decline,
        };
        // The world sends it to the processor that has the order.
        Step { at_ms, order, op, over: Over::Rest(0), again: self.rng.u8(..4) == 0 }
    }

    fn propose(&mut self, order: usize, seller: &str) -> Op {
        self.serial += 1;
        let proposal = format!("p{}", self.serial);
        self.proposals[order].push((seller.to_owned(), proposal.clone()));
        Op::Propose { proposal }
    }

    fn any_proposal(&mut self, order: usize) -> String {
        let all = &self.proposals[order];
        self.rng.choice(all).map_or_else(|| "p1".to_owned(), |(_, id)| id.clone())
    }

    fn buyer(&mut self, at_ms: u64) -> Step {
        let order = self.rng.usize(..self.orders.len());
        let may_end = at_ms > ACTING_MS / 2 && !self.orders[order].1.sealed;
        let op = if may_end && self.rng.u8(..4) == 0 {
            let undo_within_ms = *self.rng.choice(&UNDO_MS).unwrap_or(&0);
            self.end(order, undo_within_ms)
        } else {
            match self.rng.u8(..12) {
                0..6 => Op::FollowUp,
                6 | 7 => Op::Pause,
                8 | 9 => Op::Resume,
                10 => self.extend(order),
                _ => Op::UndoAward,
            }
        };
        Step { at_ms, order, op, over: Over::Requestor, again: self.rng.u8(..4) == 0 }
    }

    /// Draws a longer lifetime for an order that outlives the run; the others are to expire within
    /// it.
    fn extend(&mut self, order: usize) -> Op {
        if self.orders[order].1.expires_in_ms == SHORT_LIFE_MS {
            return Op::FollowUp;
        }
        self.serial += 1;
        Op::Extend { expires_in_ms: LONG_LIFE_MS + 1_000 * self.serial }
    }

    fn end(&mut self, order: usize, undo_within_ms: u64) -> Op {
        let proposal = self.any_proposal(order);
        match self.rng.u8(..6) {
            0..4 => Op::Award { proposal, undo_within_ms },
            4 => Op::Close,
            _ => Op::Cancel,
        }
    }

    fn ends(&mut self, order: usize) -> Vec<Op> {
        (0..self.rng.usize(2..=3)).map(|_| self.end(order, 0)).collect()
    }

    fn faults(&mut self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = (0..self.rng.usize(FAULTS))
            .map(|_| {
                let at_ms = self.rng.u64(CALM_MS..ACTING_MS);
                let (for_ms, what) = self.fault();
                Fault { at_ms, for_ms, what }
            })
            .collect();
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    }

    fn fault(&mut self) -> (u64, What) {
        let processor = self.rng.usize(..PROCESSORS);
        let part = if self.rng.u8(..5) < 2 { Part::Requestor } else { Part::Processor(processor) };
        match self.rng.u8(..16) {
            0..4 => (self.rng.u64(0..600), What::Crash(part)),
            4 | 5 => (self.rng.u64(0..300), What::Stop(part)),
            6 | 7 => (self.rng.u64(200..2_500), What::Freeze(part)),
            8..11 => (self.rng.u64(200..2_000), What::Link(processor, self.weather())),
            11 | 12 => (self.rng.u64(50..1_200), What::Disk(part, self.trouble())),
            13 => (self.rng.u64(200..1_500), What::Hold(part)),
            _ => (0, What::Clock(part, self.jump())),
        }
    }

    fn weather(&mut self) -> Weather {
        let all = [Weather::Cut, Weather::Stalled, Weather::HalfOpen, Weather::Bytewise];
        *self.rng.choice(&all).unwrap_or(&Weather::Cut)
    }

    fn trouble(&mut self) -> Trouble {
        let all =
            [Trouble::Full, Trouble::WriteFails, Trouble::SyncFails, Trouble::SyncFailsAndLoses];
        *self.rng.choice(&all).unwrap_or(&Trouble::Full)
    }

    /// Draws a jump back, or forth where that opens no sealed order too early; milliseconds.
    fn jump(&mut self) -> i64 {
        let is_any_sealed = self.orders.iter().any(|(_, opening)| opening.sealed);
        let by_ms = self.rng.i64(-4_000..4_000);
        if is_any_sealed { -by_ms.abs() } else { by_ms }
    }
}
