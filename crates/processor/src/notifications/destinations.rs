//! The destinations of notifications, each of which serves many addresses: a limited number of
//! attempts at one time, and a circuit breaker that opens after consecutive failures and lets
//! single probes through.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::Timestamp;
use parking_lot::Mutex;

use crate::limits::{
    NOTIFY_CIRCUIT_FAILURES, NOTIFY_CIRCUIT_MS_MAX, NOTIFY_CIRCUIT_MS_MIN, NOTIFY_DESTINATIONS_MAX,
    NOTIFY_PER_DESTINATION,
};

/// Milliseconds until an attempt is retried whose destination had no slot free.
const BUSY_MS: u64 = 500;

/// All destinations that are in use or known to be down.
#[derive(Clone, Debug, Default)]
pub(super) struct Destinations(Arc<Mutex<BTreeMap<String, Destination>>>);

#[derive(Debug, Default)]
struct Destination {
    under_way: usize,
    failures: u32,
    open_until: Timestamp,
}

impl Destination {
    const fn is_idle(&self) -> bool {
        self.under_way == 0 && self.failures == 0
    }

    const fn is_down(&self) -> bool {
        self.failures >= NOTIFY_CIRCUIT_FAILURES
    }

    /// Closes the circuit breaker; reports whether it was open.
    const fn succeed(&mut self) -> bool {
        let was_down = self.is_down();
        self.failures = 0;
        self.open_until = Timestamp(0);
        was_down
    }

    /// Counts a failure; reports whether this one opened the circuit breaker.
    fn fail(&mut self, now: Timestamp) -> bool {
        let was_down = self.is_down();
        self.failures = self.failures.saturating_add(1);
        if self.is_down() {
            let doublings = self.failures.saturating_sub(NOTIFY_CIRCUIT_FAILURES).min(16);
            let backoff = NOTIFY_CIRCUIT_MS_MIN.saturating_mul(1 << doublings);
            self.open_until = now.plus_ms(backoff.min(NOTIFY_CIRCUIT_MS_MAX));
        }
        self.is_down() && !was_down
    }
}

/// One attempt at a destination. Dropped without a result, it changes no failure count.
#[derive(Debug)]
pub(super) struct DeliveryPermit {
    destinations: Destinations,
    name: String,
}

impl Destinations {
    /// Admits an attempt, or returns the time that it has to wait, in milliseconds.
    pub(super) fn acquire(&self, name: &str, now: Timestamp) -> Result<DeliveryPermit, u64> {
        let mut all = self.0.lock();
        if !all.contains_key(name) && all.len() >= NOTIFY_DESTINATIONS_MAX {
            all.retain(|_, held| !held.is_idle() && held.open_until > now);
            if all.len() >= NOTIFY_DESTINATIONS_MAX {
                return Err(BUSY_MS);
            }
        }
        let destination = all.entry(name.to_owned()).or_default();
        let is_down = destination.is_down();
        if is_down && destination.open_until > now {
            return Err(destination.open_until.ms_since(now).max(1));
        }
        // After the back-off a single attempt probes the destination.
        let capacity = if is_down { 1 } else { NOTIFY_PER_DESTINATION };
        if destination.under_way >= capacity {
            return Err(BUSY_MS);
        }
        destination.under_way = destination.under_way.saturating_add(1);
        Ok(DeliveryPermit { destinations: self.clone(), name: name.to_owned() })
    }

    /// Returns the number of destinations whose circuit breaker is open.
    #[cfg(test)]
    fn down(&self, now: Timestamp) -> usize {
        self.0.lock().values().filter(|held| held.open_until > now).count()
    }
}

impl DeliveryPermit {
    /// Records that the destination replied, even if it rejected the message. Logs it if the
    /// circuit breaker was open.
    pub(super) fn succeeded(self) {
        let is_closed = self.change(Destination::succeed);
        if is_closed {
            tracing::info!(destination = self.name, "replies again; notifications are sent");
        }
    }

    /// Records that the destination did not reply, or was too busy. Logs it once, when the circuit
    /// breaker opens.
    pub(super) fn failed(self, now: Timestamp, cause: &str) {
        let is_opened = self.change(|destination| destination.fail(now));
        if is_opened {
            tracing::warn!(
                destination = self.name,
                cause,
                "notifications are not delivered; they wait, and `orderstream notify pending` \
                 lists them"
            );
        }
    }

    /// Changes the destination; returns what `change` reports of it.
    fn change(&self, change: impl FnOnce(&mut Destination) -> bool) -> bool {
        let mut all = self.destinations.0.lock();
        all.get_mut(&self.name).is_some_and(change)
    }
}

impl Drop for DeliveryPermit {
    fn drop(&mut self) {
        let mut all = self.destinations.0.lock();
        if let Some(destination) = all.get_mut(&self.name) {
            destination.under_way = destination.under_way.saturating_sub(1);
            if destination.is_idle() {
                all.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// The back-off doubles, and other destinations are not affected.
    #[test]
    fn down_destinations_get_single_probes() {
        let all = Destinations::default();
        for _ in 0..NOTIFY_CIRCUIT_FAILURES {
            all.acquire("down", NOW).unwrap().failed(NOW, "gone");
        }
        assert_eq!(all.down(NOW), 1);
        assert_eq!(all.acquire("down", NOW).unwrap_err(), NOTIFY_CIRCUIT_MS_MIN);
        assert!(all.acquire("up", NOW).is_ok(), "others are not concerned");
        let later = NOW.plus_ms(NOTIFY_CIRCUIT_MS_MIN);
        let probe = all.acquire("down", later).unwrap();
        assert_eq!(all.acquire("down", later).unwrap_err(), BUSY_MS, "only one looks");
        probe.failed(later, "gone");
        assert_eq!(all.acquire("down", later).unwrap_err(), 2 * NOTIFY_CIRCUIT_MS_MIN);
        let later = later.plus_ms(2 * NOTIFY_CIRCUIT_MS_MIN);
        all.acquire("down", later).unwrap().succeeded();
        assert!(all.acquire("down", later).is_ok());
        assert!(all.0.lock().is_empty(), "what is up and idle is forgotten");
    }

    #[test]
    fn circuit_changes_are_reported_once() {
        let mut destination = Destination::default();
        assert!(!destination.succeed(), "it was never open");
        let opened = |held: &mut Destination| (0..8).map(|_| held.fail(NOW)).collect::<Vec<_>>();
        let expected = [false, false, false, false, true, false, false, false];
        assert_eq!(opened(&mut destination), expected);
        assert!(destination.succeed());
        assert!(!destination.succeed(), "once");
        assert_eq!(opened(&mut destination), expected, "and again");
    }

    #[test]
    fn attempts_per_destination_are_limited() {
        let all = Destinations::default();
        let under_way: Vec<_> =
            (0..NOTIFY_PER_DESTINATION).map(|_| all.acquire("slow", NOW).unwrap()).collect();
        assert_eq!(all.acquire("slow", NOW).unwrap_err(), BUSY_MS);
        drop(under_way);
        assert!(all.acquire("slow", NOW).is_ok());
    }
}
