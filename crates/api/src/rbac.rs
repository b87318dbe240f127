//! The controller's and the processors' rights: everything that they request of an API server, and
//! nothing else. A test compares them with the server's audit log, both ways.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

/// The name of the controller's Lease, unless another is given.
pub const LEASE_NAME: &str = "orderstream-controller";
/// The name of the rights to orders.
const ORDERS: &str = "orderstream-controller";
/// The name of the rights in the controller's own namespace.
const OWN: &str = "orderstream-controller-own";

/// The name of the processors' rights.
const PROCESSOR: &str = "orderstream-processor";

/// Returns the controller's rights to order requests and sellers, in every namespace it serves:
/// bound in all namespaces by a `ClusterRoleBinding`, or for `--namespace` in each of those by a
/// `RoleBinding`.
pub fn orders() -> Vec<PolicyRule> {
    vec![
        // The watch; buyers' edits over REST read the stored resource; ended resources are deleted.
        rule("orderstream.dev", "orderrequests", &["list", "watch", "get", "delete"]),
        // Buyers' requests over REST.
        rule("orderstream.dev", "orderrequests", &["create", "update"]),
        rule("orderstream.dev", "orderrequests/status", &["patch"]),
        // To write the number of open orders of each seller.
        rule("orderstream.dev", "sellers", &["list", "watch"]),
        rule("orderstream.dev", "sellers/status", &["patch"]),
        // A repeated Event is patched: it is the same one, with a count.
        rule("events.k8s.io", "events", &["create", "patch"]),
    ]
}

/// Returns the controller's rights in its own namespace.
pub fn own() -> Vec<PolicyRule> {
    let lease = |verbs: &[&str]| rule("coordination.k8s.io", "leases", verbs);
    let names = Some(vec![LEASE_NAME.to_owned()]);
    vec![
        // A rule for `create` cannot name the object.
        lease(&["create"]),
        PolicyRule { resource_names: names, ..lease(&["get", "list", "watch", "update"]) },
        // The endpoints of the processors of `--processor-service`.
        rule("discovery.k8s.io", "endpointslices", &["list", "watch"]),
    ]
}

/// Returns the rights of a processor that reads its sellers from the cluster: it reads them, and
/// nothing else.
pub fn processor() -> Vec<PolicyRule> {
    vec![rule("orderstream.dev", "sellers", &["list", "watch"])]
}

/// Returns all roles as one YAML text, ready for `kubectl apply -f -`.
pub fn roles() -> String {
    files().map(|(_, text)| format!("---\n{text}")).concat()
}

/// Returns each role's file name and YAML text.
fn files() -> [(String, String); 3] {
    let orders = ClusterRole {
        metadata: named(ORDERS, "bind it in all namespaces, or in those that --namespace names"),
        rules: Some(orders()),
        aggregation_rule: None,
    };
    let own = Role {
        metadata: named(OWN, "bind it in the controller's own namespace"),
        rules: Some(own()),
    };
    let processor = ClusterRole {
        metadata: named(
            PROCESSOR,
            "bind it in all namespaces, or in those that --sellers-namespace names",
        ),
        rules: Some(processor()),
        aggregation_rule: None,
    };
    [
        (format!("{ORDERS}.yaml"), yaml(&orders)),
        (format!("{OWN}.yaml"), yaml(&own)),
        (format!("{PROCESSOR}.yaml"), yaml(&processor)),
    ]
}

/// Returns the role as YAML. The roles are fixed, so a failure would show in the first test run.
fn yaml(role: &impl Serialize) -> String {
    serde_saphyr::to_string(role).unwrap_or_default()
}

fn named(name: &str, description: &str) -> ObjectMeta {
    let annotation = ("kubernetes.io/description".to_owned(), description.to_owned());
    ObjectMeta {
        name: Some(name.to_owned()),
        annotations: Some(BTreeMap::from([annotation])),
        ..ObjectMeta::default()
    }
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_files_in_deploy_are_fresh() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rbac");
        for (name, text) in files() {
            let path = dir.join(&name);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(&dir).expect("deploy is writable");
                std::fs::write(&path, &text).expect("deploy/rbac is writable");
            }
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "{name} is stale; run the tests once with UPDATE=1");
        }
    }

    #[test]
    fn no_right_has_a_wildcard() {
        for rule in orders().into_iter().chain(own()).chain(processor()) {
            let names = rule.api_groups.iter().chain(&rule.resources).flatten();
            assert!(names.chain(&rule.verbs).all(|word| word != "*"), "{rule:?}");
        }
        assert!(own().iter().all(|rule| !rule.verbs.contains(&"delete".to_owned())));
    }
}
