//! An order's name in a history: its id, and after an `@` its incarnation if the rig chose it.

/// Returns the order's id.
#[must_use]
pub fn id(name: &str) -> &str {
    name.split_once('@').map_or(name, |(id, _)| id)
}

/// Returns the incarnation; empty for the newest.
#[must_use]
pub fn incarnation(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, incarnation)| incarnation)
}

/// Returns the query with the incarnation, such as `?incarnation=first`; empty for the newest.
#[must_use]
pub fn query(name: &str) -> String {
    match incarnation(name) {
        "" => String::new(),
        incarnation => format!("?incarnation={incarnation}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ids_with_optional_incarnations() {
        assert_eq!((id("SB1"), incarnation("SB1"), query("SB1")), ("SB1", "", String::new()));
        assert_eq!((id("SB1@a"), incarnation("SB1@a")), ("SB1", "a"));
        assert_eq!(query("SB1@a"), "?incarnation=a");
    }
}
