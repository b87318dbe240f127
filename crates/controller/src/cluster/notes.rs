//! The operator's memory of a resource between reconciles. Nothing here has to outlive the process.

use std::sync::Arc;

use orderstream_core::Timestamp;

use super::sent::Sent;

/// The owner of an order whose status does not name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Placement {
    /// No processor was asked yet.
    #[default]
    Unknown,
    /// The processors are being asked.
    Asked,
    /// No processor holds it.
    Free,
    /// This processor holds it, or is to hold it.
    At(String),
}

/// The notes about one resource.
#[derive(Clone, Debug)]
pub(super) struct Note {
    /// The resource's uid: the notes are about this incarnation of its name.
    pub uid: Arc<str>,
    /// The order's owner.
    pub placement: Placement,
    /// The generation of the edit that is being taken up, and since when.
    pub edit: Option<(i64, Timestamp)>,
    /// The last command that a later edit may want to undo, while its outcome is not known.
    pub sent: Option<Sent>,
    /// The writes of others to its status.
    pub fight: Fight,
    /// Set while its removal is requested; unset again where the request failed.
    pub is_removed: bool,
}

impl Note {
    /// Makes empty notes.
    pub(super) fn new(uid: Arc<str>) -> Self {
        let (placement, fight) = (Placement::default(), Fight::default());
        Self { uid, placement, edit: None, sent: None, fight, is_removed: false }
    }

    /// Reports whether the notes are empty.
    pub(super) fn is_empty(&self) -> bool {
        self.placement == Placement::Unknown
            && self.edit.is_none()
            && self.sent.is_none()
            && self.fight == Fight::default()
            && !self.is_removed
    }
}

/// The recent writes of others to our status, and the reaction to them.
///
/// ```text
///   peace ── a foreign write: corrected at once ──▶ counted
///     ▲                                               │ one too many within the time
///     │ no foreign write for that time                ▼
///     └───────────────────────────────────────────── war: reported, corrected once in that time
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fight {
    /// The version of the resource's last foreign write, and when it was observed.
    version: u64,
    seen_at: Timestamp,
    /// The number of such writes since `since`.
    count: u32,
    since: Timestamp,
    is_war: bool,
    /// The last such version that is corrected at once.
    answered: u64,
}

/// Foreign writes within [`FIGHT_MS`] that are corrected at once; one more is a war.
const FIGHT_MAX: u32 = 3;
/// The time in which they are counted, and the time between two writes of ours in a war,
/// milliseconds.
const FIGHT_MS: u64 = 20_000;

impl Fight {
    /// Records a foreign write that is still in place. Returns the time at which it may be
    /// corrected; `None` means now.
    pub(super) fn foreign(&mut self, version: u64, now: Timestamp) -> Option<Timestamp> {
        if self.war_until(now).is_none() {
            self.is_war = false;
        }
        let is_over = now.ms_since(self.since) >= FIGHT_MS;
        let is_new = version > self.version;
        if is_over && (is_new || self.answered != version) {
            (self.count, self.since) = (0, now);
        }
        if is_new {
            (self.version, self.seen_at) = (version, now);
            self.count = self.count.saturating_add(1);
        }
        let begins = !self.is_war && self.count > FIGHT_MAX;
        self.is_war |= begins;
        if !self.is_war || begins || is_over {
            self.answered = version;
        }
        (self.answered != version).then(|| self.since.plus_ms(FIGHT_MS))
    }

    /// Returns the time until which a war is reported, if nothing more happens; `None` without a
    /// war.
    pub(super) fn war_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.seen_at.plus_ms(FIGHT_MS);
        (self.is_war && now < until).then_some(until)
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
        let mut fight = Fight::default();
        for round in 0..5 {
            for write in 1..=3 {
                let now = at(round * 20_000 + write);
                let version = u64::try_from(round * 3 + write).unwrap();
                assert_eq!(fight.foreign(version, now), None, "{version}");
                assert_eq!(fight.foreign(version, now), None, "the same one is no other");
                assert_eq!(fight.war_until(now), None);
            }
        }
    }

    /// A war is reported at once; then one foreign write in twenty seconds is corrected.
    #[test]
    fn wars_are_reported_and_corrected_rarely() {
        let mut fight = Fight::default();
        let answered = |fight: &mut Fight, seconds: std::ops::Range<i64>| {
            let writes = seconds.flat_map(|second| (0..10).map(move |part| second * 10 + part));
            writes
                .filter(|tenth| {
                    let version = u64::try_from(*tenth).unwrap() + 1;
                    fight.foreign(version, at(tenth * 100)).is_none()
                })
                .count()
        };
        assert_eq!(answered(&mut fight, 0..19), 4, "three, and one that tells");
        assert_eq!(answered(&mut fight, 19..60), 2, "one in twenty seconds");
        assert_eq!(fight.war_until(at(60_000)), Some(at(79_900)));
    }

    /// The last foreign write is corrected first.
    #[test]
    fn wars_end_without_foreign_writes() {
        let mut fight = Fight::default();
        for version in 1..=4 {
            assert_eq!(fight.foreign(version, at(0)), None);
        }
        assert_eq!(fight.foreign(5, at(1_000)), Some(at(20_000)));
        assert_eq!(fight.foreign(5, at(19_999)), Some(at(20_000)));
        assert_eq!(fight.foreign(5, at(20_000)), None, "now it is put right");
        assert_eq!(fight.foreign(5, at(20_100)), None);
        assert_eq!(fight.war_until(at(20_000)), Some(at(21_000)));
        assert_eq!(fight.war_until(at(21_000)), None);
        assert_eq!(fight.foreign(6, at(30_000)), None, "peace: it is put right at once");
        assert_eq!(fight.war_until(at(30_000)), None);
    }

    /// It does not matter how late the resource is reconciled.
    #[test]
    fn war_leftovers_are_always_corrected() {
        for late in [20_000, 21_000, 500_000] {
            let mut fight = Fight::default();
            for version in 1..=5 {
                fight.foreign(version, at(0));
            }
            assert_eq!(fight.foreign(5, at(late)), None, "{late}");
        }
    }
}
