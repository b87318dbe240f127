//! The names of controllers. An order request names the one that takes it, as a class, so that two
//! controllers over the same namespaces never take the same order. Pure.

use orderstream_core::{Tenant, TenantScope};

use crate::check::escaped;

/// The name of a controller that is given no other one. It takes the orders that name none.
pub const CONTROLLER_NAME: &str = "orderstream";
/// The label of a controller's Deployment that has its name.
pub const NAME_LABEL: &str = "orderstream.dev/controller-name";
/// The annotation of a controller's Deployment with the namespaces that it watches: `a,b`, `*` for
/// all, or `*,!a,!b` for all but some.
pub const WATCHED_ANNOTATION: &str = "orderstream.dev/watched-namespaces";
/// What [`WATCHED_ANNOTATION`] begins with for all namespaces.
const ALL_NAMESPACES: &str = "*";
/// The longest name, characters: the length of a label's value.
const NAME_CHARS_MAX: usize = 63;

/// Returns the name of the controller that takes an order which names this one.
pub fn effective(named: Option<&str>) -> &str {
    named.unwrap_or(CONTROLLER_NAME)
}

/// Reports whether the controller of a name takes an order which names this one.
pub fn is_taken_by(named: Option<&str>, controller: &str) -> bool {
    effective(named) == controller
}

/// Returns the name that an order has in its spec, so that this controller takes it.
pub fn in_spec(controller: &str) -> Option<String> {
    (controller != CONTROLLER_NAME).then(|| controller.to_owned())
}

/// Checks a name.
///
/// # Errors
/// The fault and the fix, as a clause that follows the name of a field or a flag.
pub fn check(name: &str) -> Result<(), String> {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: char| is_end(c) || matches!(c, '-' | '.');
    let is_name = name.chars().all(is_inner) && name.starts_with(is_end) && name.ends_with(is_end);
    if is_name && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    Err(format!(
        "'{}' is not a name of a controller; use lower-case letters, digits, '-' and '.', with a \
         letter or digit at both ends, {NAME_CHARS_MAX} characters at most",
        escaped(name)
    ))
}

/// Returns the namespaces that a [`WATCHED_ANNOTATION`] names. A text that is not a name of a
/// namespace names none.
pub fn watched_scope(annotation: &str) -> TenantScope {
    let tenants = |names: &str, prefix: &str| -> Vec<Tenant> {
        let names = names.split(',').filter_map(|name| name.strip_prefix(prefix));
        names.filter_map(|name| Tenant::new(name).ok()).collect()
    };
    match annotation.strip_prefix(ALL_NAMESPACES) {
        Some("") => TenantScope::All,
        Some(excluded) => TenantScope::AllBut(tenants(excluded, "!")),
        None => TenantScope::Only(tenants(annotation, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_without_name_go_to_the_default() {
        for (named, controller, is_taken) in [
            (None, "orderstream", true),
            (Some("orderstream"), "orderstream", true),
            (Some("team-b"), "orderstream", false),
            (None, "team-b", false),
            (Some("orderstream"), "team-b", false),
            (Some("team-b"), "team-b", true),
            (Some("team"), "team-b", false),
        ] {
            assert_eq!(is_taken_by(named, controller), is_taken, "{named:?} by {controller}");
        }
        for controller in ["orderstream", "team-b"] {
            assert!(is_taken_by(in_spec(controller).as_deref(), controller), "{controller}");
        }
        assert_eq!(in_spec(CONTROLLER_NAME), None, "earlier versions know no name");
    }

    #[test]
    fn names_are_labels_of_lower_case() {
        for name in ["orderstream", "b", "7", "team-b.example", &"x".repeat(63)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let long = "x".repeat(64);
        for name in ["", "-b", "b-", ".b", "b.", "Team", "a_b", "a b", "a/b", "ä", &long] {
            let fault = check(name).expect_err(name);
            assert!(fault.contains("use lower-case letters"), "{fault}");
        }
    }

    #[test]
    fn annotations_name_the_watched_namespaces() {
        let tenants = |names: &[&str]| -> Vec<Tenant> {
            names.iter().map(|name| Tenant::new(name).unwrap()).collect()
        };
        for (annotation, expected) in [
            ("*", TenantScope::All),
            ("desks", TenantScope::Only(tenants(&["desks"]))),
            ("desks,chairs", TenantScope::Only(tenants(&["desks", "chairs"]))),
            ("*,!desks", TenantScope::AllBut(tenants(&["desks"]))),
            ("*,!desks,!chairs", TenantScope::AllBut(tenants(&["desks", "chairs"]))),
            ("", TenantScope::Only(Vec::new())),
            ("desks,", TenantScope::Only(tenants(&["desks"]))),
        ] {
            assert_eq!(watched_scope(annotation), expected, "{annotation}");
        }
    }
}
