//! The watches of a scope: one for all namespaces, one for all but some, or one for each. Pure.

use std::sync::Arc;

use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource};
use orderstream_core::{Tenant, TenantScope};

/// A watch of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScopeWatch {
    /// The namespace that is watched; all when absent.
    pub(super) namespace: Option<Arc<str>>,
    /// The selector of fields that leaves namespaces out; absent where it leaves out none.
    field_selector: Option<String>,
}

/// Returns the watches that deliver the resources of a scope, each of them once.
pub(super) fn watches(scope: &TenantScope) -> Vec<ScopeWatch> {
    match scope {
        TenantScope::All => vec![ScopeWatch::default()],
        // API servers select custom resources by name and namespace.
        TenantScope::AllBut(excluded) => {
            let terms = excluded.iter().map(|namespace| format!("metadata.namespace!={namespace}"));
            let field_selector = Some(terms.collect::<Vec<_>>().join(","));
            vec![ScopeWatch { namespace: None, field_selector }]
        }
        TenantScope::Only(named) => {
            let watch = |namespace: &Tenant| ScopeWatch {
                namespace: Some(Arc::from(namespace)),
                ..ScopeWatch::default()
            };
            named.iter().map(watch).collect()
        }
    }
}

impl ScopeWatch {
    /// Returns the API of the resources that are watched.
    pub(super) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType: Default>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }

    /// Returns the configuration of a watcher of these resources.
    pub(super) fn config(&self, config: Config) -> Config {
        match &self.field_selector {
            Some(selector) => config.fields(selector),
            None => config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_as_few_watches_as_possible() {
        let tenants = |names: &[&str]| -> Vec<Tenant> {
            names.iter().map(|name| Tenant::new(name).unwrap()).collect()
        };
        let table: [(TenantScope, &[(&str, &str)]); 5] = [
            (TenantScope::All, &[("", "")]),
            (TenantScope::AllBut(tenants(&["a"])), &[("", "metadata.namespace!=a")]),
            (
                TenantScope::AllBut(tenants(&["a", "b"])),
                &[("", "metadata.namespace!=a,metadata.namespace!=b")],
            ),
            (TenantScope::Only(tenants(&["a"])), &[("a", "")]),
            (TenantScope::Only(tenants(&["a", "b"])), &[("a", ""), ("b", "")]),
        ];
        for (scope, expected) in table {
            let watches = watches(&scope);
            let texts = |watch: &ScopeWatch| {
                let selector = watch.config(Config::default()).field_selector;
                (watch.namespace.as_deref().unwrap_or_default().to_owned(), selector)
            };
            let found: Vec<_> = watches.iter().map(texts).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(namespace, selector)| {
                    let selector = Some(*selector).filter(|text| !text.is_empty());
                    ((*namespace).to_owned(), selector.map(ToOwned::to_owned))
                })
                .collect();
            assert_eq!(found, expected, "{scope:?}");
        }
    }
}
