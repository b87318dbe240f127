//! Sellers and buyers: they act at random, under keys of their own, and sometimes repeat an old
//! request.

use orderstream_core::command::{Act, Award, Proposed};
use orderstream_core::plan::Decision;
use orderstream_core::spec::{FollowUp, Message};
use orderstream_core::{
    Answer, Command, FollowUpId, IdempotencyKey, Price, ProposalId, Reason, SellerId,
};

use super::sim::{Asker, Happening, Sim};
use super::world::Api;

#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// (order, seller, id) of every proposal that was acknowledged.
    known: Vec<(usize, usize, ProposalId)>,
    follow_ups: u64,
}

pub(crate) fn seller(index: usize) -> SellerId {
    SellerId::new(format!("s{index}")).unwrap()
}

impl Clients {
    pub(crate) fn learn(&mut self, sim: &Sim, op: usize, result: &Result<Answer, Reason>) {
        let op = &sim.ops[op];
        if let (Act::Propose(proposed), Ok(answer)) = (&op.command.act, result)
            && let Some(id) = &answer.proposal_id
        {
            let index = (0..3).find(|i| seller(*i) == proposed.seller).unwrap();
            let known = (op.order, index, id.clone());
            if !self.known.contains(&known) {
                self.known.push(known);
            }
        }
    }

    fn proposed(sim: &mut Sim, index: usize, id: Option<ProposalId>) -> Proposed {
        // The price is drawn: no two requests have the same body by chance.
        let (units, n) = (sim.rng.between(1, 99), sim.draw());
        Proposed {
            proposal_id: id,
            seller: seller(index),
            price: Price::parse(&format!("{units}.{:02}", n % 100), "EUR").unwrap(),
            lines: Vec::new(),
            note: Some(format!("offer {n}")),
            delivery_date: None,
            valid_until: None,
            attachments: Vec::new(),
        }
    }

    fn own_proposal(&self, sim: &mut Sim, order: usize, index: usize) -> Option<ProposalId> {
        let own: Vec<_> = self.known.iter().filter(|k| (k.0, k.1) == (order, index)).collect();
        if own.is_empty() { None } else { Some(own[sim.rng.index(own.len())].2.clone()) }
    }

    pub(crate) fn seller(&mut self, sim: &mut Sim, api: &Api, index: usize) {
        if sim.rng.chance(60) && !sim.ops.is_empty() {
            // An old request comes once more.
            let op = sim.rng.index(sim.ops.len());
            if sim.ops[op].asker == Asker::Client {
                sim.send(&Happening::Request(op));
            }
            return;
        }
        let order = sim.rng.index(api.orders.len());
        let chosen = sim.rng.below(10);
        let act = match (chosen, self.own_proposal(sim, order, index)) {
            (4..=5, Some(id)) => Act::Amend(Self::proposed(sim, index, Some(id))),
            (6, Some(proposal_id)) => Act::Withdraw { proposal_id, reason: None },
            (7, Some(proposal_id)) => {
                let holder = seller(sim.rng.index(3));
                Act::Lock { proposal_id, holder, lease_ms: sim.rng.between(1, 5_000) }
            }
            (8, Some(proposal_id)) => Act::Unlock { proposal_id, holder: seller(sim.rng.index(3)) },
            (9, _) if sim.rng.chance(150) => {
                let id = FollowUpId::new(format!("q{}", sim.draw())).unwrap();
                let message = format!("question {}", sim.draw());
                Act::Ask { seller: seller(index), question_id: id, message }
            }
            (9, _) if sim.rng.chance(300) => Act::Decline { seller: seller(index), reason: None },
            (9, _) => match api.orders[order].desired.follow_ups.last() {
                Some(asked) => Act::Answer {
                    seller: seller(index),
                    follow_up_id: asked.id.clone(),
                    message: format!("answer {}", sim.draw()),
                },
                None => Act::Tick,
            },
            _ => {
                let given = sim.rng.chance(500).then(|| format!("g{}", sim.draw()));
                let id = given.map(|id| ProposalId::new(id).unwrap());
                Act::Propose(Self::proposed(sim, index, id))
            }
        };
        Self::ask(sim, order, act);
    }

    fn ask(sim: &mut Sim, order: usize, act: Act) {
        let key = IdempotencyKey::new(format!("c-{}", sim.draw())).unwrap();
        let command = Command { key: Some(key), ..Command::bare(act) };
        sim.call(Asker::Client, order, command);
    }

    /// The buyer edits the resource, or speaks to the processor at once.
    pub(crate) fn buyer(&mut self, sim: &mut Sim, api: &mut Api) {
        let order = sim.rng.index(api.orders.len());
        if sim.rng.chance(150) {
            let act = match sim.rng.below(12) {
                0 => Act::Cancel { reason: None },
                1 => Act::Close { reason: None },
                2..=4 => Act::Resume,
                _ => Act::Pause { reason: Some("stock-taking".to_owned()) },
            };
            return Self::ask(sim, order, act);
        }
        let desired = &mut api.orders[order].desired;
        match sim.rng.below(20) {
            0 => desired.cancel = true,
            1 => {
                let of_order: Vec<_> = self.known.iter().filter(|k| k.0 == order).collect();
                if desired.award.is_none() && !of_order.is_empty() {
                    let id = of_order[sim.rng.index(of_order.len())].2.clone();
                    let award = Some(Award::Whole(id));
                    let undo_within_ms = sim.rng.chance(400).then(|| sim.rng.between(1, 5_000));
                    desired.award = Some(Decision {
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
