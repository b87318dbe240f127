//! The namespaces that flags name: which are served, and what is wrong with them. Pure.

use orderstream_core::{Tenant, TenantScope};

use crate::config::Error;

/// The most namespaces that a flag names: each named one has a watch of its own, and those that are
/// left out are all in the URL of one.
const NAMESPACES_MAX: usize = 64;
/// The longest name of a namespace, characters (RFC 1123, as API servers check it).
const NAME_CHARS_MAX: usize = 63;

/// A flag that names namespaces, as it was given.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceFlag<'a> {
    /// The flag, with its dashes.
    pub flag: &'a str,
    /// The names that it was given.
    pub names: &'a [String],
}

/// Returns the namespaces that are served: those of one flag, or all but those of another one; all
/// where neither is given.
///
/// # Errors
/// Names the flag, the fault, and the fix.
pub fn namespace_scope(
    only: NamespaceFlag<'_>,
    except: NamespaceFlag<'_>,
) -> Result<TenantScope, Error> {
    match (only.names.is_empty(), except.names.is_empty()) {
        (true, true) => Ok(TenantScope::All),
        (false, true) => only.namespaces().map(TenantScope::Only),
        (true, false) => except.namespaces().map(TenantScope::AllBut),
        (false, false) => Err(Error::Setting(format!(
            "{} and {} exclude each other; give one of them",
            only.flag, except.flag
        ))),
    }
}

impl NamespaceFlag<'_> {
    fn namespaces(&self) -> Result<Vec<Tenant>, Error> {
        let Self { flag, names } = self;
        let count = names.len();
        if count > NAMESPACES_MAX {
            let text = format!("{flag} names {count} namespaces; give {NAMESPACES_MAX} at most");
            return Err(Error::Setting(text));
        }
        let mut namespaces: Vec<Tenant> = Vec::with_capacity(count);
        for name in *names {
            let given = name.escape_debug();
            let valid = Tenant::new(name).ok().filter(|_| is_label(name));
            let Some(namespace) = valid else {
                return Err(Error::Setting(format!(
                    "{flag} '{given}' is not a name of a namespace; use lower-case letters, digits \
                     and '-', with a letter or digit at both ends, {NAME_CHARS_MAX} characters at \
                     most"
                )));
            };
            if namespaces.contains(&namespace) {
                return Err(Error::Setting(format!("{flag} names '{given}' twice; name it once")));
            }
            namespaces.push(namespace);
        }
        Ok(namespaces)
    }
}

/// Reports whether a text is a DNS label, as the names of namespaces are.
fn is_label(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_CHARS_MAX
        && text.chars().all(|c| is_end(c) || c == '-')
        && text.starts_with(is_end)
        && text.ends_with(is_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn scope_of(only: &[&str], except: &[&str]) -> Result<TenantScope, String> {
        let (only, except) = (owned(only), owned(except));
        let only = NamespaceFlag { flag: "--namespace", names: &only };
        let except = NamespaceFlag { flag: "--except-namespace", names: &except };
        namespace_scope(only, except).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_name_the_namespaces_that_are_served() {
        let tenants = |names: &[&str]| -> Vec<Tenant> {
            names.iter().map(|name| Tenant::new(name).unwrap()).collect()
        };
        let long = "x".repeat(63);
        let table: [(&[&str], &[&str], TenantScope); 5] = [
            (&[], &[], TenantScope::All),
            (&["desks"], &[], TenantScope::Only(tenants(&["desks"]))),
            (&["b-1", "0"], &[], TenantScope::Only(tenants(&["b-1", "0"]))),
            (&[], &["a", "b"], TenantScope::AllBut(tenants(&["a", "b"]))),
            (&[&long], &[], TenantScope::Only(tenants(&[&long]))),
        ];
        for (only, except, expected) in table {
            assert_eq!(scope_of(only, except), Ok(expected));
        }
    }

    #[test]
    fn wrong_names_of_namespaces_are_refused() {
        let long = "x".repeat(64);
        for wrong in ["", " ", "Desks", "a_b", "a.b", "-a", "a-", "a/b", "ä", "*", &long] {
            let error = scope_of(&["ok", wrong], &[]).expect_err(wrong);
            let expected = format!("--namespace '{wrong}' is not a name of a namespace; use ");
            assert!(error.starts_with(&expected), "{error}");
        }
        let error = scope_of(&[], &["a", "b", "a"]).unwrap_err();
        assert_eq!(error, "--except-namespace names 'a' twice; name it once");
        let error = scope_of(&["a"], &["b"]).unwrap_err();
        assert_eq!(
            error,
            "--namespace and --except-namespace exclude each other; give one of them"
        );
        let names: Vec<String> = (0..65).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            scope_of(&names, &[]).unwrap_err(),
            "--namespace names 65 namespaces; give 64 at most"
        );
        assert!(scope_of(&[], names.get(1..).unwrap()).is_ok());
    }
}
