//! Reports of damage, for operators.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

/// A damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDamage {
    /// The file.
    pub file: PathBuf,
    /// The offset of the first damaged byte; absent if it is not known.
    pub offset: Option<u64>,
    /// A human-readable description of the fault.
    pub reason: String,
}

impl fmt::Display for FileDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(at) = self.offset {
            write!(f, " at byte {at}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A list that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDamage {
    /// The list's key.
    pub list: Bytes,
    /// The number of the first missing or damaged record; 0 if the list itself is damaged.
    pub seq: u64,
    /// The number of the list's last record; 0 if it is not known.
    pub last: u64,
    /// The number of records that are known to be missing.
    pub missing: u64,
    /// The human-readable reason for the refusal.
    pub reason: String,
}

/// The damage that was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DamageReport {
    /// Damaged files.
    pub files: Vec<FileDamage>,
    /// Refused lists, sorted by key.
    pub lists: Vec<ListDamage>,
    /// The reason for which the journal is read only until an operator intervenes; absent
    /// otherwise.
    pub read_only: Option<String>,
}

impl DamageReport {
    /// Reports whether there is no damage.
    pub const fn is_none(&self) -> bool {
        self.files.is_empty() && self.lists.is_empty() && self.read_only.is_none()
    }

    /// Returns the total number of missing records over all lists.
    pub fn missing_records(&self) -> u64 {
        self.lists.iter().fold(0, |sum, list| sum.saturating_add(list.missing))
    }
}

/// The amount of damage, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DamageCounts {
    /// The number of damaged files.
    pub files: u64,
    /// The number of refused lists.
    pub lists: u64,
    /// The number of acknowledged records that are missing.
    pub missing_records: u64,
    /// The journal accepts no appends until an operator intervenes.
    pub is_read_only: bool,
}
