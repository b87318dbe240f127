//! A finding of tidy, printed as one line.

use std::fmt;

/// A violation of a rule: its location, the fault with its limit, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TidyFinding {
    path: String,
    line: usize,
    problem: String,
    fix: String,
}

impl TidyFinding {
    /// Creates a finding at a line, counted from 1.
    pub(crate) fn new(path: &str, line: usize, problem: &str, fix: &str) -> Self {
        Self { path: path.to_owned(), line, problem: problem.to_owned(), fix: fix.to_owned() }
    }
}

impl fmt::Display for TidyFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}, {}", self.path, self.line, self.problem, self.fix)
    }
}
