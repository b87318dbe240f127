//! Whether an installation on a cluster is as it should be: what `orderstream check` says.
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

/// What belongs together, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The API server and what may be done there.
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
    /// Who looks at the metrics.
    Monitoring,
    /// Whether processors can be taken away; asked for by name only.
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

    /// The name that people use.
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

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// As it should be.
    Good,
    /// It works, and somebody should look.
    Warning,
    /// It does not work.
    Failed,
}

/// What is to be done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Why it is so.
    pub cause: String,
    /// What to do.
    pub fix: String,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it belongs.
    pub group: Group,
    /// Its stable name; the page of its docs has a heading of this name.
    pub id: &'static str,
    /// What it came to.
    pub mark: Mark,
    /// What was found, with its figure.
    pub text: String,
    /// What to do, where it is not good.
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
