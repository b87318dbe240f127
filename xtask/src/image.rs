//! `cargo xtask image`: builds the runtime image as an archive, for `docker load`, `skopeo copy`
//! and `ctr images import`, from one static binary and without any container tool. It has the same
//! files as the last stage of the Dockerfile, which is also tested if buildah is installed.

mod archive;
mod dockerfile;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use self::archive::{LayerEntry, OciImage};
use crate::step;

/// The image's name; if no tag is given, the version is added.
pub(crate) const NAME: &str = "ghcr.io/orderstream/orderstream";
/// The user and group id of the process in the image.
const USER: u64 = 65_532;
/// The largest compressed image, bytes.
const BYTES_MAX: u64 = 25 * 1024 * 1024;
/// The targets of a static binary, in order of preference, each with its C compiler.
const TARGETS: [(&str, &str); 2] =
    [("x86_64-unknown-linux-musl", "musl-gcc"), ("x86_64-unknown-linux-gnu", "cc")];
/// The path of the public certificate authorities, on this machine and in the image.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
const ZONES: &str = "usr/share/zoneinfo";

/// The build of the binary in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Builds the binary and the archive; returns the image's name with its tag.
///
/// # Errors
/// When the build fails, the binary is not static, or the image is too large.
pub(crate) fn run(root: &Path, output: &Path, name: &str, build: Build) -> anyhow::Result<String> {
    let name = if name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        name.to_owned()
    } else {
        format!("{name}:{}", env!("CARGO_PKG_VERSION"))
    };
    let binary = build_binary(root, build)?;
    let image = OciImage {
        name: name.clone(),
        entries: entries(&binary)?,
        entrypoint: vec!["/orderstream".to_owned()],
        user: format!("{USER}:{USER}"),
        labels: labels(root)?,
    };
    let bytes = image.archive().context("make the archive")?;
    let size = u64::try_from(bytes.len())?;
    if size > BYTES_MAX && build == Build::Shipped {
        bail!("the image has {size} bytes, more than the {BYTES_MAX} that it may have");
    }
    fs::create_dir_all(output.parent().unwrap_or(root))?;
    fs::write(output, bytes).with_context(|| format!("write {}", output.display()))?;
    println!("== {name}: {} ({:.1} MB compressed)", output.display(), megabytes(size));
    dockerfile::try_last_stage(root, &image)?;
    Ok(name)
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// Builds a static binary: for musl if that target is installed, otherwise with a static glibc.
fn build_binary(root: &Path, build: Build) -> anyhow::Result<PathBuf> {
    let installed = step::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&installed.stdout).trim());
    let compiles = |compiler: &str| Command::new(compiler).arg("--version").output().is_ok();
    let is_installed = |(target, compiler): &(&str, &str)| {
        sysroot.join("lib/rustlib").join(target).is_dir() && compiles(compiler)
    };
    let target = TARGETS.into_iter().find(is_installed);
    let (target, _) = target
        .with_context(|| format!("none of these is installed, with its compiler: {TARGETS:?}"))?;
    let profile = build.profile();
    let args = ["build", "--profile", profile, "--locked", "-p", "orderstream", "--target", target];
    let mut cargo = step::cargo(root, &args);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    step::run("build the static binary", &mut cargo)?;
    let binary = root.join("target").join(target).join(profile).join("orderstream");
    let head = fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    if archive::needs_interpreter(&head) {
        bail!("{} is not static: it wants a dynamic loader", binary.display());
    }
    Ok(binary)
}

fn entries(binary: &Path) -> anyhow::Result<Vec<LayerEntry>> {
    let mut entries = vec![
        LayerEntry::file("orderstream", fs::read(binary)?).executable(),
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

/// Returns the labels that describe the image.
fn labels(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["rev-parse", "HEAD"]);
    let revision = step::output(&mut git)?;
    let revision = String::from_utf8_lossy(&revision.stdout).trim().to_owned();
    let labels = [
        ("title", "orderstream"),
        ("description", "Requests for quotation on Kubernetes"),
        ("source", "https://github.com/orderstream/orderstream"),
        ("licenses", "Apache-2.0"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", revision.as_str()),
    ];
    let named = |(name, value): (&str, &str)| {
        (format!("org.opencontainers.image.{name}"), value.to_owned())
    };
    Ok(labels.into_iter().filter(|(_, value)| !value.is_empty()).map(named).collect())
}
