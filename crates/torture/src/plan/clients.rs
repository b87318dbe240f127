//! Draws clients with their interfaces and their commands.

use fastrand::Rng;

use super::{ACTING_MS, Client, Order, Owner, Shape, Step};
use crate::op::{Op, Over};

/// All sellers. Orders with a list of sellers invite the first three.
pub const SELLERS: [&str; 4] = ["acme", "bolt", "crane", "dyke"];
/// The number of commands of one client.
const STEPS: std::ops::RangeInclusive<usize> = 16..=26;
/// The time at the start with first proposals only and no fault, milliseconds.
pub(super) const CALM_MS: u64 = 600;
/// The lease of an edit lock, milliseconds, which outlives a run; each command adds its number, so
/// that the lease names it.
const LEASE_MS: u64 = 120_000;
/// A shorter lease, milliseconds, which lapses while others want the lock.
const SHORT_LEASE_MS: u64 = 700;
/// The times in which a drawn award can be undone, milliseconds: all count before a run is over.
const UNDO_MS: [u64; 3] = [0, 400, 3_000];

/// Draws the clients of one plan.
#[derive(Debug)]
pub(super) struct Cast<'a> {
    rng: &'a mut Rng,
    shape: Shape,
    orders: &'a [Order],
    /// The proposals of each order: seller and id.
    proposals: Vec<Vec<(String, String)>>,
    /// A counter for values that differ in each command.
    serial: u64,
}

impl<'a> Cast<'a> {
    /// Returns a cast for these orders.
    pub(super) fn new(rng: &'a mut Rng, shape: Shape, orders: &'a [Order]) -> Self {
        Self { rng, shape, orders, proposals: vec![Vec::new(); orders.len()], serial: 0 }
    }

    /// Draws ten clients: five of sellers, five of buyers.
    pub(super) fn clients(&mut self) -> Vec<Client> {
        let mut clients = Vec::new();
        for (seller, way) in [
            (SELLERS[0], Way::Rest),
            (SELLERS[1], Way::Session),
            (SELLERS[2], Way::Bulk),
            (SELLERS[3], Way::Rest),
            (SELLERS[0], Way::Session),
        ] {
            let name = format!("{seller}-{}", clients.len());
            let mut steps = self.offers(seller, way);
            steps.extend(self.steps(|cast, at_ms| cast.seller_step(seller, way, at_ms)));
            clients.push(Client { name, actor: seller.to_owned(), steps });
        }
        for way in [Way::Requestor, Way::Requestor, Way::Grpc, Way::Grpc, Way::Cli] {
            let name = format!("buyer-{}", clients.len());
            let steps = self.steps(|cast, at_ms| cast.buyer_step(way, at_ms));
            clients.push(Client { name, actor: "buyer".to_owned(), steps });
        }
        clients
    }

    /// Draws the ends of each order, by its index: two to four commands that are sent at once.
    pub(super) fn ends(&mut self) -> Vec<Vec<Step>> {
        (0..self.orders.len())
            .map(|order| {
                let count = self.rng.usize(2..=4);
                (0..count).map(|_| self.end(order, 0)).collect()
            })
            .collect()
    }

    fn steps(&mut self, mut step: impl FnMut(&mut Self, u64) -> Step) -> Vec<Step> {
        let count = self.rng.usize(STEPS);
        let mut moments: Vec<u64> = (0..count).map(|_| self.rng.u64(CALM_MS..ACTING_MS)).collect();
        moments.sort_unstable();
        moments.into_iter().map(|at_ms| step(self, at_ms)).collect()
    }

    /// Draws a seller's first proposals, in about every second order, before any fault: other
    /// commands refer to them.
    fn offers(&mut self, seller: &str, way: Way) -> Vec<Step> {
        let orders: Vec<usize> = (0..self.orders.len()).filter(|_| self.rng.bool()).collect();
        let mut step = |order| {
            let (over, op) = (self.over(way), self.propose(order, seller));
            self.step(order, op, over, 0)
        };
        orders.into_iter().map(&mut step).collect()
    }

    fn seller_step(&mut self, seller: &str, way: Way, at_ms: u64) -> Step {
        let order = self.rng.usize(..self.orders.len());
        let over = self.over(way);
        let own: Vec<String> = self.proposals[order]
            .iter()
            .filter(|(by, _)| by == seller)
            .map(|(_, id)| id.clone())
            .collect();
        let op = match (self.rng.u8(..20), self.rng.choice(&own).cloned()) {
            (0..6, _) | (_, None) => self.propose(order, seller),
            (6..10, Some(proposal)) => Op::Amend { proposal },
            (10 | 11, Some(proposal)) => Op::Withdraw { proposal },
            (12..15, Some(_)) => self.lock(order),
            (15 | 16, Some(proposal)) => Op::Unlock { proposal },
            (17, _) => Op::Ask,
            (18, _) => Op::See,
            _ => Op::Decline,
        };
        self.step(order, op, over, at_ms)
    }

    fn propose(&mut self, order: usize, seller: &str) -> Op {
        self.serial += 1;
        let proposal = format!("p{}", self.serial);
        self.proposals[order].push((seller.to_owned(), proposal.clone()));
        Op::Propose { proposal }
    }

    /// Draws a lock on any proposal: sellers may lock those of others, as helpers do.
    fn lock(&mut self, order: usize) -> Op {
        self.serial += 1;
        let base = if self.rng.u8(..4) == 0 { SHORT_LEASE_MS } else { LEASE_MS };
        Op::Lock { proposal: self.any_proposal(order), lease_ms: base + self.serial }
    }

    fn any_proposal(&mut self, order: usize) -> String {
        let all = &self.proposals[order];
        self.rng.choice(all).map_or_else(|| "p1".to_owned(), |(_, id)| id.clone())
    }

    fn buyer_step(&mut self, way: Way, at_ms: u64) -> Step {
        let mut order = self.rng.usize(..self.orders.len());
        if !matches!(way, Way::Grpc) {
            // The requestor knows only what it follows.
            while self.orders[order].owner != Owner::Requestor {
                order = (order + 1) % self.orders.len();
            }
        }
        // Ends come late, so that there is something to end; sealed orders end after their opening.
        let may_end =
            at_ms > ACTING_MS / 2 && !self.orders[order].opening.sealed && order.is_multiple_of(2);
        if may_end && self.rng.u8(..3) == 0 {
            return self.end(order, at_ms);
        }
        let op = match self.rng.u8(..12) {
            0..6 => Op::FollowUp,
            6 | 7 => Op::Pause,
            8 | 9 => Op::Resume,
            10 => self.extend(order),
            _ => Op::UndoAward,
        };
        let over = self.over(way);
        self.step(order, op, over, at_ms)
    }

    /// Draws a longer lifetime for an order that outlives the run; the others are to expire within
    /// it.
    fn extend(&mut self, order: usize) -> Op {
        if self.orders[order].opening.expires_in_ms == super::SHORT_LIFE_MS {
            return Op::FollowUp;
        }
        self.serial += 1;
        Op::Extend { expires_in_ms: super::LONG_LIFE_MS + 1_000 * self.serial }
    }

    fn end(&mut self, order: usize, at_ms: u64) -> Step {
        let proposal = self.any_proposal(order);
        let undo_within_ms = *self.rng.choice(&UNDO_MS).unwrap_or(&0);
        // When all is well again an end has to be one.
        let undo_within_ms = if at_ms == 0 { 0 } else { undo_within_ms };
        let op = match self.rng.u8(..6) {
            0..4 => Op::Award { proposal, undo_within_ms },
            4 => Op::Close,
            _ => Op::Cancel,
        };
        let ways: &[Way] = if self.orders[order].owner == Owner::Requestor {
            &[Way::Requestor, Way::Requestor, Way::Grpc, Way::Cli]
        } else {
            &[Way::Grpc]
        };
        let way = *self.rng.choice(ways).unwrap_or(&Way::Grpc);
        let over = self.over(way);
        self.step(order, op, over, at_ms)
    }

    fn over(&mut self, way: Way) -> Over {
        let processor = self.rng.usize(..self.shape.processors());
        match way {
            Way::Rest => Over::Rest(processor),
            Way::Session => Over::Session(processor),
            Way::Bulk => Over::Bulk(processor),
            Way::Grpc => Over::Grpc(processor),
            Way::Requestor => Over::Requestor,
            Way::Cli => Over::Cli,
        }
    }

    fn step(&mut self, order: usize, op: Op, over: Over, at_ms: u64) -> Step {
        // What an interface does not have goes over the nearest that has it.
        let over = match (over, &op) {
            (Over::Bulk(at), Op::Propose { .. } | Op::Amend { .. }) => Over::Bulk(at),
            (Over::Bulk(at), _) | (Over::Session(at), Op::See) => Over::Rest(at),
            (Over::Grpc(at), _) => Over::Grpc(self.home_of(order, at)),
            (other, _) => other,
        };
        Step { at_ms, order, op, over, again: self.rng.u8(..5) == 0 }
    }

    /// Returns the processor that has the order, where the rig chose it: it answers the buyer's
    /// unary calls.
    fn home_of(&self, order: usize, drawn: usize) -> usize {
        match self.orders[order].owner {
            Owner::Trackers { .. } => self.orders[order].home,
            Owner::Requestor => drawn,
        }
    }
}

/// A client's interface.
#[derive(Clone, Copy)]
enum Way {
    Rest,
    Session,
    Bulk,
    Grpc,
    Requestor,
    Cli,
}
