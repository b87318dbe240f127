//! The other processors: their addresses, and the one that holds an order.
//!
//! ```text
//! --peers FILE ──▶ listed ─┐                 ┌─ has it ──────────▶ its location, remembered
//!                          ├▶ known ─ asked ─┼─ none has it ─────▶ 404 is correct
//! MeetProcessor ─▶ met ────┘                 └─ one is silent, ──▶ 503: it may be there
//!                                               or not met yet
//! ```
//!
//! A processor reads the file every [`GREETING_INTERVAL`] and greets every peer that it knows; each
//! greeted peer reports all others. The processor is ready when it has met all that are listed, or
//! after [`FIRST_GREETINGS_TIMEOUT`]: a new one is known to the others before an order is placed on
//! it.

mod forward;
mod owners;
mod registry;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orderstream_core::{
    Incarnation, OrderKey, Phase, ProposalId, Reason, Refusal, Reply, Seq, processor_url,
};
use orderstream_rpc::client::{ClientStack, Connections};
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::observe::RpcMetrics;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::forward::{Forwarder, forwarding, misdirected};
use self::owners::Owners;
use self::registry::{Peer, PeerAddresses, PeerRegistry};
use crate::metrics::Metrics;

/// The header of a request that was forwarded once, and is not forwarded again: it names the
/// processor that the request is meant for.
pub(crate) const FORWARDED: &str = "x-orderstream-forwarded";
/// The interval between two rounds of greetings.
const GREETING_INTERVAL: Duration = Duration::from_secs(2);
/// The interval between rounds until all listed peers were met for the first time.
const FIRST_GREETING_INTERVAL: Duration = Duration::from_millis(250);
/// The time for which a start waits for peers that do not reply.
const FIRST_GREETINGS_TIMEOUT: Duration = Duration::from_secs(6);
/// The time that a peer has to reply to a greeting or a lookup.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
/// The time that a peer has to execute a forwarded request.
pub(crate) const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);
/// Orders that are located at once; more wait for at most [`REPLY_TIMEOUT`].
const LOOKUPS_MAX: usize = 64;

/// The settings for finding other processors.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// The file that lists gRPC URLs of processors, one a line; without it there are no others.
    pub file: Option<PathBuf>,
    /// The URL of this processor's gRPC port.
    pub name: String,
    /// The URL at which this processor's REST is reached.
    pub rest_url: String,
    /// The URL at which its gRPC port is reached without its name; the name when empty.
    pub grpc_url: String,
}

impl PeersConfig {
    /// Returns the settings of a processor without peers.
    pub const fn alone(name: String) -> Self {
        Self { file: None, name, rest_url: String::new(), grpc_url: String::new() }
    }

    /// Checks the text of the file that lists the peers.
    ///
    /// # Errors
    /// The first line that is no URL, its fault and the fix.
    pub fn check_list(text: &str) -> Result<(), String> {
        registry::listed(text).try_for_each(|(line, url)| {
            processor_url::check(url).map_err(|fault| format!("line {line}: '{url}' {fault}"))
        })
    }
}

/// The other processors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Peers(Arc<PeersInner>);

#[derive(Debug)]
struct PeersInner {
    config: PeersConfig,
    registry: Mutex<PeerRegistry>,
    owners: Mutex<Owners>,
    lookups: Semaphore,
    has_greeted: watch::Sender<bool>,
    /// Set once the file has been read.
    is_listed: AtomicBool,
    metrics: Metrics,
}

/// The location of an order: the processor that holds it.
#[derive(Clone, Debug)]
struct OwnerEndpoint {
    url: String,
    rest_url: String,
    connections: Connections,
}

impl Peers {
    /// Makes the peers, none of which is known yet. Clients are measured by `rpc_metrics`.
    pub(crate) fn new(config: PeersConfig, rpc_metrics: Arc<RpcMetrics>, metrics: Metrics) -> Self {
        let registry = PeerRegistry::new(config.name.clone(), rpc_metrics);
        Self(Arc::new(PeersInner {
            has_greeted: watch::Sender::new(config.file.is_none()),
            is_listed: AtomicBool::new(config.file.is_none()),
            config,
            registry: Mutex::new(registry),
            owners: Mutex::new(Owners::default()),
            lookups: Semaphore::new(LOOKUPS_MAX),
            metrics,
        }))
    }

    /// Reports whether no peers are configured.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.config.file.is_none()
    }

    /// Reads the file and greets all peers, again and again until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Some(file) = self.0.config.file.clone() else { return };
        let (began, mut last_fault) = (Instant::now(), None);
        while !shutdown.is_cancelled() {
            let fault = self.read_list(&file).await.err();
            if let Some(fault) = fault.as_ref().filter(|_| fault != last_fault) {
                tracing::warn!(file = %file.display(), fault, "the list of processors is wrong");
            }
            last_fault = fault;
            self.greet().await;
            let is_read = self.0.is_listed.load(Ordering::Relaxed);
            // A new name may take a while to resolve.
            let is_late = began.elapsed() >= FIRST_GREETINGS_TIMEOUT;
            if is_late || (is_read && self.0.registry.lock().has_met_all_listed()) {
                self.0.has_greeted.send_replace(true);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.greeting_interval()) => {}
            }
        }
    }

    /// Applies the file's current list.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is no URL; the other lines apply.
    async fn read_list(&self, file: &Path) -> Result<(), String> {
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(|error| format!("it cannot be read: {error}"))?;
        self.0.registry.lock().set_listed(&text, Instant::now());
        self.0.metrics.set_listed(registry::count_with(&self.0.config.name, &text));
        self.0.is_listed.store(true, Ordering::Relaxed);
        PeersConfig::check_list(&text)
    }

    /// Reports whether the file has been read and the first greetings are over.
    fn knows_peers(&self) -> bool {
        self.0.is_listed.load(Ordering::Relaxed) && *self.0.has_greeted.borrow()
    }

    /// Returns the time until the next round: short while the start waits for the first greetings.
    fn greeting_interval(&self) -> Duration {
        if *self.0.has_greeted.borrow() { GREETING_INTERVAL } else { FIRST_GREETING_INTERVAL }
    }

    /// Waits until every reachable peer knows this processor.
    pub(crate) async fn greeted(&self) {
        let mut greeted = self.0.has_greeted.subscribe();
        // The sender is dropped only with this value.
        drop(greeted.wait_for(|has| *has).await);
    }

    async fn greet(&self) {
        let peers = self.0.registry.lock().all();
        let greetings = peers.into_iter().map(|peer| async move {
            let request = v1::MeetProcessorRequest {
                processor: self.0.config.name.clone(),
                rest_url: self.0.config.rest_url.clone(),
                grpc_url: self.0.config.grpc_url.clone(),
            };
            let mut client = peer.connections.control();
            let response = timeout(REPLY_TIMEOUT, client.meet_processor(request)).await;
            let Ok(Ok(response)) = response else { return };
            let v1::MeetProcessorResponse { processor, rest_url, grpc_url, others } =
                response.into_inner();
            // An address may belong to another processor by now.
            if processor == peer.url {
                let (mut registry, now) = (self.0.registry.lock(), Instant::now());
                registry.record_own_report(PeerAddresses { processor, rest_url, grpc_url }, now);
                registry.merge_reports(others.into_iter().map(PeerAddresses::from), now);
            }
        });
        greetings.collect::<FuturesUnordered<_>>().collect::<()>().await;
    }

    /// Handles a peer's greeting; returns the addresses of this processor and of the peers that it
    /// met recently.
    ///
    /// # Errors
    /// The peer is neither listed here nor a sibling of this processor by its name.
    pub(crate) fn meet(
        &self,
        greeting: v1::MeetProcessorRequest,
    ) -> Result<v1::MeetProcessorResponse, Refusal> {
        let mut others = Vec::new();
        if !self.is_alone() {
            let (mut registry, now) = (self.0.registry.lock(), Instant::now());
            registry.accept_greeting(greeting.into(), now)?;
            others.extend(
                registry.recently_reported(now).into_iter().map(v1::MeetProcessorRequest::from),
            );
        }
        Ok(v1::MeetProcessorResponse {
            processor: self.0.config.name.clone(),
            rest_url: self.0.config.rest_url.clone(),
            grpc_url: self.0.config.grpc_url.clone(),
            others,
        })
    }

    /// Reports whether a forwarded request was meant for this processor: its mark names it.
    pub(crate) fn is_addressed_here(&self, mark: &str) -> bool {
        mark == self.0.config.name
    }

    /// Returns the location of an order that this processor does not hold; `None` when no peer
    /// holds it.
    ///
    /// # Errors
    /// No peer reports that it holds the order, and some peer does not reply.
    async fn locate(&self, key: &OrderKey) -> Result<Option<OwnerEndpoint>, Refusal> {
        self.locate_one(key, None).await
    }

    /// Returns the location of the incarnation that is named, or of any where none is. The location
    /// of a named one is not remembered: an order id has its newest incarnation at one processor,
    /// and former ones may be at others.
    ///
    /// # Errors
    /// As [`Peers::locate`].
    async fn locate_one(
        &self,
        key: &OrderKey,
        named: Option<&Incarnation>,
    ) -> Result<Option<OwnerEndpoint>, Refusal> {
        let remembered = || self.remembered(key).filter(|_| named.is_none());
        if let Some(endpoint) = remembered() {
            return Ok(Some(endpoint));
        }
        let Ok(permit) = timeout(REPLY_TIMEOUT, self.0.lookups.acquire()).await else {
            let text =
                format!("{LOOKUPS_MAX} orders are being located at this moment, and more wait");
            return Err(Refusal::new(Reason::Overloaded, text));
        };
        // Another lookup may have found it while this one waited.
        if let Some(endpoint) = remembered() {
            return Ok(Some(endpoint));
        }
        let peers = self.0.registry.lock().all();
        let mut replies: FuturesUnordered<_> =
            peers.into_iter().map(|peer| has_order(peer, key, named)).collect();
        let mut silent = None;
        while let Some((peer, reply)) = replies.next().await {
            match reply {
                Some(true) if !peer.rest_url.is_empty() => {
                    if named.is_none() {
                        self.0.owners.lock().remember(key.clone(), peer.url.clone());
                    }
                    return Ok(Some(peer.endpoint()));
                }
                Some(false) => {}
                Some(true) | None => silent = Some(peer.url),
            }
        }
        drop(permit);
        match silent {
            Some(url) => Err(peer_unreachable(key, &url)),
            // Right after its start, this processor may not know its peers yet.
            None if !self.knows_peers() => Err(peers_unknown(key)),
            None => Ok(None),
        }
    }

    /// Returns the URL of the processor that holds an order that is not here; `None` when none
    /// does.
    ///
    /// # Errors
    /// No peer reports that it holds the order, and some peer does not reply.
    pub(crate) async fn find(&self, key: &OrderKey) -> Result<Option<String>, Refusal> {
        let found = self.locate(key).await;
        match &found {
            Ok(Some(_)) => {}
            Ok(None) => self.count_forward("unknown_order"),
            Err(_) => self.count_forward("unreached"),
        }
        found.map(|place| place.map(|place| place.url))
    }

    /// Returns the URLs of all peers.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.0.registry.lock().all().into_iter().map(|peer| peer.url).collect()
    }

    /// Returns the locations of all peers; one that was not met yet has no REST.
    fn endpoints(&self) -> Vec<OwnerEndpoint> {
        self.0.registry.lock().all().into_iter().map(OwnerEndpoint::from).collect()
    }

    /// Returns a client of a peer's streams, at its current address.
    pub(crate) fn streaming(&self, url: &str) -> Option<OrderStreamingServiceClient<ClientStack>> {
        let registry = self.0.registry.lock();
        registry.get(url).map(|peer| peer.connections.streaming())
    }

    /// Counts the result of a request that was forwarded to a peer.
    pub(crate) fn count_forward(&self, result: &'static str) {
        self.0.metrics.forwarded(result);
    }

    /// Reports whether the peer that holds an order is remembered.
    fn remembers(&self, key: &OrderKey) -> bool {
        self.remembered(key).is_some()
    }

    fn remembered(&self, key: &OrderKey) -> Option<OwnerEndpoint> {
        let url = self.0.owners.lock().get(key)?;
        self.0.registry.lock().get(&url).map(Peer::endpoint)
    }

    pub(crate) fn forget(&self, key: &OrderKey) {
        self.0.owners.lock().forget(key);
    }

    /// Forwards a proposal to the processor that holds its order; `None` when none does.
    ///
    /// # Errors
    /// The owner's refusal; or the owner, or a peer that may be it, does not reply.
    pub(crate) async fn submit(
        &self,
        key: &OrderKey,
        submission: v1::ProposalSubmission,
    ) -> Result<Option<Reply>, Refusal> {
        if self.is_alone() {
            return Ok(None);
        }
        let mut is_again = false;
        loop {
            let was_remembered = self.remembers(key);
            let located = self.locate(key).await;
            let Some(endpoint) = located.inspect_err(|_| self.0.metrics.forwarded("unreached"))?
            else {
                self.0.metrics.forwarded("unknown_order");
                return Ok(None);
            };
            let reply = self.forward(key, &endpoint, submission.clone()).await;
            if reply.as_ref().is_err_and(|refusal| refusal.reason == Reason::OrderNotFound) {
                self.forget(key);
                // The remembered owner may have lost the order: another processor may have it.
                if was_remembered && !is_again {
                    is_again = true;
                    continue;
                }
            }
            return reply.map(Some);
        }
    }

    async fn forward(
        &self,
        key: &OrderKey,
        endpoint: &OwnerEndpoint,
        submission: v1::ProposalSubmission,
    ) -> Result<Reply, Refusal> {
        let mut request = tonic::Request::new(tokio_stream::once(submission));
        let mark = endpoint.url.parse().map_err(|_| peer_unreachable(key, &endpoint.url))?;
        request.metadata_mut().insert(FORWARDED, mark);
        let mut client = endpoint.connections.non_streaming();
        let result = match timeout(FORWARD_TIMEOUT, client.submit_proposals(request)).await {
            Ok(Ok(summary)) => summary.into_inner().results.pop(),
            Ok(Err(_)) | Err(_) => None,
        };
        let reply =
            result.ok_or_else(|| peer_unreachable(key, &endpoint.url)).and_then(reply_from_result);
        self.0.metrics.forwarded(match &reply {
            Ok(_) => "ok",
            Err(refusal) if refusal.reason == Reason::Unreachable => "unreached",
            Err(_) => "refused",
        });
        reply
    }
}

/// Converts the owner's reply to one proposal.
fn reply_from_result(result: v1::ProposalResult) -> Result<Reply, Refusal> {
    if !result.reason.is_empty() {
        let reason = Reason::parse(&result.reason).unwrap_or(Reason::Internal);
        return Err(Refusal::new(reason, result.message));
    }
    Ok(Reply {
        seq: Seq(result.seq),
        proposal_id: Some(ProposalId::new(result.proposal_id)?),
        follow_up_id: None,
        // An order that accepts a proposal is open.
        phase: Phase::Open,
        // The owner's reply does not have it, and no caller reads it.
        expires_at: None,
    })
}

/// Asks whether a peer holds an order, or the incarnation of it that is named; `None` when it does
/// not reply.
async fn has_order(
    peer: Peer,
    key: &OrderKey,
    named: Option<&Incarnation>,
) -> (Peer, Option<bool>) {
    let order = order_ref(key, named.map(Incarnation::as_str));
    let request = v1::LocateOrderRequest { order: Some(order) };
    let mut client = peer.connections.control();
    let response = timeout(REPLY_TIMEOUT, client.locate_order(request)).await;
    let located = response.ok().and_then(Result::ok).map(tonic::Response::into_inner);
    // An address may belong to another processor by now.
    let found = located.filter(|located| located.processor == peer.url).map(|l| l.found);
    (peer, found)
}

/// Returns the refusal for an order whose processor, or a peer that may be it, does not reply.
pub(crate) fn peer_unreachable(key: &OrderKey, url: &str) -> Refusal {
    let text = format!("order {key} is or may be at {url}, which does not answer; repeat it");
    Refusal::new(Reason::Unreachable, text).with("processor", url)
}

/// Returns the refusal for an order that cannot be located yet.
fn peers_unknown(key: &OrderKey) -> Refusal {
    let text =
        format!("order {key} is not here, and the other processors are not met yet; repeat it");
    Refusal::new(Reason::Unreachable, text)
}

impl From<v1::MeetProcessorRequest> for PeerAddresses {
    fn from(greeting: v1::MeetProcessorRequest) -> Self {
        let v1::MeetProcessorRequest { processor, rest_url, grpc_url } = greeting;
        Self { processor, rest_url, grpc_url }
    }
}

impl From<PeerAddresses> for v1::MeetProcessorRequest {
    fn from(addresses: PeerAddresses) -> Self {
        let PeerAddresses { processor, rest_url, grpc_url } = addresses;
        Self { processor, rest_url, grpc_url }
    }
}
