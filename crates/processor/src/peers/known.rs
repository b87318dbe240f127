//! Who is known: listed in the file, or met. Pure but for making connections, which does no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orderstream_core::{Reason, Refusal};
use orderstream_rpc::client::{self, Connections};
use orderstream_rpc::observe::RpcMetrics;
use tokio::time::Instant;

use super::Place;

/// Processors that are known at one time.
const PEERS_MAX: usize = 256;
/// Characters of a URL.
const URL_CHARS_MAX: usize = 300;
/// How long one that is not listed is remembered after it was last heard of: longer than a pod
/// takes to come back.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Another processor.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) url: String,
    /// Empty until it was met.
    pub(super) rest_url: String,
    pub(super) connections: Connections,
}

impl Peer {
    pub(super) fn place(&self) -> Place {
        self.clone().into()
    }
}

impl From<Peer> for Place {
    fn from(Peer { url, rest_url, connections }: Peer) -> Self {
        Self { url, rest_url, connections }
    }
}

/// All others.
#[derive(Debug)]
pub(super) struct Known {
    own: String,
    rpc_metrics: Arc<RpcMetrics>,
    peers: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    is_listed: bool,
    heard_at: Instant,
}

impl Known {
    pub(super) fn new(own: String, rpc_metrics: Arc<RpcMetrics>) -> Self {
        Self { own, rpc_metrics, peers: BTreeMap::new() }
    }

    pub(super) fn all(&self) -> Vec<Peer> {
        self.peers.values().map(|entry| entry.peer.clone()).collect()
    }

    pub(super) fn get(&self, url: &str) -> Option<&Peer> {
        self.peers.get(url).map(|entry| &entry.peer).filter(|peer| !peer.rest_url.is_empty())
    }

    /// Takes the file as it is now: one URL a line, `#` begins a comment.
    pub(super) fn list(&mut self, text: &str, now: Instant) {
        for entry in self.peers.values_mut() {
            entry.is_listed = false;
        }
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        for url in lines.filter(|url| !url.is_empty()) {
            if let Some(entry) = self.enter(url, now) {
                entry.is_listed = true;
            }
        }
        self.peers
            .retain(|_, entry| entry.is_listed || now.duration_since(entry.heard_at) < REMEMBERED);
    }

    /// A peer answered a greeting.
    pub(super) fn met(&mut self, url: &str, rest_url: String, now: Instant) {
        if let Some(entry) = self.peers.get_mut(url).filter(|_| is_url(&rest_url)) {
            entry.peer.rest_url = rest_url;
            entry.heard_at = now;
        }
    }

    /// Somebody says to be a processor.
    pub(super) fn introduced(
        &mut self,
        url: &str,
        rest_url: String,
        now: Instant,
    ) -> Result<(), Refusal> {
        if url == self.own {
            return Ok(());
        }
        if !is_url(url) || !is_url(&rest_url) {
            let text = "is not a URL of the form http://host:port, of 300 characters at most";
            return Err(Refusal::field("processor", text));
        }
        if !self.peers.contains_key(url) && !is_sibling(&self.own, url) {
            let text = format!("{url} is not listed here, and is no sibling of {}", self.own);
            return Err(Refusal::new(Reason::NotAllowed, text));
        }
        if self.enter(url, now).is_none() {
            let text = format!("{PEERS_MAX} processors are known, the most there may be");
            return Err(Refusal::new(Reason::LimitReached, text));
        }
        self.met(url, rest_url, now);
        Ok(())
    }

    /// The entry of a URL, made when it is new; not of this processor, nor beyond the bound.
    fn enter(&mut self, url: &str, now: Instant) -> Option<&mut Entry> {
        if url == self.own || !is_url(url) {
            return None;
        }
        if !self.peers.contains_key(url) {
            if self.peers.len() >= PEERS_MAX {
                return None;
            }
            let connections = client::connect(url, 1, &self.rpc_metrics).ok()?;
            let peer = Peer { url: url.to_owned(), rest_url: String::new(), connections };
            let entry = Entry { peer, is_listed: false, heard_at: now };
            self.peers.insert(url.to_owned(), entry);
        }
        self.peers.get_mut(url)
    }
}

fn is_url(text: &str) -> bool {
    text.len() <= URL_CHARS_MAX && text.starts_with("http://") && client::endpoint(text).is_ok()
}

/// Whether two URLs differ in the first label of their host only, as pods of one set do:
/// `http://processor-0.processor.shop.svc:50051` and `http://processor-1.processor.shop.svc:50051`.
fn is_sibling(own: &str, other: &str) -> bool {
    let family = |url: &str| Some(url.strip_prefix("http://")?.split_once('.')?.1.to_owned());
    let is_name = |url: &str| url.chars().any(|c| c.is_ascii_alphabetic() && !"htp".contains(c));
    is_name(own) && family(own).is_some() && family(own) == family(other)
}

#[cfg(test)]
mod tests {
    use orderstream_rpc::observe::Side;

    use super::*;

    const OWN: &str = "http://p-0.p.shop.svc:50051";
    const OTHER: &str = "http://p-1.p.shop.svc:50051";

    fn known() -> Known {
        let metrics = RpcMetrics::new(&prometheus::Registry::new(), Side::Client).unwrap();
        Known::new(OWN.to_owned(), metrics)
    }

    fn urls(known: &Known) -> Vec<String> {
        known.all().into_iter().map(|peer| peer.url).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_says_who_is_asked_and_this_one_is_not() {
        let mut known = known();
        known.list(&format!("# all\n{OWN}\n\n{OTHER} # the other\nnonsense\n"), Instant::now());
        assert_eq!(urls(&known), [OTHER]);
        assert!(known.get(OTHER).is_none(), "it was not met, so nothing can be forwarded to it");
        known.met(OTHER, "http://p-1.p.shop.svc:8005".to_owned(), Instant::now());
        assert!(known.get(OTHER).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_left_the_file_is_remembered_for_a_while() {
        let mut known = known();
        known.list(OTHER, Instant::now());
        tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
        known.met(OTHER, "http://p-1.p.shop.svc:8005".to_owned(), Instant::now());
        known.list("", Instant::now());
        tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
        known.list("", Instant::now());
        assert_eq!(urls(&known), [OTHER]);
        tokio::time::advance(Duration::from_secs(2)).await;
        known.list("", Instant::now());
        assert_eq!(urls(&known), [""; 0]);
    }

    #[tokio::test]
    async fn only_the_listed_and_siblings_introduce_themselves() {
        let mut known = known();
        let rest = || "http://x:8005".to_owned();
        known.introduced(OTHER, rest(), Instant::now()).unwrap();
        assert_eq!(urls(&known), [OTHER]);
        for stranger in ["http://evil.example:50051", "http://p-2.p.other.svc:50051"] {
            let refusal = known.introduced(stranger, rest(), Instant::now()).unwrap_err();
            assert_eq!(refusal.reason, Reason::NotAllowed, "{stranger}");
        }
        assert!(known.introduced("ftp://p-3.p.shop.svc:50051", rest(), Instant::now()).is_err());
        assert!(known.introduced(OTHER, "no".to_owned(), Instant::now()).is_err());
        for number in 2..1_000 {
            let url = format!("http://p-{number}.p.shop.svc:50051");
            drop(known.introduced(&url, rest(), Instant::now()));
        }
        assert_eq!(urls(&known).len(), PEERS_MAX);
    }

    #[test]
    fn addresses_have_no_siblings() {
        assert!(is_sibling(OWN, OTHER));
        assert!(!is_sibling("http://127.0.0.1:1", "http://126.0.0.1:1"));
        assert!(!is_sibling(OWN, "http://p-1.p.shop.svc:1"));
        assert!(!is_sibling("http://p:1", "http://q:1"));
    }
}
