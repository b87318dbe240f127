//! The sellers' names, each stored once, however many orders invite the seller.

use std::collections::HashSet;

use orderstream_core::SellerId;

/// The number of stored names before unused ones are first removed.
const PURGE_MIN: usize = 1_024;

/// The names that the orders share.
#[derive(Debug, Default)]
pub(crate) struct SellerInterner {
    interned: HashSet<SellerId>,
    purge_at: usize,
}

impl SellerInterner {
    /// Makes a name share its text with all equal names.
    pub(crate) fn intern(&mut self, name: &mut SellerId) {
        if let Some(interned) = self.interned.get(name) {
            name.clone_from(interned);
            return;
        }
        if self.interned.len() >= self.purge_at {
            self.interned.retain(SellerId::is_shared);
            self.purge_at = PURGE_MIN.max(self.interned.len().saturating_mul(2));
        }
        self.interned.insert(name.clone());
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
        let mut names = SellerInterner::default();
        let (mut first, mut second) = (name(1), name(1));
        names.intern(&mut first);
        names.intern(&mut second);
        assert_eq!(first.as_str().as_ptr(), second.as_str().as_ptr());
    }

    #[test]
    fn unused_names_are_dropped() {
        let mut names = SellerInterner::default();
        let mut used = name(0);
        names.intern(&mut used);
        for number in 1..20 * PURGE_MIN {
            names.intern(&mut name(number));
            assert!(names.interned.len() <= PURGE_MIN);
        }
        assert!(names.interned.contains(&used));
    }
}
