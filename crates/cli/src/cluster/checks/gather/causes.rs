//! Asks the API server for what explains the facts: the controller's rights, refused statuses, events,
//! storage classes, and order requests without a status.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::jiff::Timestamp;
use orderstream_api::controller_name::effective;
use orderstream_api::manifest::API_VERSION;
use orderstream_api::rbac;
use orderstream_core::{Tenant, TenantScope};
use serde_json::{Value, json};

use super::{FactGatherer, PAGES_MAX, items, text};
use crate::cluster::checks::data_plane::UNANSWERED_MAX;
use crate::cluster::checks::{
    ApiServerResult, ControllerRights, Group, InstallationFacts, MetricsPage, Pod, StorageClass,
    Workload, watched,
};

/// The path of reviews of another user's rights.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// Reviews that are asked for at once.
const REVIEWS_AT_ONCE: usize = 8;
/// The time between two reads of the metrics. A refused status is written again within 1.5 s.
const REFUSALS_INTERVAL: Duration = Duration::from_secs(2);
/// Events of one object that are read at most.
const EVENTS_MAX: usize = 100;
/// The age from which an order request should have a status, in milliseconds.
const STATUS_AGE_MS: i64 = 60_000;

impl FactGatherer<'_> {
    /// Adds what explains the facts of the wanted groups.
    pub(super) async fn causes(
        &self,
        facts: &mut InstallationFacts,
        wants: &impl Fn(Group) -> bool,
    ) {
        if wants(Group::Streams) {
            facts.refused_statuses = self.refused_statuses(facts.pods()).await;
            let unanswered = self.unanswered(facts.controller_workloads()).await;
            facts.unanswered = unanswered;
        }
        // A missing right is the cause of refused statuses, too.
        if (wants(Group::Controller) || facts.refused_statuses > 0.0)
            && let Some(controller) = facts.controller()
        {
            let rights = self.controller_rights(controller).await;
            facts.controller_rights = Some(rights);
        }
        if wants(Group::Storage)
            && let Some(Ok(claims)) = &mut facts.claims
            && let Some(claim) = claims.iter_mut().find(|claim| !claim.is_bound())
        {
            claim.event = self.newest_warning("PersistentVolumeClaim", &claim.name).await;
            facts.storage_classes = Some(self.storage_classes().await);
        }
    }

    /// Asks whether the controller's service account has each right that the controller needs.
    async fn controller_rights(&self, controller: &Workload) -> ApiServerResult<ControllerRights> {
        let account = account(self.namespace, controller);
        let reviews = right_reviews(self.namespace, controller);
        let count = reviews.len();
        let answers = stream::iter(reviews).map(|asked| async move {
            let is_granted = self.review(REVIEWS, &asked.review).await?;
            Ok::<_, String>((!is_granted).then_some(asked.right))
        });
        let answers: Vec<ApiServerResult<Option<String>>> =
            answers.buffered(REVIEWS_AT_ONCE).collect().await;
        let refused = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(ControllerRights { account, count, refused: refused.into_iter().flatten().collect() })
    }

    /// Returns the number of statuses that are refused while this waits. It waits only where some
    /// were refused since the start of a controller.
    async fn refused_statuses(&self, pods: &[Pod]) -> f64 {
        let mut suspects = Vec::new();
        for pod in pods {
            let before = pod.metrics.as_ref().map(refusals).unwrap_or_default();
            if before > 0.0 {
                suspects.push((pod, before));
            }
        }
        if suspects.is_empty() {
            return 0.0;
        }
        tokio::time::sleep(REFUSALS_INTERVAL).await;
        let mut count = 0.0;
        for (pod, before) in suspects {
            if let Ok(page) = self.scrape(&pod.name).await {
                count += (refusals(&page) - before).max(0.0);
            }
        }
        count
    }

    /// Lists the order requests for these controllers that have no status; `None` where there is no
    /// definition of them, and on Kubernetes before 1.31, which selects them by no field.
    async fn unanswered(&self, controllers: &[Workload]) -> Option<ApiServerResult<Vec<String>>> {
        let namespace = listed_namespace(controllers);
        let of = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        let mut found = Vec::new();
        let mut token = String::new();
        // Those of other controllers are in the pages, too.
        for _ in 0..PAGES_MAX {
            let path = format!(
                "/apis/{API_VERSION}{of}/orderrequests?fieldSelector=status.phase%3D\
                 &limit={UNANSWERED_MAX}&continue={token}"
            );
            let page = match self.get_opt(&path).await {
                Ok(page) => page?,
                Err(error) if error.starts_with("400") => return None,
                Err(error) => return Some(Err(error)),
            };
            found.extend(unanswered(items(&page), controllers, Timestamp::now()));
            token = text(&page["metadata"]["continue"]);
            if token.is_empty() || found.len() >= UNANSWERED_MAX {
                break;
            }
        }
        Some(Ok(found))
    }

    async fn storage_classes(&self) -> ApiServerResult<Vec<StorageClass>> {
        let list = self.get("/apis/storage.k8s.io/v1/storageclasses").await?;
        Ok(items(&list).iter().map(storage_class).collect())
    }

    /// Adds the message about pods that cannot be created. A `Deployment` has it in a condition, and
    /// a `StatefulSet` in its events only.
    pub(super) async fn add_creation_failure(&self, kind: &str, workload: &mut Workload) {
        if kind == "statefulsets" && workload.created < workload.desired {
            workload.creation_failure = self.newest_warning("StatefulSet", &workload.name).await;
        }
    }

    /// Returns the message of an object's newest warning; empty where there is none, or events cannot
    /// be read: then the finding remains, with a less exact cause.
    async fn newest_warning(&self, kind: &str, name: &str) -> String {
        let namespace = self.namespace;
        let path = format!(
            "/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind%3D{kind},\
             involvedObject.name%3D{name},type%3DWarning&limit={EVENTS_MAX}"
        );
        match self.get(&path).await {
            Ok(list) => newest_message(items(&list)),
            Err(_) => String::new(),
        }
    }
}

/// Returns the facts about a `Deployment` or a `StatefulSet`.
pub(super) fn workload(item: &Value) -> Workload {
    let (metadata, spec, status) = (&item["metadata"], &item["spec"], &item["status"]);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let pod = &spec["template"]["spec"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let failures = conditions.filter(|it| it["type"] == "ReplicaFailure" && it["status"] == "True");
    Workload {
        name: text(&metadata["name"]),
        desired: number(&spec["replicas"]),
        ready: number(&status["readyReplicas"]),
        updated: number(&status["updatedReplicas"]),
        created: number(&status["replicas"]),
        release: text(&metadata["labels"]["app.kubernetes.io/instance"]),
        service_account: pod["serviceAccountName"].as_str().unwrap_or("default").to_owned(),
        controller_name: watched::controller_name_of(item),
        watched: watched::scope_of(item),
        leaves_sellers: watched::leaves_sellers(item),
        creation_failure: failures.map(|it| text(&it["message"])).next().unwrap_or_default(),
    }
}

/// Returns the controllers' count of statuses that were not written.
fn refusals(page: &MetricsPage) -> f64 {
    page.sum("orderstream_status_writes_total", &["result=\"error\""]).unwrap_or_default()
}

/// Returns the name of the controller's service account as a user.
fn account(namespace: &str, controller: &Workload) -> String {
    format!("system:serviceaccount:{namespace}:{}", controller.service_account)
}

/// A right of the controller, and the question whether it is granted.
#[derive(Clone, Debug, PartialEq)]
struct RightReview {
    right: String,
    review: Value,
}

/// Returns a review for each right that the controller of a namespace needs: to orders and sellers in
/// all namespaces or in each of the watched ones, and to the rest in its own.
fn right_reviews(namespace: &str, controller: &Workload) -> Vec<RightReview> {
    let watched: Vec<&str> = match &controller.watched {
        TenantScope::All | TenantScope::AllBut(_) => vec![""],
        TenantScope::Only(named) => named.iter().map(Tenant::as_str).collect(),
    };
    let suffix = |place: &str| match watched.len() {
        1 => String::new(),
        _ => format!(" in {place}"),
    };
    let orders = watched.iter().copied().flat_map(|place| {
        let in_place = suffix(place);
        let rules = rbac::orders().into_iter().filter(|rule| is_needed(controller, rule));
        rules.map(move |rule| (rule, place, in_place.clone()))
    });
    let own = rbac::own().into_iter().map(|rule| (rule, namespace, String::new()));
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    let user = account(namespace, controller);
    let mut reviews = Vec::new();
    for (rule, namespace, suffix) in orders.chain(own) {
        // The chart gives the Lease the name of the Deployment.
        let name = if rule.resource_names.is_some() { controller.name.as_str() } else { "" };
        let api_groups = rule.api_groups.iter().flatten();
        for (group, resource) in api_groups.zip(rule.resources.iter().flatten()) {
            let (kind, part) = resource.split_once('/').unwrap_or((resource.as_str(), ""));
            for verb in &rule.verbs {
                let right = format!("{verb} {resource}{suffix}");
                let review = json!({
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SubjectAccessReview",
                    "spec": { "user": user, "groups": groups, "resourceAttributes": {
                        "namespace": namespace, "verb": verb, "group": group,
                        "resource": kind, "subresource": part, "name": name,
                    } },
                });
                reviews.push(RightReview { right, review });
            }
        }
    }
    reviews
}

/// Reports whether a controller needs a right: one that leaves the statuses of sellers to another
/// controller does not read them.
fn is_needed(controller: &Workload, rule: &PolicyRule) -> bool {
    let is_of_sellers = |resource: &String| resource.starts_with("sellers");
    !(controller.leaves_sellers && rule.resources.iter().flatten().any(is_of_sellers))
}

/// Returns the one namespace that these controllers watch; `None` where there may be several.
fn listed_namespace(controllers: &[Workload]) -> Option<&Tenant> {
    let first = controllers.first()?.watched.single()?;
    let is_only = controllers.iter().all(|it| it.watched.single() == Some(first));
    is_only.then_some(first)
}

/// Returns those of some order requests for these controllers that have had no status for a minute;
/// without a controller, those for any.
fn unanswered(orders: &[Value], controllers: &[Workload], now: Timestamp) -> Vec<String> {
    let is_taken_here = |order: &&Value| {
        let namespace = order["metadata"]["namespace"].as_str().unwrap_or_default();
        let named = effective(order["spec"]["controllerName"].as_str());
        controllers.is_empty() || controllers.iter().any(|it| it.takes(namespace, named))
    };
    let is_unanswered = |order: &&Value| {
        let metadata = &order["metadata"];
        let created: Option<Timestamp> =
            metadata["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let age_ms = created.map(|at| now.as_millisecond() - at.as_millisecond());
        let has_status = order["status"].as_object().is_some_and(|status| !status.is_empty());
        let is_deleted = metadata["deletionTimestamp"].is_string();
        !has_status && !is_deleted && age_ms.is_some_and(|age_ms| age_ms >= STATUS_AGE_MS)
    };
    let name = |order: &Value| {
        let metadata = &order["metadata"];
        format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]))
    };
    orders.iter().filter(is_unanswered).filter(is_taken_here).map(name).collect()
}

fn storage_class(item: &Value) -> StorageClass {
    let metadata = &item["metadata"];
    let default = &metadata["annotations"]["storageclass.kubernetes.io/is-default-class"];
    StorageClass { name: text(&metadata["name"]), is_default: default == "true" }
}

/// Returns the message of the newest event; empty without one. Repeated events have the time of the
/// last repetition.
fn newest_message(events: &[Value]) -> String {
    let time = |event: &Value| {
        let times = [
            &event["series"]["lastObservedTime"],
            &event["lastTimestamp"],
            &event["eventTime"],
            &event["metadata"]["creationTimestamp"],
        ];
        times.into_iter().find_map(Value::as_str).map(ToOwned::to_owned)
    };
    let newest = events.iter().max_by_key(|event| time(event));
    newest.map(|event| text(&event["message"])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use orderstream_api::controller_name::watched_scope;

    use super::*;

    fn deployment(args: &[&str], conditions: &Value) -> Value {
        json!({
            "metadata": { "name": "c", "labels": { "app.kubernetes.io/instance": "quotes" } },
            "spec": { "replicas": 2, "template": { "spec": {
                "serviceAccountName": "account", "containers": [{ "args": args }],
            } } },
            "status": { "replicas": 1, "readyReplicas": 1, "conditions": conditions },
        })
    }

    #[test]
    fn deployments_name_account_namespace_and_failure() {
        let message = "pods \"c-1\" is forbidden: exceeded quota: q";
        let conditions = json!([
            { "type": "Available", "status": "True", "message": "enough" },
            { "type": "ReplicaFailure", "status": "True", "message": message },
        ]);
        let read = workload(&deployment(&["controller", "--namespace=shop"], &conditions));
        assert_eq!((read.desired, read.created, read.ready, read.updated), (2, 1, 1, 0));
        assert_eq!((read.release.as_str(), read.service_account.as_str()), ("quotes", "account"));
        assert_eq!(read.watched.single().map(Tenant::as_str), Some("shop"));
        assert_eq!(read.controller_name, "orderstream");
        assert_eq!(read.creation_failure, message);
        let over = json!([{ "type": "ReplicaFailure", "status": "False", "message": message }]);
        let read = workload(&deployment(&["controller"], &over));
        assert_eq!((read.watched, read.creation_failure), (TenantScope::All, String::new()));
        assert_eq!(workload(&json!({})).service_account, "default");
    }

    #[test]
    fn controllers_without_sellers_need_no_such_rights() {
        let controller = workload(&deployment(&["--seller-statuses=false"], &json!([])));
        let reviews = right_reviews("shop", &controller);
        assert!(reviews.iter().any(|review| review.right == "patch orderrequests/status"));
        assert!(reviews.iter().all(|review| !review.right.contains("sellers")));
    }

    /// The rights to orders are asked for where the controller watches, the others where it is.
    #[test]
    fn every_right_is_reviewed_in_its_namespace() {
        let verbs = rbac::orders().into_iter().chain(rbac::own()).map(|rule| rule.verbs.len());
        let count: usize = verbs.sum();
        for (annotation, namespace) in [("*", ""), ("*,!desks", ""), ("desks", "desks")] {
            let controller = Workload {
                name: "c".to_owned(),
                service_account: "account".to_owned(),
                watched: watched_scope(annotation),
                ..Workload::default()
            };
            let reviews = right_reviews("shop", &controller);
            assert_eq!(reviews.len(), count);
            let spec = |right: &str| {
                let review = reviews.iter().find(|review| review.right == right).unwrap();
                review.review["spec"].clone()
            };
            let status = spec("patch orderrequests/status");
            assert_eq!(status["user"], "system:serviceaccount:shop:account");
            assert_eq!(status["groups"][1], "system:serviceaccounts:shop");
            let expected = json!({
                "namespace": namespace, "verb": "patch",
                "group": "orderstream.dev", "resource": "orderrequests", "subresource": "status",
                "name": "",
            });
            assert_eq!(status["resourceAttributes"], expected);
            let lease = spec("update leases");
            let lease = &lease["resourceAttributes"];
            assert_eq!((&lease["namespace"], &lease["name"]), (&json!("shop"), &json!("c")));
            assert_eq!(spec("create leases")["resourceAttributes"]["name"], "");
        }
    }

    #[test]
    fn rights_are_reviewed_in_each_watched_namespace() {
        let controller = Workload { watched: watched_scope("desks,chairs"), ..Workload::default() };
        let reviews = right_reviews("shop", &controller);
        let of_statuses: Vec<_> = reviews
            .iter()
            .filter(|review| review.right.starts_with("patch orderrequests/status"))
            .map(|it| (&*it.right, &it.review["spec"]["resourceAttributes"]["namespace"]))
            .collect();
        let (desks, chairs) = (json!("desks"), json!("chairs"));
        assert_eq!(
            of_statuses,
            [
                ("patch orderrequests/status in desks", &desks),
                ("patch orderrequests/status in chairs", &chairs),
            ]
        );
        assert!(reviews.iter().any(|review| review.right == "update leases"));
    }

    /// Those of other namespaces and of other controllers wait for other installations.
    #[test]
    fn only_orders_for_this_installation_are_unanswered() {
        let now: Timestamp = "2026-03-01T12:01:00Z".parse().unwrap();
        let order = |namespace: &str, controller: Value| {
            json!({
                "metadata": {
                    "namespace": namespace, "name": "a",
                    "creationTimestamp": "2026-03-01T12:00:00Z",
                },
                "spec": { "controllerName": controller },
            })
        };
        let orders = [
            order("desks", Value::Null),
            order("chairs", Value::Null),
            order("chairs", json!("team-b")),
        ];
        let controller = |name: &str, annotation: &str| Workload {
            controller_name: name.to_owned(),
            watched: watched_scope(annotation),
            ..Workload::default()
        };
        let table: [(Vec<Workload>, &[&str], Option<&str>); 6] = [
            (vec![], &["desks/a", "chairs/a", "chairs/a"], None),
            (vec![controller("orderstream", "*")], &["desks/a", "chairs/a"], None),
            (vec![controller("orderstream", "*,!desks")], &["chairs/a"], None),
            (vec![controller("orderstream", "desks")], &["desks/a"], Some("desks")),
            (vec![controller("team-b", "desks,lamps")], &[], None),
            (
                vec![controller("team-b", "chairs"), controller("orderstream", "desks")],
                &["desks/a", "chairs/a"],
                None,
            ),
        ];
        for (controllers, expected, namespace) in table {
            assert_eq!(unanswered(&orders, &controllers, now), expected, "{controllers:?}");
            assert_eq!(listed_namespace(&controllers).map(Tenant::as_str), namespace);
        }
    }

    #[test]
    fn only_old_orders_without_status_are_unanswered() {
        let now: Timestamp = "2026-03-01T12:01:00Z".parse().unwrap();
        let order = |created: &str, status: Value, deleted: Value| {
            json!({
                "metadata": {
                    "namespace": "shop", "name": "a", "creationTimestamp": created,
                    "deletionTimestamp": deleted,
                },
                "status": status,
            })
        };
        let deleted = json!("2026-03-01T12:00:30Z");
        for (created, status, deleted, expected) in [
            ("2026-03-01T12:00:00Z", Value::Null, Value::Null, true),
            ("2026-03-01T12:00:00Z", json!({}), Value::Null, true),
            ("2026-03-01T12:00:01Z", Value::Null, Value::Null, false),
            ("2026-03-01T12:00:00Z", json!({ "conditions": [] }), Value::Null, false),
            ("2026-03-01T12:00:00Z", Value::Null, deleted, false),
        ] {
            let found = unanswered(&[order(created, status, deleted)], &[], now);
            assert_eq!(found == ["shop/a"], expected, "{created}");
        }
    }

    #[test]
    fn the_newest_event_gives_the_message() {
        let events = [
            json!({ "message": "repeated", "lastTimestamp": "2026-03-01T12:00:03Z",
                    "metadata": { "creationTimestamp": "2026-03-01T11:00:00Z" } }),
            json!({ "message": "of a series", "eventTime": "2026-03-01T12:00:01.000000Z",
                    "series": { "lastObservedTime": "2026-03-01T12:00:09.000000Z" } }),
            json!({ "message": "single", "lastTimestamp": null,
                    "eventTime": "2026-03-01T12:00:05.000000Z" }),
        ];
        assert_eq!(newest_message(&events), "of a series");
        assert_eq!(newest_message(&events[..1]), "repeated");
        assert_eq!(newest_message(&[]), "");
    }

    #[test]
    fn default_storage_classes_are_marked() {
        let annotation = "storageclass.kubernetes.io/is-default-class";
        for (value, expected) in [("true", true), ("false", false)] {
            let item = json!({ "metadata": { "name": "a", "annotations": { annotation: value } } });
            assert_eq!(storage_class(&item).is_default, expected);
        }
        assert!(!storage_class(&json!({ "metadata": { "name": "a" } })).is_default);
    }
}
