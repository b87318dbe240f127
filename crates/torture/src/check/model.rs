//! The reference model: the state of an order after its list, and the events that may follow.
//! Written from the documentation, not from the product's code.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{ComparableEvent, DECIDING, EXPIRED, PAUSED, UNLOCKED};

/// The name of every seller in the list of a sealed order that was never opened.
const HIDDEN: &str = "sealed";

/// The longest time to decide after the deadline, milliseconds (180 d).
const DECIDE_MS_MAX: i64 = 180 * 24 * 3_600_000;

/// The visibility of an order's proposals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seal {
    /// Proposals are visible at once.
    #[default]
    None,
    /// Proposals are hidden before the deadline.
    Sealed,
    /// Proposals are visible after the deadline, while the order waits for a decision.
    Opened,
}

/// An order after some of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReferenceState {
    /// The last event's sequence number; 0 before the first.
    pub(super) seq: u64,
    /// `Open`, `Paused`, `Deciding`, or the phase at its end; empty before the first event.
    pub(super) phase: &'static str,
    /// The time of the opening, milliseconds since 1970.
    pub(super) opened_at: i64,
    /// The deadline, milliseconds since 1970.
    pub(super) expires_at: i64,
    /// The end of the time to decide after the deadline, milliseconds since 1970.
    decide_until: Option<i64>,
    /// The latest time at which an undone award would have counted, milliseconds since 1970.
    undone_until: Option<i64>,
    /// The visibility of the order's proposals.
    pub(super) seal: Seal,
    /// The id of the awarded proposal.
    pub(super) award: Option<String>,
    /// The sellers that declined.
    declined: BTreeSet<String>,
    /// The number of follow-ups.
    pub(super) follow_ups: u64,
    pending: Option<(String, i64)>,
    invited: Vec<String>,
    proposals: BTreeMap<String, ReferenceProposal>,
    last_at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ReferenceProposal {
    seller: String,
    label: String,
    status: &'static str,
    version: u64,
    lock: Option<(String, i64)>,
    /// True if its seller has declined after its newest version.
    declined: bool,
}

impl ReferenceState {
    /// Returns the states before the first event and after each event.
    pub(super) fn all(events: &[ComparableEvent]) -> Vec<Self> {
        let mut states = vec![Self::default()];
        for event in events {
            let mut next = states.last().cloned().unwrap_or_default();
            next.fold(event);
            states.push(next);
        }
        states
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, "Finalised" | "Expired" | "Closed" | "Cancelled")
    }

    pub(super) fn status(&self, proposal: &str) -> Option<&'static str> {
        self.proposals.get(proposal).map(|held| held.status)
    }

    pub(super) fn seller(&self, proposal: &str) -> Option<&str> {
        self.proposals.get(proposal).map(|held| held.seller.as_str())
    }

    pub(super) fn version(&self, proposal: &str) -> Option<u64> {
        self.proposals.get(proposal).map(|held| held.version)
    }

    /// Returns the holder of a proposal's edit lock, even if the lock has expired.
    pub(super) fn lock_holder(&self, proposal: &str) -> Option<&str> {
        self.proposals.get(proposal)?.lock.as_ref().map(|(holder, _)| holder.as_str())
    }

    /// Returns the proposal of a pending award.
    pub(super) fn pending(&self) -> Option<&String> {
        self.pending.as_ref().map(|(proposal, _)| proposal)
    }

    /// Reports whether the deadline has passed, and the buyer decides.
    pub(super) const fn is_deciding(&self) -> bool {
        self.decide_until.is_some()
    }

    /// Reports whether this seller has an open proposal with this label, or may have: in an order
    /// that was never opened, nobody knows.
    pub(super) fn has_one_like(&self, seller: &str, label: &str) -> bool {
        let is_like = |held: &ReferenceProposal| {
            held.seller == HIDDEN || (held.seller == seller && held.label == label)
        };
        self.proposals.values().any(|held| held.status == "Open" && is_like(held))
    }

    /// Reports whether a seller has declined, and has no open proposal that is newer.
    pub(super) fn has_declined(&self, seller: &str) -> bool {
        let competes = |held: &ReferenceProposal| {
            held.status == "Open" && !held.declined && held.seller == seller
        };
        self.declined.contains(seller) && !self.proposals.values().any(competes)
    }

    /// Reports whether a seller is invited, or nobody is.
    pub(super) fn may_take_part(&self, seller: &str) -> bool {
        self.invited.is_empty() || self.invited.iter().any(|name| name == seller)
    }

    /// Returns the numbers of proposals: received, open, withdrawn, closed.
    pub(super) fn counts(&self) -> [u64; 4] {
        let count = |status: &str| {
            self.proposals.values().filter(|held| held.status == status).count() as u64
        };
        [self.proposals.len() as u64, count("Open"), count("Withdrawn"), count("Closed")]
    }

    /// Returns each proposal's id, status and version.
    pub(super) fn proposals(&self) -> Vec<(String, String, u64)> {
        let row = |(id, held): (&String, &ReferenceProposal)| {
            (id.clone(), held.status.to_owned(), held.version)
        };
        self.proposals.iter().map(row).collect()
    }

    /// Returns the rule that this event violates as the next one; `None` if it may follow.
    pub(super) fn refuse(&self, event: &ComparableEvent) -> Option<String> {
        let wrong = |text: &str| Some(format!("#{} {}: {text}", event.seq, event.kind));
        if event.seq != self.seq + 1 {
            return wrong(&format!("follows #{}", self.seq));
        }
        if event.at < self.last_at {
            return wrong("is older than the event before it");
        }
        if (self.seq == 0) != (event.kind == "OrderOpened") {
            return wrong("an order is opened once, by its first event");
        }
        if self.is_over() {
            return wrong(&format!("the order was {} before", self.phase));
        }
        let text = match event.kind.as_str() {
            "NewProposal" => self.refuse_proposal(event),
            "ProposalUpdate" => self.refuse_update(event),
            "EditLock" => self.refuse_lock(event),
            "OrderPaused" if event.change != PAUSED => self.refuse_deadline(event),
            "ProposalsOpened" => (event.at < self.expires_at || self.seal != Seal::Sealed)
                .then(|| "before its time, or not sealed".to_owned())
                .or_else(|| self.refuse_short(event)),
            "AwardPending" | "OrderFinalised" => self.refuse_award(event),
            "AwardUndone" => self.pending.is_none().then(|| "nothing waited to count".to_owned()),
            _ => None,
        };
        text.or_else(|| self.refuse_late(event)).and_then(|text| wrong(&text))
    }

    /// Refuses an end of the order's time that comes early, and a time to decide on nothing.
    fn refuse_deadline(&self, event: &ComparableEvent) -> Option<String> {
        let due = self.decide_until.unwrap_or(self.expires_at);
        if event.at < due {
            return Some(format!("{} ms early", due - event.at));
        }
        if event.change == DECIDING && !self.can_decide() {
            return Some("there is nothing to decide".to_owned());
        }
        self.refuse_short(event)
    }

    /// Refuses less time to decide than an undone award had still to run.
    fn refuse_short(&self, event: &ComparableEvent) -> Option<String> {
        let undone = self.undone_until.filter(|undone| *undone > self.expires_at)?;
        let until = event.until.unwrap_or(self.expires_at);
        (self.can_decide() && until < undone)
            .then(|| format!("{} ms early: an undone award had them left", undone - until))
    }

    fn can_decide(&self) -> bool {
        self.decide_until.is_none()
            && self.proposals.values().any(|proposal| proposal.status == "Open")
    }

    /// Refuses what an order does not take after its deadline.
    fn refuse_late(&self, event: &ComparableEvent) -> Option<String> {
        let is_late = event.at >= self.expires_at || self.decide_until.is_some();
        let change = event.change.as_str();
        let by_clock = matches!(change, EXPIRED | DECIDING)
            || matches!(event.kind.as_str(), "ProposalsOpened" | "OrderOpened" | "SellerNotified");
        let is_early = match event.kind.as_str() {
            "NewProposal" | "OrderResumed" | "OrderExtended" => true,
            "EditLock" => change != UNLOCKED,
            "ProposalUpdate" => matches!(change, "amended" | "withdrawn" | "asked"),
            "OrderPaused" => change == PAUSED,
            // Nothing comes between the deadline and its event, unless an award waits to count.
            _ => self.decide_until.is_none() && self.pending.is_none() && !by_clock,
        };
        (self.seq > 0 && is_late && is_early)
            .then(|| format!("{} ms after the deadline", event.at - self.expires_at))
    }

    fn refuse_not_accepting(&self) -> Option<String> {
        if self.phase == "Paused" {
            return Some("the order was paused".to_owned());
        }
        if self.decide_until.is_some() {
            return Some("the order waited for the decision".to_owned());
        }
        self.pending.as_ref().map(|_| "an award waited to count".to_owned())
    }

    fn refuse_proposal(&self, event: &ComparableEvent) -> Option<String> {
        if self.proposals.contains_key(&event.proposal) {
            return Some(format!("{} was there before", event.proposal));
        }
        // Where the order was never opened, all have one name and no label.
        let is_known = event.actor != HIDDEN;
        if is_known && !self.may_take_part(&event.actor) {
            return Some(format!("{} was not invited", event.actor));
        }
        if is_known && self.has_one_like(&event.actor, &event.label) {
            return Some(format!("{} had one with the label '{}'", event.actor, event.label));
        }
        self.refuse_not_accepting()
    }

    fn refuse_update(&self, event: &ComparableEvent) -> Option<String> {
        if !matches!(event.change.as_str(), "amended" | "withdrawn") {
            return None;
        }
        let Some(proposal) = self.proposals.get(&event.proposal) else {
            return Some(format!("there was no {}", event.proposal));
        };
        if proposal.status != "Open" {
            return Some(format!("{} was {}", event.proposal, proposal.status));
        }
        let is_locked = proposal.is_locked_to_others(&proposal.seller, event.at);
        if is_locked {
            return Some(format!("{} was locked by another: {:?}", event.proposal, proposal.lock));
        }
        if event.change == "withdrawn" {
            return self.pending.as_ref().map(|_| "an award waited to count".to_owned());
        }
        if event.version != Some(proposal.version + 1) && event.version.is_some() {
            return Some(format!("version {:?} follows {}", event.version, proposal.version));
        }
        self.refuse_not_accepting()
    }

    fn refuse_lock(&self, event: &ComparableEvent) -> Option<String> {
        let proposal = self.proposals.get(&event.proposal)?;
        // A proposal's own seller takes its lock over.
        let takes_over = event.change != "unlocked" && event.actor == proposal.seller;
        if !takes_over && proposal.is_locked_to_others(&event.actor, event.at) {
            return Some(format!("{} was locked by another: {:?}", event.proposal, proposal.lock));
        }
        if event.change == "unlocked" {
            return None;
        }
        if proposal.status != "Open" {
            return Some(format!("{} was {}", event.proposal, proposal.status));
        }
        self.refuse_not_accepting()
    }

    fn refuse_award(&self, event: &ComparableEvent) -> Option<String> {
        match &self.pending {
            Some((pending, _)) if *pending != event.proposal => {
                Some(format!("{pending} waited to count"))
            }
            Some((_, effective_at)) if event.kind == "OrderFinalised" => {
                (event.at < *effective_at).then(|| "it could still be undone".to_owned())
            }
            Some(_) => None,
            None if event.proposal.is_empty() => None,
            None => match self.status(&event.proposal) {
                Some("Open") => {
                    (self.seal == Seal::Sealed).then(|| "the order was sealed".to_owned())
                }
                other => Some(format!("{} was {other:?}", event.proposal)),
            },
        }
    }

    fn fold(&mut self, event: &ComparableEvent) {
        (self.seq, self.last_at) = (event.seq, event.at);
        match event.kind.as_str() {
            "OrderOpened" => {
                self.phase = "Open";
                self.opened_at = event.at;
                self.expires_at = event.until.unwrap_or(i64::MAX);
                self.seal = if event.sealed { Seal::Sealed } else { Seal::None };
            }
            "SellersSelected" => self.invited.clone_from(&event.sellers),
            "NewProposal" => {
                let proposal = ReferenceProposal {
                    seller: event.actor.clone(),
                    label: event.label.clone(),
                    status: "Open",
                    version: 1,
                    lock: None,
                    declined: false,
                };
                self.proposals.insert(event.proposal.clone(), proposal);
            }
            "ProposalUpdate" => self.fold_update(event),
            "ProposalClosed" => self.set_status(&event.proposal, "Closed"),
            "EditLock" => {
                if let Some(proposal) = self.proposals.get_mut(&event.proposal) {
                    let until = event.until.filter(|_| event.change == "locked");
                    proposal.lock = until.map(|until| (event.actor.clone(), until));
                }
            }
            "FollowUpAdded" => self.follow_ups += 1,
            "OrderPaused" => {
                self.phase = match event.change.as_str() {
                    EXPIRED => "Expired",
                    DECIDING => "Deciding",
                    _ => "Paused",
                };
                if event.change == DECIDING {
                    self.decide_until = event.until;
                }
            }
            "OrderResumed" => self.phase = "Open",
            "OrderExtended" => self.expires_at = event.until.unwrap_or(self.expires_at),
            // Once it is opened for the decision, the order accepts nothing more.
            "ProposalsOpened" => {
                (self.phase, self.seal) = ("Deciding", Seal::Opened);
                self.decide_until = event.until;
            }
            "AwardPending" => {
                self.pending = Some((event.proposal.clone(), event.until.unwrap_or_default()));
            }
            "AwardUndone" => {
                let undone = self.pending.take().map(|(_, effective_at)| effective_at);
                self.undone_until = self.undone_until.max(undone);
                let latest = self.expires_at.saturating_add(DECIDE_MS_MAX);
                let left = undone.map(|undone| undone.min(latest));
                self.decide_until = self.decide_until.map(|until| until.max(left.unwrap_or(until)));
            }
            "OrderFinalised" => {
                self.phase = "Finalised";
                self.award = Some(event.proposal.clone());
                self.pending = None;
            }
            "OrderClosed" => self.phase = "Closed",
            "OrderCancelled" => self.phase = "Cancelled",
            _ => {}
        }
    }

    fn fold_update(&mut self, event: &ComparableEvent) {
        match event.change.as_str() {
            "amended" => {
                if let Some(proposal) = self.proposals.get_mut(&event.proposal) {
                    let version = event.version.unwrap_or(proposal.version + 1);
                    proposal.declined &= version <= proposal.version;
                    proposal.version = version;
                }
            }
            "withdrawn" => self.set_status(&event.proposal, "Withdrawn"),
            "declined" => {
                self.declined.insert(event.actor.clone());
                for proposal in self.proposals.values_mut() {
                    proposal.declined |= proposal.seller == event.actor;
                }
            }
            _ => {}
        }
    }

    fn set_status(&mut self, proposal: &str, status: &'static str) {
        if let Some(entry) = self.proposals.get_mut(proposal) {
            entry.status = status;
        }
    }
}

impl ReferenceProposal {
    fn is_locked_to_others(&self, by: &str, at: i64) -> bool {
        self.lock.as_ref().is_some_and(|(holder, until)| holder != by && at < *until)
    }
}
