//! Counts this process's requests to the API server by the right that each needs, so that the
//! granted rights can be compared with the used ones wherever the process runs.

use http::{Method, Request};
use k8s_openapi::api::rbac::v1::PolicyRule;
use orderstream_support::Register;
use prometheus::{IntCounter, Registry};

/// The value of all labels for a request that matches no rule.
const OTHER: &str = "other";

/// A right that a request needs: a verb on a resource of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    verb: String,
    group: String,
    /// The resource, with its subresource behind a slash, as in a rule.
    resource: String,
}

/// One counter for each right that is granted, and one for all other requests.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    granted: Vec<(Right, IntCounter)>,
    other: IntCounter,
}

impl Rights {
    /// Registers the counters, each at 0.
    ///
    /// # Errors
    /// When their name is registered already.
    pub(super) fn register(
        registry: &Registry,
        rules: &[PolicyRule],
    ) -> Result<Self, prometheus::Error> {
        let total = Register::new(registry).counters(
            "orderstream_api_requests_total",
            "Requests to the API server, by the right that each needs.",
            &["verb", "group", "resource"],
        )?;
        let counter = |right: Right| {
            let counter = total.with_label_values(&[&right.verb, &right.group, &right.resource]);
            (right, counter)
        };
        let granted = rules.iter().flat_map(rule_rights).map(counter).collect();
        Ok(Self { granted, other: total.with_label_values(&[OTHER, OTHER, OTHER]) })
    }

    /// Counts a request.
    pub(super) fn count<B>(&self, request: &Request<B>) {
        let needed = request_right(request);
        let known = self.granted.iter().find(|(right, _)| Some(right) == needed.as_ref());
        known.map_or(&self.other, |(_, counter)| counter).inc();
    }
}

fn rule_rights(rule: &PolicyRule) -> Vec<Right> {
    let groups = rule.api_groups.iter().flatten();
    let resources = || rule.resources.iter().flatten();
    let named = groups.flat_map(|group| resources().map(move |resource| (group, resource)));
    let rights = named.flat_map(|(group, resource)| {
        rule.verbs.iter().map(move |verb| Right {
            verb: verb.clone(),
            group: group.clone(),
            resource: resource.clone(),
        })
    });
    rights.collect()
}

/// Returns the right that a request needs; `None` where its path is not that of a resource.
fn request_right<B>(request: &Request<B>) -> Option<Right> {
    let mut parts = request.uri().path().split('/').filter(|part| !part.is_empty());
    let group = match parts.next()? {
        "api" => "",
        "apis" => parts.next()?,
        _ => return None,
    };
    let _version = parts.next()?;
    let mut resource = parts.next()?;
    let mut name = parts.next();
    // The controller never requests a namespace itself.
    if resource == "namespaces" {
        resource = parts.next()?;
        name = parts.next();
    }
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    let verb = match *request.method() {
        Method::GET if is_watch => "watch",
        Method::GET if name.is_some() => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_some() => "delete",
        Method::DELETE => "deletecollection",
        _ => return None,
    };
    let resource = match parts.next() {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource.to_owned(),
    };
    Some(Right { verb: verb.to_owned(), group: group.to_owned(), resource })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(method: &str, path: &str) -> Option<String> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let right = request_right(&request)?;
        Some([right.verb, right.group, right.resource].join(" "))
    }

    #[test]
    fn requests_map_to_kubernetes_rights() {
        let orders = "/apis/orderstream.dev/v1alpha1";
        for (method, path, expected) in [
            ("GET", "/orderrequests?limit=500", "list orderstream.dev orderrequests"),
            ("GET", "/orderrequests?a=b&watch=true", "watch orderstream.dev orderrequests"),
            ("GET", "/namespaces/a/orderrequests", "list orderstream.dev orderrequests"),
            ("GET", "/namespaces/a/orderrequests/b", "get orderstream.dev orderrequests"),
            ("POST", "/namespaces/a/orderrequests", "create orderstream.dev orderrequests"),
            ("PUT", "/namespaces/a/orderrequests/b", "update orderstream.dev orderrequests"),
            ("DELETE", "/namespaces/a/orderrequests/b", "delete orderstream.dev orderrequests"),
            (
                "DELETE",
                "/namespaces/a/orderrequests",
                "deletecollection orderstream.dev orderrequests",
            ),
            (
                "PATCH",
                "/namespaces/a/orderrequests/b/status?force=true",
                "patch orderstream.dev orderrequests/status",
            ),
        ] {
            assert_eq!(right(method, &format!("{orders}{path}")).unwrap(), expected);
        }
        assert_eq!(right("GET", "/api/v1/namespaces/a/pods/b").unwrap(), "get  pods");
        assert_eq!(right("GET", "/version"), None);
        assert_eq!(right("OPTIONS", "/api/v1/pods"), None);
    }

    #[test]
    fn requests_outside_rules_share_one_series() {
        let registry = Registry::new();
        let rights = Rights::register(
            &registry,
            &[orderstream_api::rbac::orders(), orderstream_api::rbac::own()].concat(),
        )
        .unwrap();
        for number in 0..10 {
            let path = format!("/api/v1/namespaces/a/things-{number}/{number}");
            rights.count(&Request::get(path).body(()).unwrap());
        }
        let path = "/apis/events.k8s.io/v1/namespaces/a/events";
        rights.count(&Request::post(path).body(()).unwrap());
        assert_eq!(rights.other.get(), 10);
        let counted: u64 = rights.granted.iter().map(|(_, counter)| counter.get()).sum();
        assert_eq!(counted, 1);
        let series = registry.gather()[0].get_metric().len();
        assert_eq!(series, rights.granted.len() + 1, "two rules grant one right");
    }
}
