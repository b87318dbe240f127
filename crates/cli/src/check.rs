//! `orderstream check`: checks an installation. Exits with code 0 when no check failed, 6 when one
//! did.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::cluster::checks::{self, CheckStatus, FactSelection, Group, InstallationFinding};
use crate::cluster::resources::Resources;
use crate::exit::CliError;
use crate::output;
use crate::progress::Progress;
use crate::verbs::{flags, print};

/// The page that has a heading for each check's id.
const PAGE: &str = "https://github.com/orderstream/orderstream/blob/main/docs/checks.md";
/// The widest text column, characters; the id follows directly after a longer text.
const TEXT_WIDTH_MAX: usize = 90;
/// The time between two rounds of checks with `--wait`.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CheckFormat {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
}

/// `orderstream check`
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Check only the preconditions of an installation, before it exists
    #[arg(long)]
    pre: bool,
    /// Repeat the checks until none fails, for at most this long
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
    /// Run only these groups of checks
    #[arg(long, value_delimiter = ',', value_name = "GROUP", value_parser = group)]
    only: Vec<Group>,
    /// Skip these groups of checks
    #[arg(long, value_delimiter = ',', value_name = "GROUP", value_parser = group)]
    skip: Vec<Group>,
    /// The intended count of processors: with `--only stranding`, check whether the others can be
    /// removed
    #[arg(long, value_name = "SET=COUNT", value_parser = processor_count)]
    processors: Option<(String, u32)>,
    /// Namespace of the installation; with `--only stranding`, a namespace of the orders, repeatable
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    namespace: Vec<String>,
    /// The kubeconfig; without it the one that kubectl would use, else the pod's own access
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: CheckFormat,
}

fn group(text: &str) -> Result<Group, String> {
    let names = || Group::ALL.map(Group::as_str).join(", ");
    let known = Group::ALL.into_iter().find(|group| group.as_str() == text);
    known.ok_or_else(|| format!("no such group; give some of {}", names()))
}

fn processor_count(text: &str) -> Result<(String, u32), String> {
    let wrong = || "give the StatefulSet's name and a count, such as processor=3".to_owned();
    let (set, count) = text.split_once('=').ok_or_else(wrong)?;
    Ok((set.to_owned(), count.parse().map_err(|_| wrong())?))
}

impl CheckArgs {
    /// Runs the checks and prints the report.
    ///
    /// # Errors
    /// When a setting is wrong, or a check failed.
    pub async fn run(self) -> Result<(), CliError> {
        let timeout = match &self.wait {
            None => Duration::ZERO,
            Some(text) => flags::duration("--wait", text)?,
        };
        let resources = Resources::connect(self.kubeconfig.as_deref(), self.context.as_deref())
            .await
            .map_err(|error| CliError::input(error.to_string()))?;
        let request = self.check_request(resources.namespace())?;
        let (findings, elapsed) = self.until_good(&resources, &request, timeout).await;
        match self.output {
            CheckFormat::Table => output::line(&table(&findings, elapsed)),
            CheckFormat::Json => {
                let document = serde_json::to_string(&document(&findings));
                output::document(
                    &document.map_err(|error| CliError::unexpected(error.to_string()))?,
                );
            }
        }
        let failed = failed(&findings);
        if failed == 0 { Ok(()) } else { Err(CliError::checks(format!("{failed} checks failed"))) }
    }

    /// Runs the checks until none fails, or the time is over. Returns the last findings, and the time
    /// that they took.
    async fn until_good(
        &self,
        resources: &Resources,
        request: &FactSelection,
        timeout: Duration,
    ) -> (Vec<InstallationFinding>, Duration) {
        let progress = Progress::new("checking the installation");
        let checking = async {
            let began = Instant::now();
            loop {
                let started = Instant::now();
                let findings = self.run_checks(resources, request).await;
                if !has_failed(&findings) || began.elapsed() >= timeout {
                    return (findings, started.elapsed());
                }
                let failed = print::count(failed(&findings), "check");
                progress.set(&format!("waiting for the installation; {failed} failed just now"));
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        progress.during(checking).await
    }

    fn check_request(&self, default: &str) -> Result<FactSelection, CliError> {
        let is_selected = |group: &Group| match self.only.as_slice() {
            [] => *group != Group::Stranding,
            only => only.contains(group),
        };
        let groups: Vec<_> = Group::ALL
            .into_iter()
            .filter(is_selected)
            .filter(|group| !self.skip.contains(group))
            .collect();
        if groups.contains(&Group::Stranding) && self.processors.is_none() {
            let text = "--only stranding needs --processors SET=COUNT, how many there are to be";
            return Err(CliError::input(text.to_owned()));
        }
        if self.namespace.len() > 1 && groups != [Group::Stranding] {
            let text = "--namespace names several; only --only stranding takes more than one";
            return Err(CliError::input(text.to_owned()));
        }
        Ok(FactSelection {
            groups,
            namespace: self.namespace.first().map_or(default, String::as_str).to_owned(),
            before_install: self.pre,
            orders_of: self.namespace.clone(),
            desired_processors: self.processors.clone(),
        })
    }

    async fn run_checks(
        &self,
        resources: &Resources,
        request: &FactSelection,
    ) -> Vec<InstallationFinding> {
        let facts = checks::gather(resources, request).await;
        let findings = checks::judge(&facts, &request.groups);
        let is_relevant =
            |finding: &InstallationFinding| !self.pre || finding.group == Group::Kubernetes;
        findings.into_iter().filter(is_relevant).collect()
    }
}

fn has_failed(findings: &[InstallationFinding]) -> bool {
    failed(findings) > 0
}

/// Counts the failed checks.
fn failed(findings: &[InstallationFinding]) -> usize {
    findings.iter().filter(|finding| finding.status == CheckStatus::Failed).count()
}

fn table(findings: &[InstallationFinding], elapsed: Duration) -> String {
    let mut lines = Vec::new();
    let mut group = None;
    let width = findings.iter().map(|finding| finding.text.chars().count()).max();
    let width = width.unwrap_or_default().min(TEXT_WIDTH_MAX);
    for finding in findings {
        if group != Some(finding.group) {
            group = Some(finding.group);
            lines.push(finding.group.as_str().to_owned());
        }
        let mark = match finding.status {
            CheckStatus::Good => '√',
            CheckStatus::Warning => '‼',
            CheckStatus::Failed => '×',
        };
        lines.push(format!("  {mark} {:<width$}  {}", finding.text, finding.id));
        if let Some(advice) = &finding.advice {
            lines.push(format!("      cause: {}", advice.cause));
            lines.push(format!("      fix:   {}", advice.fix));
            lines.push(format!("      see:   {PAGE}#{}", finding.id));
        }
    }
    let count =
        |mark: CheckStatus| findings.iter().filter(|finding| finding.status == mark).count();
    let (failed, warnings) = (count(CheckStatus::Failed), count(CheckStatus::Warning));
    let status = if failed > 0 { "failed" } else { "ok" };
    lines.push(format!(
        "Status: {status}, {failed} failed, {warnings} to look at ({} checks, {:.1} s)",
        findings.len(),
        elapsed.as_secs_f32()
    ));
    lines.join("\n")
}

/// The JSON output of `check`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Document")]
pub(crate) struct InstallationReport {
    /// `ok` or `failed`.
    status: &'static str,
    /// Every check, in the order of the groups.
    checks: Vec<InstallationCheck>,
}

/// The result of one check.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Checked")]
pub(crate) struct InstallationCheck {
    /// The check's group.
    group: &'static str,
    /// Its stable id.
    id: String,
    /// `ok`, `warning` or `failed`.
    mark: &'static str,
    /// The finding, in one line.
    text: String,
    /// The cause; absent where the check passed.
    cause: Option<String>,
    /// The fix; absent where the check passed.
    fix: Option<String>,
    /// The URL of the check's documentation; absent where the check passed.
    page: Option<String>,
}

fn document(findings: &[InstallationFinding]) -> InstallationReport {
    let mark = |mark: CheckStatus| match mark {
        CheckStatus::Good => "ok",
        CheckStatus::Warning => "warning",
        CheckStatus::Failed => "failed",
    };
    let to_check = |finding: &InstallationFinding| {
        let advice = finding.advice.as_ref();
        InstallationCheck {
            group: finding.group.as_str(),
            id: finding.id.to_string(),
            mark: mark(finding.status),
            text: finding.text.to_string(),
            cause: advice.map(|advice| advice.cause.to_string()),
            fix: advice.map(|advice| advice.fix.to_string()),
            page: advice.map(|_| format!("{PAGE}#{}", finding.id)),
        }
    };
    let status = if has_failed(findings) { "failed" } else { "ok" };
    InstallationReport { status, checks: findings.iter().map(to_check).collect() }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn only_stranding_takes_several_namespaces() {
        let request = |line: &str| {
            let command = CheckArgs::augment_args(clap::Command::new("check"));
            let matches = command.get_matches_from(line.split(' '));
            CheckArgs::from_arg_matches(&matches).unwrap().check_request("own")
        };
        for (namespaces, orders_of) in
            [("", vec![]), (" -n a", vec!["a"]), (" -n a,b -n c", vec!["a", "b", "c"])]
        {
            let line = format!("check --only stranding --processors p=1{namespaces}");
            assert_eq!(request(&line).unwrap().orders_of, orders_of);
        }
        for (line, namespace) in [("check", "own"), ("check -n a", "a")] {
            assert_eq!(request(line).unwrap().namespace, namespace);
        }
        let error = request("check -n a,b").unwrap_err().to_string();
        assert!(error.contains("--namespace names several"), "{error}");
    }
}
