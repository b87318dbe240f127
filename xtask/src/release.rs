//! `cargo xtask release`: makes every file of a release under `target/release-files`, and publishes
//! nothing. Each writer is a pure function of the checkout; this file calls them in order.
//!
//! ```text
//! binaries -> image archives, archives of the command line -> chart, definitions, SBOM, notes, plugin
//!          -> provenance of all these -> SHA256SUMS of everything
//! ```

mod changes;
mod chart;
mod checkout;
mod files;
mod krew;
mod provenance;
mod sbom;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum as _};

use self::checkout::Checkout;
use self::files::ReleaseFiles;
use self::krew::PluginArchive;
use crate::image::{self, Architecture, Build, EncodedImage, LayerEntry};
use crate::{deploy, step};

/// The version of the release, which is that of every crate.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The folder of the files; it is emptied first.
const DIR: &str = "target/release-files";
/// The package whose dependencies the SBOM lists.
const PRODUCT: &str = "orderstream";

/// The options of `cargo xtask release`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReleaseArgs {
    /// Take the checkout as it is: uncommitted changes, no tag, and the changelog's `Unreleased`.
    #[arg(long)]
    dry_run: bool,
    /// The architectures; by default all, in a dry run those whose tools are installed.
    #[arg(long, value_delimiter = ',')]
    arch: Vec<Architecture>,
    /// A static binary to take instead of building one, as `amd64=PATH`; then, without `--arch`,
    /// only the architectures of such binaries.
    #[arg(long, value_name = "ARCH=PATH", value_parser = parse_binary)]
    binary: Vec<GivenBinary>,
    /// The build of the binaries.
    #[arg(long, default_value = "shipped")]
    build: Build,
}

/// A binary that was built before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GivenBinary {
    architecture: Architecture,
    path: PathBuf,
}

/// A static binary of the product.
struct ShippedBinary {
    architecture: Architecture,
    bytes: Vec<u8>,
}

fn parse_binary(text: &str) -> Result<GivenBinary, String> {
    let (architecture, path) = text.split_once('=').ok_or("write ARCH=PATH, as amd64=PATH")?;
    let architecture = Architecture::from_str(architecture, false)
        .map_err(|_| format!("'{architecture}' is neither amd64 nor arm64"))?;
    Ok(GivenBinary { architecture, path: PathBuf::from(path) })
}

/// Makes all files.
///
/// # Errors
/// When the checkout is not that of a release, unless this is a dry run, or a file cannot be made.
pub(crate) fn run(root: &Path, args: &ReleaseArgs) -> anyhow::Result<()> {
    ensure!(
        args.dry_run || args.build == Build::Shipped,
        "a release has the shipped build; `--build quick` is for dry runs"
    );
    let checkout = match Checkout::read(root) {
        Err(error) if args.dry_run => {
            println!("== no checkout, so the files name no commit: {error:#}");
            Checkout::unknown()
        }
        read => read?,
    };
    let changelog = read(root, "CHANGELOG.md")?;
    let mut section = changes::section(&changelog, VERSION);
    if args.dry_run {
        section = section.or_else(|| changes::section(&changelog, changes::UNRELEASED));
    } else if let Some(fault) = checkout.fault(VERSION) {
        bail!("{fault}; `--dry-run` takes the checkout as it is");
    }
    let heading = format!("## {VERSION} - ");
    let section = section.with_context(|| format!("CHANGELOG.md has no heading '{heading}…'"))?;
    let binaries = binaries(root, args, &checkout)?;
    let architectures: Vec<_> = binaries.iter().map(|binary| binary.architecture).collect();
    ensure!(!binaries.is_empty(), "no binary can be built here; give --binary ARCH=PATH");

    let mut files = ReleaseFiles::create(root.join(DIR))?;
    let plugins = add_command_lines(root, &binaries, &mut files)?;
    add_images(binaries, args.build, &checkout, &mut files)?;
    let package = chart::package(root, &changes::entries(section), &architectures)?;
    files.add(&format!("orderstream-{VERSION}.tgz"), &package)?;
    files.add("orderstream-crds.yaml", definitions(root)?.as_bytes())?;
    files.add("orderstream-krew.yaml", krew::write(VERSION, &plugins)?.as_bytes())?;
    let bom = sbom(root, &architectures, &checkout)?;
    files.add(&format!("orderstream-{VERSION}.cdx.json"), bom.as_bytes())?;
    files.add("release-notes.md", format!("{section}\n").as_bytes())?;
    let facts = provenance::BuildFacts {
        version: VERSION,
        toolchain: provenance::toolchain(&read(root, "rust-toolchain.toml")?),
        lock_digest: image::sha256(read(root, "Cargo.lock")?.as_bytes()),
        architectures,
        run: provenance::BuildRun::of_environment(),
    };
    let statement = provenance::write(&checkout, &facts, files.sums());
    files.add("orderstream-provenance.intoto.json", statement.as_bytes())?;
    files.finish()?;
    println!("== {DIR} has the files of {VERSION}; nothing is published");
    Ok(())
}

/// Builds or reads the binary of each architecture.
fn binaries(
    root: &Path,
    args: &ReleaseArgs,
    checkout: &Checkout,
) -> anyhow::Result<Vec<ShippedBinary>> {
    let mut binaries = Vec::new();
    for architecture in wanted(args) {
        if let Some(given) = args.binary.iter().find(|it| it.architecture == architecture) {
            let bytes = image::read_static(&given.path, architecture)?;
            binaries.push(ShippedBinary { architecture, bytes });
            continue;
        }
        if let Some(fault) = image::missing_tools(architecture)? {
            if !args.dry_run || !args.arch.is_empty() {
                bail!("{fault}");
            }
            println!("== {}: LEFT OUT, {fault}", architecture.name());
            continue;
        }
        let bytes = image::build_binary(root, args.build, architecture, &checkout.commit)?;
        binaries.push(ShippedBinary { architecture, bytes });
    }
    Ok(binaries)
}

/// Returns the architectures of the release, without repetitions.
fn wanted(args: &ReleaseArgs) -> Vec<Architecture> {
    let mut wanted = args.arch.clone();
    if wanted.is_empty() {
        wanted.extend(args.binary.iter().map(|binary| binary.architecture));
    }
    if wanted.is_empty() {
        wanted.extend(Architecture::ALL);
    }
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// Adds an archive for each architecture with the binary, which is also the plugin of kubectl.
fn add_command_lines(
    root: &Path,
    binaries: &[ShippedBinary],
    files: &mut ReleaseFiles,
) -> anyhow::Result<Vec<PluginArchive>> {
    let license = read(root, "LICENSE")?.into_bytes();
    let mut plugins = Vec::new();
    for ShippedBinary { architecture, bytes } in binaries {
        let entries = [
            LayerEntry::file(PRODUCT, bytes.clone()).executable(),
            LayerEntry::file("LICENSE", license.clone()),
        ];
        let name = format!("orderstream-{VERSION}-linux-{}.tar.gz", architecture.name());
        let sha256 = files.add(&name, &image::tar_gz(&entries)?)?;
        plugins.push(PluginArchive { architecture: *architecture, name, sha256 });
    }
    Ok(plugins)
}

/// Adds an image archive for each architecture, one for all of them, and the digest of the latter.
fn add_images(
    binaries: Vec<ShippedBinary>,
    build: Build,
    checkout: &Checkout,
    files: &mut ReleaseFiles,
) -> anyhow::Result<()> {
    let mut images: Vec<EncodedImage> = Vec::new();
    for ShippedBinary { architecture, bytes } in binaries {
        let image = image::with_binary(image::NAME, bytes, architecture, &checkout.commit)?;
        let image = image.encode()?;
        let name = format!("orderstream-{VERSION}-image-{}.tar", architecture.name());
        let archive = image.archive()?;
        image::check_size(archive.len(), build)?;
        files.add(&name, &archive)?;
        images.push(image);
    }
    let name = image::tagged(image::NAME);
    let index = image::index(&name, &images)?;
    files.add(&format!("orderstream-{VERSION}-image.tar"), &index.archive)?;
    files.add("orderstream-image.digest", format!("{name}@{}\n", index.digest).as_bytes())?;
    Ok(())
}

/// Returns the custom resource definitions as one stream of documents.
fn definitions(root: &Path) -> anyhow::Result<String> {
    let [definitions, _] = deploy::SETS;
    let documents = definitions.stored(root)?;
    ensure!(!documents.is_empty(), "{} has no file", definitions.dir);
    Ok(documents.iter().map(|(_, text)| format!("---\n{text}")).collect())
}

fn sbom(
    root: &Path,
    architectures: &[Architecture],
    checkout: &Checkout,
) -> anyhow::Result<String> {
    let mut cargo = step::cargo(root, &["metadata", "--locked", "--format-version", "1"]);
    for architecture in architectures {
        cargo.arg("--filter-platform").arg(architecture.triple());
    }
    let output = step::output(&mut cargo)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {}", stderr.trim());
    let metadata = String::from_utf8_lossy(&output.stdout);
    sbom::write(&metadata, &read(root, "Cargo.lock")?, PRODUCT, &checkout.committed_at)
}

fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy;

    fn args(arch: &[Architecture], binary: &[&str]) -> ReleaseArgs {
        let binary = binary.iter().map(|text| parse_binary(text).unwrap()).collect();
        ReleaseArgs { dry_run: true, arch: arch.to_vec(), binary, build: Build::Quick }
    }

    #[test]
    fn given_binaries_name_their_architecture() {
        let path = PathBuf::from("a=b");
        let given = GivenBinary { architecture: Architecture::Arm64, path };
        assert_eq!(parse_binary("arm64=a=b"), Ok(given));
        for text in ["amd64", "x86=a"] {
            assert!(parse_binary(text).unwrap_err().contains("amd64"), "{text}");
        }
    }

    #[test]
    fn wanted_architectures_are_listed_once() {
        use Architecture::{Amd64, Arm64};
        assert_eq!(wanted(&args(&[], &[])), [Amd64, Arm64]);
        assert_eq!(wanted(&args(&[], &["arm64=x"])), [Arm64]);
        assert_eq!(wanted(&args(&[Arm64, Amd64, Arm64], &["arm64=x"])), [Amd64, Arm64]);
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// Nothing is published yet.
    #[test]
    fn no_page_installs_from_a_registry() {
        for path in tidy::paths(root()).unwrap() {
            if !path.ends_with(".md") || path == "CHANGELOG.md" {
                continue;
            }
            let text = fs::read_to_string(root().join(&path)).unwrap_or_default();
            for promise in ["oci://ghcr.io/orderstream", "krew install orderstream"] {
                assert!(!text.contains(promise), "{path} has `{promise}`");
            }
        }
    }

    #[test]
    fn definitions_are_one_stream() {
        let root = root();
        let text = definitions(root).unwrap();
        assert_eq!(deploy::split(&text).len(), 2);
    }
}
