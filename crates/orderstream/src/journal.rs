//! `orderstream journal`: verifies a journal that no process has open, and salvages what is whole.
//! Exits with code 0 when all is whole, 6 when something is damaged.

use std::path::PathBuf;

use comfy_table::{Table, presets};
use orderstream_journal::salvage::{self, Damaged, SalvageError, Salvaged, Verified};
use orderstream_journal::{FileDamage, ListDamage, OpenError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Failure;
use crate::output;

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
}

/// `orderstream journal`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Journal {
    /// Read all of a journal and report damage; nothing is changed
    Verify {
        /// The journal's folder, as in `--data-dir` or `--store embedded:`, with `journal.lock` in
        /// it
        dir: PathBuf,
        /// Output format
        #[arg(long, short, default_value = "table")]
        output: Format,
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
        output: Format,
    },
}

impl Journal {
    /// Runs the command and prints the report.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (found, taken, format) = match self {
            Self::Verify { dir, output } => {
                (salvage::verify(&dir).map_err(|error| failure(&error))?, None, output)
            }
            Self::Salvage { dir, to, with_damaged, output } => {
                let damaged = if with_damaged { Damaged::Keep } else { Damaged::LeaveBehind };
                let salvaged =
                    salvage::salvage(&dir, &to, damaged).map_err(|error| failure(&error))?;
                (salvaged.found.clone(), Some((to, salvaged)), output)
            }
        };
        match format {
            Format::Table => output::line(&table(&found, taken.as_ref())),
            Format::Json => {
                let document = serde_json::to_string(&document(&found, taken.as_ref()));
                output::line(&document.map_err(|error| Failure::unexpected(error.to_string()))?);
            }
        }
        let (files, lists) = (found.damage.files.len(), found.damage.lists.len());
        if found.damage.is_none() {
            return Ok(());
        }
        Err(Failure::checks(format!(
            "{} and {} are damaged",
            counted(files, "file"),
            counted(lists, "list")
        )))
    }
}

fn failure(error: &SalvageError) -> Failure {
    match error {
        SalvageError::NotAJournal { .. } | SalvageError::NotEmpty { .. } => {
            Failure::input(error.to_string())
        }
        SalvageError::Open(OpenError::Locked { .. }) => {
            Failure::refused(format!("{error}; stop that process first"))
        }
        SalvageError::Open(_)
        | SalvageError::Unreadable(_)
        | SalvageError::NotWritten(_)
        | SalvageError::Io(_) => Failure::unexpected(error.to_string()),
    }
}

/// Formats a list's key for people: its parts, which have no slash, joined by slashes.
fn named(list: &[u8]) -> String {
    list.split(|byte| *byte == b'\n')
        .map(|part| part.escape_ascii().to_string())
        .collect::<Vec<_>>()
        .join("/")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

type Taken = (PathBuf, Salvaged);

fn table(found: &Verified, taken: Option<&Taken>) -> String {
    let mut blocks = Vec::new();
    let damage = &found.damage;
    if !damage.files.is_empty() {
        let mut table = plain(&["FILE", "AT BYTE", "WHAT"]);
        for FileDamage { file, at, what } in &damage.files {
            let at = at.map_or_else(|| "-".to_owned(), |at| at.to_string());
            table.add_row([file.display().to_string(), at, what.clone()]);
        }
        blocks.push(trimmed(&table));
    }
    if !damage.lists.is_empty() {
        let mut table = plain(&["LIST", "FROM RECORD", "OF", "MISSING", "WHAT"]);
        for ListDamage { list, seq, last, missing, reason } in &damage.lists {
            let number = |number: &u64| {
                if *number == 0 { "-".to_owned() } else { number.to_string() }
            };
            table.add_row([
                named(list),
                number(seq),
                number(last),
                number(missing),
                reason.clone(),
            ]);
        }
        blocks.push(trimmed(&table));
    }
    let status = if damage.is_none() { "whole" } else { "damaged" };
    blocks.push(format!(
        "Status: {status}; {} files and {} lists are damaged, {} lists are whole, {} records are as \
         they were written",
        damage.files.len(),
        damage.lists.len(),
        found.lists,
        found.records
    ));
    if let Some((to, salvaged)) = taken {
        blocks.push(format!(
            "Taken to {}: {} whole lists and {} damaged ones up to the damage, {} records; {} lists \
             are left behind",
            to.display(),
            salvaged.lists,
            salvaged.kept,
            salvaged.records,
            salvaged.left_behind.len()
        ));
    }
    blocks.join("\n\n")
}

fn plain(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    table
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The JSON output of `journal verify` and `journal salvage`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    /// `whole` or `damaged`.
    status: &'static str,
    /// The damaged files.
    files: Vec<FileFound>,
    /// The damaged lists, which are refused.
    lists: Vec<ListFound>,
    /// The number of whole lists.
    whole_lists: u64,
    /// The number of undamaged records, including those of damaged lists.
    records: u64,
    /// The result of `salvage`; absent for `verify`.
    taken: Option<TakenOut>,
}

/// A damaged file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileFound {
    /// The file's path.
    file: String,
    /// The offset of the first damaged byte; absent where it is not known.
    at: Option<u64>,
    /// The kind of damage, in words.
    what: String,
}

/// A damaged list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListFound {
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
pub(crate) struct TakenOut {
    /// The new journal's folder.
    to: String,
    /// The number of whole lists.
    lists: u64,
    /// The number of damaged lists, included up to the damage.
    damaged_lists: u64,
    /// The number of records.
    records: u64,
}

fn document(found: &Verified, taken: Option<&Taken>) -> Document {
    let file = |FileDamage { file, at, what }: &FileDamage| FileFound {
        file: file.display().to_string(),
        at: *at,
        what: what.clone(),
    };
    let list = |damage: &ListDamage| ListFound {
        list: named(&damage.list),
        from_record: damage.seq,
        last_record: damage.last,
        missing: damage.missing,
        what: damage.reason.clone(),
        left_behind: taken.map(|(_, salvaged)| salvaged.left_behind.contains(damage)),
    };
    Document {
        status: if found.damage.is_none() { "whole" } else { "damaged" },
        files: found.damage.files.iter().map(file).collect(),
        lists: found.damage.lists.iter().map(list).collect(),
        whole_lists: found.lists,
        records: found.records,
        taken: taken.map(|(to, salvaged)| TakenOut {
            to: to.display().to_string(),
            lists: salvaged.lists,
            damaged_lists: salvaged.kept,
            records: salvaged.records,
        }),
    }
}
