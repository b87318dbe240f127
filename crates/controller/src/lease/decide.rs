//! Decides which process leads, from the Lease as it was read: pure, so that every case is a table
//! row.
//!
//! ```text
//!                     free, or silent for its whole duration
//!   Wait ────────────────────────────────────────────────────▶ Take (holder, count in one write)
//!    ▲                                                           │
//!    │ another process holds it                                  ▼ written
//!    └───────────────────────────────────────────────────────  Renew ──▶ (SIGTERM) Release
//! ```
//!
//! The count of transitions is the epoch under which the holder acts: it rises each time the lease
//! is taken. A process that could not renew in time, and finds the Lease as it left it, renews it
//! under the same count: nobody led in between.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use orderstream_core::Epoch;
use tokio::time::Instant;

/// Times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionTimings {
    /// The time after which a silent holder is replaced.
    pub lease: Duration,
    /// The time between two renewals.
    pub renew: Duration,
    /// The time before the lease's end at which a holder stops writing.
    pub margin: Duration,
}

impl Default for ElectionTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(15), renew: seconds(4), margin: seconds(3) }
    }
}

/// A lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeaseView {
    /// The holder's identity; empty when nobody holds it.
    pub holder: String,
    /// The number of times that it was taken.
    pub transitions: i32,
    /// The time of the last renewal as text, only compared for equality.
    pub renewed: Option<String>,
    /// The time that its holder may be silent; absent where it names none.
    pub duration: Option<Duration>,
}

impl From<&LeaseSpec> for LeaseView {
    fn from(spec: &LeaseSpec) -> Self {
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.clone().unwrap_or_default(),
            transitions: spec.lease_transitions.unwrap_or_default(),
            renewed: spec.renew_time.as_ref().map(|at| at.0.to_string()),
            duration: seconds.map(Duration::from_secs),
        }
    }
}

/// The lease as this process has observed its changes. Only its own clock counts: it never compares
/// its time with the time that another machine wrote.
#[derive(Clone, Debug)]
pub(super) struct ObservedLease {
    view: LeaseView,
    since: Instant,
}

impl ObservedLease {
    /// Records a lease that was read now.
    pub(super) fn record(former: Option<Self>, view: LeaseView, now: Instant) -> Self {
        match former {
            Some(former) if former.view == view => former,
            Some(_) | None => Self { view, since: now },
        }
    }

    /// Returns the time since the former holder's last sign, a renewal or the release; `None` where
    /// there was no holder.
    pub(super) fn silent_for(&self, now: Instant) -> Option<Duration> {
        (self.view.transitions > 0).then(|| now.saturating_duration_since(self.since))
    }

    /// Returns the time at which a silent holder is replaced.
    fn ends_at(&self, times: &ElectionTimings) -> Instant {
        self.since + self.view.duration.unwrap_or(times.lease)
    }
}

/// A candidate's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElectionDecision {
    /// Write itself as the holder, with this count.
    Take(i32),
    /// It holds the lease: renew it.
    Renew,
    /// Another process holds it: decide again at this time, or when it changes.
    Wait(Instant),
}

/// The process that the decision is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandidateIdentity<'a> {
    /// This process's identity, another one at every start.
    pub identity: &'a str,
    /// The prefix of the identities of former processes of the same pod; set where there can be
    /// only one process at a time: a pod's container that was killed and started again.
    pub identity_prefix: Option<&'a str>,
    /// The epoch under which it holds the lease, or held it last.
    pub holding: Option<Epoch>,
}

/// Decides a candidate's next step from the observed lease.
pub(super) fn decide(
    observed: &ObservedLease,
    candidate: CandidateIdentity<'_>,
    (floor, times): (Epoch, &ElectionTimings),
    now: Instant,
) -> ElectionDecision {
    let view = &observed.view;
    let CandidateIdentity { identity, identity_prefix: place, holding } = candidate;
    let is_former = place.is_some_and(|place| view.holder.starts_with(place));
    let is_own = view.holder == identity && holding == Some(epoch(view.transitions));
    if is_own && epoch(view.transitions) > floor {
        return ElectionDecision::Renew;
    }
    let ends_at = observed.ends_at(times);
    if view.holder.is_empty() || view.holder == identity || is_former || now >= ends_at {
        return ElectionDecision::Take(next_count(view.transitions, floor));
    }
    ElectionDecision::Wait(ends_at)
}

/// Returns the count of a new holder: above the former one, and such that its epoch is above every
/// epoch that a processor was observed to know.
pub(super) fn next_count(transitions: i32, floor: Epoch) -> i32 {
    let above = i32::try_from(floor.0).unwrap_or(i32::MAX);
    transitions.saturating_add(1).max(above.saturating_add(1)).max(1)
}

/// Returns the epoch of a count.
pub(super) fn epoch(transitions: i32) -> Epoch {
    Epoch(u64::try_from(transitions).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(holder: &str, transitions: i32, renewed: &str) -> LeaseView {
        LeaseView {
            holder: holder.to_owned(),
            transitions,
            renewed: Some(renewed.to_owned()),
            duration: Some(Duration::from_secs(15)),
        }
    }

    fn after(seconds: u64) -> (ObservedLease, Instant) {
        let then = Instant::now();
        (ObservedLease::record(None, view("b", 3, "t1"), then), then + Duration::from_secs(seconds))
    }

    fn decide_as(
        observed: &ObservedLease,
        own_identity: &str,
        holding: Option<u64>,
        now: Instant,
    ) -> ElectionDecision {
        let candidate = CandidateIdentity {
            identity: own_identity,
            identity_prefix: None,
            holding: holding.map(Epoch),
        };
        decide(observed, candidate, (Epoch(0), &ElectionTimings::default()), now)
    }

    #[test]
    fn only_silent_holders_are_replaced() {
        let (observed, early) = after(14);
        assert!(matches!(decide_as(&observed, "a", None, early), ElectionDecision::Wait(_)));
        let (observed, late) = after(15);
        assert_eq!(decide_as(&observed, "a", None, late), ElectionDecision::Take(4));
        let renewed = ObservedLease::record(Some(observed), view("b", 3, "t2"), late);
        assert!(matches!(decide_as(&renewed, "a", None, late), ElectionDecision::Wait(_)));
    }

    #[test]
    fn unchanged_record_does_not_prolong_lease() {
        let (observed, late) = after(15);
        let again = ObservedLease::record(Some(observed), view("b", 3, "t1"), late);
        assert_eq!(decide_as(&again, "a", None, late), ElectionDecision::Take(4));
    }

    /// Taking it raises the count.
    #[test]
    fn free_lease_is_taken_at_once() {
        let now = Instant::now();
        let observed = ObservedLease::record(None, view("", 7, "t"), now);
        assert_eq!(decide_as(&observed, "a", None, now), ElectionDecision::Take(8));
    }

    #[test]
    fn holder_renews_only_its_own_epoch() {
        let now = Instant::now();
        let observed = ObservedLease::record(None, view("a", 3, "t"), now);
        assert_eq!(decide_as(&observed, "a", Some(3), now), ElectionDecision::Renew);
        assert_eq!(
            decide_as(&observed, "a", None, now),
            ElectionDecision::Take(4),
            "after a loss it takes anew"
        );
        assert_eq!(decide_as(&observed, "a", Some(2), now), ElectionDecision::Take(4));
    }

    /// A pod has only one process at a time; otherwise the lease has to expire.
    #[test]
    fn restarted_process_takes_lease_at_once() {
        let now = Instant::now();
        let observed = ObservedLease::record(None, view("pod-0_1a", 3, "t"), now);
        let times = ElectionTimings::default();
        let from = |place| {
            let candidate =
                CandidateIdentity { identity: "pod-0_2b", identity_prefix: place, holding: None };
            decide(&observed, candidate, (Epoch(0), &times), now)
        };
        assert_eq!(from(Some("pod-0_")), ElectionDecision::Take(4));
        assert!(matches!(from(Some("pod-1_")), ElectionDecision::Wait(_)));
        assert!(matches!(from(None), ElectionDecision::Wait(_)), "elsewhere it may still run");
    }

    #[test]
    fn new_epoch_exceeds_known_floor() {
        let now = Instant::now();
        let observed = ObservedLease::record(None, view("a", 1, "t"), now);
        let times = ElectionTimings::default();
        let candidate =
            CandidateIdentity { identity: "a", identity_prefix: None, holding: Some(Epoch(1)) };
        let taken = decide(&observed, candidate, (Epoch(9), &times), now);
        assert_eq!(taken, ElectionDecision::Take(10));
        assert_eq!(next_count(0, Epoch(0)), 1);
        assert_eq!(next_count(i32::MAX, Epoch(u64::MAX)), i32::MAX);
    }
}
