//! The resource names of order ids.

use orderstream_core::hash::StableHasher;

/// The longest name of a resource, characters: the length of a label (RFC 1123).
const NAME_CHARS_MAX: usize = 63;
/// The length of the suffix, a dash and a hash, that keeps two mapped ids apart, characters.
const HASH_CHARS: usize = 9;

/// Returns the resource's name for an order's id: the id itself where it is a valid name, else its
/// valid part and a hash, so that two ids never share a name.
pub(super) fn resource_name(id: &str) -> String {
    let fits = |text: &str| {
        let inner =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        text.len() <= NAME_CHARS_MAX
            && text.chars().all(inner)
            && text.split('.').all(|part| ends(part.chars().next()) && ends(part.chars().last()))
    };
    if fits(id) {
        return id.to_owned();
    }
    let mapped: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(NAME_CHARS_MAX - HASH_CHARS)
        .collect();
    let hash = StableHasher::default().bytes(id.as_bytes()).finish();
    let mapped = mapped.trim_matches('-');
    let mapped = if mapped.is_empty() { "order" } else { mapped };
    format!("{mapped}-{:08x}", hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other ids get a hash and never share a name.
    #[test]
    fn valid_ids_name_their_resources() {
        assert_eq!(resource_name("sb1029436"), "sb1029436");
        assert_eq!(resource_name("or-2041.a"), "or-2041.a");
        for id in ["SB1029436", "a_b", "a:b", "-a", "a.", "..", "_", &"x".repeat(128)] {
            let name = resource_name(id);
            assert!(name.len() <= 63 && resource_name(&name) == name, "{id} → {name}");
            assert_ne!(name, id);
        }
        assert_ne!(resource_name("A_B"), resource_name("a:b"));
        assert!(resource_name("SB1029436").starts_with("sb1029436-"));
    }

    /// An order from before an update is still found by its name after it.
    #[test]
    fn resource_names_never_change() {
        let table = [
            ("SB1029436", "sb1029436-9cd5ab70"),
            ("ORDER-2041.A", "order-2041-a-7d7f0cdb"),
            ("a_b", "a-b-e6c4a319"),
            ("A_B", "a-b-fa40e319"),
            ("a:b", "a-b-e6619119"),
            ("-a", "a-07d05b07"),
            ("..", "order-07da1a07"),
        ];
        for (id, name) in table {
            assert_eq!(resource_name(id), name, "{id}");
        }
        let long = format!("{}-5a494916", "x".repeat(NAME_CHARS_MAX - HASH_CHARS));
        assert_eq!(resource_name(&"x".repeat(128)), long);
    }
}
