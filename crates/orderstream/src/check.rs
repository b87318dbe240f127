//! `orderstream check`: checks an installation. Exits with code 0 when no check failed, 6 when one
//! did.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use orderstream_controller::cluster::checks::{self, Finding, Group, Mark, Question};
use orderstream_controller::cluster::resources::Resources;
use orderstream_controller::duration::parse_ms;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Failure;
use crate::output;

/// The page that has a heading for each check's id.
const PAGE: &str = "https://github.com/orderstream/orderstream/blob/main/docs/checks.md";
/// The widest text column, characters; the id follows directly after a longer text.
const TEXT_WIDTH_MAX: usize = 90;
/// The time between two rounds of checks with `--wait`.
const LOOK: Duration = Duration::from_secs(1);

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
}

/// `orderstream check`
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
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
    #[arg(long, value_name = "SET=COUNT", value_parser = wanted)]
    processors: Option<(String, u32)>,
    /// Namespace of the installation; with `--only stranding`, the namespace of the orders
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// The kubeconfig; without it the one that kubectl would use, else the pod's own access
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: Format,
}

fn group(text: &str) -> Result<Group, String> {
    let names = || Group::ALL.map(Group::as_str).join(", ");
    let known = Group::ALL.into_iter().find(|group| group.as_str() == text);
    known.ok_or_else(|| format!("no such group; give some of {}", names()))
}

fn wanted(text: &str) -> Result<(String, u32), String> {
    let wrong = || "give the StatefulSet's name and a count, such as processor=3".to_owned();
    let (set, count) = text.split_once('=').ok_or_else(wrong)?;
    Ok((set.to_owned(), count.parse().map_err(|_| wrong())?))
}

impl Check {
    /// Runs the checks and prints the report.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let patience = match &self.wait {
            None => Duration::ZERO,
            Some(text) => parse_ms(text).map(Duration::from_millis).ok_or_else(|| {
                Failure::input(format!("--wait '{text}' is not a duration such as 60s or 5m"))
            })?,
        };
        let resources = Resources::connect(self.kubeconfig.as_deref(), self.context.as_deref())
            .await
            .map_err(|error| Failure::input(error.to_string()))?;
        let question = self.question(resources.namespace())?;
        let began = Instant::now();
        let mut looked = Instant::now();
        let mut findings = self.look(&resources, &question).await;
        while has_failed(&findings) && began.elapsed() < patience {
            tokio::time::sleep(LOOK).await;
            looked = Instant::now();
            findings = self.look(&resources, &question).await;
        }
        match self.output {
            Format::Table => output::line(&table(&findings, looked.elapsed())),
            Format::Json => {
                let document = serde_json::to_string(&document(&findings));
                output::line(&document.map_err(|error| Failure::unexpected(error.to_string()))?);
            }
        }
        let failed = findings.iter().filter(|finding| finding.mark == Mark::Failed).count();
        if failed == 0 { Ok(()) } else { Err(Failure::checks(format!("{failed} checks failed"))) }
    }

    fn question(&self, default: &str) -> Result<Question, Failure> {
        let is_wanted = |group: &Group| match self.only.as_slice() {
            [] => *group != Group::Stranding,
            only => only.contains(group),
        };
        let groups: Vec<_> = Group::ALL
            .into_iter()
            .filter(is_wanted)
            .filter(|group| !self.skip.contains(group))
            .collect();
        if groups.contains(&Group::Stranding) && self.processors.is_none() {
            let text = "--only stranding needs --processors SET=COUNT, how many there are to be";
            return Err(Failure::input(text.to_owned()));
        }
        Ok(Question {
            groups,
            namespace: self.namespace.as_deref().unwrap_or(default).to_owned(),
            before_install: self.pre,
            orders_of: self.namespace.clone(),
            wanted_processors: self.processors.clone(),
        })
    }

    async fn look(&self, resources: &Resources, question: &Question) -> Vec<Finding> {
        let facts = checks::gather(resources, question).await;
        let judged = checks::judge(&facts, &question.groups);
        let before = |finding: &Finding| !self.pre || finding.group == Group::Kubernetes;
        judged.into_iter().filter(before).collect()
    }
}

fn has_failed(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.mark == Mark::Failed)
}

fn table(findings: &[Finding], took: Duration) -> String {
    let mut lines = Vec::new();
    let mut group = None;
    let width = findings.iter().map(|finding| finding.text.chars().count()).max();
    let width = width.unwrap_or_default().min(TEXT_WIDTH_MAX);
    for finding in findings {
        if group != Some(finding.group) {
            group = Some(finding.group);
            lines.push(finding.group.as_str().to_owned());
        }
        let mark = match finding.mark {
            Mark::Good => '√',
            Mark::Warning => '‼',
            Mark::Failed => '×',
        };
        lines.push(format!("  {mark} {:<width$}  {}", finding.text, finding.id));
        if let Some(advice) = &finding.advice {
            lines.push(format!("      cause: {}", advice.cause));
            lines.push(format!("      fix:   {}", advice.fix));
            lines.push(format!("      see:   {PAGE}#{}", finding.id));
        }
    }
    let count = |mark: Mark| findings.iter().filter(|finding| finding.mark == mark).count();
    let (failed, warnings) = (count(Mark::Failed), count(Mark::Warning));
    let status = if failed > 0 { "failed" } else { "ok" };
    lines.push(format!(
        "Status: {status}, {failed} failed, {warnings} to look at ({} checks, {:.1} s)",
        findings.len(),
        took.as_secs_f32()
    ));
    lines.join("\n")
}

/// The JSON output of `check`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    /// `ok` or `failed`.
    status: &'static str,
    /// Every check, in the order of the groups.
    checks: Vec<Checked>,
}

/// The result of one check.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
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

fn document(findings: &[Finding]) -> Document {
    let mark = |mark: Mark| match mark {
        Mark::Good => "ok",
        Mark::Warning => "warning",
        Mark::Failed => "failed",
    };
    let shown = |finding: &Finding| {
        let advice = finding.advice.as_ref();
        Checked {
            group: finding.group.as_str(),
            id: finding.id.to_string(),
            mark: mark(finding.mark),
            text: finding.text.to_string(),
            cause: advice.map(|advice| advice.cause.to_string()),
            fix: advice.map(|advice| advice.fix.to_string()),
            page: advice.map(|_| format!("{PAGE}#{}", finding.id)),
        }
    };
    let status = if has_failed(findings) { "failed" } else { "ok" };
    Document { status, checks: findings.iter().map(shown).collect() }
}
