//! The folder of a release's files, and their checksums.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::image;

/// The name of the list of checksums, in the form of `sha256sum`.
const SUMS: &str = "SHA256SUMS";

/// The files that were written, with the SHA-256 of each.
#[derive(Debug)]
pub(super) struct ReleaseFiles {
    dir: PathBuf,
    sums: BTreeMap<String, String>,
}

impl ReleaseFiles {
    /// Empties the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(dir: PathBuf) -> anyhow::Result<Self> {
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Self { dir, sums: BTreeMap::new() })
    }

    /// Writes a file and returns its SHA-256.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> anyhow::Result<String> {
        fs::write(self.dir.join(name), content).with_context(|| format!("write {name}"))?;
        let sum = image::sha256(content);
        println!("   {name}: {} bytes", content.len());
        self.sums.insert(name.to_owned(), sum.clone());
        Ok(sum)
    }

    /// Returns the checksums by name.
    pub(super) fn sums(&self) -> &BTreeMap<String, String> {
        &self.sums
    }

    /// Writes the list of all checksums.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        fs::write(self.dir.join(SUMS), listed(&self.sums)).with_context(|| format!("write {SUMS}"))
    }
}

/// Formats checksums as `sha256sum --check` reads them.
fn listed(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first sum is that of FIPS 180-2, appendix B.1.
    #[test]
    fn sums_are_listed_by_name() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sums = [("b".to_owned(), "00".to_owned()), ("a".to_owned(), image::sha256(b"abc"))];
        assert_eq!(listed(&BTreeMap::from(sums)), format!("{abc}  a\n00  b\n"));
    }
}
