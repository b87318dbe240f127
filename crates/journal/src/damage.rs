//! What is not as it was written, in the words of operators.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDamage {
    /// The file.
    pub file: PathBuf,
    /// The first byte that is wrong, where it is known.
    pub at: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for FileDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(at) = self.at {
            write!(f, " at byte {at}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A list that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDamage {
    /// The list's key.
    pub list: Bytes,
    /// The first record that is missing or not what was written; 0 where the list itself is damaged.
    pub seq: u64,
    /// The number of the list's last record, as far as it is known.
    pub last: u64,
    /// How many records are missing, as far as it is known.
    pub missing: u64,
    /// Why it is refused.
    pub reason: String,
}

/// What a journal found when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Files that are not what was written.
    pub files: Vec<FileDamage>,
    /// Lists that are refused, by key.
    pub lists: Vec<ListDamage>,
    /// Why the journal takes no appends, if it does not until somebody has acted.
    pub read_only: Option<String>,
}

impl Damage {
    /// Whether all is as it was written.
    pub const fn is_none(&self) -> bool {
        self.files.is_empty() && self.lists.is_empty() && self.read_only.is_none()
    }

    /// Records that are missing in all lists together.
    pub fn missing_records(&self) -> u64 {
        self.lists.iter().fold(0, |sum, list| sum.saturating_add(list.missing))
    }
}

/// How much is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DamageCounts {
    /// Files that are not what was written.
    pub files: u64,
    /// Lists that are refused.
    pub lists: u64,
    /// Records that were acknowledged and are missing.
    pub missing_records: u64,
    /// Whether the journal takes no appends until somebody has acted.
    pub is_read_only: bool,
}
