//! The checks of an installation on a cluster, behind `orderstream check`.
//!
//! [`gather`] asks the API server once for all facts; the judges are pure functions from facts to
//! findings. A finding has a stable id, and on failure its cause and its fix.

mod cluster_side;
mod data_side;
mod facts;
mod figures;
mod gather;

pub use self::facts::{Answer, Claim, Facts, LeaseFacts, Order, Pod, Workload};
pub use self::figures::Figures;
pub use self::gather::{Question, gather};

/// A group of checks, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The API server and the rights there.
    Kubernetes,
    /// The custom resource definitions.
    Crds,
    /// The operator.
    Controller,
    /// The owners of orders.
    Processors,
    /// The streams between the two.
    Streams,
    /// The processors' volumes and journals.
    Storage,
    /// The metrics, and the monitors that scrape them.
    Monitoring,
    /// The orders on processors that are to be removed; checked by name only.
    Stranding,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 8] = [
        Self::Kubernetes,
        Self::Crds,
        Self::Controller,
        Self::Processors,
        Self::Streams,
        Self::Storage,
        Self::Monitoring,
        Self::Stranding,
    ];

    /// Returns the group's name, as commands take and print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Crds => "crds",
            Self::Controller => "controller",
            Self::Processors => "processors",
            Self::Streams => "streams",
            Self::Storage => "storage",
            Self::Monitoring => "monitoring",
            Self::Stranding => "stranding",
        }
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// As it should be.
    Good,
    /// It works, but needs attention.
    Warning,
    /// It does not work.
    Failed,
}

/// The cause of a finding, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The cause, as a clause.
    pub cause: String,
    /// The fix: an instruction, or commands.
    pub fix: String,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The group of the check.
    pub group: Group,
    /// The check's stable id; docs/checks.md has a heading of this name.
    pub id: &'static str,
    /// The result of the check.
    pub mark: Mark,
    /// The finding as text, with the measured value.
    pub text: String,
    /// The cause and the fix; absent where the mark is good.
    pub advice: Option<Advice>,
}

impl Finding {
    fn good(group: Group, id: &'static str, text: impl Into<String>) -> Self {
        Self { group, id, mark: Mark::Good, text: text.into(), advice: None }
    }

    fn bad(
        (group, id, mark): (Group, &'static str, Mark),
        text: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let advice = Some(Advice { cause: cause.into(), fix: fix.into() });
        Self { group, id, mark, text: text.into(), advice }
    }
}

/// Judges the facts, group by group.
pub fn judge(facts: &Facts, groups: &[Group]) -> Vec<Finding> {
    let judged = |group: &Group| match group {
        Group::Kubernetes => cluster_side::kubernetes(facts),
        Group::Crds => cluster_side::crds(facts),
        Group::Controller => cluster_side::controller(facts),
        Group::Processors => data_side::processors(facts),
        Group::Streams => data_side::streams(facts),
        Group::Storage => data_side::storage(facts),
        Group::Monitoring => cluster_side::monitoring(facts),
        Group::Stranding => data_side::stranding(facts),
    };
    groups.iter().flat_map(judged).collect()
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
