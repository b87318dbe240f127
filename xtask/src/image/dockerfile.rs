//! Tests the Dockerfile's last stage with buildah, if it is installed: from the same files it must
//! build the same image as [`super::run`], and the binary must start in it. No base images are
//! pulled for this: a folder replaces the build stage.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::archive::OciImage;
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
        ensure!(version.starts_with("orderstream "), "the binary said '{version}'");
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

    #[test]
    fn dockerfile_and_image_configs_agree() {
        let text = include_str!("../../../Dockerfile");
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
