//! What is known of an installation, as it was at one moment.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Figures;

/// What the API server said, or why it did not.
pub type Answer<T> = Result<T, String>;

/// All facts. What was not asked for is empty.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The API server's version, such as `v1.34.4`.
    pub version: Option<Answer<String>>,
    /// How long it took to say so, in milliseconds.
    pub latency_ms: u64,
    /// What installing needs, and whether it is allowed.
    pub rights: Vec<(String, Answer<bool>)>,
    /// The definitions by name; `None` where there is none.
    pub crds: BTreeMap<String, Answer<Option<Value>>>,
    /// The namespace of the installation.
    pub namespace: String,
    /// The controllers.
    pub controllers: Option<Answer<Vec<Workload>>>,
    /// The processors.
    pub processors: Option<Answer<Vec<Workload>>>,
    /// The election's Lease.
    pub lease: Option<Answer<Option<LeaseFacts>>>,
    /// All pods of the installation.
    pub pods: Option<Answer<Vec<Pod>>>,
    /// The processors' volumes.
    pub claims: Option<Answer<Vec<Claim>>>,
    /// How many monitors of the Prometheus operator look at the installation; `None` where the cluster
    /// has no such kinds.
    pub monitors: Option<Answer<Option<usize>>>,
    /// Orders that are not at their end, where that was asked for.
    pub orders: Option<Answer<Vec<Order>>>,
    /// How many processors there are to be, by the name of their set.
    pub wanted_processors: Option<(String, u32)>,
}

impl Facts {
    /// The pods, as far as they could be listed.
    pub(super) fn pods(&self) -> &[Pod] {
        match &self.pods {
            Some(Ok(pods)) => pods,
            Some(Err(_)) | None => &[],
        }
    }
}

/// The controllers' `Deployment`, or the processors' `StatefulSet`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Pods that are to be.
    pub wanted: u64,
    /// Pods that are ready.
    pub ready: u64,
    /// Pods of the newest template.
    pub updated: u64,
}

/// The election's Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseFacts {
    /// Who leads; empty when nobody does.
    pub holder: String,
    /// Milliseconds since it was renewed.
    pub age_ms: i64,
    /// Seconds that it is believed.
    pub duration_s: i64,
}

/// A pod of the installation.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// `controller` or `processor`.
    pub component: String,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Why not, in the kubelet's words.
    pub reason: String,
    /// How often its container was started again.
    pub restarts: u64,
    /// Its metrics.
    pub figures: Answer<Figures>,
}

/// A volume claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// `Bound`, `Pending` or `Lost`.
    pub phase: String,
}

/// An order that is not at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Namespace and name.
    pub name: String,
    /// The URL of the processor that holds it; empty when none does yet.
    pub processor: String,
}
