//! The facts about an installation, as it was at one moment.

use std::collections::BTreeMap;

use serde_json::Value;

use super::MetricsPage;

/// A response of the API server, or the text of the failure.
pub(crate) type ApiServerResult<T> = Result<T, String>;

/// All facts. Those that were not requested are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstallationFacts {
    /// The API server's version, such as `v1.34.4`.
    pub version: Option<ApiServerResult<String>>,
    /// The time that the request of the version took, in milliseconds.
    pub latency_ms: u64,
    /// The rights that installing needs, and whether each is granted.
    pub rights: Vec<(String, ApiServerResult<bool>)>,
    /// The custom resource definitions by name; `None` where one is not installed.
    pub crds: BTreeMap<String, ApiServerResult<Option<Value>>>,
    /// The namespace of the installation.
    pub namespace: String,
    /// The controllers.
    pub controllers: Option<ApiServerResult<Vec<Workload>>>,
    /// The processors.
    pub processors: Option<ApiServerResult<Vec<Workload>>>,
    /// The controllers of all releases in all namespaces.
    pub all_controllers: Option<ApiServerResult<Vec<ControllerFacts>>>,
    /// The orders that no controller has taken.
    pub untaken: Option<ApiServerResult<UntakenOrders>>,
    /// The election's Lease.
    pub lease: Option<ApiServerResult<Option<LeaseFacts>>>,
    /// All pods of the installation.
    pub pods: Option<ApiServerResult<Vec<Pod>>>,
    /// The processors' volumes.
    pub claims: Option<ApiServerResult<Vec<VolumeClaim>>>,
    /// The number of the Prometheus operator's monitors of the installation; the inner `None` where
    /// the cluster has no such kinds.
    pub monitors: Option<ApiServerResult<Option<usize>>>,
    /// Orders that have not ended, where they were requested.
    pub orders: Option<ApiServerResult<Vec<OpenOrderFacts>>>,
    /// The name of the processors' set, and the number of processors that it is to have.
    pub desired_processors: Option<(String, u32)>,
}

impl InstallationFacts {
    /// Returns the pods; none where they could not be listed.
    pub(super) fn pods(&self) -> &[Pod] {
        match &self.pods {
            Some(Ok(pods)) => pods,
            Some(Err(_)) | None => &[],
        }
    }
}

/// The controllers' `Deployment`, or the processors' `StatefulSet`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workload {
    /// Its name.
    pub name: String,
    /// Pods that are desired.
    pub desired: u64,
    /// Pods that are ready.
    pub ready: u64,
    /// Pods of the newest template.
    pub updated: u64,
}

/// A controller's `Deployment`, of any release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ControllerFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The release that installed it; empty where it has no such label.
    pub release: String,
    /// The name of the controller, which orders have as `controllerName`.
    pub controller_name: String,
    /// The namespace that it watches; all when absent.
    pub watched: Option<String>,
}

/// The orders without a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UntakenOrders {
    /// The orders.
    pub orders: Vec<UntakenOrder>,
    /// Set when there were more orders than are read.
    pub is_partial: bool,
}

/// An order without a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UntakenOrder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The name of the controller that is to take it.
    pub controller_name: String,
}

/// The election's Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaseFacts {
    /// The leader's identity; empty when nobody leads.
    pub holder: String,
    /// Milliseconds since it was renewed; `i64::MAX` where it has no time of a renewal.
    pub age_ms: i64,
    /// Seconds for which a renewal is valid.
    pub duration_s: i64,
}

/// A pod of the installation.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// Its name.
    pub name: String,
    /// `controller` or `processor`.
    pub component: String,
    /// Set when the pod is ready.
    pub is_ready: bool,
    /// The reasons and messages of its status, joined by `; `; empty where it has none.
    pub reason: String,
    /// The restarts of its container.
    pub restarts: u64,
    /// Its metrics, or the text of the failure to read them.
    pub metrics: ApiServerResult<MetricsPage>,
}

/// A volume claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumeClaim {
    /// Its name.
    pub name: String,
    /// `Bound`, `Pending` or `Lost`.
    pub phase: String,
}

/// An order that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenOrderFacts {
    /// Its namespace and name, with a slash between them.
    pub name: String,
    /// The URL of its owner; empty while it is not placed.
    pub processor: String,
}
