//! The processors that orders can be placed on: given by URL, or the ready endpoints of a Service.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use orderstream_core::port::Addresses;
use orderstream_core::{OrderKey, placement};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::listing::Listing;
use super::retry::watch;

/// The source of the processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
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

/// The processors that take orders now, and the addresses of all. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Processors(Arc<RwLock<Held>>);

/// All endpoints, by URL.
type Held = BTreeMap<String, Place>;

/// A processor's state and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    state: State,
    /// Its socket address; absent when only its URL is known.
    address: Option<SocketAddr>,
}

/// The state of an endpoint. When two pods have one name, the greater state counts: that of the pod
/// that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It is terminating.
    Leaving,
    /// It does not take orders yet.
    Starting,
    /// It takes orders.
    Ready,
}

impl Processors {
    /// Returns the URLs of all that take orders.
    pub fn all(&self) -> Vec<String> {
        let held = self.0.read();
        held.iter()
            .filter(|(_, place)| place.state == State::Ready)
            .map(|(url, _)| url.clone())
            .collect()
    }

    /// Returns the URLs of all that take orders, the placement of a new order first.
    pub fn ranked(&self, key: &OrderKey) -> Vec<String> {
        placement::ranked(key, &self.all())
    }

    /// Replaces the processors; reports whether the set that takes orders has changed.
    fn set(&self, places: Held) -> bool {
        let before = self.all();
        *self.0.write() = places;
        before != self.all()
    }

    fn set_urls(&self, urls: impl IntoIterator<Item = String>) -> bool {
        let place = Place { state: State::Ready, address: None };
        self.set(urls.into_iter().map(|url| (url, place)).collect())
    }

    /// Keeps the list up to date until shutdown; `changed` is called after every change.
    pub async fn follow(
        self,
        source: Source,
        client: Client,
        shutdown: CancellationToken,
        changed: impl Fn(),
    ) {
        let (namespace, name) = match source {
            Source::Urls(urls) => {
                self.set_urls(urls);
                changed();
                return;
            }
            Source::Service { namespace, name } => (namespace, name),
        };
        let api: Api<EndpointSlice> = Api::namespaced(client, &namespace);
        let config = watcher::Config::default()
            .labels(&format!("kubernetes.io/service-name={name}"))
            .timeout(60);
        let mut events = std::pin::pin!(watch(api, config, Listing::Paged));
        let mut slices = Slices::new(&namespace, &name);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if slices.take(event) && self.set(slices.places()) {
                            tracing::info!(processors = ?self.all(), "the processors changed");
                            changed();
                        }
                    }
                    Some(Err(error)) => tracing::warn!(%error, "the watch of processors failed"),
                    None => return,
                },
            }
        }
    }
}

/// The endpoint slices of one Service.
struct Slices {
    service: String,
    held: BTreeMap<String, Vec<(String, Place)>>,
    listed: Option<BTreeMap<String, Vec<(String, Place)>>>,
}

impl Slices {
    fn new(namespace: &str, name: &str) -> Self {
        let service = format!("{name}.{namespace}.svc");
        Self { service, held: BTreeMap::new(), listed: None }
    }

    /// Takes in an event; reports whether the list may have changed.
    fn take(&mut self, event: watcher::Event<EndpointSlice>) -> bool {
        match event {
            watcher::Event::Init => self.listed = Some(BTreeMap::new()),
            watcher::Event::InitApply(slice) => {
                let places = self.places_of(&slice);
                if let Some(listed) = &mut self.listed {
                    listed.insert(slice.name_any(), places);
                }
            }
            watcher::Event::InitDone => {
                self.held = self.listed.take().unwrap_or_default();
                return true;
            }
            watcher::Event::Apply(slice) => {
                let places = self.places_of(&slice);
                self.held.insert(slice.name_any(), places);
                return true;
            }
            watcher::Event::Delete(slice) => {
                self.held.remove(&slice.name_any());
                return true;
            }
        }
        false
    }

    /// Returns all endpoints; of two with one name, the one that stays.
    fn places(&self) -> Held {
        let mut places = Held::new();
        for (url, place) in self.held.values().flatten() {
            let held = places.entry(url.clone()).or_insert(*place);
            if place.state > held.state {
                *held = *place;
            }
        }
        places
    }

    /// Returns the endpoints of a slice: by the pod's own name where it has one, which stays when
    /// the pod comes back with another address.
    fn places_of(&self, slice: &EndpointSlice) -> Vec<(String, Place)> {
        let named = |name: &str| {
            let ports = slice.ports.iter().flatten();
            ports
                .clone()
                .find(|port| port.name.as_deref() == Some(name))
                .or_else(|| ports.clone().next())
        };
        let Some(port) = named("grpc").and_then(|port| port.port) else { return Vec::new() };
        let place = |endpoint: &Endpoint| {
            let address = endpoint.addresses.first()?;
            let url = match &endpoint.hostname {
                Some(hostname) => format!("http://{hostname}.{}:{port}", self.service),
                None => format!("http://{address}:{port}"),
            };
            let address = address.parse::<IpAddr>().ok().zip(u16::try_from(port).ok());
            let state = state(endpoint);
            Some((url, Place { state, address: address.map(SocketAddr::from) }))
        };
        slice.endpoints.iter().filter_map(place).collect()
    }
}

/// Returns the state of an endpoint. Where addresses are published before they are ready, `ready`
/// is true of all, and only `serving` can be relied on.
fn state(endpoint: &Endpoint) -> State {
    let Some(conditions) = &endpoint.conditions else { return State::Ready };
    match conditions.serving.or(conditions.ready) {
        _ if conditions.terminating == Some(true) => State::Leaving,
        Some(false) => State::Starting,
        Some(true) | None => State::Ready,
    }
}

impl Addresses for Processors {
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
