//! The pages of `docs/reference` that are made from the code: the fields of the custom resources,
//! from their definitions; the limits, from their constants; and what the binary prints about its
//! commands, settings and events. Beside them the schemas of manifests for editors.

mod editor;
mod fields;
mod limits;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bundle::GeneratedFile;
use crate::deploy::{DocumentSet, PrintOutcome};

/// The folder of the pages.
const FOLDER: &str = "docs/reference";
/// The folder of the commands' pages, below [`FOLDER`].
const COMMANDS: &str = "cli";
/// The pages that the binary prints, each after a comment with its path.
const PRINTED: DocumentSet = DocumentSet { dir: FOLDER, verb: "reference" };
/// The folder of the schemas of manifests.
const SCHEMAS: &str = "deploy/schemas";
/// The definitions of the custom resources, each with the name of its page and schema.
const DEFINITIONS: [(&str, &str); 2] = [
    ("deploy/crds/orderrequests.orderstream.dev.yaml", "order-request"),
    ("deploy/crds/sellers.orderstream.dev.yaml", "seller"),
];

/// Returns all pages.
///
/// # Errors
/// When a page cannot be made.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<GeneratedFile>> {
    let mut files = Vec::new();
    for (definition, name) in DEFINITIONS {
        let text = read(root, definition)?;
        let value: Value = serde_saphyr::from_str(&text).context(definition)?;
        files.push((format!("{FOLDER}/{name}.md"), fields::page(&value)));
        files.push((format!("{SCHEMAS}/{name}.json"), editor::schema(&value)));
    }
    files.push((format!("{FOLDER}/limits.md"), limits::page(|path| read(root, path))?));
    match PRINTED.print(root)? {
        PrintOutcome::Text(text) => files.extend(split(&text)),
        PrintOutcome::NoSubcommand => bail!("`orderstream {}` does not exist", PRINTED.verb),
        PrintOutcome::Failed(cause) => bail!("`orderstream {}` failed: {cause}", PRINTED.verb),
    }
    Ok(files)
}

/// Returns the stored pages of commands that do not exist any more.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn surplus(root: &Path, files: &[GeneratedFile]) -> anyhow::Result<Vec<String>> {
    let folder = format!("{FOLDER}/{COMMANDS}");
    if !root.join(&folder).is_dir() {
        return Ok(Vec::new());
    }
    let mut surplus = Vec::new();
    for entry in fs::read_dir(root.join(&folder)).with_context(|| format!("list {folder}"))? {
        let path = format!("{folder}/{}", entry?.file_name().to_string_lossy());
        if !files.iter().any(|(known, _)| *known == path) {
            surplus.push(path);
        }
    }
    surplus.sort();
    Ok(surplus)
}

fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"))
}

/// Splits what the binary printed into pages.
fn split(text: &str) -> Vec<GeneratedFile> {
    let mut files: Vec<GeneratedFile> = Vec::new();
    for line in text.split_inclusive('\n') {
        let mark = line.trim_end().strip_prefix("<!-- ");
        if let Some(path) = mark.and_then(|rest| rest.strip_suffix(" -->")) {
            files.push((format!("{FOLDER}/{path}"), String::new()));
        } else if let Some((_, text)) = files.last_mut() {
            text.push_str(line);
        }
    }
    files
}

/// Returns a text that can stand in a cell of a table.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Returns the text of a value; empty where it is none.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each document names the schema of its kind, by a path that leads there.
    #[test]
    fn examples_name_their_schema() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for entry in fs::read_dir(root.join("examples")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "yaml") {
                continue;
            }
            let file = fs::read_to_string(&path).unwrap();
            for document in file.split("\n---\n").filter(|document| document.contains("kind:")) {
                let name = DEFINITIONS.map(|(_, name)| name).into_iter().find(|name| {
                    let mark =
                        format!("# yaml-language-server: $schema=../{SCHEMAS}/{name}.json\n");
                    document.contains(&mark)
                });
                let is_order = document.contains("\nkind: OrderRequest\n");
                let expected = if is_order { "order-request" } else { "seller" };
                assert_eq!(name, Some(expected), "{}: {document}", path.display());
            }
        }
    }

    #[test]
    fn printed_pages_are_split_at_their_marks() {
        let files = split("<!-- cli/a.md -->\n# A\n\ntext\n<!-- events.md -->\n# Events\n");
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let expected = [
            file("docs/reference/cli/a.md", "# A\n\ntext\n"),
            file("docs/reference/events.md", "# Events\n"),
        ];
        assert_eq!(files, expected);
    }
}
