//! What the operator remembers of a resource between looks. Nothing here has to outlive it.

use orderstream_core::Timestamp;

/// Who holds an order of which the status does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Placement {
    /// Nobody was asked yet.
    #[default]
    Unknown,
    /// The processors are being asked.
    Asked,
    /// Nobody holds it.
    Free,
    /// This processor holds it, or is to hold it.
    At(String),
}

/// What is remembered of one resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    /// Which life of the name it is about.
    pub uid: String,
    /// Who holds the order.
    pub placement: Placement,
    /// The edit that is being taken up, and since when.
    pub edit: Option<(i64, Timestamp)>,
    /// The version of the resource that somebody else wrote, and how often that happened since
    /// the given time.
    pub fight: Fight,
    /// Whether its removal was asked for.
    pub is_removed: bool,
}

/// How often somebody else wrote our status lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fight {
    version: u64,
    since: Timestamp,
    count: u32,
}

/// Foreign writes within [`FIGHT_MS`] that are put right at once; further ones wait.
const FIGHT_MAX: u32 = 3;
/// The time in which they are counted, milliseconds.
const FIGHT_MS: u64 = 60_000;

impl Fight {
    /// Somebody else wrote this version. Gives when it may be put right, if not now.
    pub(super) fn foreign(&mut self, version: u64, now: Timestamp) -> Option<Timestamp> {
        if self.count > 0 && now.ms_since(self.since) >= FIGHT_MS {
            *self = Self::default();
        }
        if version > self.version {
            if self.count == 0 {
                self.since = now;
            }
            self.version = version;
            self.count = self.count.saturating_add(1);
        }
        self.is_on(now).then(|| self.since.plus_ms(FIGHT_MS))
    }

    /// Whether it came to that since it was counted.
    pub(super) const fn was_hot(&self) -> bool {
        self.count >= FIGHT_MAX
    }

    /// Whether it goes on: people are told, and it is not answered write for write.
    pub(super) fn is_on(&self, now: Timestamp) -> bool {
        self.count > FIGHT_MAX && now.ms_since(self.since) < FIGHT_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_foreign_writes_are_put_right_at_once_and_a_war_is_not_fought() {
        let mut fight = Fight::default();
        for version in 1..=3 {
            assert_eq!(fight.foreign(version, Timestamp(1_000)), None, "{version}");
        }
        assert_eq!(fight.foreign(3, Timestamp(2_000)), None, "the same write again is one write");
        assert_eq!(fight.foreign(4, Timestamp(2_000)), Some(Timestamp(61_000)));
        assert!(fight.is_on(Timestamp(60_999)));
        assert_eq!(fight.foreign(5, Timestamp(61_000)), None, "then it is put right once more");
    }
}
