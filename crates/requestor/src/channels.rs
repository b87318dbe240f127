//! Connections to the processors: a few for each, and every order's stream keeps to one of them.
//! Acts have a connection of their own, so that no number of streams can keep them waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderstream_core::{OrderKey, Refusal};
use orderstream_rpc::client::{self, ClientStack, Connections};
use orderstream_rpc::limits::CLIENT_CONNECTIONS_MAX;
use orderstream_rpc::observe::RpcMetrics;
use parking_lot::Mutex;

use crate::placement::order_hash;

/// Connections by processor, made when first asked for. Making one does no I/O.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Connections for streams; the one after them is for acts.
    per_processor: usize,
    metrics: Arc<RpcMetrics>,
    by_url: Mutex<BTreeMap<String, Connections>>,
}

/// Checks a processor's URL.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn check_url(url: &str) -> Result<(), Refusal> {
    let wrong = |why: String| Refusal::field("processor", format!("'{url}' {why}"));
    if !url.starts_with("http://") {
        return Err(wrong("is not a URL of the form http://host:port".to_owned()));
    }
    client::endpoint(url).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Ok(())
}

impl Channels {
    /// No connection yet; so many per processor when they are needed, at least one.
    pub(crate) fn new(per_processor: usize, metrics: Arc<RpcMetrics>) -> Self {
        let per_processor = per_processor.clamp(1, CLIENT_CONNECTIONS_MAX.saturating_sub(1));
        Self { per_processor, metrics, by_url: Mutex::new(BTreeMap::new()) }
    }

    /// The connection that this order's stream uses. Needs to be called within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses what is not a URL.
    pub(crate) fn for_stream(
        &self,
        processor: &str,
        key: &OrderKey,
    ) -> Result<ClientStack, Refusal> {
        let count = u64::try_from(self.per_processor).unwrap_or(1);
        let index = usize::try_from(order_hash(key) % count).unwrap_or(0);
        self.pick(processor, index)
    }

    /// The connection that acts use. Needs to be called within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses what is not a URL.
    pub(crate) fn for_acts(&self, processor: &str) -> Result<ClientStack, Refusal> {
        self.pick(processor, self.per_processor)
    }

    fn pick(&self, processor: &str, index: usize) -> Result<ClientStack, Refusal> {
        let mut by_url = self.by_url.lock();
        if let Some(connections) = by_url.get(processor) {
            return Ok(connections.nth(index));
        }
        check_url(processor)?;
        let count = self.per_processor.saturating_add(1);
        let connections = client::connect(processor, count, &self.metrics)
            .map_err(|error| Refusal::field("processor", error.to_string()))?;
        let picked = connections.nth(index);
        by_url.insert(processor.to_owned(), connections);
        Ok(picked)
    }
}

#[cfg(test)]
mod tests {
    use orderstream_rpc::observe::Side;

    use super::*;

    #[test]
    fn wrong_urls_are_refused_with_the_fix() {
        for url in ["", "localhost:50051", "https://x", "http://", "http://a b"] {
            let refusal = check_url(url).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("processor"), "{url}");
        }
        assert!(check_url("http://127.0.0.1:50051").is_ok());
    }

    #[tokio::test]
    async fn an_order_finds_a_connection_and_they_are_made_once() {
        let metrics = RpcMetrics::new(&prometheus::Registry::new(), Side::Client).unwrap();
        let channels = Channels::new(3, metrics);
        for n in 0..20 {
            let key = OrderKey::new("default", &format!("SB{n}")).unwrap();
            channels.for_stream("http://127.0.0.1:1", &key).unwrap();
            channels.for_acts("http://127.0.0.1:1").unwrap();
        }
        assert_eq!(channels.by_url.lock().len(), 1);
    }
}
