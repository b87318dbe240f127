//! The operator's state of a resource between reconciles. Nothing here has to outlive the process.

use std::sync::Arc;

use orderstream_core::Timestamp;

use super::in_flight_command::InFlightCommand;
use super::placement::Placement;

/// The reconcile state of one resource.
#[derive(Clone, Debug)]
pub(super) struct ReconcileState {
    /// The resource's uid: the state is of this incarnation of its name.
    pub uid: Arc<str>,
    /// The order's owner.
    pub placement: Placement,
    /// The generation of the edit that is being processed, and since when.
    pub edit: Option<(i64, Timestamp)>,
    /// The last command that a later edit may want to undo, while its outcome is not known.
    pub in_flight: Option<InFlightCommand>,
    /// The writes of other clients to its status.
    pub contention: StatusContention,
    /// Set while its removal is requested; unset again where the request failed.
    pub is_removing: bool,
}

impl ReconcileState {
    /// Makes an empty state.
    pub(super) fn new(uid: Arc<str>) -> Self {
        let (placement, contention) = (Placement::default(), StatusContention::default());
        Self { uid, placement, edit: None, in_flight: None, contention, is_removing: false }
    }

    /// Reports whether the state is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.placement == Placement::Unknown
            && self.edit.is_none()
            && self.in_flight.is_none()
            && self.contention == StatusContention::default()
            && !self.is_removing
    }
}

/// The recent writes of other clients to our status, and the reaction to them.
///
/// ```text
///   calm ─── a foreign write: corrected at once ──▶ counted
///     ▲                                               │ one too many within the time
///     │ no foreign write for that time                ▼
///     └────────────────────────────────────────── contested: reported, corrected once in that time
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatusContention {
    /// The version of the resource's last foreign write, and when it was observed.
    version: u64,
    observed_at: Timestamp,
    /// The number of such writes since `since`.
    count: u32,
    since: Timestamp,
    is_contested: bool,
    /// The last such version that is corrected at once.
    corrected: u64,
}

/// Foreign writes within [`CONTENTION_MS`] that are corrected at once; one more makes the status
/// contested.
const FOREIGN_WRITES_MAX: u32 = 3;
/// The time in which they are counted, and the time between two writes of ours to a contested
/// status, milliseconds.
const CONTENTION_MS: u64 = 20_000;

impl StatusContention {
    /// Records a foreign write that is still in place. Returns the time at which it may be
    /// corrected; `None` means now.
    pub(super) fn record_foreign(&mut self, version: u64, now: Timestamp) -> Option<Timestamp> {
        if self.contested_until(now).is_none() {
            self.is_contested = false;
        }
        let is_over = now.ms_since(self.since) >= CONTENTION_MS;
        let is_new = version > self.version;
        if is_over && (is_new || self.corrected != version) {
            (self.count, self.since) = (0, now);
        }
        if is_new {
            (self.version, self.observed_at) = (version, now);
            self.count = self.count.saturating_add(1);
        }
        let begins = !self.is_contested && self.count > FOREIGN_WRITES_MAX;
        self.is_contested |= begins;
        if !self.is_contested || begins || is_over {
            self.corrected = version;
        }
        (self.corrected != version).then(|| self.since.plus_ms(CONTENTION_MS))
    }

    /// Returns the time until which the status is reported as contested, if nothing more happens;
    /// `None` where it is not.
    pub(super) fn contested_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.observed_at.plus_ms(CONTENTION_MS);
        (self.is_contested && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp(100_000 + ms)
    }

    #[test]
    fn few_foreign_writes_are_silently_corrected() {
        let mut contention = StatusContention::default();
        for round in 0..5 {
            for write in 1..=3 {
                let now = at(round * 20_000 + write);
                let version = u64::try_from(round * 3 + write).unwrap();
                assert_eq!(contention.record_foreign(version, now), None, "{version}");
                assert_eq!(
                    contention.record_foreign(version, now),
                    None,
                    "the same one is no other"
                );
                assert_eq!(contention.contested_until(now), None);
            }
        }
    }

    /// A contested status is reported at once; then one foreign write in twenty seconds is
    /// corrected.
    #[test]
    fn wars_are_reported_and_corrected_rarely() {
        let mut contention = StatusContention::default();
        let corrected = |fight: &mut StatusContention, seconds: std::ops::Range<i64>| {
            let writes = seconds.flat_map(|second| (0..10).map(move |part| second * 10 + part));
            writes
                .filter(|tenth| {
                    let version = u64::try_from(*tenth).unwrap() + 1;
                    fight.record_foreign(version, at(tenth * 100)).is_none()
                })
                .count()
        };
        assert_eq!(corrected(&mut contention, 0..19), 4, "three, and one that tells");
        assert_eq!(corrected(&mut contention, 19..60), 2, "one in twenty seconds");
        assert_eq!(contention.contested_until(at(60_000)), Some(at(79_900)));
    }

    /// The last foreign write is corrected first.
    #[test]
    fn wars_end_without_foreign_writes() {
        let mut contention = StatusContention::default();
        for version in 1..=4 {
            assert_eq!(contention.record_foreign(version, at(0)), None);
        }
        assert_eq!(contention.record_foreign(5, at(1_000)), Some(at(20_000)));
        assert_eq!(contention.record_foreign(5, at(19_999)), Some(at(20_000)));
        assert_eq!(contention.record_foreign(5, at(20_000)), None, "now it is put right");
        assert_eq!(contention.record_foreign(5, at(20_100)), None);
        assert_eq!(contention.contested_until(at(20_000)), Some(at(21_000)));
        assert_eq!(contention.contested_until(at(21_000)), None);
        assert_eq!(
            contention.record_foreign(6, at(30_000)),
            None,
            "peace: it is put right at once"
        );
        assert_eq!(contention.contested_until(at(30_000)), None);
    }

    /// It does not matter how late the resource is reconciled.
    #[test]
    fn war_leftovers_are_always_corrected() {
        for late in [20_000, 21_000, 500_000] {
            let mut contention = StatusContention::default();
            for version in 1..=5 {
                contention.record_foreign(version, at(0));
            }
            assert_eq!(contention.record_foreign(5, at(late)), None, "{late}");
        }
    }
}
