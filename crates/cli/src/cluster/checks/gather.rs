//! Asks the API server for the facts, each request with a deadline. A failed request is a fact too.

mod causes;

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use http::Request;
use k8s_openapi::jiff::Timestamp;
use orderstream_api::controller_name::effective;
use orderstream_api::manifest::API_VERSION;
use orderstream_core::request_phase::is_end;
use orderstream_core::{Tenant, TenantScope};
use serde_json::{Value, json};

use super::{
    ApiServerResult, ControllerFacts, Group, InstallationFacts, LeaseFacts, MetricsPage,
    OpenOrderFacts, Pod, UntakenOrder, UntakenOrders, VolumeClaim, Workload, watched,
};
use crate::cluster::resources::Resources;
use orderstream_api::rbac::LEASE_NAME;

/// The time limit of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pods whose metrics are read at once.
const PODS_AT_ONCE: usize = 8;
/// The most pods whose metrics are read.
const PODS_MAX: usize = 200;
/// Orders in one page of a list.
const PAGE: usize = 500;
/// The most pages of orders that are searched for those without a controller: 10 000 orders.
const PAGES_MAX: usize = 20;
/// The rights that installing the chart needs: verb, group, resource.
const RIGHTS_NEEDED: [(&str, &str, &str); 7] = [
    ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("create", "apps", "deployments"),
    ("create", "apps", "statefulsets"),
    ("create", "", "services"),
    ("create", "policy", "poddisruptionbudgets"),
];

/// The choice of facts to gather.
#[derive(Clone, Debug)]
pub(crate) struct FactSelection {
    /// The groups that will be judged.
    pub groups: Vec<Group>,
    /// The namespace of the installation.
    pub namespace: String,
    /// Set when the chart is still to be installed: only the facts that an installation needs are
    /// gathered.
    pub before_install: bool,
    /// The namespaces whose orders are listed; all when there is none.
    pub orders_of: Vec<String>,
    /// The name of the processors' set, and the number of processors that it is to have.
    pub desired_processors: Option<(String, u32)>,
}

/// Gathers the facts that a question asks for.
pub(crate) async fn gather(resources: &Resources, selection: &FactSelection) -> InstallationFacts {
    let wants = |group: Group| selection.groups.contains(&group);
    let gatherer = FactGatherer { resources, namespace: &selection.namespace };
    let mut facts = InstallationFacts {
        namespace: selection.namespace.clone(),
        desired_processors: selection.desired_processors.clone(),
        ..InstallationFacts::default()
    };
    if wants(Group::Kubernetes) {
        let began = Instant::now();
        let version = gatherer.get("/version").await.map(|version| text(&version["gitVersion"]));
        facts.version = Some(version);
        facts.latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if selection.before_install {
            facts.rights = gatherer.rights().await;
        }
    }
    if wants(Group::Crds) && !selection.before_install {
        for (name, _) in orderstream_api::crd::files() {
            let name = name.trim_end_matches(".yaml").to_owned();
            let path = format!("{CRDS}/{name}");
            facts.crds.insert(name, gatherer.get_opt(&path).await);
        }
    }
    if selection.before_install {
        return facts;
    }
    let needs_pods = [Group::Controller, Group::Processors, Group::Streams, Group::Storage];
    if needs_pods.into_iter().any(wants) || wants(Group::Monitoring) {
        facts.controllers = Some(gatherer.workloads("deployments", "controller").await);
        facts.processors = Some(gatherer.workloads("statefulsets", "processor").await);
        facts.lease = Some(gatherer.lease(&facts).await);
        facts.pods = Some(gatherer.pods().await);
    }
    if wants(Group::Controller) {
        facts.all_controllers = Some(gatherer.all_controllers().await);
        if let Some(Ok(_)) = &facts.all_controllers {
            facts.untaken = Some(gatherer.untaken(&own_scope(&facts)).await);
        }
    }
    if wants(Group::Storage) {
        facts.claims = Some(gatherer.claims().await);
    }
    if wants(Group::Monitoring) {
        facts.monitors = Some(gatherer.monitors().await);
    }
    if wants(Group::Stranding) {
        facts.orders = Some(gatherer.orders_of(&selection.orders_of).await);
    }
    gatherer.causes(&mut facts, &wants).await;
    facts
}

/// The path of reviews of the user's own rights.
const OWN_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// The label selector of the chart's objects, URL-encoded.
const SELECTOR: &str = "app.kubernetes.io/part-of%3Dorderstream";

struct FactGatherer<'a> {
    resources: &'a Resources,
    namespace: &'a str,
}

impl FactGatherer<'_> {
    async fn text(&self, request: Request<Vec<u8>>) -> ApiServerResult<Result<String, u16>> {
        let response = self.resources.client().request_text(request);
        match tokio::time::timeout(REQUEST_TIMEOUT, response).await {
            Ok(Ok(text)) => Ok(Ok(text)),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Err(404)),
            Ok(Err(kube::Error::Api(status))) => {
                let (code, message) = (status.code, &status.message);
                Err(format!("{code}: {message}"))
            }
            Ok(Err(error)) => Err(format!("{} is not reached: {error}", self.resources.url())),
            Err(_) => {
                let (url, seconds) = (self.resources.url(), REQUEST_TIMEOUT.as_secs());
                Err(format!("{url} did not answer within {seconds} s"))
            }
        }
    }

    /// Reads an object or a list; `None` where there is none.
    async fn get_opt(&self, path: &str) -> ApiServerResult<Option<Value>> {
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        match self.text(request).await? {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| error.to_string()),
            Err(_) => Ok(None),
        }
    }

    async fn get(&self, path: &str) -> ApiServerResult<Value> {
        self.get_opt(path).await?.ok_or_else(|| format!("nothing is at {path}"))
    }

    async fn rights(&self) -> Vec<(String, ApiServerResult<bool>)> {
        stream::iter(RIGHTS_NEEDED)
            .then(async |(verb, group, resource)| {
                let review = json!({
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "spec": {"resourceAttributes": {
                        "namespace": self.namespace, "verb": verb,
                        "group": group, "resource": resource,
                    }},
                });
                (format!("{verb} {resource}"), self.review(OWN_REVIEWS, &review).await)
            })
            .collect()
            .await
    }

    async fn review(&self, path: &str, review: &Value) -> ApiServerResult<bool> {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .map_err(|error| error.to_string())?;
        let text = self.text(request).await?.map_err(|code| code.to_string())?;
        let response: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(response["status"]["allowed"].as_bool().unwrap_or_default())
    }

    async fn workloads(&self, kind: &str, component: &str) -> ApiServerResult<Vec<Workload>> {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/{kind}?labelSelector={SELECTOR},\
             app.kubernetes.io/component%3D{component}",
            self.namespace
        );
        let list = self.get(&path).await?;
        let mut workloads: Vec<_> = items(&list).iter().map(causes::workload).collect();
        for workload in &mut workloads {
            self.add_creation_failure(kind, workload).await;
        }
        Ok(workloads)
    }

    /// Lists the controllers of all releases in all namespaces.
    async fn all_controllers(&self) -> ApiServerResult<Vec<ControllerFacts>> {
        let path = format!(
            "/apis/apps/v1/deployments?labelSelector={SELECTOR},\
             app.kubernetes.io/component%3Dcontroller"
        );
        Ok(items(&self.get(&path).await?).iter().map(controller).collect())
    }

    async fn lease(&self, facts: &InstallationFacts) -> ApiServerResult<Option<LeaseFacts>> {
        let deployed = facts.controllers.as_ref().and_then(|found| found.as_ref().ok());
        let name = deployed.and_then(|found| found.first()).map_or(LEASE_NAME, |first| &first.name);
        let namespace = self.namespace;
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}");
        let Some(lease) = self.get_opt(&path).await? else { return Ok(None) };
        let spec = &lease["spec"];
        let renewed: Option<Timestamp> =
            spec["renewTime"].as_str().and_then(|text| text.parse().ok());
        let age = renewed.map(|at| Timestamp::now().as_millisecond() - at.as_millisecond());
        Ok(Some(LeaseFacts {
            holder: text(&spec["holderIdentity"]),
            age_ms: age.unwrap_or(i64::MAX),
            duration_s: spec["leaseDurationSeconds"].as_i64().unwrap_or_default(),
        }))
    }

    async fn pods(&self) -> ApiServerResult<Vec<Pod>> {
        let namespace = self.namespace;
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods?labelSelector={SELECTOR}&limit={PODS_MAX}"
        );
        let list = self.get(&path).await?;
        let pods = items(&list)
            .iter()
            .map(pod)
            .filter(|pod| matches!(pod.component.as_str(), "controller" | "processor"));
        let scrapes = stream::iter(pods).map(|pod| async move {
            // The API server connects to no pod without an address.
            let metrics = match pod.address.is_empty() {
                true => Err("the pod has no address yet".to_owned()),
                false => self.scrape(&pod.name).await,
            };
            Pod { metrics, ..pod }
        });
        let mut pods: Vec<_> = scrapes.buffer_unordered(PODS_AT_ONCE).collect().await;
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    async fn scrape(&self, pod: &str) -> ApiServerResult<MetricsPage> {
        let namespace = self.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:9090/proxy/metrics");
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let page = self.text(request).await?.map_err(|code| code.to_string())?;
        Ok(MetricsPage::parse(&page))
    }

    async fn claims(&self) -> ApiServerResult<Vec<VolumeClaim>> {
        let namespace = self.namespace;
        let path = format!(
            "/api/v1/namespaces/{namespace}/persistentvolumeclaims?labelSelector=\
             app.kubernetes.io/component%3Dprocessor"
        );
        let claim = |item: &Value| VolumeClaim {
            name: text(&item["metadata"]["name"]),
            phase: text(&item["status"]["phase"]),
            class: item["spec"]["storageClassName"].as_str().map(ToOwned::to_owned),
            event: String::new(),
        };
        Ok(items(&self.get(&path).await?).iter().map(claim).collect())
    }

    async fn monitors(&self) -> ApiServerResult<Option<usize>> {
        let mut count = None;
        for kind in ["podmonitors", "servicemonitors"] {
            let namespace = self.namespace;
            let path = format!(
                "/apis/monitoring.coreos.com/v1/namespaces/{namespace}/{kind}?labelSelector={SELECTOR}"
            );
            if let Some(list) = self.get_opt(&path).await? {
                count = Some(count.unwrap_or_default() + items(&list).len());
            }
        }
        Ok(count)
    }

    /// Lists the open orders of these namespaces, or of all when there is none.
    async fn orders_of(&self, namespaces: &[String]) -> ApiServerResult<Vec<OpenOrderFacts>> {
        if namespaces.is_empty() {
            return self.orders(None).await;
        }
        let mut orders = Vec::new();
        for namespace in namespaces {
            orders.extend(self.orders(Some(namespace)).await?);
        }
        Ok(orders)
    }

    /// Lists the open orders. Without the definition of order requests there are none: Argo CD runs
    /// the upgrade's check before a first installation, when nothing is defined yet.
    async fn orders(&self, namespace: Option<&str>) -> ApiServerResult<Vec<OpenOrderFacts>> {
        let mut orders = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.order_page(namespace, &token).await?;
            let Some(page) = page else { return Ok(orders) };
            orders.extend(items(&page).iter().filter_map(order));
            token = text(&page["metadata"]["continue"]);
            if token.is_empty() {
                return Ok(orders);
            }
        }
    }

    /// Lists the orders of a scope without a status, among the first [`PAGES_MAX`] pages.
    async fn untaken(&self, scope: &TenantScope) -> ApiServerResult<UntakenOrders> {
        let namespace = scope.single().map(Tenant::as_str);
        let mut untaken = UntakenOrders::default();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.order_page(namespace, &token).await?;
            let Some(page) = page else { return Ok(untaken) };
            let orders = items(&page).iter().filter_map(untaken_order);
            untaken.orders.extend(orders.filter(|it| watched::includes(scope, &it.namespace)));
            token = text(&page["metadata"]["continue"]);
            if token.is_empty() {
                return Ok(untaken);
            }
        }
        untaken.is_partial = true;
        Ok(untaken)
    }

    /// Returns the page of orders after a token; `None` without the definition of order requests.
    async fn order_page(
        &self,
        namespace: Option<&str>,
        token: &str,
    ) -> ApiServerResult<Option<Value>> {
        let of = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        let path = format!("/apis/{API_VERSION}{of}/orderrequests?limit={PAGE}&continue={token}");
        self.get_opt(&path).await
    }
}

/// Returns the namespaces that the installation's controller watches; all where it is not known.
fn own_scope(facts: &InstallationFacts) -> TenantScope {
    let mut controllers = facts.all_controllers.iter().flatten().flatten();
    let own = controllers.find(|it| it.namespace == facts.namespace);
    own.map_or(TenantScope::All, |own| own.watched.clone())
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pod(item: &Value) -> Pod {
    let status = &item["status"];
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    let container = &status["containerStatuses"][0];
    let state = &container["state"];
    let reasons = [
        text(&state["waiting"]["reason"]),
        text(&container["lastState"]["terminated"]["message"]),
        text(&state["waiting"]["message"]),
        text(&status["reason"]),
    ];
    let unscheduled = conditions.iter().find(|c| c["type"] == "PodScheduled");
    let unscheduled = unscheduled.map(|c| text(&c["message"])).unwrap_or_default();
    let reasons = reasons.into_iter().chain([unscheduled]).filter(|reason| !reason.is_empty());
    Pod {
        name: text(&item["metadata"]["name"]),
        component: text(&item["metadata"]["labels"]["app.kubernetes.io/component"]),
        is_ready,
        address: text(&status["podIP"]),
        reason: reasons.collect::<Vec<_>>().join("; ").trim().to_owned(),
        restarts: container["restartCount"].as_u64().unwrap_or_default(),
        metrics: Err("not asked".to_owned()),
    }
}

/// Returns the order of a list's item; `None` where it has ended.
fn order(item: &Value) -> Option<OpenOrderFacts> {
    let status = &item["status"];
    let is_over = status["phase"].as_str().is_some_and(is_end);
    let metadata = &item["metadata"];
    (!is_over).then(|| OpenOrderFacts {
        name: format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"])),
        processor: text(&status["stream"]["processor"]),
    })
}

/// Returns the order of a list's item, if it has no status.
fn untaken_order(item: &Value) -> Option<UntakenOrder> {
    let metadata = &item["metadata"];
    item["status"].is_null().then(|| UntakenOrder {
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        controller_name: effective(item["spec"]["controllerName"].as_str()).to_owned(),
    })
}

/// Returns the controller of a `Deployment`.
fn controller(item: &Value) -> ControllerFacts {
    let metadata = &item["metadata"];
    ControllerFacts {
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        release: text(&metadata["labels"]["app.kubernetes.io/instance"]),
        controller_name: watched::controller_name_of(item),
        watched: watched::scope_of(item),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_api::controller_name::{NAME_LABEL, WATCHED_ANNOTATION};

    use super::*;

    /// Deployments of earlier versions have no label with the name.
    #[test]
    fn deployments_name_their_controllers() {
        let deployment = |labels: Value| {
            controller(&json!({
                "metadata": {
                    "namespace": "shop", "name": "c", "labels": labels,
                    "annotations": { WATCHED_ANNOTATION: "*,!desks" },
                },
            }))
        };
        let excluded = vec![Tenant::new("desks").unwrap()];
        let named = json!({ NAME_LABEL: "team-b", "app.kubernetes.io/instance": "b" });
        for (found, name) in [
            (deployment(named), "team-b"),
            (deployment(json!({})), "orderstream"),
            (deployment(Value::Null), "orderstream"),
        ] {
            assert_eq!(found.controller_name, name);
            assert_eq!(found.watched, TenantScope::AllBut(excluded.clone()));
        }
    }

    #[test]
    fn orders_are_listed_where_the_controller_watches() {
        let of = |namespace: &str, watched: TenantScope| ControllerFacts {
            namespace: namespace.to_owned(),
            watched,
            ..ControllerFacts::default()
        };
        let desks = || TenantScope::Only(vec![Tenant::new("desks").unwrap()]);
        for (controllers, expected) in [
            (None, TenantScope::All),
            (Some(Err("403".to_owned())), TenantScope::All),
            (Some(Ok(vec![of("team", desks())])), TenantScope::All),
            (Some(Ok(vec![of("team", TenantScope::All), of("shop", desks())])), desks()),
        ] {
            let facts = InstallationFacts {
                namespace: "shop".to_owned(),
                all_controllers: controllers,
                ..InstallationFacts::default()
            };
            assert_eq!(own_scope(&facts), expected);
        }
    }

    #[test]
    fn orders_with_status_are_taken() {
        let order =
            |status: Value| json!({ "metadata": { "name": "a" }, "spec": {}, "status": status });
        assert_eq!(untaken_order(&order(json!({ "phase": "Open" }))), None);
        let untaken = untaken_order(&order(Value::Null)).unwrap();
        assert_eq!(untaken.controller_name, "orderstream");
    }
}
