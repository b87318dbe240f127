//! `cargo xtask image`: builds the runtime image as an archive, for `docker load`, `skopeo copy`
//! and `ctr images import`, from one static binary and without any container tool. It has the same
//! files as the last stage of the Dockerfile, which is also tested if buildah is installed.

mod architecture;
mod archive;
mod clean_build;
mod context;
mod dockerfile;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

pub(crate) use self::architecture::{Architecture, build_binary, missing_tools, read_static};
pub(crate) use self::archive::{EncodedImage, LayerEntry, OciImage, index, sha256, tar_gz};
pub(crate) use self::context::check as check_context;
use crate::step;

/// The image's name; if no tag is given, the version is added.
pub(crate) const NAME: &str = "ghcr.io/orderstream/orderstream";
/// The URL of the source.
pub(crate) const SOURCE: &str = "https://github.com/orderstream/orderstream";
/// The user and group id of the process in the image.
const USER: u64 = 65_532;
/// The largest compressed image, bytes.
const BYTES_MAX: u64 = 25 * 1024 * 1024;
/// The folder of the archives.
const DIR: &str = "target/image";
/// The path of the public certificate authorities, on this machine and in the image.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
const ZONES: &str = "usr/share/zoneinfo";
/// The environment variable of the commit that `orderstream --version` prints.
const COMMIT_VARIABLE: &str = "ORDERSTREAM_COMMIT";

/// The build of the binary in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Build {
    /// The release build.
    Shipped,
    /// A build for tests, which is faster to build, larger and a little slower.
    Quick,
}

impl Build {
    /// Returns the name of cargo's profile, which is also that of its folder.
    const fn profile(self) -> &'static str {
        match self {
            Self::Shipped => "dist",
            Self::Quick => "release",
        }
    }
}

/// The options of `cargo xtask image`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImageArgs {
    /// The path of the archive; by default `target/image/orderstream.tar`, and
    /// `orderstream-ARCH.tar` beside it for another machine's architecture.
    #[arg(long)]
    output: Option<PathBuf>,
    /// The image's name with its tag; the default tag is the version.
    #[arg(long, default_value = NAME)]
    name: String,
    /// The architecture; by default this machine's.
    #[arg(long)]
    arch: Option<Architecture>,
    /// Run the commands of the Dockerfile's build stage instead, on a copy of the files that
    /// `docker build` is given; needs root.
    #[arg(long, conflicts_with_all = ["output", "name", "arch"])]
    from_context: bool,
}

/// Runs the command.
///
/// # Errors
/// When the build fails, the binary is not static, or the image is too large.
pub(crate) fn run(root: &Path, args: &ImageArgs) -> anyhow::Result<()> {
    if args.from_context {
        return clean_build::run(root);
    }
    let architecture = args.arch.map_or_else(Architecture::of_host, Ok)?;
    let output = args.output.clone().unwrap_or_else(|| default_output(architecture));
    write_archive(root, &root.join(output), &args.name, Build::Shipped, architecture).map(drop)
}

/// Returns the path of the archive, whose name is the shortest for this machine's architecture.
fn default_output(architecture: Architecture) -> PathBuf {
    let is_native = Architecture::of_host().is_ok_and(|host| host == architecture);
    let suffix = if is_native { String::new() } else { format!("-{}", architecture.name()) };
    Path::new(DIR).join(format!("orderstream{suffix}.tar"))
}

/// Builds the binary and the archive; returns the image's name with its tag.
///
/// # Errors
/// When the build fails, the binary is not static, or the image is too large.
pub(crate) fn write_archive(
    root: &Path,
    output: &Path,
    name: &str,
    build: Build,
    architecture: Architecture,
) -> anyhow::Result<String> {
    let revision = revision(root)?;
    let binary = build_binary(root, build, architecture, &revision)?;
    let image = with_binary(name, binary, architecture, &revision)?;
    let bytes = image.archive().context("make the archive")?;
    let size = check_size(bytes.len(), build)?;
    fs::create_dir_all(output.parent().unwrap_or(root))?;
    fs::write(output, bytes).with_context(|| format!("write {}", output.display()))?;
    let (name, architecture) = (image.name.clone(), architecture.name());
    let megabytes = megabytes(size);
    println!("== {name} for {architecture}: {} ({megabytes:.1} MB compressed)", output.display());
    dockerfile::try_last_stage(root, &image)?;
    Ok(name)
}

/// Checks that an image for users is not too large; returns its bytes.
pub(crate) fn check_size(bytes: usize, build: Build) -> anyhow::Result<u64> {
    let size = u64::try_from(bytes)?;
    if size > BYTES_MAX && build == Build::Shipped {
        bail!("the image has {size} bytes, more than the {BYTES_MAX} that it may have");
    }
    Ok(size)
}

/// Returns the image around a static binary.
///
/// # Errors
/// When a file of this machine that belongs to the image cannot be read.
pub(crate) fn with_binary(
    name: &str,
    binary: Vec<u8>,
    architecture: Architecture,
    revision: &str,
) -> anyhow::Result<OciImage> {
    Ok(OciImage {
        name: tagged(name),
        architecture,
        entries: entries(binary)?,
        entrypoint: vec!["/orderstream".to_owned()],
        user: format!("{USER}:{USER}"),
        labels: labels(revision),
    })
}

/// Adds the version as the tag to a name without one.
pub(crate) fn tagged(name: &str) -> String {
    if name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        name.to_owned()
    } else {
        format!("{name}:{}", env!("CARGO_PKG_VERSION"))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

fn entries(binary: Vec<u8>) -> anyhow::Result<Vec<LayerEntry>> {
    let mut entries = vec![
        LayerEntry::file("orderstream", binary).executable(),
        LayerEntry::folder("data", USER),
        LayerEntry::file(
            "etc/passwd",
            format!("orderstream:x:{USER}:{USER}::/:/none\n").into_bytes(),
        ),
        LayerEntry::file("etc/group", format!("orderstream:x:{USER}:\n").into_bytes()),
    ];
    let host = Path::new("/");
    let certificates = host.join(CERTIFICATES);
    entries.push(LayerEntry::file(
        CERTIFICATES,
        fs::read(&certificates)
            .with_context(|| format!("read {}; install ca-certificates", certificates.display()))?,
    ));
    if host.join(ZONES).is_dir() {
        zones(host, Path::new(ZONES), &mut entries)?;
    } else {
        println!("   no {ZONES} on this machine: the image knows UTC only");
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Adds the time zones, without the copies under `posix` and `right`.
fn zones(host: &Path, dir: &Path, entries: &mut Vec<LayerEntry>) -> anyhow::Result<()> {
    for entry in fs::read_dir(host.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        let is_copy = ["posix", "right"].iter().any(|copy| path == Path::new(ZONES).join(copy));
        if is_copy {
            continue;
        }
        let metadata = fs::metadata(entry.path());
        match metadata {
            Ok(kind) if kind.is_dir() => zones(host, &path, entries)?,
            Ok(_) => {
                entries.push(LayerEntry::file(&path.to_string_lossy(), fs::read(entry.path())?))
            }
            // A dangling link.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Returns the commit of the checkout; empty where it is none.
pub(crate) fn revision(root: &Path) -> anyhow::Result<String> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["rev-parse", "HEAD"]);
    let revision = step::output(&mut git)?;
    Ok(String::from_utf8_lossy(&revision.stdout).trim().to_owned())
}

/// Returns the labels that describe the image.
fn labels(revision: &str) -> Vec<(String, String)> {
    let labels = [
        ("title", "orderstream"),
        ("description", "Requests for quotation on Kubernetes"),
        ("source", SOURCE),
        ("licenses", "Apache-2.0"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", revision),
    ];
    let named = |(name, value): (&str, &str)| {
        (format!("org.opencontainers.image.{name}"), value.to_owned())
    };
    labels.into_iter().filter(|(_, value)| !value.is_empty()).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_tag_get_the_version() {
        let version = env!("CARGO_PKG_VERSION");
        for (name, expected) in [
            ("shop/orderstream", format!("shop/orderstream:{version}")),
            ("localhost:5000/orderstream", format!("localhost:5000/orderstream:{version}")),
            ("localhost:5000/orderstream:edge", "localhost:5000/orderstream:edge".to_owned()),
        ] {
            assert_eq!(tagged(name), expected);
        }
    }
}
