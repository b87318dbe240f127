//! The checker: pure functions that read a history and name the promise that it breaks.

use super::history::History;

/// A promise, and the way in which it was broken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) description: String,
}

mod client;
mod order;
mod rules;
mod stream;
#[cfg(test)]
mod tests;

type Check = fn(&History) -> Result<(), String>;

/// Every predicate, with its name.
pub(crate) const ALL: [(&str, Check); 12] = [
    ("P1", client::durable),
    ("P2", stream::ordered),
    ("P2b", stream::resumed),
    ("P3", client::once),
    ("P3b", client::asked_for),
    ("P4", stream::single),
    ("P5", stream::fenced),
    ("P6", order::status_true),
    ("P8", order::converged),
    ("P11", order::expired),
    ("P12", rules::lawful),
    ("P14", rules::sealed),
];

/// Fails with the first promise that the history breaks.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    for (promise, predicate) in ALL {
        predicate(history).map_err(|description| Violation { promise, description })?;
    }
    Ok(())
}
