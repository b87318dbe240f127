//! A finding of tidy, shown as one line.

use std::fmt;

/// A broken rule: its place, the fault with its limit, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    fix: String,
}

impl Finding {
    /// Makes a finding at a line, counted from 1.
    pub(crate) fn new(path: &str, line: usize, what: &str, fix: &str) -> Self {
        Self { path: path.to_owned(), line, what: what.to_owned(), fix: fix.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}, {}", self.path, self.line, self.what, self.fix)
    }
}
