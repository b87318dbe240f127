//! Test-only switches, each of which breaks one rule, to prove that the simulation finds it.

use std::cell::Cell;

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Reply before the records are on disk.
    ReplyBeforeSync,
    /// Resume one event too late.
    ResumeOffByOne,
    /// Accept commands and streams with a stale epoch.
    NoEpochCheck,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Breaks this rule on this thread; `None` breaks none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Reports whether this rule is broken on this thread.
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
