//! The checks of an installation on a cluster, behind `orderstream check`.
//!
//! [`gather`] asks the API server once for all facts; the checks are pure functions from facts to
//! findings. A finding has a stable id, and on failure its cause and its fix.

mod control_plane;
mod controllers;
mod data_plane;
mod facts;
mod gather;
mod metrics_page;
mod rights;
mod volumes;
mod watched;
mod workloads;

pub(crate) use self::facts::{
    ApiServerResult, ControllerFacts, ControllerRights, InstallationFacts, LeaseFacts,
    OpenOrderFacts, Pod, StorageClass, UntakenOrder, UntakenOrders, VolumeClaim, Workload,
};
pub(crate) use self::gather::{FactSelection, gather};
pub(crate) use self::metrics_page::MetricsPage;

/// The longest text of a finding, characters. The message of an event names objects and repeats
/// itself; the log of a container that ended may have pages.
const TEXT_CHARS_MAX: usize = 600;

/// A group of checks, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
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
    pub(crate) const ALL: [Self; 8] = [
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
    pub(crate) const fn as_str(self) -> &'static str {
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
pub(crate) enum CheckStatus {
    /// As it should be.
    Good,
    /// It works, but needs attention.
    Warning,
    /// It does not work.
    Failed,
}

/// The cause of a finding, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// The cause, as a clause.
    pub cause: String,
    /// The fix: an instruction, or commands.
    pub fix: String,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstallationFinding {
    /// The group of the check.
    pub group: Group,
    /// The check's stable id; docs/checks.md has a heading of this name.
    pub id: &'static str,
    /// The result of the check.
    pub status: CheckStatus,
    /// The finding as text, with the measured value.
    pub text: String,
    /// The cause and the fix; absent where the status is good.
    pub advice: Option<Advice>,
}

impl InstallationFinding {
    fn good(group: Group, id: &'static str, text: impl Into<String>) -> Self {
        let text = bounded(&text.into());
        Self { group, id, status: CheckStatus::Good, text, advice: None }
    }

    fn bad(
        (group, id, status): (Group, &'static str, CheckStatus),
        text: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (cause, fix) = (bounded(&cause.into()), bounded(&fix.into()));
        Self { group, id, status, text: bounded(&text.into()), advice: Some(Advice { cause, fix }) }
    }
}

/// Returns a text in one line, and shortened if it is too long.
fn bounded(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Judges the facts, group by group.
pub(crate) fn judge(facts: &InstallationFacts, groups: &[Group]) -> Vec<InstallationFinding> {
    let judged = |group: &Group| match group {
        Group::Kubernetes => control_plane::kubernetes(facts),
        Group::Crds => control_plane::crds(facts),
        Group::Controller => {
            let mut findings = control_plane::controller(facts);
            findings.extend(controllers::others(facts));
            findings.extend(controllers::untaken(facts));
            findings
        }
        Group::Processors => data_plane::processors(facts),
        Group::Streams => data_plane::streams(facts),
        Group::Storage => data_plane::storage(facts),
        Group::Monitoring => control_plane::monitoring(facts),
        Group::Stranding => data_plane::stranding(facts),
    };
    groups.iter().flat_map(judged).collect()
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
