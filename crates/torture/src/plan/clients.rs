//! Draws the clients with their interfaces and commands.

use fastrand::Rng;

use super::{
    PlannedClient, PlannedCommand, PlannedOrder, ProcessTopology, TrackerPlan, WORKLOAD_MS,
};
use crate::command::{ClientCommand, ClientInterface};

/// All sellers. Orders with a list of sellers invite the first three.
pub const SELLERS: [&str; 4] = ["acme", "bolt", "crane", "dyke"];
/// The number of commands of one client.
const STEPS: std::ops::RangeInclusive<usize> = 16..=26;
/// The time at the start with only first proposals and no faults, milliseconds.
pub(super) const WARMUP_MS: u64 = 600;
/// The duration of an edit lock, milliseconds, which is longer than a run; each command adds its
/// number, so that the duration identifies it.
const LEASE_MS: u64 = 120_000;
/// A shorter lock duration, milliseconds, so that the lock expires while others request it.
const SHORT_LEASE_MS: u64 = 700;
/// The times for which a drawn award can be undone, milliseconds: all awards take effect before the
/// end of a run.
const UNDO_MS: [u64; 3] = [0, 400, 3_000];

/// Draws the clients of one plan.
#[derive(Debug)]
pub(super) struct ClientPlanner<'a> {
    rng: &'a mut Rng,
    topology: ProcessTopology,
    orders: &'a [PlannedOrder],
    /// The proposals of each order: seller and id.
    proposals: Vec<Vec<(String, String)>>,
    /// A counter for values that are unique to each command.
    serial: u64,
}

impl<'a> ClientPlanner<'a> {
    /// Creates a planner for these orders.
    pub(super) fn new(
        rng: &'a mut Rng,
        topology: ProcessTopology,
        orders: &'a [PlannedOrder],
    ) -> Self {
        Self { rng, topology, orders, proposals: vec![Vec::new(); orders.len()], serial: 0 }
    }

    /// Draws ten clients: five sellers and five buyers.
    pub(super) fn clients(&mut self) -> Vec<PlannedClient> {
        let mut clients = Vec::new();
        for (seller, kind) in [
            (SELLERS[0], InterfaceKind::Rest),
            (SELLERS[1], InterfaceKind::Session),
            (SELLERS[2], InterfaceKind::Bulk),
            (SELLERS[3], InterfaceKind::Rest),
            (SELLERS[0], InterfaceKind::Session),
        ] {
            let name = format!("{seller}-{}", clients.len());
            let mut steps = self.first_proposals(seller, kind);
            steps.extend(self.steps(|cast, at_ms| cast.seller_step(seller, kind, at_ms)));
            clients.push(PlannedClient { name, actor: seller.to_owned(), steps });
        }
        for kind in [
            InterfaceKind::Requestor,
            InterfaceKind::Requestor,
            InterfaceKind::Grpc,
            InterfaceKind::Grpc,
            InterfaceKind::Cli,
        ] {
            let name = format!("buyer-{}", clients.len());
            let steps = self.steps(|cast, at_ms| cast.buyer_step(kind, at_ms));
            clients.push(PlannedClient { name, actor: "buyer".to_owned(), steps });
        }
        clients
    }

    /// Draws the ends of each order, by its index: two to four commands that are sent concurrently.
    pub(super) fn ends(&mut self) -> Vec<Vec<PlannedCommand>> {
        (0..self.orders.len())
            .map(|order| {
                let count = self.rng.usize(2..=4);
                (0..count).map(|_| self.end(order, 0)).collect()
            })
            .collect()
    }

    fn steps(
        &mut self,
        mut step: impl FnMut(&mut Self, u64) -> PlannedCommand,
    ) -> Vec<PlannedCommand> {
        let count = self.rng.usize(STEPS);
        let mut moments: Vec<u64> =
            (0..count).map(|_| self.rng.u64(WARMUP_MS..WORKLOAD_MS)).collect();
        moments.sort_unstable();
        moments.into_iter().map(|at_ms| step(self, at_ms)).collect()
    }

    /// Draws a seller's first proposals, for about half of the orders, before any fault: other
    /// commands refer to them.
    fn first_proposals(&mut self, seller: &str, kind: InterfaceKind) -> Vec<PlannedCommand> {
        let orders: Vec<usize> = (0..self.orders.len()).filter(|_| self.rng.bool()).collect();
        let mut step = |order| {
            let (interface, command) = (self.interface(kind), self.propose(order, seller));
            self.step(order, command, interface, 0)
        };
        orders.into_iter().map(&mut step).collect()
    }

    fn seller_step(&mut self, seller: &str, kind: InterfaceKind, at_ms: u64) -> PlannedCommand {
        let order = self.rng.usize(..self.orders.len());
        let interface = self.interface(kind);
        let own: Vec<String> = self.proposals[order]
            .iter()
            .filter(|(by, _)| by == seller)
            .map(|(_, id)| id.clone())
            .collect();
        let command = match (self.rng.u8(..20), self.rng.choice(&own).cloned()) {
            (0..6, _) | (_, None) => self.propose(order, seller),
            (6..10, Some(proposal)) => ClientCommand::Amend { proposal },
            (10 | 11, Some(proposal)) => ClientCommand::Withdraw { proposal },
            (12..15, Some(_)) => self.lock(order),
            (15 | 16, Some(proposal)) => ClientCommand::Unlock { proposal },
            (17, _) => ClientCommand::Ask,
            (18, _) => ClientCommand::See,
            _ => ClientCommand::Decline,
        };
        self.step(order, command, interface, at_ms)
    }

    /// Draws a proposal: the seller's first one of an order, and then mostly alternatives. Another
    /// one without a label is refused while the first one is open, and so is each one of a seller
    /// that is not invited.
    fn propose(&mut self, order: usize, seller: &str) -> ClientCommand {
        self.serial += 1;
        let proposal = format!("p{}", self.serial);
        let is_first = self.proposals[order].iter().all(|(by, _)| by != seller);
        let is_alternative = !is_first && self.rng.u8(..6) != 0;
        let invited = &self.orders[order].opening.sellers;
        if invited.is_empty() || invited.iter().any(|name| name == seller) {
            self.proposals[order].push((seller.to_owned(), proposal.clone()));
        }
        ClientCommand::Propose { proposal, is_alternative }
    }

    /// Draws a lock on any proposal: sellers may also lock those of others.
    fn lock(&mut self, order: usize) -> ClientCommand {
        self.serial += 1;
        let base = if self.rng.u8(..4) == 0 { SHORT_LEASE_MS } else { LEASE_MS };
        ClientCommand::Lock { proposal: self.any_proposal(order), lease_ms: base + self.serial }
    }

    fn any_proposal(&mut self, order: usize) -> String {
        let all = &self.proposals[order];
        self.rng.choice(all).map_or_else(|| "p1".to_owned(), |(_, id)| id.clone())
    }

    fn buyer_step(&mut self, kind: InterfaceKind, at_ms: u64) -> PlannedCommand {
        let mut order = self.rng.usize(..self.orders.len());
        if !matches!(kind, InterfaceKind::Grpc) {
            // The requestor knows only the orders that it follows.
            while self.orders[order].tracker != TrackerPlan::Requestor {
                order = (order + 1) % self.orders.len();
            }
        }
        // Ends come late, so that orders have content before; sealed orders end after their
        // opening.
        let may_end = at_ms > WORKLOAD_MS / 2
            && !self.orders[order].opening.sealed
            && order.is_multiple_of(2);
        if may_end && self.rng.u8(..3) == 0 {
            return self.end(order, at_ms);
        }
        let command = match self.rng.u8(..12) {
            0..6 => ClientCommand::FollowUp,
            6 | 7 => ClientCommand::Pause,
            8 | 9 => ClientCommand::Resume,
            10 => self.extend(order),
            _ => ClientCommand::UndoAward,
        };
        let interface = self.interface(kind);
        self.step(order, command, interface, at_ms)
    }

    /// Draws a longer lifetime for an order that outlives the run; the others must expire within
    /// it.
    fn extend(&mut self, order: usize) -> ClientCommand {
        if self.orders[order].opening.expires_in_ms == super::SHORT_LIFETIME_MS {
            return ClientCommand::FollowUp;
        }
        self.serial += 1;
        ClientCommand::Extend { expires_in_ms: super::LONG_LIFETIME_MS + 1_000 * self.serial }
    }

    fn end(&mut self, order: usize, at_ms: u64) -> PlannedCommand {
        let proposal = self.any_proposal(order);
        let undo_within_ms = *self.rng.choice(&UNDO_MS).unwrap_or(&0);
        // After all faults, an end must take effect at once.
        let undo_within_ms = if at_ms == 0 { 0 } else { undo_within_ms };
        let command = match self.rng.u8(..6) {
            0..4 => ClientCommand::Award { proposal, undo_within_ms },
            4 => ClientCommand::Close,
            _ => ClientCommand::Cancel,
        };
        let kinds: &[InterfaceKind] = if self.orders[order].tracker == TrackerPlan::Requestor {
            &[
                InterfaceKind::Requestor,
                InterfaceKind::Requestor,
                InterfaceKind::Grpc,
                InterfaceKind::Cli,
            ]
        } else {
            &[InterfaceKind::Grpc]
        };
        let kind = *self.rng.choice(kinds).unwrap_or(&InterfaceKind::Grpc);
        let interface = self.interface(kind);
        self.step(order, command, interface, at_ms)
    }

    fn interface(&mut self, kind: InterfaceKind) -> ClientInterface {
        let processor = self.rng.usize(..self.topology.processors());
        match kind {
            InterfaceKind::Rest => ClientInterface::Rest(processor),
            InterfaceKind::Session => ClientInterface::Session(processor),
            InterfaceKind::Bulk => ClientInterface::Bulk(processor),
            InterfaceKind::Grpc => ClientInterface::Grpc(processor),
            InterfaceKind::Requestor => ClientInterface::Requestor,
            InterfaceKind::Cli => ClientInterface::Cli,
        }
    }

    fn step(
        &mut self,
        order: usize,
        command: ClientCommand,
        interface: ClientInterface,
        at_ms: u64,
    ) -> PlannedCommand {
        // A command that the interface does not support uses the most similar interface that does.
        let interface = match (interface, &command) {
            (
                ClientInterface::Bulk(at),
                ClientCommand::Propose { .. } | ClientCommand::Amend { .. },
            ) => ClientInterface::Bulk(at),
            (ClientInterface::Bulk(at), _) | (ClientInterface::Session(at), ClientCommand::See) => {
                ClientInterface::Rest(at)
            }
            (ClientInterface::Grpc(at), _) => ClientInterface::Grpc(self.home_of(order, at)),
            (other, _) => other,
        };
        PlannedCommand { at_ms, order, command, interface, is_repeated: self.rng.u8(..5) == 0 }
    }

    /// Returns the order's owner if the rig chose it: the owner serves the buyer's unary calls.
    fn home_of(&self, order: usize, drawn: usize) -> usize {
        match self.orders[order].tracker {
            TrackerPlan::Trackers { .. } => self.orders[order].home,
            TrackerPlan::Requestor => drawn,
        }
    }
}

/// A client's interface.
#[derive(Clone, Copy)]
enum InterfaceKind {
    Rest,
    Session,
    Bulk,
    Grpc,
    Requestor,
    Cli,
}
