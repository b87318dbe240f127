//! Connections to the processors: a few for each, and every order's stream keeps to one of them.
//! Acts have a connection of their own, so that no number of streams can keep them waiting.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use orderstream_core::{OrderKey, Reason, Refusal};
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

use crate::placement::order_hash;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a quiet connection is probed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a probe may go unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections by processor, made when first asked for. Making one does no I/O.
pub(crate) struct Channels {
    per_processor: usize,
    by_url: Mutex<BTreeMap<String, Vec<Channel>>>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels")
            .field("per_processor", &self.per_processor)
            .finish_non_exhaustive()
    }
}

/// Checks a processor's URL.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn endpoint(url: &str) -> Result<Endpoint, Refusal> {
    let wrong = |why: String| Refusal::field("processor", format!("'{url}' {why}"));
    if !url.starts_with("http://") {
        return Err(wrong("is not a URL of the form http://host:port".to_owned()));
    }
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

impl Channels {
    /// No connection yet; so many per processor when they are needed, at least one.
    pub(crate) fn new(per_processor: usize) -> Self {
        Self { per_processor: per_processor.max(1), by_url: Mutex::new(BTreeMap::new()) }
    }

    /// The connection that this order's stream uses. Needs to be called within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses what is not a URL.
    pub(crate) fn for_stream(&self, processor: &str, key: &OrderKey) -> Result<Channel, Refusal> {
        let count = u64::try_from(self.per_processor).unwrap_or(1);
        let index = usize::try_from(order_hash(key) % count).unwrap_or(0);
        self.pick(processor, index)
    }

    /// The connection that acts use. Needs to be called within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses what is not a URL.
    pub(crate) fn for_acts(&self, processor: &str) -> Result<Channel, Refusal> {
        self.pick(processor, self.per_processor)
    }

    fn pick(&self, processor: &str, index: usize) -> Result<Channel, Refusal> {
        let mut by_url = self.by_url.lock();
        if !by_url.contains_key(processor) {
            let endpoint = endpoint(processor)?;
            let channels = (0..=self.per_processor).map(|_| endpoint.connect_lazy()).collect();
            by_url.insert(processor.to_owned(), channels);
        }
        let channels = by_url.get(processor).map_or(&[][..], Vec::as_slice);
        let missing = || Refusal::new(Reason::Internal, "no connection was made");
        channels.get(index).cloned().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_urls_are_refused_with_the_fix() {
        for url in ["", "localhost:50051", "https://x", "http://", "http://a b"] {
            let refusal = endpoint(url).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("processor"), "{url}");
        }
        assert!(endpoint("http://127.0.0.1:50051").is_ok());
    }

    #[tokio::test]
    async fn an_order_finds_a_connection_and_they_are_made_once() {
        let channels = Channels::new(3);
        for n in 0..20 {
            let key = OrderKey::new("default", &format!("SB{n}")).unwrap();
            channels.for_stream("http://127.0.0.1:1", &key).unwrap();
            channels.for_acts("http://127.0.0.1:1").unwrap();
        }
        assert_eq!(channels.by_url.lock().len(), 1);
    }
}
