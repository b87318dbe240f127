//! Ids in tables: generated ones are cut to the letters that tell them from each other. Commands
//! take these as well ([`super::lookup`]).

/// The fewest characters of a shortened id, behind its prefix.
const SHORT_CHARS: usize = 8;
/// The prefix of the keys that this program generates; a follow-up or a question has its key as id.
pub(super) const KEY_PREFIX: &str = "cli-";
/// The hexadecimal digits of a generated key.
const KEY_DIGITS: usize = 32;
/// The characters of a UUID that is shown without those beside it: its time in milliseconds, and
/// twelve random bits.
const ALONE_CHARS: usize = 18;
/// The places of the dashes of a UUID.
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// The characters of a UUID.
const UUID_CHARS: usize = 36;

/// The ids of one order, in alphabetical order, each of which can be shortened.
#[derive(Clone, Debug, Default)]
pub(super) struct ShortIds<'a>(Vec<&'a str>);

impl<'a> ShortIds<'a> {
    /// Takes all ids among which a shortened one is to name one.
    pub(super) fn of(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ids: Vec<&str> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }

    /// Returns the id as a table shows it: ids that people chose stay whole.
    pub(super) fn short<'b>(&self, id: &'b str) -> &'b str {
        let Some(least) = least_chars(id) else { return id };
        let at = self.0.partition_point(|other| *other < id);
        let before = at.checked_sub(1).and_then(|index| self.0.get(index));
        let after = self.0.iter().skip(at).find(|other| **other != id);
        let shared = before.into_iter().chain(after).map(|other| common_chars(id, other)).max();
        let chars = shared.map_or(0, |shared| shared.saturating_add(1)).max(least);
        id.get(..chars).unwrap_or(id)
    }

    /// Returns a text in which these ids are shortened.
    pub(super) fn shortened(&self, text: &str) -> String {
        let replaced = |text: String, id: &&str| match self.short(id) {
            short if short.len() < id.len() => text.replace(*id, short),
            _ => text,
        };
        self.0.iter().fold(text.to_owned(), replaced)
    }
}

/// Returns an id as it is shown where the ids beside it are not known: a generated one has its time to
/// the millisecond and its first random digits.
pub(super) fn alone(id: &str) -> &str {
    match least_chars(id) {
        Some(least) if id.starts_with(KEY_PREFIX) => id.get(..least).unwrap_or(id),
        Some(_) => id.get(..ALONE_CHARS).unwrap_or(id),
        None => id,
    }
}

/// Returns a text in which these ids are as they are shown alone.
pub(super) fn all_alone<'a>(ids: impl IntoIterator<Item = &'a str>, text: &str) -> String {
    let replaced = |text: String, id: &str| match alone(id) {
        short if short.len() < id.len() => text.replace(id, short),
        _ => text,
    };
    ids.into_iter().fold(text.to_owned(), replaced)
}

/// Returns the fewest characters of a generated id; `None` for one that a person chose.
fn least_chars(id: &str) -> Option<usize> {
    let is_hexadecimal = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    if let Some(digits) = id.strip_prefix(KEY_PREFIX) {
        let is_key = digits.len() == KEY_DIGITS && is_hexadecimal(digits);
        return is_key.then_some(KEY_PREFIX.len() + SHORT_CHARS);
    }
    let is_uuid = id.len() == UUID_CHARS
        && id.char_indices().all(|(at, c)| match DASHES.contains(&at) {
            true => c == '-',
            false => c.is_ascii_hexdigit(),
        });
    is_uuid.then_some(SHORT_CHARS)
}

/// Returns the number of first characters that two ids share.
fn common_chars(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_shortened_as_far_as_they_differ() {
        let ids = [
            "01a22855-0c47-75f7-b561-3fe65a6fa1e5",
            "01a22855-0b5b-7201-b4c1-f1200168fa5a",
            "01a22861-b4f9-7201-b4c1-f1200168fa5a",
            "cli-5b70de6659a10d6aa7725e6652cccb5b",
            "p-1",
            "proposal-of-the-chairs-of-rosenheim",
        ];
        let short = ShortIds::of(ids);
        let expected = [
            "01a22855-0c",
            "01a22855-0b",
            "01a22861",
            "cli-5b70de66",
            "p-1",
            "proposal-of-the-chairs-of-rosenheim",
        ];
        assert_eq!(ids.map(|id| short.short(id)), expected);
        let text = format!("{} of acme, and p-1", ids[0]);
        assert_eq!(short.shortened(&text), "01a22855-0c of acme, and p-1");
    }

    /// Several proposals of one minute begin with the same eight letters.
    #[test]
    fn ids_alone_name_one_proposal() {
        let ids = ["01a22855-0c47-75f7-b561-3fe65a6fa1e5", "01a22855-0b5b-7201-b4c1-f1200168fa5a"];
        assert_eq!(ids.map(alone), ["01a22855-0c47-75f7", "01a22855-0b5b-7201"]);
        assert_eq!(alone("p-1"), "p-1");
        assert_eq!(alone("cli-5b70de6659a10d6aa7725e6652cccb5b"), "cli-5b70de66");
        let text = format!("{}: 12 EUR", ids[0]);
        assert_eq!(all_alone(ids, &text), "01a22855-0c47-75f7: 12 EUR");
    }

    #[test]
    fn short_ids_differ_from_ids_that_people_chose() {
        let ids = ["01a22855-0c47-75f7-b561-3fe65a6fa1e5", "01a22855-0c47-b"];
        assert_eq!(ShortIds::of(ids).short(ids[0]), "01a22855-0c47-7");
        assert_eq!(ShortIds::of([]).short(ids[0]), "01a22855");
    }
}
