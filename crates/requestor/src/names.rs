//! The sellers' names, each held once, however many orders invite the seller.

use std::collections::HashSet;

use orderstream_core::SellerId;

/// The number of names held before unused ones are first removed.
const PURGE_MIN: usize = 1_024;

/// The names that the orders share.
#[derive(Debug, Default)]
pub(crate) struct Names {
    kept: HashSet<SellerId>,
    purge_at: usize,
}

impl Names {
    /// Makes a name share its text with all equal names.
    pub(crate) fn share(&mut self, name: &mut SellerId) {
        if let Some(kept) = self.kept.get(name) {
            name.clone_from(kept);
            return;
        }
        if self.kept.len() >= self.purge_at {
            self.kept.retain(SellerId::is_shared);
            self.purge_at = PURGE_MIN.max(self.kept.len().saturating_mul(2));
        }
        self.kept.insert(name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> SellerId {
        SellerId::new(format!("seller-{number}")).unwrap()
    }

    #[test]
    fn the_same_name_has_one_text() {
        let mut names = Names::default();
        let (mut first, mut second) = (name(1), name(1));
        names.share(&mut first);
        names.share(&mut second);
        assert_eq!(first.as_str().as_ptr(), second.as_str().as_ptr());
    }

    #[test]
    fn unused_names_are_dropped() {
        let mut names = Names::default();
        let mut used = name(0);
        names.share(&mut used);
        for number in 1..20 * PURGE_MIN {
            names.share(&mut name(number));
            assert!(names.kept.len() <= PURGE_MIN);
        }
        assert!(names.kept.contains(&used));
    }
}
