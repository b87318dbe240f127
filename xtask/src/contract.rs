//! The public contract as one checked-in file: a line for each piece that others rely on, with a
//! hash of its content without prose. Lines are never changed; only additions are accepted.

mod openapi;
mod piece;
mod prose;
mod protobuf;
mod resource;
mod schema;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use self::piece::Piece;
use crate::deploy;
use crate::tidy::TidyFinding;

/// The path of the file, from the workspace's root.
const PATH: &str = "docs/reference/contract.txt";
const HEAD: &str = "\
# What others rely on: one line for each piece, its file, its name, and a hash of all but its prose.
# `cargo xtask contract` writes it. What is there is never changed; only additions are accepted in review.
";
const OPENAPI: &str = "docs/reference/openapi";
const SCHEMAS: &str = "docs/reference/schemas";
const DESCRIPTOR: &str = "crates/rpc/src/gen/descriptor.bin";
const METRICS: &str = "docs/reference/metrics.md";
const REASONS: &str = "docs/reference/errors";

/// The hash of each piece, by its file and name.
type Contract = BTreeMap<String, String>;

/// Writes the file, and prints the differences from the stored file.
///
/// # Errors
/// When a source cannot be read, or the file cannot be written.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let fresh = fresh(root)?;
    let path = root.join(PATH);
    let stored = fs::read_to_string(&path).unwrap_or_default();
    for finding in compare(&stored, &fresh) {
        println!("{finding}");
    }
    fs::write(&path, text(&fresh)).context(PATH)?;
    println!("wrote {PATH}: {} pieces", fresh.len());
    Ok(())
}

/// Compares the file with its sources.
///
/// # Errors
/// When a source cannot be read.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<TidyFinding>> {
    let stored = fs::read_to_string(root.join(PATH)).unwrap_or_default();
    Ok(compare(&stored, &fresh(root)?))
}

fn text(contract: &Contract) -> String {
    let lines = contract.iter().map(|(piece, hash)| format!("{piece} {hash}\n"));
    lines.fold(HEAD.to_owned(), |text, line| text + &line)
}

/// Returns the differences between the stored text and the current pieces.
fn compare(stored: &str, fresh: &Contract) -> Vec<TidyFinding> {
    let finding = |line, piece: &str, what: &str, fix: &str| {
        TidyFinding::new(PATH, line, &format!("{piece} {what}"), fix)
    };
    let restore = "restore what others rely on, or add beside it";
    let mut findings = Vec::new();
    let mut known = Contract::new();
    for (number, line) in (1..).zip(stored.lines()).filter(|(_, line)| !line.starts_with('#')) {
        let (piece, hash) = line.rsplit_once(' ').unwrap_or((line, ""));
        match fresh.get(piece) {
            None => findings.push(finding(number, piece, "is gone", restore)),
            Some(now) if now != hash => {
                findings.push(finding(number, piece, "is changed", restore))
            }
            Some(_) => {}
        }
        known.insert(piece.to_owned(), hash.to_owned());
    }
    for piece in fresh.keys().filter(|piece| !known.contains_key(*piece)) {
        findings.push(finding(1, piece, "is new", "write the file anew: `cargo xtask contract`"));
    }
    findings
}

/// Reads the contract from the tree.
fn fresh(root: &Path) -> anyhow::Result<Contract> {
    let mut contract = Contract::new();
    for (path, text) in files(root, OPENAPI, "json")? {
        add(&mut contract, &path, openapi::pieces(&json(&path, &text)?))?;
    }
    for (path, text) in files(root, SCHEMAS, "json")? {
        add(&mut contract, &path, schema::pieces(&json(&path, &text)?))?;
    }
    let crds = deploy::SETS[0];
    for (name, text) in crds.stored(root)? {
        let document: Value = serde_saphyr::from_str(&text).with_context(|| name.clone())?;
        add(&mut contract, &format!("{}/{name}", crds.dir), resource::pieces(&document))?;
    }
    let descriptor = fs::read(root.join(DESCRIPTOR)).context(DESCRIPTOR)?;
    add(&mut contract, DESCRIPTOR, protobuf::pieces(&descriptor).context(DESCRIPTOR)?)?;
    let metrics = fs::read_to_string(root.join(METRICS)).context(METRICS)?;
    add(&mut contract, METRICS, table::rows(&metrics, table::METRIC_CELLS))?;
    add(&mut contract, REASONS, table::reasons(&files(root, REASONS, "md")?))?;
    Ok(contract)
}

fn json(path: &str, text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| path.to_owned())
}

/// Reads the files of a folder with this extension: path and text, sorted.
fn files(root: &Path, dir: &str, extension: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(dir)).with_context(|| format!("list {dir}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == extension) {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((path, text));
        }
    }
    files.sort();
    Ok(files)
}

/// Adds the pieces of one file, each under a unique name.
fn add(contract: &mut Contract, file: &str, pieces: Vec<Piece>) -> anyhow::Result<()> {
    anyhow::ensure!(!pieces.is_empty(), "{file} holds nothing that others rely on");
    for piece in pieces {
        let name = format!("{file} {}", piece.name);
        let former = contract.insert(name.clone(), piece.hash());
        anyhow::ensure!(former.is_none(), "two pieces have the name `{name}`");
    }
    Ok(())
}
