//! Tests the Dockerfile's last stage with buildah, if it is installed: from the same files it must
//! build the same image as [`super::run`], and the binary must start in it. No base images are
//! pulled for this: a folder replaces the build stage.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Architecture, OciImage};
use crate::step;

/// The tag of the temporary image.
const TAG: &str = "localhost/orderstream-dockerfile:tried";
/// The Dockerfile's build arguments, each with the label that it sets.
const ARGS: [(&str, &str); 2] = [
    ("VERSION", "org.opencontainers.image.version"),
    ("REVISION", "org.opencontainers.image.revision"),
];

/// Builds the stage, compares it, and starts the binary in it.
///
/// # Errors
/// When the stage does not build, differs, or the binary does not start.
pub(super) fn try_last_stage(root: &Path, image: &OciImage) -> anyhow::Result<()> {
    if Command::new("buildah").arg("--version").output().is_err() {
        println!("== the Dockerfile's last stage: SKIPPED, buildah is not installed");
        return Ok(());
    }
    if !Architecture::of_host().is_ok_and(|host| host == image.architecture) {
        let name = image.architecture.name();
        println!("== the Dockerfile's last stage: SKIPPED, this machine does not run {name}");
        return Ok(());
    }
    let dir = root.join("target/image/dockerfile");
    drop(fs::remove_dir_all(&dir));
    let result = BuildahWorkdir { dir: dir.clone() }.compare(root, image);
    // The layers are no longer needed.
    drop(fs::remove_dir_all(&dir));
    result
}

/// The folder of buildah's input and storage.
struct BuildahWorkdir {
    dir: PathBuf,
}

impl BuildahWorkdir {
    fn compare(&self, root: &Path, image: &OciImage) -> anyhow::Result<()> {
        let (files, context) = (self.dir.join("files"), self.dir.join("context"));
        fs::create_dir_all(&context)?;
        lay_out(&files.join("out"), image)?;
        let mut build = self.buildah(&["build", "--isolation", "chroot"]);
        build.arg("--build-context").arg(format!("build={}", files.display()));
        for (name, label) in ARGS {
            let value = image.labels.iter().find(|(name, _)| name == label);
            let (_, value) = value.with_context(|| format!("the image has no label {label}"))?;
            build.arg("--build-arg").arg(format!("{name}={value}"));
        }
        build.args(["--file"]).arg(root.join("Dockerfile")).args(["--tag", TAG]).arg(&context);
        step::run("build the Dockerfile's last stage", &mut build)?;
        let config = self.output(&["inspect", "--type", "image", TAG])?;
        let config: Value = serde_json::from_str(&config).context("read the image's config")?;
        let config = &config["OCIv1"]["config"];
        differences(&image.config("")["config"], config)?;
        let container = self.output(&["from", "--pull-never", TAG])?;
        let run = ["run", "--isolation", "chroot", container.trim(), "--", "/orderstream"];
        let version = self.output(&[&run[..], &["--version"]].concat())?;
        let revision = image.labels.iter().find(|(name, _)| name == ARGS[1].1);
        let commit = revision.map(|(_, revision)| format!(", commit {revision}, "));
        let is_named = commit.is_none_or(|commit| version.contains(&commit));
        ensure!(version.starts_with("orderstream ") && is_named, "the binary said '{version}'");
        println!("   the same config, and in it: {}", version.trim());
        Ok(())
    }

    fn buildah(&self, args: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.dir.join("storage"));
        command.arg("--runroot").arg(self.dir.join("run")).args(args);
        command
    }

    fn output(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = step::output(&mut self.buildah(args))?;
        if !output.status.success() {
            bail!("buildah {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Returns the shell commands of the Dockerfile's build stage, without the builder's mounts.
pub(super) fn build_commands(dockerfile: &str) -> Vec<String> {
    let (mut commands, mut is_build_stage) = (Vec::new(), false);
    for instruction in instructions(dockerfile) {
        if let Some(base) = instruction.strip_prefix("FROM ") {
            is_build_stage = base.ends_with(" AS build");
        } else if let Some(command) = instruction.strip_prefix("RUN ").filter(|_| is_build_stage) {
            let words = command.split(' ').filter(|word| !word.starts_with("--mount="));
            commands.push(words.collect::<Vec<_>>().join(" "));
        }
    }
    commands
}

/// Returns the instructions of a Dockerfile, each on one line.
fn instructions(dockerfile: &str) -> Vec<String> {
    let (mut instructions, mut open) = (Vec::new(), String::new());
    for line in dockerfile.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            open.push_str(part);
        } else {
            open.push_str(line);
            instructions.push(std::mem::take(&mut open));
        }
    }
    instructions
}

/// Writes the output of the build stage, from which the last stage copies.
fn lay_out(out: &Path, image: &OciImage) -> anyhow::Result<()> {
    for entry in &image.entries {
        let path = out.join(&entry.path);
        match entry.content() {
            None => fs::create_dir_all(&path)?,
            Some(content) => {
                fs::create_dir_all(path.parent().unwrap_or(out))?;
                fs::write(&path, content)?;
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode()))?;
        let owner = u32::try_from(entry.owner())?;
        chown(&path, Some(owner), Some(owner)).context("buildah's files need root")?;
    }
    Ok(())
}

/// Compares the fields that container runtimes use; builders add labels and variables of their own.
fn differences(ours: &Value, theirs: &Value) -> anyhow::Result<()> {
    for field in ["User", "Entrypoint", "ExposedPorts"] {
        let (ours, theirs) = (&ours[field], &theirs[field]);
        ensure!(ours == theirs, "{field} is {theirs} by the Dockerfile, {ours} by xtask");
    }
    for (name, value) in ours["Labels"].as_object().into_iter().flatten() {
        let theirs = &theirs["Labels"][name];
        ensure!(theirs == value, "label {name} is {theirs} by the Dockerfile, {value} by xtask");
    }
    for variable in ours["Env"].as_array().into_iter().flatten() {
        let theirs = theirs["Env"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(theirs.contains(variable), "{variable} is not among {theirs:?} of the Dockerfile");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image() -> OciImage {
        OciImage {
            name: "orderstream:1".to_owned(),
            architecture: Architecture::Amd64,
            entries: Vec::new(),
            entrypoint: vec!["/orderstream".to_owned()],
            user: "65532:65532".to_owned(),
            labels: vec![("a".to_owned(), "b".to_owned())],
        }
    }

    /// Labels and variables that a builder adds are ignored.
    #[test]
    fn runtime_fields_are_compared() {
        let ours = image().config("")["config"].clone();
        let mut theirs = ours.clone();
        theirs["Labels"]["io.buildah.version"] = json!("1");
        differences(&ours, &theirs).unwrap();
        for (path, value) in [
            ("User", json!("0")),
            ("Entrypoint", json!(["/bin/sh"])),
            ("ExposedPorts", json!({})),
            ("Labels", json!({})),
            ("Env", json!(["PATH=/bin"])),
        ] {
            let mut other = theirs.clone();
            other[path] = value;
            assert!(differences(&ours, &other).is_err(), "{path}");
        }
    }

    const DOCKERFILE: &str = include_str!("../../../Dockerfile");

    #[test]
    fn build_commands_are_those_of_the_stage() {
        let text = "# no\nFROM a AS build\nRUN --mount=type=cache,target=/x \\\n    a \\\n    # no\n    \
                    && b  'c  d'\nCOPY . .\nRUN e\nFROM scratch\nRUN f\n";
        assert_eq!(build_commands(text), ["a && b  'c  d'", "e"]);
        let commands = build_commands(DOCKERFILE);
        assert_eq!(commands.len(), 2, "{commands:?}");
        assert!(commands[0].starts_with("apt-get "), "{commands:?}");
        assert!(commands[1].contains("cargo build --profile dist --locked -p orderstream "));
    }

    /// The build stage has no `rust-toolchain.toml`: its base image has the compiler.
    #[test]
    fn dockerfile_has_the_checkout_versions() {
        let toolchain = include_str!("../../../rust-toolchain.toml");
        let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = "));
        let channel = channel.unwrap().trim_matches('"');
        let (minor, _) = channel.rsplit_once('.').unwrap();
        let base = format!("\nARG BUILD_IMAGE=docker.io/library/rust:{minor}-slim-bookworm\n");
        assert!(DOCKERFILE.contains(&base), "no line is {base}");
        let version = format!("\nARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
        assert!(DOCKERFILE.contains(&version), "no line is {version}");
    }

    #[test]
    fn dockerfile_and_image_configs_agree() {
        let text = DOCKERFILE;
        let last = text.rsplit("\nFROM ").next().unwrap();
        let config = image().config("")["config"].clone();
        assert!(last.contains(&format!("\nUSER {}\n", config["User"].as_str().unwrap())));
        assert!(last.contains(&format!("\nENTRYPOINT {}\n", config["Entrypoint"])));
        for variable in config["Env"].as_array().unwrap() {
            assert!(last.contains(&format!("\nENV {}\n", variable.as_str().unwrap())));
        }
        let exposed = last.lines().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
        let exposed = exposed.split(' ').map(|port| format!("{port}/tcp"));
        let ports: Vec<_> = config["ExposedPorts"].as_object().unwrap().keys().cloned().collect();
        let mut exposed: Vec<_> = exposed.collect();
        exposed.sort();
        assert_eq!(exposed, {
            let mut sorted_ports = ports;
            sorted_ports.sort();
            sorted_ports
        });
    }
}
