//! Values that may leave the process only once the records behind them are on disk.
//!
//! A machine's reply and effects are wrapped in [`Withheld`]. The wrapper opens only with a proof
//! that the order's list of events is durable up to the event that caused them. Only a journal
//! makes such proofs: "visible before durable" does not compile. `cargo xtask tidy` checks that
//! nothing else outside of tests implements [`Durable`].

use crate::hash::StableHasher;
use crate::id::{Incarnation, OrderKey, Seq};

/// A list of the journal, by the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListHash(u64);

impl ListHash {
    /// Returns the hash of a list's name.
    pub fn of(name: &[u8]) -> Self {
        Self(StableHasher::default().bytes(name).finish())
    }

    /// Returns the hash of the name of an incarnation's list of events: `e`, tenant, id and
    /// incarnation, with line feeds between them.
    pub fn of_events(key: &OrderKey, incarnation: &Incarnation) -> Self {
        let hasher = StableHasher::default().bytes(b"e");
        let parts = [key.tenant.as_str(), key.order_req_id.as_str(), incarnation.as_str()];
        let add = |hasher: StableHasher, part: &str| hasher.bytes(b"\n").bytes(part.as_bytes());
        Self(parts.into_iter().fold(hasher, add).finish())
    }
}

/// A proof that a list is durable up to a sequence number.
pub trait Durable {
    /// Reports whether this list is durable up to this sequence number.
    fn proves(&self, list: ListHash, until: Seq) -> bool;
}

/// An absent proof proves nothing.
impl<P: Durable> Durable for Option<P> {
    fn proves(&self, list: ListHash, until: Seq) -> bool {
        self.as_ref().is_some_and(|proof| proof.proves(list, until))
    }
}

/// A value that waits for its records to be durable.
#[derive(Debug)]
pub struct Withheld<T> {
    value: T,
    /// The list of events; absent where there is no record to wait for.
    list: Option<ListHash>,
    until: Seq,
}

impl<T> Withheld<T> {
    pub(crate) const fn new(value: T, list: Option<ListHash>, until: Seq) -> Self {
        Self { value, list, until }
    }

    /// Returns the sequence number up to which the list must be durable.
    pub const fn until(&self) -> Seq {
        self.until
    }

    /// Opens the wrapper.
    ///
    /// # Errors
    /// Returns the wrapper when the proof is of another list, or does not reach far enough.
    pub fn release(self, proof: &impl Durable) -> Result<T, Self> {
        #[cfg(feature = "plant-bugs")]
        if crate::plant::is_planted(crate::plant::Bug::ReplyBeforeSync) {
            return Ok(self.value);
        }
        let is_free = self.list.is_none_or(|list| proof.proves(list, self.until));
        if is_free { Ok(self.value) } else { Err(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Proof(ListHash, Seq);

    impl Durable for Proof {
        fn proves(&self, list: ListHash, until: Seq) -> bool {
            self.0 == list && self.1 >= until
        }
    }

    #[test]
    fn only_proofs_of_its_list_release() {
        let key = OrderKey::new("team", "SB1").unwrap();
        let incarnation = |text: &str| Incarnation::new(text).unwrap();
        let (one, two) = (incarnation("one"), incarnation("two"));
        let list = ListHash::of_events(&key, &one);
        assert_eq!(list, ListHash::of(b"e\nteam\nSB1\none"));
        let withheld = || Withheld::new("done", Some(list), Seq(3));
        assert!(withheld().release(&Proof(list, Seq(2))).is_err(), "not far enough");
        assert!(withheld().release(&Proof(ListHash::of_events(&key, &two), Seq(9))).is_err());
        let grants = Proof(ListHash::of(b"g\nteam\nSB1\none"), Seq(9));
        assert!(withheld().release(&grants).is_err(), "of another list of the order");
        assert!(withheld().release(&None::<Proof>).is_err());
        assert_eq!(withheld().release(&Proof(list, Seq(3))).unwrap(), "done");
        assert_eq!(withheld().release(&Some(Proof(list, Seq(3)))).unwrap(), "done");
        let free = Withheld::new("refused", None, Seq(0));
        assert_eq!(free.release(&None::<Proof>).unwrap(), "refused");
    }
}
