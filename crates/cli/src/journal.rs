//! `orderstream journal`: verifies a journal that no process has open, and salvages what is whole.
//! Exits with code 0 when all is whole, 6 when something is damaged.

use std::path::PathBuf;

use orderstream_journal::salvage::{
    self, SalvageError, SalvagePolicy, SalvageReport, VerifyReport,
};
use orderstream_journal::{FileDamage, ListDamage, OpenError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::CliError;
use crate::output;
use crate::verbs::table::{self, Column};

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum JournalFormat {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
}

/// `orderstream journal`
#[derive(Debug, clap::Subcommand)]
pub enum JournalCommand {
    /// Read all of a journal and report damage; nothing is changed
    Verify {
        /// The journal's folder, as in `--data-dir` or `--store embedded:`, with `journal.lock` in
        /// it
        dir: PathBuf,
        /// Output format
        #[arg(long, short, default_value = "table")]
        output: JournalFormat,
    },
    /// Write every list that is whole into a new journal; the old one is not changed
    Salvage {
        /// The journal's folder, as in `--data-dir` or `--store embedded:`, with `journal.lock` in
        /// it
        dir: PathBuf,
        /// The new journal's folder, empty or absent
        #[arg(long, value_name = "NEWDIR")]
        to: PathBuf,
        /// Include damaged lists, up to the damage: they stay refused, and no number is used twice
        #[arg(long)]
        with_damaged: bool,
        /// Output format
        #[arg(long, short, default_value = "table")]
        output: JournalFormat,
    },
}

impl JournalCommand {
    /// Runs the command and prints the report.
    ///
    /// # Errors
    /// When the folder has no journal, or something in it is damaged.
    pub fn run(self) -> Result<(), CliError> {
        let (verified, salvage_output, format) = match self {
            Self::Verify { dir, output } => {
                (salvage::verify(&dir).map_err(|error| failure(&error))?, None, output)
            }
            Self::Salvage { dir, to, with_damaged, output } => {
                let damaged = if with_damaged { SalvagePolicy::Keep } else { SalvagePolicy::Skip };
                let salvaged =
                    salvage::salvage(&dir, &to, damaged).map_err(|error| failure(&error))?;
                (salvaged.verification.clone(), Some((to, salvaged)), output)
            }
        };
        match format {
            JournalFormat::Table => output::line(&report_text(&verified, salvage_output.as_ref())),
            JournalFormat::Json => {
                let document = serde_json::to_string(&document(&verified, salvage_output.as_ref()));
                output::document(
                    &document.map_err(|error| CliError::unexpected(error.to_string()))?,
                );
            }
        }
        let (files, lists) = (verified.damage.files.len(), verified.damage.lists.len());
        if verified.damage.is_none() {
            return Ok(());
        }
        Err(CliError::checks(format!(
            "{} and {} are damaged",
            counted(files, "file"),
            counted(lists, "list")
        )))
    }
}

fn failure(error: &SalvageError) -> CliError {
    match error {
        SalvageError::NotAJournal { .. } | SalvageError::NotEmpty { .. } => {
            CliError::input(error.to_string())
        }
        SalvageError::Open(OpenError::Locked { .. }) => {
            CliError::refused(format!("{error}; stop that process first"))
        }
        SalvageError::Open(_)
        | SalvageError::Unreadable(_)
        | SalvageError::NotWritten(_)
        | SalvageError::Io(_) => CliError::unexpected(error.to_string()),
    }
}

/// Formats a list's key for people: its parts, which have no slash, joined by slashes.
fn list_name(list: &[u8]) -> String {
    list.split(|byte| *byte == b'\n')
        .map(|part| part.escape_ascii().to_string())
        .collect::<Vec<_>>()
        .join("/")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

type SalvageOutput = (PathBuf, SalvageReport);

fn report_text(verified: &VerifyReport, salvage_output: Option<&SalvageOutput>) -> String {
    let mut blocks = Vec::new();
    let damage = &verified.damage;
    if !damage.files.is_empty() {
        let columns = [Column::Text("FILE"), Column::Text("AT BYTE"), Column::Prose("WHAT")];
        let row = |damage: &FileDamage| {
            let at = damage.offset.map_or_else(|| "-".to_owned(), |at| at.to_string());
            vec![damage.file.display().to_string(), at, damage.reason.clone()]
        };
        blocks.push(table::text(&columns, damage.files.iter().map(row).collect()));
    }
    if !damage.lists.is_empty() {
        let columns = [
            Column::Text("LIST"),
            Column::Text("FROM RECORD"),
            Column::Text("OF"),
            Column::Text("MISSING"),
            Column::Prose("WHAT"),
        ];
        let number = |number: u64| if number == 0 { "-".to_owned() } else { number.to_string() };
        let row = |damage: &ListDamage| {
            vec![
                list_name(&damage.list),
                number(damage.seq),
                number(damage.last),
                number(damage.missing),
                damage.reason.clone(),
            ]
        };
        blocks.push(table::text(&columns, damage.lists.iter().map(row).collect()));
    }
    let status = if damage.is_none() { "whole" } else { "damaged" };
    blocks.push(format!(
        "Status: {status}; {} files and {} lists are damaged, {} lists are whole, {} records are as \
         they were written",
        damage.files.len(),
        damage.lists.len(),
        verified.lists,
        verified.records
    ));
    if let Some((to, salvaged)) = salvage_output {
        blocks.push(format!(
            "Taken to {}: {} whole lists and {} damaged ones up to the damage, {} records; {} lists \
             are left behind",
            to.display(),
            salvaged.lists,
            salvaged.truncated_lists,
            salvaged.records,
            salvaged.skipped_lists.len()
        ));
    }
    blocks.join("\n\n")
}

/// The JSON output of `journal verify` and `journal salvage`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Document")]
pub(crate) struct JournalDamageReport {
    /// `whole` or `damaged`.
    status: &'static str,
    /// The damaged files.
    files: Vec<DamagedFileEntry>,
    /// The damaged lists, which are refused.
    lists: Vec<DamagedListEntry>,
    /// The number of whole lists.
    whole_lists: u64,
    /// The number of undamaged records, including those of damaged lists.
    records: u64,
    /// The result of `salvage`; absent for `verify`.
    taken: Option<NewJournalSummary>,
}

/// A damaged file.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FileFound")]
pub(crate) struct DamagedFileEntry {
    /// The file's path.
    file: String,
    /// The offset of the first damaged byte; absent where it is not known.
    at: Option<u64>,
    /// The kind of damage, in words.
    what: String,
}

/// A damaged list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListFound")]
pub(crate) struct DamagedListEntry {
    /// Its name: kind, tenant, order and incarnation of an order's list.
    list: String,
    /// The first record that is missing or damaged; 0 where the list as a whole is damaged.
    from_record: u64,
    /// The sequence number of its last record; 0 where it is not known.
    last_record: u64,
    /// The number of missing records, as far as it is known.
    missing: u64,
    /// The kind of damage, in words.
    what: String,
    /// Set when `salvage` left all of the list behind; absent for `verify`.
    left_behind: Option<bool>,
}

/// The content of the new journal.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TakenOut")]
pub(crate) struct NewJournalSummary {
    /// The new journal's folder.
    to: String,
    /// The number of whole lists.
    lists: u64,
    /// The number of damaged lists, included up to the damage.
    damaged_lists: u64,
    /// The number of records.
    records: u64,
}

fn document(
    verified: &VerifyReport,
    salvage_output: Option<&SalvageOutput>,
) -> JournalDamageReport {
    let file = |FileDamage { file, offset: at, reason: what }: &FileDamage| DamagedFileEntry {
        file: file.display().to_string(),
        at: *at,
        what: what.clone(),
    };
    let list = |damage: &ListDamage| DamagedListEntry {
        list: list_name(&damage.list),
        from_record: damage.seq,
        last_record: damage.last,
        missing: damage.missing,
        what: damage.reason.clone(),
        left_behind: salvage_output.map(|(_, salvaged)| salvaged.skipped_lists.contains(damage)),
    };
    JournalDamageReport {
        status: if verified.damage.is_none() { "whole" } else { "damaged" },
        files: verified.damage.files.iter().map(file).collect(),
        lists: verified.damage.lists.iter().map(list).collect(),
        whole_lists: verified.lists,
        records: verified.records,
        taken: salvage_output.map(|(to, salvaged)| NewJournalSummary {
            to: to.display().to_string(),
            lists: salvaged.lists,
            damaged_lists: salvaged.truncated_lists,
            records: salvaged.records,
        }),
    }
}
