//! What may only leave the process once the records behind it are on disk.
//!
//! A machine's answer and effects are wrapped in [`Withheld`]. The wrapper opens only with a proof
//! that the order's list is durable up to the event that caused them, and only a journal makes
//! such proofs: "visible before durable" does not compile.

use crate::id::Seq;

/// A proof that a list is on disk up to some number. Implemented by what a journal returns after
/// its sync, and by nothing else outside of tests.
pub trait Durable {
    /// The highest number of the list that is on disk.
    fn durable_through(&self) -> Seq;
}

/// A value that waits for its records to be durable.
#[derive(Debug)]
pub struct Withheld<T> {
    value: T,
    until: Seq,
}

impl<T> Withheld<T> {
    pub(crate) const fn new(value: T, until: Seq) -> Self {
        Self { value, until }
    }

    /// The number up to which the list must be durable.
    pub const fn until(&self) -> Seq {
        self.until
    }

    /// Opens the wrapper.
    ///
    /// # Errors
    /// Gives the wrapper back when the proof does not reach far enough.
    pub fn release(self, proof: &impl Durable) -> Result<T, Self> {
        #[cfg(feature = "plant-bugs")]
        if crate::plant::is_planted(crate::plant::Bug::AnswerBeforeSync) {
            return Ok(self.value);
        }
        if proof.durable_through() >= self.until { Ok(self.value) } else { Err(self) }
    }
}
