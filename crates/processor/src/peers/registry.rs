//! The known peers: listed in the file, or met. Pure except for making connections, which does no
//! I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orderstream_core::processor_url::PROCESSOR_URL_BYTES_MAX;
use orderstream_core::{Reason, Refusal};
use orderstream_rpc::client::{self, Connections};
use orderstream_rpc::observe::RpcMetrics;
use tokio::time::Instant;

use super::OwnerEndpoint;

/// The greatest number of known peers.
const PEERS_MAX: usize = 256;
/// The time for which an unlisted peer is remembered after it last reported its addresses: longer
/// than a pod takes to come back.
const UNLISTED_RETENTION: Duration = Duration::from_mins(10);

/// The age at which a peer's own report may be out of date: more than two rounds of greetings.
const REPORT_AGE_MAX: Duration = Duration::from_secs(5);

/// Another processor.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) url: String,
    /// The URL of its REST; empty until it was met.
    pub(super) rest_url: String,
    /// The URL that the connections use.
    grpc_url: String,
    pub(super) connections: Connections,
}

impl Peer {
    pub(super) fn endpoint(&self) -> OwnerEndpoint {
        self.clone().into()
    }
}

impl From<Peer> for OwnerEndpoint {
    fn from(Peer { url, rest_url, connections, .. }: Peer) -> Self {
        Self { url, rest_url, connections }
    }
}

/// The addresses that a processor reports.
#[derive(Clone, Debug)]
pub(super) struct PeerAddresses {
    /// The URL by which it is known.
    pub(super) processor: String,
    /// The current URL of its REST.
    pub(super) rest_url: String,
    /// The current URL of its gRPC port; its own URL when empty.
    pub(super) grpc_url: String,
}

/// All peers.
#[derive(Debug)]
pub(super) struct PeerRegistry {
    own_url: String,
    rpc_metrics: Arc<RpcMetrics>,
    peers: BTreeMap<String, PeerEntry>,
}

#[derive(Debug)]
struct PeerEntry {
    peer: Peer,
    is_listed: bool,
    /// The time at which it was first known, or last reported its own addresses.
    refreshed_at: Instant,
    /// The time at which it last reported its own addresses. Only such peers are passed on to
    /// others: second-hand reports would circulate for ever.
    reported_at: Option<Instant>,
}

impl PeerEntry {
    fn reported_lately(&self, now: Instant) -> bool {
        self.reported_at.is_some_and(|at| now.duration_since(at) < REPORT_AGE_MAX)
    }
}

impl PeerRegistry {
    pub(super) fn new(own_url: String, rpc_metrics: Arc<RpcMetrics>) -> Self {
        Self { own_url, rpc_metrics, peers: BTreeMap::new() }
    }

    pub(super) fn all(&self) -> Vec<Peer> {
        self.peers.values().map(|entry| entry.peer.clone()).collect()
    }

    pub(super) fn get(&self, url: &str) -> Option<&Peer> {
        self.peers.get(url).map(|entry| &entry.peer).filter(|peer| !peer.rest_url.is_empty())
    }

    /// Applies the file's current list: one URL a line, `#` begins a comment.
    pub(super) fn set_listed(&mut self, text: &str, now: Instant) {
        for entry in self.peers.values_mut() {
            entry.is_listed = false;
        }
        for (_, url) in listed(text) {
            if let Some(entry) = self.get_or_insert(url, now) {
                entry.is_listed = true;
            }
        }
        self.peers.retain(|_, entry| {
            entry.is_listed || now.duration_since(entry.refreshed_at) < UNLISTED_RETENTION
        });
    }

    /// Returns the peers that were met recently, for one that is new.
    pub(super) fn recently_reported(&self, now: Instant) -> Vec<PeerAddresses> {
        let addresses = |PeerEntry { peer, .. }: &PeerEntry| PeerAddresses {
            processor: peer.url.clone(),
            rest_url: peer.rest_url.clone(),
            grpc_url: peer.grpc_url.clone(),
        };
        self.peers.values().filter(|entry| entry.reported_lately(now)).map(addresses).collect()
    }

    /// Merges the addresses that another peer reports. A peer that was met recently keeps its own.
    pub(super) fn merge_reports(
        &mut self,
        others: impl IntoIterator<Item = PeerAddresses>,
        now: Instant,
    ) {
        for other in others {
            let url = other.processor.clone();
            let is_fresh = self.peers.get(&url).is_some_and(|entry| entry.reported_lately(now));
            // Not every address that another peer reports can be used.
            if !is_fresh && self.check(&other).is_ok() && self.get_or_insert(&url, now).is_some() {
                self.store_addresses(other);
            }
        }
    }

    /// Reports whether every listed peer was met.
    pub(super) fn has_met_all_listed(&self) -> bool {
        let mut listed = self.peers.values().filter(|entry| entry.is_listed);
        listed.all(|entry| !entry.peer.rest_url.is_empty())
    }

    /// Records the addresses that a peer reports of itself.
    pub(super) fn record_own_report(&mut self, met: PeerAddresses, now: Instant) {
        if let Some(entry) = self.peers.get_mut(&met.processor) {
            (entry.refreshed_at, entry.reported_at) = (now, Some(now));
            self.store_addresses(met);
        }
    }

    /// Accepts the greeting of a processor that may be unknown.
    pub(super) fn accept_greeting(
        &mut self,
        addresses: PeerAddresses,
        now: Instant,
    ) -> Result<(), Refusal> {
        if addresses.processor == self.own_url {
            return Ok(());
        }
        self.check(&addresses)?;
        if self.get_or_insert(&addresses.processor, now).is_none() {
            let text = format!("{PEERS_MAX} processors are known, the most there may be");
            return Err(Refusal::new(Reason::LimitReached, text));
        }
        self.record_own_report(addresses, now);
        Ok(())
    }

    fn check(&self, addresses: &PeerAddresses) -> Result<(), Refusal> {
        let url = addresses.processor.as_str();
        if !is_url(url) || !is_url(&addresses.rest_url) {
            let text = "is not a URL of the form http://host:port, of 300 characters at most";
            return Err(Refusal::field("processor", text));
        }
        if !self.peers.contains_key(url) && !is_sibling(&self.own_url, url) {
            let text =
                format!("{url} is not listed here, and is not a sibling of {}", self.own_url);
            return Err(Refusal::new(Reason::NotAllowed, text));
        }
        Ok(())
    }

    /// Stores the addresses of a known peer.
    fn store_addresses(&mut self, addresses: PeerAddresses) {
        let PeerAddresses { processor, rest_url, grpc_url } = addresses;
        let grpc_url = if grpc_url.is_empty() { processor.clone() } else { grpc_url };
        let Some(entry) = self.peers.get_mut(&processor) else { return };
        if !is_url(&rest_url) || !is_url(&grpc_url) {
            return;
        }
        entry.peer.rest_url = rest_url;
        if entry.peer.grpc_url != grpc_url
            && let Ok(connections) = client::connect(&grpc_url, 1, &self.rpc_metrics)
        {
            entry.peer.connections = connections;
            entry.peer.grpc_url = grpc_url;
        }
    }

    /// Returns the entry of a URL, and makes it when it is new; none for this processor's own URL
    /// or beyond the limit.
    fn get_or_insert(&mut self, url: &str, now: Instant) -> Option<&mut PeerEntry> {
        if url == self.own_url || !is_url(url) {
            return None;
        }
        if !self.peers.contains_key(url) {
            if self.peers.len() >= PEERS_MAX {
                return None;
            }
            let connections = client::connect(url, 1, &self.rpc_metrics).ok()?;
            let (url, grpc_url) = (url.to_owned(), url.to_owned());
            let peer = Peer { url, rest_url: String::new(), grpc_url, connections };
            let entry = PeerEntry { peer, is_listed: false, refreshed_at: now, reported_at: None };
            self.peers.insert(entry.peer.url.clone(), entry);
        }
        self.peers.get_mut(url)
    }
}

/// Returns the URLs in the text of a file that lists peers, each with the number of its line.
pub(super) fn listed(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let urls = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    (1..).zip(urls).filter(|(_, url)| !url.is_empty())
}

/// Returns the number of processors: the listed ones, and this one where the list omits it.
pub(super) fn count_with(own: &str, text: &str) -> usize {
    let urls = listed(text).map(|(_, url)| url).filter(|url| is_url(url));
    urls.chain([own]).collect::<BTreeSet<_>>().len()
}

/// Reports whether this is a URL that a peer may report. An earlier version may report one without
/// a port.
fn is_url(text: &str) -> bool {
    text.len() <= PROCESSOR_URL_BYTES_MAX
        && text.starts_with("http://")
        && client::endpoint(text).is_ok()
}

/// Reports whether two URLs differ in the first label of their host only, as pods of one set do:
/// `http://processor-0.processor.shop.svc:50051` and `http://processor-1.processor.shop.svc:50051`.
fn is_sibling(own: &str, other: &str) -> bool {
    let family = |url: &str| Some(url.strip_prefix("http://")?.split_once('.')?.1.to_owned());
    let is_name = |url: &str| {
        let is_of_name = |c: char| c.is_ascii_alphabetic() && !"htp".contains(c);
        !url.contains('[') && url.chars().any(is_of_name)
    };
    is_name(own) && family(own).is_some() && family(own) == family(other)
}

#[cfg(test)]
mod tests {
    use orderstream_rpc::observe::RpcSide;

    use super::*;

    const OWN: &str = "http://p-0.p.shop.svc:50051";
    const OTHER: &str = "http://p-1.p.shop.svc:50051";

    fn registry() -> PeerRegistry {
        let metrics = RpcMetrics::new(&prometheus::Registry::new(), RpcSide::Client).unwrap();
        PeerRegistry::new(OWN.to_owned(), metrics)
    }

    fn addresses(processor: &str) -> PeerAddresses {
        let (rest_url, grpc_url) = ("http://10.0.0.7:8005".to_owned(), String::new());
        PeerAddresses { processor: processor.to_owned(), rest_url, grpc_url }
    }

    fn urls(known: &PeerRegistry) -> Vec<String> {
        known.all().into_iter().map(|peer| peer.url).collect()
    }

    #[test]
    fn own_url_is_counted_once() {
        for (text, count) in [
            ("", 1),
            (OWN, 1),
            (OTHER, 2),
            ("# all\nhttp://p-0.p.shop.svc:50051\nhttp://p-1.p.shop.svc:50051\nnonsense\n", 2),
        ] {
            assert_eq!(count_with(OWN, text), count, "{text}");
        }
    }

    #[tokio::test]
    async fn file_lists_peers_but_not_self() {
        let mut registry = registry();
        registry.set_listed(
            &format!("# all\n{OWN}\n\n{OTHER} # the other\nnonsense\n"),
            Instant::now(),
        );
        assert_eq!(urls(&registry), [OTHER]);
        assert!(registry.get(OTHER).is_none(), "it was not met, so nothing can be forwarded to it");
        registry.record_own_report(addresses(OTHER), Instant::now());
        assert!(registry.get(OTHER).is_some());
    }

    #[tokio::test]
    async fn unlisted_peers_are_forgotten_later() {
        let (mut registry, mut now) = (registry(), Instant::now());
        let second = Duration::from_secs(1);
        registry.set_listed(OTHER, now);
        now += UNLISTED_RETENTION - second;
        registry.record_own_report(addresses(OTHER), now);
        registry.set_listed("", now);
        now += UNLISTED_RETENTION - second;
        registry.set_listed("", now);
        assert_eq!(urls(&registry), [OTHER]);
        registry.set_listed("", now + 2 * second);
        assert_eq!(urls(&registry), [""; 0]);
    }

    #[tokio::test]
    async fn only_listed_and_siblings_introduce_themselves() {
        let mut registry = registry();
        registry.accept_greeting(addresses(OTHER), Instant::now()).unwrap();
        assert_eq!(urls(&registry), [OTHER]);
        for stranger in ["http://evil.example:50051", "http://p-2.p.other.svc:50051"] {
            let refusal =
                registry.accept_greeting(addresses(stranger), Instant::now()).unwrap_err();
            assert_eq!(refusal.reason, Reason::NotAllowed, "{stranger}");
        }
        assert!(
            registry
                .accept_greeting(addresses("ftp://p-3.p.shop.svc:50051"), Instant::now())
                .is_err()
        );
        let nowhere = PeerAddresses { rest_url: "no".to_owned(), ..addresses(OTHER) };
        assert!(registry.accept_greeting(nowhere, Instant::now()).is_err());
        for number in 2..1_000 {
            let url = format!("http://p-{number}.p.shop.svc:50051");
            drop(registry.accept_greeting(addresses(&url), Instant::now()));
        }
        assert_eq!(urls(&registry).len(), PEERS_MAX);
    }

    #[tokio::test]
    async fn moved_peers_get_new_connections() {
        let mut registry = registry();
        registry.accept_greeting(addresses(OTHER), Instant::now()).unwrap();
        assert_eq!(registry.get(OTHER).unwrap().grpc_url, OTHER);
        let moved =
            PeerAddresses { grpc_url: "http://10.0.0.8:50051".to_owned(), ..addresses(OTHER) };
        registry.accept_greeting(moved, Instant::now()).unwrap();
        assert_eq!(registry.get(OTHER).unwrap().grpc_url, "http://10.0.0.8:50051");
    }

    /// A second-hand report is not passed on.
    #[tokio::test]
    async fn own_reports_beat_reports_by_others() {
        let (mut registry, now) = (registry(), Instant::now());
        registry.set_listed(OTHER, now);
        assert!(!registry.has_met_all_listed());
        registry.merge_reports([addresses(OTHER), addresses("http://evil.example:1")], now);
        assert_eq!(urls(&registry), [OTHER]);
        assert!(registry.has_met_all_listed());
        let at_url =
            |grpc_url: &str| PeerAddresses { grpc_url: grpc_url.to_owned(), ..addresses(OTHER) };
        registry.accept_greeting(at_url("http://10.0.0.8:50051"), now).unwrap();
        registry.merge_reports([at_url("http://10.0.0.9:50051")], now);
        assert_eq!(registry.get(OTHER).unwrap().grpc_url, "http://10.0.0.8:50051");
        registry.merge_reports([at_url("http://10.0.0.9:50051")], now + REPORT_AGE_MAX);
        assert_eq!(registry.get(OTHER).unwrap().grpc_url, "http://10.0.0.9:50051");
        assert_eq!(registry.recently_reported(now).len(), 1);
        assert_eq!(
            registry.recently_reported(now + REPORT_AGE_MAX).len(),
            0,
            "what was told is not told again"
        );
    }

    #[test]
    fn wrong_lines_of_the_list_are_numbered() {
        let list = |text: &str| crate::peers::PeersConfig::check_list(text);
        assert_eq!(list(&format!("# all\n{OWN}\n\n{OTHER} # the other\nhttp://[::1]:1")), Ok(()));
        let fault = list(&format!("{OWN}\n\nhttp://fd00::5:50051\nnonsense")).unwrap_err();
        assert!(fault.starts_with("line 3: 'http://fd00::5:50051' "), "{fault}");
        assert!(fault.ends_with("http://[fd00::5]:50051"), "{fault}");
    }

    #[test]
    fn addresses_have_no_siblings() {
        assert!(is_sibling(OWN, OTHER));
        assert!(!is_sibling("http://127.0.0.1:1", "http://126.0.0.1:1"));
        assert!(!is_sibling("http://[::ffff:10.0.0.7]:1", "http://[::ffff:66.0.0.7]:1"));
        assert!(!is_sibling(OWN, "http://p-1.p.shop.svc:1"));
        assert!(!is_sibling("http://p:1", "http://q:1"));
    }
}
