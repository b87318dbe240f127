//! The processors that orders can be placed on: given by URL, or the ready endpoints of a Service.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use orderstream_core::port::ProcessorAddresses;
use orderstream_core::{OrderKey, placement};
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::watch::{Listing, OutageReports, persistent_watch};

/// The source of the processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessorSource {
    /// These URLs.
    Urls(Vec<String>),
    /// The endpoints of this headless Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// The processors that accept orders now, and the addresses of all. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Processors(Arc<RwLock<EndpointMap>>);

/// All endpoints, by URL.
type EndpointMap = BTreeMap<String, ProcessorEndpoint>;

/// A processor's state and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessorEndpoint {
    state: EndpointState,
    /// Its socket address; absent when only its URL is known.
    address: Option<SocketAddr>,
}

/// The state of an endpoint. When two pods have one name, the greater state counts: that of the pod
/// that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EndpointState {
    /// It is terminating.
    Terminating,
    /// It does not accept orders yet.
    Starting,
    /// It accepts orders.
    Ready,
}

impl Processors {
    /// Returns the URLs of all that accept orders.
    pub fn all(&self) -> Vec<String> {
        let endpoints = self.0.read();
        endpoints
            .iter()
            .filter(|(_, place)| place.state == EndpointState::Ready)
            .map(|(url, _)| url.clone())
            .collect()
    }

    /// Returns the URLs of all that accept orders, the placement of a new order first.
    pub fn ranked(&self, key: &OrderKey) -> Vec<String> {
        placement::ranked(key, &self.all())
    }

    /// Replaces the processors; reports whether the set that accepts orders has changed.
    fn set(&self, endpoints: EndpointMap) -> bool {
        let before = self.all();
        *self.0.write() = endpoints;
        before != self.all()
    }

    fn set_urls(&self, urls: impl IntoIterator<Item = String>) -> bool {
        let endpoint = ProcessorEndpoint { state: EndpointState::Ready, address: None };
        self.set(urls.into_iter().map(|url| (url, endpoint)).collect())
    }

    /// Keeps the list up to date until shutdown; `changed` is called after every change.
    pub async fn follow(
        self,
        source: ProcessorSource,
        client: Client,
        shutdown: CancellationToken,
        changed: impl Fn(),
    ) {
        let (namespace, name) = match source {
            ProcessorSource::Urls(urls) => {
                self.set_urls(urls);
                changed();
                return;
            }
            ProcessorSource::Service { namespace, name } => (namespace, name),
        };
        let api: Api<EndpointSlice> = Api::namespaced(client, &namespace);
        let config = watcher::Config::default()
            .labels(&format!("kubernetes.io/service-name={name}"))
            .timeout(60);
        let mut events = std::pin::pin!(persistent_watch(api, config, Listing::Paged));
        let mut slices = Slices::new(&namespace, &name);
        let mut outages = OutageReports::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        outages.record_event(&event);
                        if slices.take(event) && self.set(slices.endpoints()) {
                            tracing::info!(processors = ?self.all(), "the processors changed");
                            changed();
                        }
                    }
                    Some(Err(error)) => {
                        let outage = outages.record_failure(&error, Instant::now());
                        if outage.is_reported() {
                            tracing::warn!(%error, "the watch of processors failed");
                        }
                    }
                    None => return,
                },
            }
        }
    }
}

/// The endpoint slices of one Service.
struct Slices {
    service: String,
    slices: BTreeMap<String, Vec<(String, ProcessorEndpoint)>>,
    listed: Option<BTreeMap<String, Vec<(String, ProcessorEndpoint)>>>,
}

impl Slices {
    fn new(namespace: &str, name: &str) -> Self {
        let service = format!("{name}.{namespace}.svc");
        Self { service, slices: BTreeMap::new(), listed: None }
    }

    /// Applies an event; reports whether the list may have changed.
    fn take(&mut self, event: watcher::Event<EndpointSlice>) -> bool {
        match event {
            watcher::Event::Init => self.listed = Some(BTreeMap::new()),
            watcher::Event::InitApply(slice) => {
                let endpoints = self.endpoints_of(&slice);
                if let Some(listed) = &mut self.listed {
                    listed.insert(slice.name_any(), endpoints);
                }
            }
            watcher::Event::InitDone => {
                self.slices = self.listed.take().unwrap_or_default();
                return true;
            }
            watcher::Event::Apply(slice) => {
                let endpoints = self.endpoints_of(&slice);
                self.slices.insert(slice.name_any(), endpoints);
                return true;
            }
            watcher::Event::Delete(slice) => {
                self.slices.remove(&slice.name_any());
                return true;
            }
        }
        false
    }

    /// Returns all endpoints; of two with one name, the one that stays.
    fn endpoints(&self) -> EndpointMap {
        let mut endpoints = EndpointMap::new();
        for (url, endpoint) in self.slices.values().flatten() {
            let entry = endpoints.entry(url.clone()).or_insert(*endpoint);
            if endpoint.state > entry.state {
                *entry = *endpoint;
            }
        }
        endpoints
    }

    /// Returns the endpoints of a slice: by the pod's own name where it has one, which stays when
    /// the pod comes back with another address.
    fn endpoints_of(&self, slice: &EndpointSlice) -> Vec<(String, ProcessorEndpoint)> {
        let named = |name: &str| {
            let ports = slice.ports.iter().flatten();
            ports
                .clone()
                .find(|port| port.name.as_deref() == Some(name))
                .or_else(|| ports.clone().next())
        };
        let Some(port) = named("grpc").and_then(|port| port.port) else { return Vec::new() };
        let to_endpoint = |endpoint: &Endpoint| {
            let name = endpoint.addresses.first()?;
            let address = name.parse::<IpAddr>().ok().zip(u16::try_from(port).ok());
            let address = address.map(SocketAddr::from);
            let url = match (&endpoint.hostname, address) {
                (Some(hostname), _) => format!("http://{hostname}.{}:{port}", self.service),
                // An IPv6 address gets its brackets.
                (None, Some(address)) => format!("http://{address}"),
                (None, None) => format!("http://{name}:{port}"),
            };
            Some((url, ProcessorEndpoint { state: state(endpoint), address }))
        };
        slice.endpoints.iter().filter_map(to_endpoint).collect()
    }
}

/// Returns the state of an endpoint. Where addresses are published before they are ready, `ready`
/// is true of all, and only `serving` can be relied on.
fn state(endpoint: &Endpoint) -> EndpointState {
    let Some(conditions) = &endpoint.conditions else { return EndpointState::Ready };
    match conditions.serving.or(conditions.ready) {
        _ if conditions.terminating == Some(true) => EndpointState::Terminating,
        Some(false) => EndpointState::Starting,
        Some(true) | None => EndpointState::Ready,
    }
}

impl ProcessorAddresses for Processors {
    fn address(&self, processor: &str) -> Option<SocketAddr> {
        self.0.read().get(processor)?.address
    }

    fn known(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }
}

#[cfg(test)]
#[path = "processors_tests.rs"]
mod tests;
