//! Connections to the processors: a few for each, and one more whenever all of them carry a
//! thousand streams, because a server limits the streams of one connection. Commands have a
//! connection of their own, so that no number of streams can delay them. So has the projection:
//! while MongoDB is slow, its unread events must not fill a connection that others read from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orderstream_core::{Reason, Refusal};
use orderstream_rpc::client::{self, ClientStack, Connections, Dialer};
use orderstream_rpc::limits::{CLIENT_CONNECTIONS_MAX, CONCURRENT_STREAMS_MAX};
use orderstream_rpc::observe::RpcMetrics;
use parking_lot::Mutex;

/// Streams on every connection before another one is opened: two fifths of the number that our
/// server allows, so that other servers allow them too.
const STREAMS_PER_CONNECTION: usize = 1_000;
/// The most connections for streams to one processor.
const LANES_MAX: usize = CLIENT_CONNECTIONS_MAX - 2;

/// Connections by processor, made on first use. Making one does no I/O.
#[derive(Debug)]
pub(crate) struct ChannelPool {
    /// The least number of connections for streams to each processor.
    lanes_min: usize,
    metrics: Arc<RpcMetrics>,
    dialer: Arc<dyn Dialer>,
    by_url: Mutex<BTreeMap<String, ProcessorConnections>>,
}

#[derive(Debug)]
struct ProcessorConnections {
    commands: Connections,
    projection: Connections,
    lanes: Vec<Lane>,
}

/// A connection, and the number of streams on it.
#[derive(Debug)]
struct Lane {
    connection: Connections,
    streams: Arc<AtomicUsize>,
}

/// A stream slot on a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot(Arc<AtomicUsize>);

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Checks a processor's URL, which a setting or an earlier start gave; a setting is checked further
/// ([`processor_url`](orderstream_core::processor_url)).
///
/// # Errors
/// When it cannot be used; the refusal names the cause.
fn check_url(url: &str) -> Result<(), Refusal> {
    let wrong = |why: String| Refusal::field("processor", format!("'{url}' {why}"));
    if !url.starts_with("http://") {
        return Err(wrong("is not a URL of the form http://host:port".to_owned()));
    }
    client::endpoint(url).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Ok(())
}

impl ChannelPool {
    /// Makes the pool without any connection. Each processor gets at least `per_processor`
    /// connections on first use, and at least one.
    pub(crate) fn new(
        per_processor: usize,
        metrics: Arc<RpcMetrics>,
        dialer: Arc<dyn Dialer>,
    ) -> Self {
        let lanes_min = per_processor.clamp(1, LANES_MAX);
        Self { lanes_min, metrics, dialer, by_url: Mutex::new(BTreeMap::new()) }
    }

    /// Returns the connection with the fewest streams, and a stream slot on it. Must be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses a name that is not a URL, and streams beyond the limit of all connections.
    pub(crate) fn for_stream(&self, processor: &str) -> Result<(ClientStack, StreamSlot), Refusal> {
        self.with(processor, |connections| {
            let full = |lane: &Lane| lane.streams.load(Ordering::Relaxed) >= STREAMS_PER_CONNECTION;
            if connections.lanes.len() < LANES_MAX && connections.lanes.iter().all(full) {
                connections.lanes.push(self.lane(processor)?);
            }
            let fewest =
                connections.lanes.iter().min_by_key(|lane| lane.streams.load(Ordering::Relaxed));
            let has_capacity = |lane: &&Lane| {
                let most = usize::try_from(CONCURRENT_STREAMS_MAX).unwrap_or(usize::MAX);
                lane.streams.load(Ordering::Relaxed) < most
            };
            let Some(lane) = fewest.filter(has_capacity) else {
                let text = format!("{processor} carries as many streams as it can; add processors");
                return Err(Refusal::new(Reason::Overloaded, text));
            };
            lane.streams.fetch_add(1, Ordering::Relaxed);
            Ok((lane.connection.channel(), StreamSlot(Arc::clone(&lane.streams))))
        })
    }

    /// Returns the connection for commands. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses a name that is not a URL.
    pub(crate) fn for_commands(&self, processor: &str) -> Result<ClientStack, Refusal> {
        self.with(processor, |connections| Ok(connections.commands.channel()))
    }

    /// Returns the connection for the projection. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Refuses a name that is not a URL.
    pub(crate) fn for_projection(&self, processor: &str) -> Result<ClientStack, Refusal> {
        self.with(processor, |connections| Ok(connections.projection.channel()))
    }

    fn with<T>(
        &self,
        processor: &str,
        pick: impl FnOnce(&mut ProcessorConnections) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut by_url = self.by_url.lock();
        if let Some(connections) = by_url.get_mut(processor) {
            return pick(connections);
        }
        check_url(processor)?;
        let lanes = (0..self.lanes_min).map(|_| self.lane(processor)).collect::<Result<_, _>>()?;
        // None connects before it is used.
        let (commands, projection) = (self.connection(processor)?, self.connection(processor)?);
        let mut connections = ProcessorConnections { commands, projection, lanes };
        let picked = pick(&mut connections);
        by_url.insert(processor.to_owned(), connections);
        picked
    }

    fn lane(&self, processor: &str) -> Result<Lane, Refusal> {
        Ok(Lane { connection: self.connection(processor)?, streams: Arc::default() })
    }

    fn connection(&self, processor: &str) -> Result<Connections, Refusal> {
        client::connect_over(processor, 1, &self.metrics, &self.dialer)
            .map_err(|error| Refusal::field("processor", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::port::DnsAddresses;
    use orderstream_core::processor_url;
    use orderstream_rpc::observe::RpcSide;

    use super::*;

    #[test]
    fn wrong_processor_urls_are_refused() {
        for url in ["", "localhost:50051", "https://x", "http://", "http://a b"] {
            let refusal = check_url(url).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("processor"), "{url}");
        }
        assert!(check_url("http://127.0.0.1:50051").is_ok());
    }

    #[test]
    fn urls_of_settings_can_be_connected_to() {
        for (url, host) in [
            ("http://127.0.0.1:50051", "127.0.0.1"),
            ("http://processor-0.processor.shop.svc:50051/", "processor-0.processor.shop.svc"),
            ("http://my_host:50051", "my_host"),
            ("http://[fd00::5]:50051", "[fd00::5]"),
            ("http://[::ffff:10.0.0.7]:50051", "[::ffff:10.0.0.7]"),
        ] {
            processor_url::check(url).unwrap();
            check_url(url).unwrap();
            let endpoint = client::endpoint(url).unwrap();
            assert_eq!(endpoint.uri().host(), Some(host), "{url}");
            assert_eq!(endpoint.uri().port_u16(), Some(50051), "{url}");
        }
    }

    /// The number of connections is limited, and streams beyond them are refused.
    #[tokio::test]
    async fn streams_spread_over_growing_connections() {
        const URL: &str = "http://127.0.0.1:1";
        let metrics = RpcMetrics::new(&prometheus::Registry::new(), RpcSide::Client).unwrap();
        let channels =
            ChannelPool::new(3, metrics, Arc::new(client::TcpDialer(Arc::new(DnsAddresses))));
        let lanes = || -> Vec<usize> {
            let by_url = channels.by_url.lock();
            by_url[URL].lanes.iter().map(|lane| lane.streams.load(Ordering::Relaxed)).collect()
        };
        let mut slots: Vec<_> = (0..3_000).map(|_| channels.for_stream(URL).unwrap()).collect();
        assert_eq!(lanes(), [1_000; 3]);
        slots.extend((0..1_500).map(|_| channels.for_stream(URL).unwrap()));
        assert_eq!(lanes(), [1_000, 1_000, 1_000, 1_000, 500]);
        slots.truncate(1);
        assert_eq!(lanes(), [1, 0, 0, 0, 0], "a stream that ended gives its place back");
        channels.for_commands(URL).unwrap();
        assert_eq!(channels.by_url.lock().len(), 1, "connections are made once");

        let most = LANES_MAX * usize::try_from(CONCURRENT_STREAMS_MAX).unwrap();
        slots.extend((1..most).map(|_| channels.for_stream(URL).unwrap()));
        assert_eq!(channels.for_stream(URL).unwrap_err().reason, Reason::Overloaded);
    }
}
