//! The texts that manifests are read from: files, the files of folders, and standard input.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use orderstream_core::{Reason, Refusal};

use super::TEXT_BYTES_MAX;

/// The name that stands for standard input among those of files.
pub const STANDARD_INPUT: &str = "-";
/// The largest number of files that are read at one time: as many as the resources that a machine
/// without a cluster stores.
pub const FILES_MAX: usize = 10_000;
/// The ends of the names that manifests in a folder have; other files are left out.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// Returns the files that paths name: each file itself, and for a folder the manifests that are
/// directly in it, in the order of their names.
///
/// # Errors
/// A folder that cannot be read or has no manifest, standard input named twice, too many files.
pub fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Refusal> {
    let mut files = Vec::new();
    for path in paths {
        let is_input = is_standard_input(path);
        if is_input && files.contains(path) {
            let message = "'-' is given twice; standard input is read once, leave one out";
            return Err(Refusal::new(Reason::InvalidRequest, message));
        }
        if !is_input && path.is_dir() {
            files.extend(in_folder(path)?);
        } else {
            files.push(path.clone());
        }
    }
    if files.len() > FILES_MAX {
        let count = files.len();
        let message = format!("{count} files are given; at most {FILES_MAX} are read at one time");
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    Ok(files)
}

fn in_folder(dir: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
        let path = entry.map_err(|error| unreadable(dir, &error))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let source = dir.display();
        let message = format!("{source} has no manifest; their names end in .yaml, .yml or .json");
        return Err(Refusal::new(Reason::InvalidRequest, message).with("file", source));
    }
    files.sort();
    Ok(files)
}

/// Returns the text of a file, or of standard input.
///
/// # Errors
/// A text that cannot be read, is too large, or is not UTF-8.
pub fn text_of(path: &Path) -> Result<String, Refusal> {
    if is_standard_input(path) {
        return bounded_text(path, io::stdin().lock());
    }
    file_text(path)
}

/// Returns the text of a file, whatever its name.
pub(super) fn file_text(path: &Path) -> Result<String, Refusal> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    bounded_text(path, file)
}

/// Reads a text, and no more than a byte beyond its bound.
fn bounded_text(path: &Path, reader: impl io::Read) -> Result<String, Refusal> {
    let source = name_of(path);
    let bound = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    reader.take(bound).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!(
            "{source} has more than {TEXT_BYTES_MAX} bytes, the most that are read; split the file"
        );
        return Err(Refusal::new(Reason::InvalidRequest, message).with("file", source));
    }
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("{source} cannot be read: it is not UTF-8 text; save it as UTF-8");
        Refusal::new(Reason::InvalidRequest, message).with("file", source)
    })
}

/// Returns the name of a file for messages.
pub fn name_of(path: &Path) -> String {
    if is_standard_input(path) {
        return "standard input".to_owned();
    }
    path.display().to_string()
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    let source = name_of(path);
    let message = format!("{source} cannot be read: {error}");
    Refusal::new(Reason::InvalidRequest, message).with("file", source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(paths: &[PathBuf]) -> String {
        files_of(paths).expect_err("refused").message
    }

    #[test]
    fn folders_give_their_manifests_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "c.json", "notes.txt", "d.yaml.bak"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("deeper.yaml")).unwrap();
        let named = dir.path().join("notes.txt");
        let files = files_of(&[named.clone(), dir.path().to_owned(), "-".into()]).unwrap();
        let mut expected = vec![named];
        expected.extend(["a.yaml", "b.yml", "c.json"].map(|name| dir.path().join(name)));
        expected.push("-".into());
        assert_eq!(files, expected);
    }

    #[test]
    fn sources_without_manifests_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let empty = refused(&[dir.path().to_owned()]);
        assert!(empty.contains("has no manifest") && empty.contains(".yaml"), "{empty}");
        let twice = refused(&["-".into(), "-".into()]);
        assert!(twice.contains("given twice"), "{twice}");
        let missing = text_of(&dir.path().join("none.yaml")).expect_err("no such file");
        assert!(missing.message.contains("none.yaml cannot be read"), "{missing}");
    }

    #[test]
    fn texts_are_bounded_and_utf8() {
        let path = Path::new("long.yaml");
        let endless = bounded_text(path, io::repeat(b'x')).expect_err("it never ends");
        assert!(endless.message.starts_with("long.yaml has more than 4194304 bytes"), "{endless}");
        let latin = bounded_text(path, &b"title: \xff"[..]).expect_err("no UTF-8");
        assert!(latin.message.contains("not UTF-8"), "{latin}");
        assert_eq!(bounded_text(path, &b"a: 1"[..]).unwrap(), "a: 1");
    }
}
