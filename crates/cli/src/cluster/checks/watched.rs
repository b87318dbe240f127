//! The namespaces that controllers watch, as their Deployments have them. Pure.

use orderstream_api::controller_name::{NAME_LABEL, WATCHED_ANNOTATION, effective, watched_scope};
use orderstream_core::{Tenant, TenantScope};
use serde_json::Value;

/// Returns the namespaces that the controller of a `Deployment` watches. One of an earlier version
/// has them in its arguments only.
pub(super) fn scope_of(deployment: &Value) -> TenantScope {
    match deployment["metadata"]["annotations"][WATCHED_ANNOTATION].as_str() {
        Some(annotation) => watched_scope(annotation),
        None => scope_of_arguments(deployment),
    }
}

fn scope_of_arguments(deployment: &Value) -> TenantScope {
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let of_flag = |flag: &str| -> Vec<Tenant> {
        let arguments = arguments.as_array().into_iter().flatten().filter_map(Value::as_str);
        let names = arguments.filter_map(|argument| argument.strip_prefix(flag));
        let names = names.flat_map(|names| names.split(','));
        names.filter_map(|name| Tenant::new(name).ok()).collect()
    };
    let (named, excluded) = (of_flag("--namespace="), of_flag("--except-namespace="));
    match (named.is_empty(), excluded.is_empty()) {
        (false, _) => TenantScope::Only(named),
        (true, false) => TenantScope::AllBut(excluded),
        (true, true) => TenantScope::All,
    }
}

/// Reports whether the controller of a `Deployment` leaves the statuses of sellers to another one.
pub(super) fn leaves_sellers(deployment: &Value) -> bool {
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    arguments.as_array().into_iter().flatten().any(|argument| argument == "--seller-statuses=false")
}

/// Returns the name of the controller of a `Deployment`; one of an earlier version has the default
/// one.
pub(super) fn controller_name_of(deployment: &Value) -> String {
    effective(deployment["metadata"]["labels"][NAME_LABEL].as_str()).to_owned()
}

/// Reports whether a scope includes a namespace.
pub(super) fn includes(scope: &TenantScope, namespace: &str) -> bool {
    Tenant::new(namespace).is_ok_and(|tenant| scope.includes(&tenant))
}

/// Returns the namespaces of a scope as text.
pub(super) fn described(scope: &TenantScope) -> String {
    let joined = |names: &[Tenant]| names.iter().map(Tenant::as_str).collect::<Vec<_>>().join(", ");
    match scope {
        TenantScope::All => "all namespaces".to_owned(),
        TenantScope::AllBut(excluded) => format!("all namespaces but {}", joined(excluded)),
        TenantScope::Only(named) => {
            let plural = if named.len() == 1 { "" } else { "s" };
            format!("namespace{plural} {}", joined(named))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tenants(names: &[&str]) -> Vec<Tenant> {
        names.iter().map(|name| Tenant::new(name).unwrap()).collect()
    }

    /// Deployments of earlier versions have no annotation.
    #[test]
    fn deployments_name_their_namespaces() {
        let deployment = |annotations: Value, arguments: &[&str]| {
            json!({
                "metadata": { "annotations": annotations },
                "spec": { "template": { "spec": { "containers": [{ "args": arguments }] } } },
            })
        };
        let annotated = |text: &str, arguments: &[&str]| {
            deployment(json!({ WATCHED_ANNOTATION: text }), arguments)
        };
        for (deployment, expected) in [
            (annotated("desks", &[]), TenantScope::Only(tenants(&["desks"]))),
            (annotated("*", &["--namespace=desks"]), TenantScope::All),
            (annotated("*,!desks", &[]), TenantScope::AllBut(tenants(&["desks"]))),
            (deployment(json!({}), &["controller"]), TenantScope::All),
            (
                deployment(Value::Null, &["--namespace=desks,chairs", "--namespace=lamps"]),
                TenantScope::Only(tenants(&["desks", "chairs", "lamps"])),
            ),
            (
                deployment(Value::Null, &["controller", "--except-namespace=desks,chairs"]),
                TenantScope::AllBut(tenants(&["desks", "chairs"])),
            ),
            (json!({}), TenantScope::All),
        ] {
            assert_eq!(scope_of(&deployment), expected, "{deployment}");
        }
    }

    #[test]
    fn scopes_are_described_by_their_names() {
        for (scope, text) in [
            (TenantScope::All, "all namespaces"),
            (TenantScope::AllBut(tenants(&["a", "b"])), "all namespaces but a, b"),
            (TenantScope::Only(tenants(&["a"])), "namespace a"),
            (TenantScope::Only(tenants(&["a", "b"])), "namespaces a, b"),
        ] {
            assert_eq!(described(&scope), text);
        }
        assert!(includes(&TenantScope::All, "a"));
        assert!(!includes(&TenantScope::AllBut(tenants(&["a"])), "a"));
    }
}
