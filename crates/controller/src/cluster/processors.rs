//! The processors that orders can be placed on: given by URL, or the ready endpoints of a Service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use orderstream_core::Incarnation;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::retry::watch;

/// Where processors come from.
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

/// The processors that take orders now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Processors(Arc<RwLock<BTreeSet<String>>>);

impl Processors {
    /// All, by URL.
    pub fn all(&self) -> Vec<String> {
        self.0.read().iter().cloned().collect()
    }

    /// All, the one first that this order is to go to: the highest hash of order and processor, so
    /// that a processor more or less moves few orders.
    pub fn ranked(&self, life: &Incarnation) -> Vec<String> {
        let mut all = self.all();
        let rank = |url: &String| std::cmp::Reverse(weight(life.as_str(), url));
        all.sort_by_cached_key(|url| (rank(url), url.clone()));
        all
    }

    fn set(&self, urls: BTreeSet<String>) -> bool {
        let mut held = self.0.write();
        let is_new = *held != urls;
        *held = urls;
        is_new
    }

    /// Keeps the list true until shutdown; `changed` is called after every change.
    pub async fn follow(
        self,
        source: Source,
        client: Client,
        shutdown: CancellationToken,
        changed: impl Fn(),
    ) {
        let (namespace, name) = match source {
            Source::Urls(urls) => {
                self.set(urls.into_iter().collect());
                changed();
                return;
            }
            Source::Service { namespace, name } => (namespace, name),
        };
        let api: Api<EndpointSlice> = Api::namespaced(client, &namespace);
        let config = watcher::Config::default()
            .labels(&format!("kubernetes.io/service-name={name}"))
            .timeout(60);
        let mut events = std::pin::pin!(watch(api, config));
        let mut slices = Slices::new(&namespace, &name);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if slices.take(event) && self.set(slices.urls()) {
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

/// The slices of one Service.
struct Slices {
    service: String,
    held: BTreeMap<String, BTreeSet<String>>,
    listed: Option<BTreeMap<String, BTreeSet<String>>>,
}

impl Slices {
    fn new(namespace: &str, name: &str) -> Self {
        let service = format!("{name}.{namespace}.svc");
        Self { service, held: BTreeMap::new(), listed: None }
    }

    /// Whether the list may have changed.
    fn take(&mut self, event: watcher::Event<EndpointSlice>) -> bool {
        match event {
            watcher::Event::Init => self.listed = Some(BTreeMap::new()),
            watcher::Event::InitApply(slice) => {
                let urls = self.urls_of(&slice);
                if let Some(listed) = &mut self.listed {
                    listed.insert(slice.name_any(), urls);
                }
            }
            watcher::Event::InitDone => {
                self.held = self.listed.take().unwrap_or_default();
                return true;
            }
            watcher::Event::Apply(slice) => {
                let urls = self.urls_of(&slice);
                self.held.insert(slice.name_any(), urls);
                return true;
            }
            watcher::Event::Delete(slice) => {
                self.held.remove(&slice.name_any());
                return true;
            }
        }
        false
    }

    fn urls(&self) -> BTreeSet<String> {
        self.held.values().flatten().cloned().collect()
    }

    /// The ready endpoints: by the pod's own name where it has one, which stays when the pod comes
    /// back with another address.
    fn urls_of(&self, slice: &EndpointSlice) -> BTreeSet<String> {
        let named = |name: &str| {
            let ports = slice.ports.iter().flatten();
            ports
                .clone()
                .find(|port| port.name.as_deref() == Some(name))
                .or_else(|| ports.clone().next())
        };
        let Some(port) = named("grpc").and_then(|port| port.port) else { return BTreeSet::new() };
        // Where addresses are published before they are ready, `ready` says yes to all.
        let is_ready = |conditions: &EndpointConditions| {
            let serves = conditions.serving.or(conditions.ready).unwrap_or(true);
            serves && conditions.terminating != Some(true)
        };
        slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.conditions.as_ref().is_none_or(is_ready))
            .filter_map(|endpoint| match &endpoint.hostname {
                Some(hostname) => Some(format!("http://{hostname}.{}:{port}", self.service)),
                None => {
                    endpoint.addresses.first().map(|address| format!("http://{address}:{port}"))
                }
            })
            .collect()
    }
}

/// FNV-1a with a final mix, stable across builds and machines.
fn weight(life: &str, url: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in life.bytes().chain([0]).chain(url.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
#[path = "processors_tests.rs"]
mod tests;
