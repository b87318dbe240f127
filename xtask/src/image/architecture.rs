//! The architectures of the image, and the tools that build a static binary for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Build, COMMIT_VARIABLE, archive};
use crate::step;

/// The bytes of an ELF file that name its architecture (`e_machine`; System V ABI, chapter 4).
const ELF_MACHINE: std::ops::Range<usize> = 18..20;

/// An architecture of the image, by its name in OCI images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// The tools that compile and link for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetTools {
    /// The machine's own.
    Native,
    /// A cross compiler, which also links.
    Cross,
    /// `cargo-zigbuild`, which brings a C compiler and a linker.
    Zig,
}

/// A Rust target of a static binary, with the tools for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BuildTarget {
    triple: String,
    /// The program that must be installed: a C compiler, or cargo's subcommand.
    program: String,
    tools: TargetTools,
}

impl Architecture {
    /// Every architecture of a release.
    pub(crate) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Returns the architecture of this machine.
    ///
    /// # Errors
    /// When it is none of the image's.
    pub(crate) fn of_host() -> anyhow::Result<Self> {
        let machine = std::env::consts::ARCH;
        let host = Self::ALL.into_iter().find(|it| it.machine() == machine);
        host.with_context(|| {
            format!("this machine is {machine}: give --arch amd64 or --arch arm64")
        })
    }

    /// Returns the name in OCI images, and in Kubernetes' label `kubernetes.io/arch`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the name in the triples of Rust and GNU.
    const fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Returns Debian's packages of a cross compiler and of the C library for it.
    const fn debian_packages(self) -> &'static str {
        match self {
            Self::Amd64 => "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
            Self::Arm64 => "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        }
    }

    /// Returns the triple with the GNU C library, as cargo filters dependencies by.
    pub(crate) fn triple(self) -> String {
        format!("{}-unknown-linux-gnu", self.machine())
    }

    /// Returns the platform of a descriptor in an OCI index.
    pub(super) fn platform(self) -> Value {
        match self {
            Self::Amd64 => json!({"architecture": self.name(), "os": "linux"}),
            Self::Arm64 => json!({"architecture": self.name(), "os": "linux", "variant": "v8"}),
        }
    }

    /// Returns the architecture for which an ELF file was linked, if it is one of these.
    fn of_elf(elf: &[u8]) -> Option<Self> {
        if !elf.starts_with(b"\x7fELF") {
            return None;
        }
        match elf.get(ELF_MACHINE)? {
            [62, 0] => Some(Self::Amd64),
            [183, 0] => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// Returns the targets that yield a static binary, in order of preference.
fn targets(host: Option<Architecture>, wanted: Architecture) -> Vec<BuildTarget> {
    let machine = wanted.machine();
    let target = |libc: &str, program: String, tools: TargetTools| BuildTarget {
        triple: format!("{machine}-unknown-linux-{libc}"),
        program,
        tools,
    };
    if host == Some(wanted) {
        return vec![
            target("musl", "musl-gcc".to_owned(), TargetTools::Native),
            target("gnu", "cc".to_owned(), TargetTools::Native),
        ];
    }
    vec![
        target("gnu", format!("{machine}-linux-gnu-gcc"), TargetTools::Cross),
        target("musl", format!("{machine}-linux-musl-gcc"), TargetTools::Cross),
        target("musl", "cargo-zigbuild".to_owned(), TargetTools::Zig),
    ]
}

/// Returns the message for a machine without tools for the architecture.
fn missing_text(host: Option<Architecture>, wanted: Architecture) -> String {
    let (name, machine) = (wanted.name(), wanted.machine());
    if host == Some(wanted) {
        return format!(
            "nothing here builds a static binary for {name}: run `rustup target add \
             {machine}-unknown-linux-gnu` and install Debian's packages `gcc libc6-dev`"
        );
    }
    format!(
        "nothing here builds a static binary for {name}: run `rustup target add \
         {machine}-unknown-linux-gnu` and install Debian's packages `{}`; or run `rustup target add \
         {machine}-unknown-linux-musl` and install cargo-zigbuild with Zig",
        wanted.debian_packages()
    )
}

/// Returns the first target whose Rust library and program are installed.
fn find_target(architecture: Architecture) -> anyhow::Result<Option<BuildTarget>> {
    let installed = step::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&installed.stdout).trim());
    let is_installed = |target: &BuildTarget| {
        sysroot.join("lib/rustlib").join(&target.triple).is_dir()
            && Command::new(&target.program).arg("--version").output().is_ok()
    };
    let host = Architecture::of_host().ok();
    Ok(targets(host, architecture).into_iter().find(is_installed))
}

/// Returns the tools that are missing for a build, if none is installed, as a message with the fix.
///
/// # Errors
/// When `rustc` cannot be run.
pub(crate) fn missing_tools(architecture: Architecture) -> anyhow::Result<Option<String>> {
    let text = || missing_text(Architecture::of_host().ok(), architecture);
    Ok(find_target(architecture)?.is_none().then(text))
}

/// Builds a static binary for the architecture, and returns its bytes.
///
/// # Errors
/// When the tools are missing, the build fails, or the binary is not static.
pub(crate) fn build_binary(
    root: &Path,
    build: Build,
    architecture: Architecture,
    revision: &str,
) -> anyhow::Result<Vec<u8>> {
    let Some(BuildTarget { triple, program, tools }) = find_target(architecture)? else {
        bail!(missing_text(Architecture::of_host().ok(), architecture));
    };
    let verb = match tools {
        TargetTools::Native | TargetTools::Cross => "build",
        TargetTools::Zig => "zigbuild",
    };
    let profile = build.profile();
    let args = [verb, "--profile", profile, "--locked", "-p", "orderstream", "--target", &triple];
    let mut cargo = step::cargo(root, &args);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env(COMMIT_VARIABLE, revision);
    if tools == TargetTools::Cross {
        cargo.env(linker_variable(&triple), program);
    }
    step::run(&format!("build the static binary for {}", architecture.name()), &mut cargo)?;
    let binary = root.join("target").join(triple).join(profile).join("orderstream");
    read_static(&binary, architecture)
}

/// Returns the environment variable from which cargo reads a target's linker.
fn linker_variable(triple: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"))
}

/// Reads a binary that must be static and for the architecture.
///
/// # Errors
/// When it cannot be read, or is not such a binary.
pub(crate) fn read_static(path: &Path, architecture: Architecture) -> anyhow::Result<Vec<u8>> {
    let binary = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let name = architecture.name();
    let is_right = Architecture::of_elf(&binary) == Some(architecture);
    ensure!(is_right, "{} is not a Linux binary for {name}", path.display());
    let is_static = !archive::needs_interpreter(&binary);
    ensure!(is_static, "{} is not static: it needs a dynamic loader", path.display());
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(host: Option<Architecture>, wanted: Architecture) -> Vec<String> {
        let targets = targets(host, wanted);
        targets.iter().map(|it| format!("{} {}", it.triple, it.program)).collect()
    }

    #[test]
    fn each_machine_has_its_targets() {
        use Architecture::{Amd64, Arm64};
        let native = described(Some(Amd64), Amd64);
        assert_eq!(native, ["x86_64-unknown-linux-musl musl-gcc", "x86_64-unknown-linux-gnu cc"]);
        let cross = [
            "aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc",
            "aarch64-unknown-linux-musl aarch64-linux-musl-gcc",
            "aarch64-unknown-linux-musl cargo-zigbuild",
        ];
        assert_eq!(described(Some(Amd64), Arm64), cross);
        assert_eq!(described(None, Arm64), cross);
        assert_eq!(
            described(Some(Arm64), Amd64)[0],
            "x86_64-unknown-linux-gnu x86_64-linux-gnu-gcc"
        );
    }

    #[test]
    fn missing_tools_are_named_with_packages() {
        let text = missing_text(Some(Architecture::Amd64), Architecture::Arm64);
        for part in [
            "rustup target add aarch64-unknown-linux-gnu",
            "`gcc-aarch64-linux-gnu libc6-dev-arm64-cross`",
            "cargo-zigbuild",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let text = missing_text(Some(Architecture::Amd64), Architecture::Amd64);
        assert!(text.contains("`gcc libc6-dev`"), "{text}");
    }

    #[test]
    fn cross_linkers_reach_cargo() {
        let variable = linker_variable("aarch64-unknown-linux-gnu");
        assert_eq!(variable, "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER");
    }

    #[test]
    fn binaries_name_their_architecture() {
        let elf = |machine: u8| {
            let mut elf = b"\x7fELF".to_vec();
            elf.resize(64, 0);
            elf[18] = machine;
            elf
        };
        assert_eq!(Architecture::of_elf(&elf(62)), Some(Architecture::Amd64));
        assert_eq!(Architecture::of_elf(&elf(183)), Some(Architecture::Arm64));
        assert_eq!(Architecture::of_elf(&elf(3)), None);
        assert_eq!(Architecture::of_elf(b"#!/bin/sh"), None);
    }

    /// A test binary is dynamic, unless the tests are built as the image is.
    #[test]
    fn dynamic_or_foreign_binaries_are_refused() {
        let Ok(host) = Architecture::of_host() else { return };
        let here = std::env::current_exe().unwrap();
        let other = Architecture::ALL.into_iter().find(|it| *it != host).unwrap();
        let error = read_static(&here, other).unwrap_err().to_string();
        assert!(error.ends_with(&format!("is not a Linux binary for {}", other.name())), "{error}");
        let native = read_static(&here, host);
        assert_eq!(native.is_ok(), cfg!(target_feature = "crt-static"));
    }
}
