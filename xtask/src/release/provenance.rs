//! The provenance of a release: an in-toto statement with SLSA's predicate, version 1
//! (<https://slsa.dev/spec/v1.0/provenance>). It is not signed: a signature needs a key.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::checkout::{self, Checkout, TreeState};
use crate::image::{Architecture, SOURCE};

/// The id of a build that no service ran.
const BY_HAND: &str =
    "https://github.com/orderstream/orderstream/blob/main/docs/release.md#by-hand";
/// The description of the build's parameters.
const BUILD_TYPE: &str =
    "https://github.com/orderstream/orderstream/blob/main/docs/release.md#provenance";

/// The inputs of the build other than the commit.
#[derive(Clone, Debug)]
pub(super) struct BuildFacts {
    pub(super) version: &'static str,
    /// The version of Rust.
    pub(super) toolchain: String,
    /// The SHA-256 of `Cargo.lock`.
    pub(super) lock_digest: String,
    pub(super) architectures: Vec<Architecture>,
    pub(super) run: BuildRun,
}

/// The service that ran the build, and its name for this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BuildRun {
    builder: String,
    invocation: Option<String>,
}

impl BuildRun {
    /// Reads the variables of GitHub Actions.
    pub(super) fn of_environment() -> Self {
        Self::of(&|name| std::env::var(name).ok())
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let server = variable("GITHUB_SERVER_URL");
        let (Some(server), Some(workflow)) = (server, variable("GITHUB_WORKFLOW_REF")) else {
            return Self { builder: BY_HAND.to_owned(), invocation: None };
        };
        let part = |name: &str| variable(name).unwrap_or_default();
        let (repository, run) = (part("GITHUB_REPOSITORY"), part("GITHUB_RUN_ID"));
        let attempt = part("GITHUB_RUN_ATTEMPT");
        Self {
            builder: format!("{server}/{workflow}"),
            invocation: Some(format!(
                "{server}/{repository}/actions/runs/{run}/attempts/{attempt}"
            )),
        }
    }
}

/// Returns the version in the text of `rust-toolchain.toml`.
pub(super) fn toolchain(text: &str) -> String {
    let channel = text.lines().find_map(|line| line.trim().strip_prefix("channel = "));
    channel.unwrap_or_default().trim_matches('"').to_owned()
}

/// Returns the statement about files, which are given with their SHA-256.
pub(super) fn write(
    checkout: &Checkout,
    facts: &BuildFacts,
    sums: &BTreeMap<String, String>,
) -> String {
    let subjects: Vec<_> =
        sums.iter().map(|(name, sum)| json!({"name": name, "digest": {"sha256": sum}})).collect();
    let tag = checkout::tag(facts.version);
    let reference = if checkout.tags.contains(&tag) {
        format!("git+{SOURCE}@refs/tags/{tag}")
    } else {
        format!("git+{SOURCE}")
    };
    let architectures: Vec<_> = facts.architectures.iter().map(|it| it.name()).collect();
    let mut metadata = json!({});
    if let Some(invocation) = &facts.run.invocation {
        metadata["invocationId"] = json!(invocation);
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "source": reference, "version": facts.version, "architectures": architectures,
                },
                "resolvedDependencies": materials(checkout, facts, &reference),
            },
            "runDetails": {"builder": {"id": facts.run.builder}, "metadata": metadata},
        },
    });
    format!("{statement:#}\n")
}

fn materials(checkout: &Checkout, facts: &BuildFacts, reference: &str) -> Value {
    let has_changes = checkout.tree == TreeState::Changed;
    json!([
        {
            "uri": reference,
            "digest": {"gitCommit": checkout.commit},
            "annotations": {"uncommittedChanges": has_changes},
        },
        {"name": "Cargo.lock", "digest": {"sha256": facts.lock_digest}},
        {"uri": format!("pkg:generic/rust@{}", facts.toolchain)},
    ])
}

#[cfg(test)]
mod tests {
    use super::super::checkout::tests::released;
    use super::*;

    fn facts(run: BuildRun) -> BuildFacts {
        BuildFacts {
            version: "1.2.3",
            toolchain: toolchain("[toolchain]\nchannel = \"1.95.0\"\n"),
            lock_digest: "cd".repeat(32),
            architectures: Architecture::ALL.to_vec(),
            run,
        }
    }

    fn stated(checkout: &Checkout, run: BuildRun) -> Value {
        let sums = BTreeMap::from([("orderstream-1.2.3.tgz".to_owned(), "ab".repeat(32))]);
        serde_json::from_str(&write(checkout, &facts(run), &sums)).unwrap()
    }

    fn by_hand() -> BuildRun {
        BuildRun::of(&|_| None)
    }

    #[test]
    fn statements_name_source_and_files() {
        let statement = stated(&released(), by_hand());
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
        let subject = json!([
            {"name": "orderstream-1.2.3.tgz", "digest": {"sha256": "ab".repeat(32)}},
        ]);
        assert_eq!(statement["subject"], subject);
        let build = &statement["predicate"]["buildDefinition"];
        assert_eq!(build["externalParameters"]["architectures"], json!(["amd64", "arm64"]));
        let materials = &build["resolvedDependencies"];
        assert_eq!(
            materials[0]["uri"],
            "git+https://github.com/orderstream/orderstream@refs/tags/v1.2.3"
        );
        assert_eq!(materials[0]["digest"]["gitCommit"], released().commit);
        assert_eq!(materials[0]["annotations"]["uncommittedChanges"], false);
        assert_eq!(materials[2]["uri"], "pkg:generic/rust@1.95.0");
        let builder = &statement["predicate"]["runDetails"]["builder"]["id"];
        assert!(builder.as_str().unwrap().ends_with("#by-hand"), "{builder}");
    }

    /// A commit alone does not describe a checkout with changes.
    #[test]
    fn dry_runs_admit_changes_and_no_tag() {
        let changed = Checkout { tree: TreeState::Changed, tags: Vec::new(), ..released() };
        let statement = stated(&changed, by_hand());
        let source = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0];
        assert_eq!(source["annotations"]["uncommittedChanges"], true);
        assert_eq!(source["uri"], "git+https://github.com/orderstream/orderstream");
    }

    #[test]
    fn workflows_are_the_builder() {
        let run = BuildRun::of(&|name| {
            let value = match name {
                "GITHUB_SERVER_URL" => "https://git.example",
                "GITHUB_WORKFLOW_REF" => "a/b/.github/workflows/release.yml@refs/tags/v1.2.3",
                "GITHUB_REPOSITORY" => "a/b",
                "GITHUB_RUN_ID" => "7",
                "GITHUB_RUN_ATTEMPT" => "1",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let statement = stated(&released(), run);
        let details = &statement["predicate"]["runDetails"];
        assert_eq!(
            details["builder"]["id"],
            "https://git.example/a/b/.github/workflows/release.yml@refs/tags/v1.2.3"
        );
        let invocation = "https://git.example/a/b/actions/runs/7/attempts/1";
        assert_eq!(details["metadata"]["invocationId"], invocation);
    }
}
