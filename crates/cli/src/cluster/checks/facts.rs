//! The facts about an installation, as it was at one moment.

use std::collections::BTreeMap;

use orderstream_core::TenantScope;
use serde_json::Value;

use super::{MetricsPage, watched};

/// The right to write the status of order requests.
const STATUS_RIGHT: &str = "patch orderrequests/status";

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
    /// The controller's rights; an error where the API server does not answer for others.
    pub controller_rights: Option<ApiServerResult<ControllerRights>>,
    /// The number of statuses that were refused between two reads of the controllers' metrics.
    pub refused_statuses: f64,
    /// The order requests for this installation that have had no status for a minute: namespace and
    /// name, with a slash between them.
    pub unanswered: Option<ApiServerResult<Vec<String>>>,
    /// The election's Lease.
    pub lease: Option<ApiServerResult<Option<LeaseFacts>>>,
    /// All pods of the installation.
    pub pods: Option<ApiServerResult<Vec<Pod>>>,
    /// The processors' volumes.
    pub claims: Option<ApiServerResult<Vec<VolumeClaim>>>,
    /// The cluster's storage classes; absent while every claim is bound.
    pub storage_classes: Option<ApiServerResult<Vec<StorageClass>>>,
    /// The number of the Prometheus operator's monitors of the installation; the inner `None` where
    /// the cluster has no such kinds.
    pub monitors: Option<ApiServerResult<Option<usize>>>,
    /// Orders that have not ended, where they were requested.
    pub orders: Option<ApiServerResult<Vec<OpenOrderFacts>>>,
    /// The name of the processors' set, and the number of processors that it is to have.
    pub desired_processors: Option<(String, u32)>,
}

impl InstallationFacts {
    /// Returns the controllers' `Deployment`, where there is one.
    pub(super) fn controller(&self) -> Option<&Workload> {
        self.controller_workloads().first()
    }

    /// Returns the controllers' `Deployment`s; none where they could not be listed.
    pub(super) fn controller_workloads(&self) -> &[Workload] {
        match &self.controllers {
            Some(Ok(controllers)) => controllers,
            Some(Err(_)) | None => &[],
        }
    }

    /// Reports whether it is known that the controller may not write statuses.
    pub(super) fn may_not_write_statuses(&self) -> bool {
        let rights = self.controller_rights.as_ref().and_then(|rights| rights.as_ref().ok());
        let is_of_statuses = |right: &String| right.starts_with(STATUS_RIGHT);
        rights.is_some_and(|rights| rights.refused.iter().any(is_of_statuses))
    }

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
    /// Pods that exist.
    pub created: u64,
    /// The release that installed it; empty where it has no such label.
    pub release: String,
    /// The service account of its pods.
    pub service_account: String,
    /// The name of the controller, which orders have as `controllerName`.
    pub controller_name: String,
    /// The namespaces that it watches.
    pub watched: TenantScope,
    /// Set where another controller writes the statuses of the sellers.
    pub leaves_sellers: bool,
    /// The message about pods that cannot be created; empty where there is none.
    pub creation_failure: String,
}

impl Workload {
    /// Reports whether this controller takes the orders of a namespace that name a controller.
    pub(super) fn takes(&self, namespace: &str, controller_name: &str) -> bool {
        self.controller_name == controller_name && watched::includes(&self.watched, namespace)
    }
}

/// The rights of the controller's service account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ControllerRights {
    /// The name of the account as a user.
    pub account: String,
    /// The number of rights that the controller needs.
    pub count: usize,
    /// Those that it does not have, such as `patch orderrequests/status`; where it watches several
    /// namespaces, with the namespace.
    pub refused: Vec<String>,
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
    /// The namespaces that it watches.
    pub watched: TenantScope,
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
    /// Its address; empty while it has none.
    pub address: String,
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
    /// The storage class that it names; absent where it takes the default one.
    pub class: Option<String>,
    /// The message of its newest warning; empty where there is none, or it is not asked for.
    pub event: String,
}

impl VolumeClaim {
    /// Reports whether it has a volume.
    pub(super) fn is_bound(&self) -> bool {
        self.phase == "Bound"
    }
}

/// A storage class of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StorageClass {
    /// Its name.
    pub name: String,
    /// Set when claims without a class take it.
    pub is_default: bool,
}

/// An order that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenOrderFacts {
    /// Its namespace and name, with a slash between them.
    pub name: String,
    /// The URL of its owner; empty while it is not placed.
    pub processor: String,
}
