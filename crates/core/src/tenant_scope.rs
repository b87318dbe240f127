//! The tenants that a controller or a projection serves, and how a setting names them.

use serde::{Deserialize, Deserializer};

use crate::Tenant;

/// The tenants that are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TenantScope {
    /// All tenants.
    #[default]
    All,
    /// All tenants but these.
    AllBut(Vec<Tenant>),
    /// No other tenants than these.
    Only(Vec<Tenant>),
}

impl TenantScope {
    /// Reports whether a tenant is served.
    pub fn includes(&self, tenant: &Tenant) -> bool {
        match self {
            Self::All => true,
            Self::AllBut(excluded) => !excluded.contains(tenant),
            Self::Only(named) => named.contains(tenant),
        }
    }

    /// Returns the tenants that two scopes both include: an empty [`Self::Only`] where there are none.
    pub fn shared(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, scope) | (scope, Self::All) => scope.clone(),
            (Self::AllBut(one), Self::AllBut(other)) => {
                let further = other.iter().filter(|tenant| !one.contains(tenant));
                Self::AllBut(one.iter().chain(further).cloned().collect())
            }
            (Self::Only(named), scope) | (scope, Self::Only(named)) => {
                let shared = named.iter().filter(|tenant| scope.includes(tenant));
                Self::Only(shared.cloned().collect())
            }
        }
    }

    /// Reports whether two scopes include a tenant in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        !matches!(self.shared(other), Self::Only(named) if named.is_empty())
    }

    /// Returns the one tenant that is served; `None` where there may be several.
    pub fn single(&self) -> Option<&Tenant> {
        match self {
            Self::Only(named) => match named.as_slice() {
                [tenant] => Some(tenant),
                _ => None,
            },
            Self::All | Self::AllBut(_) => None,
        }
    }
}

/// A setting of names in a file.
#[derive(Deserialize)]
#[serde(untagged, expecting = "give a name, or a list of names")]
enum NamesSetting {
    /// Names with commas between them.
    Text(String),
    /// A list of names.
    List(Vec<String>),
}

/// Reads a setting of names from a file: a list, a text with commas between the names as a flag
/// takes it, or `null` for none.
///
/// # Errors
/// When it is something else.
pub fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let setting = Option::<NamesSetting>::deserialize(deserializer)?;
    Ok(match setting {
        None => Vec::new(),
        Some(NamesSetting::Text(text)) => text.split(',').map(str::to_owned).collect(),
        Some(NamesSetting::List(names)) => names,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenants(names: &[&str]) -> Vec<Tenant> {
        names.iter().map(|name| Tenant::new(name).unwrap()).collect()
    }

    #[test]
    fn scopes_include_what_they_name() {
        for (scope, included, single) in [
            (TenantScope::All, [true, true, true], None),
            (TenantScope::AllBut(tenants(&["a"])), [false, true, true], None),
            (TenantScope::AllBut(tenants(&["a", "c"])), [false, true, false], None),
            (TenantScope::Only(tenants(&["b"])), [false, true, false], Some("b")),
            (TenantScope::Only(tenants(&["a", "b"])), [true, true, false], None),
        ] {
            let includes = |name: &str| scope.includes(&Tenant::new(name).unwrap());
            assert_eq!(["a", "b", "c"].map(includes), included, "{scope:?}");
            assert_eq!(scope.single().map(Tenant::as_str), single, "{scope:?}");
        }
    }

    #[test]
    fn scopes_share_what_both_include() {
        let all_but = |names: &[&str]| TenantScope::AllBut(tenants(names));
        let only = |names: &[&str]| TenantScope::Only(tenants(names));
        for (one, other, shared, is_shared) in [
            (TenantScope::All, TenantScope::All, TenantScope::All, true),
            (TenantScope::All, all_but(&["a"]), all_but(&["a"]), true),
            (TenantScope::All, only(&["a", "b"]), only(&["a", "b"]), true),
            (all_but(&["a"]), all_but(&["a"]), all_but(&["a"]), true),
            (all_but(&["a"]), all_but(&["a", "b"]), all_but(&["a", "b"]), true),
            (all_but(&["a"]), only(&["a"]), only(&[]), false),
            (all_but(&["a", "b"]), only(&["b", "a"]), only(&[]), false),
            (all_but(&["a"]), only(&["a", "b"]), only(&["b"]), true),
            (only(&["a", "b"]), only(&["b"]), only(&["b"]), true),
            (only(&["a"]), only(&["b", "c"]), only(&[]), false),
        ] {
            for (one, other) in [(&one, &other), (&other, &one)] {
                let found = one.shared(other);
                for name in ["a", "b", "c"] {
                    let tenant = Tenant::new(name).unwrap();
                    assert_eq!(found.includes(&tenant), shared.includes(&tenant), "{found:?}");
                }
                assert_eq!(one.overlaps(other), is_shared, "{one:?} and {other:?}");
            }
        }
    }

    /// Files from before there could be several have one text.
    #[test]
    fn settings_are_a_text_or_a_list() {
        let table: [(Value, &[&str]); 5] = [
            (json!(null), &[]),
            (json!("desks"), &["desks"]),
            (json!("desks,chairs"), &["desks", "chairs"]),
            (json!(["desks", "chairs"]), &["desks", "chairs"]),
            (json!([]), &[]),
        ];
        for (setting, expected) in table {
            assert_eq!(names(setting).unwrap(), expected);
        }
        let error = names(json!({ "a": 1 })).unwrap_err().to_string();
        assert_eq!(error, "give a name, or a list of names");
    }
}
