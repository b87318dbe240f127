//! Sellers and buyers: they act at random, under keys of their own, and sometimes repeat an old
//! request.

use std::collections::BTreeMap;

use orderstream_core::command::{Actor, Award, CommandKind, ProposalContent};
use orderstream_core::plan::DesiredAward;
use orderstream_core::spec::{FollowUp, Message};
use orderstream_core::{
    Command, FollowUpId, IdempotencyKey, Price, ProposalId, Reason, Reply, SellerId,
};

use super::sim::{Initiator, Sim, SimEvent, SimOperation};
use super::world::Api;

#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// The order, seller and id of every proposal that was acknowledged.
    known: Vec<(usize, usize, ProposalId)>,
    follow_ups: u64,
    /// The number of keys that each actor has used. Keys are numbers, so different actors use equal
    /// ones.
    keys: BTreeMap<Actor, u64>,
}

pub(crate) fn seller(index: usize) -> SellerId {
    SellerId::new(format!("s{index}")).unwrap()
}

impl Clients {
    pub(crate) fn learn(&mut self, sim: &Sim, operation: usize, result: &Result<Reply, Reason>) {
        let operation = &sim.operations[operation];
        if let (CommandKind::Propose(proposed), Ok(reply)) = (&operation.command.kind, result)
            && let Some(id) = &reply.proposal_id
        {
            let index = (0..3).find(|i| seller(*i) == proposed.seller).unwrap();
            let known = (operation.order, index, id.clone());
            if !self.known.contains(&known) {
                self.known.push(known);
            }
        }
    }

    fn proposed(sim: &mut Sim, index: usize, id: Option<ProposalId>) -> ProposalContent {
        // The price is drawn: no two requests have the same body by chance.
        let (units, n) = (sim.rng.between(1, 99), sim.draw());
        let price = Price::parse(&format!("{units}.{:02}", n % 100), "EUR").unwrap();
        ProposalContent {
            proposal_id: id,
            note: Some(format!("offer {n}")),
            ..ProposalContent::new(seller(index), price)
        }
    }

    fn own_proposal(&self, sim: &mut Sim, order: usize, index: usize) -> Option<ProposalId> {
        let own: Vec<_> = self.known.iter().filter(|k| (k.0, k.1) == (order, index)).collect();
        if own.is_empty() { None } else { Some(own[sim.rng.index(own.len())].2.clone()) }
    }

    pub(crate) fn seller(&mut self, sim: &mut Sim, api: &Api, index: usize) {
        if sim.rng.chance(60) && !sim.operations.is_empty() {
            // An old request comes once more.
            let operation = sim.rng.index(sim.operations.len());
            if sim.operations[operation].initiator == Initiator::Client {
                sim.send(&SimEvent::Request(operation));
            }
            return;
        }
        let order = sim.rng.index(api.orders.len());
        let chosen = sim.rng.below(10);
        let kind = match (chosen, self.own_proposal(sim, order, index)) {
            (4..=5, Some(id)) => CommandKind::Amend(Self::proposed(sim, index, Some(id))),
            // The amended content of a proposal was never proposed under its id.
            (4..=5, _) if sim.rng.chance(100) => match Self::amended(sim, order, index) {
                Some(proposed) => CommandKind::Propose(proposed),
                None => CommandKind::See { seller: seller(index) },
            },
            (6, Some(proposal_id)) => {
                let named = sim.rng.chance(500).then(|| seller(index));
                CommandKind::Withdraw { proposal_id, reason: None, seller: named }
            }
            (7, Some(proposal_id)) => {
                let holder = seller(sim.rng.index(3));
                CommandKind::Lock { proposal_id, holder, lease_ms: sim.rng.between(1, 5_000) }
            }
            (8, Some(proposal_id)) => {
                CommandKind::Unlock { proposal_id, holder: seller(sim.rng.index(3)) }
            }
            (9, _) if sim.rng.chance(150) => {
                let given = sim.rng.chance(500).then(|| format!("q{}", sim.draw()));
                let id = given.and_then(|id| FollowUpId::new(id).ok());
                let message = format!("question {}", sim.draw());
                CommandKind::Ask { seller: seller(index), question_id: id, message }
            }
            (9, _) if sim.rng.chance(300) => {
                CommandKind::Decline { seller: seller(index), reason: None }
            }
            (9, _) => match api.orders[order].desired.follow_ups.last() {
                Some(follow_up) => CommandKind::Answer {
                    seller: seller(index),
                    follow_up_id: follow_up.id.clone(),
                    message: format!("answer {}", sim.draw()),
                },
                None => CommandKind::See { seller: seller(index) },
            },
            _ => {
                let given = sim.rng.chance(500).then(|| format!("g{}", sim.draw()));
                let id = given.map(|id| ProposalId::new(id).unwrap());
                // Most are alternatives: a seller has one other proposal.
                let label = sim.rng.chance(700).then(|| format!("label {}", sim.rng.below(4)));
                let content = Self::proposed(sim, index, id);
                let alternative = label.map(Into::into);
                CommandKind::Propose(ProposalContent { alternative, ..content })
            }
        };
        self.send(sim, order, Actor::Seller(seller(index)), kind);
    }

    /// Returns one of the amendments that this seller sent for the order, at any time.
    fn amended(sim: &mut Sim, order: usize, index: usize) -> Option<ProposalContent> {
        let of_seller = |op: &&SimOperation| op.order == order;
        let amended = |operation: &SimOperation| match &operation.command.kind {
            CommandKind::Amend(proposed) if proposed.seller == seller(index) => {
                Some(proposed.clone())
            }
            _ => None,
        };
        let all: Vec<_> = sim.operations.iter().filter(of_seller).filter_map(amended).collect();
        if all.is_empty() { None } else { Some(all[sim.rng.index(all.len())].clone()) }
    }

    /// Sends a command under the next key of its actor.
    fn send(&mut self, sim: &mut Sim, order: usize, sender: Actor, kind: CommandKind) {
        let actor = kind.actor().unwrap_or(sender);
        let count = self.keys.entry(actor.clone()).or_default();
        *count += 1;
        let key = IdempotencyKey::new(count.to_string()).ok();
        sim.call(
            Initiator::Client,
            order,
            Command { key, actor: Some(actor), ..Command::bare(kind) },
        );
    }

    /// Returns an award to some proposal of the order.
    fn some_award(&self, sim: &mut Sim, order: usize) -> Option<Award> {
        let of_order: Vec<_> = self.known.iter().filter(|k| k.0 == order).collect();
        if of_order.is_empty() {
            return None;
        }
        Some(Award::Whole(of_order[sim.rng.index(of_order.len())].2.clone()))
    }

    /// The buyer edits the resource, or sends a command to the processor directly.
    pub(crate) fn buyer(&mut self, sim: &mut Sim, api: &mut Api) {
        let order = sim.rng.index(api.orders.len());
        if sim.rng.chance(150) {
            let kind = match (sim.rng.below(16), self.some_award(sim, order)) {
                (0, _) => CommandKind::Cancel { reason: None },
                (1, _) => CommandKind::Close { reason: None },
                (2..=4, _) => CommandKind::Resume,
                (5..=8, Some(award)) => {
                    let undo_within_ms = sim.rng.chance(600).then(|| sim.rng.between(1, 5_000));
                    CommandKind::Finalise { award: Some(award), reason: None, undo_within_ms }
                }
                _ => CommandKind::Pause { reason: Some("stock-taking".to_owned()) },
            };
            return self.send(sim, order, Actor::Buyer, kind);
        }
        let desired = &mut api.orders[order].desired;
        match sim.rng.below(20) {
            0 => desired.cancel = true,
            1 => {
                let award = self.some_award(sim, order);
                if desired.award.is_none() && award.is_some() {
                    let undo_within_ms = sim.rng.chance(400).then(|| sim.rng.between(1, 5_000));
                    desired.award = Some(DesiredAward {
                        award,
                        reason: None,
                        undo_within_ms,
                        undo: false,
                        undo_reason: None,
                    });
                }
            }
            2 => {
                if let Some(decision) = &mut desired.award {
                    decision.undo = true;
                }
            }
            3..=6 => desired.suspend = !desired.suspend,
            7..=9 => desired.spec.expires_in_ms += sim.rng.between(1, 20) * 1_000,
            _ => {
                self.follow_ups += 1;
                let id = FollowUpId::new(format!("f{}", self.follow_ups)).unwrap();
                let message = Message { message: "more?".to_owned(), ..Message::default() };
                desired.follow_ups.push(FollowUp {
                    id,
                    audience: Vec::new(),
                    message,
                    answers: None,
                });
            }
        }
        desired.generation += 1;
    }
}
