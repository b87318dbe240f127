//! Runs the commands of the Dockerfile's build stage without a base image: on a copy of the build
//! context, with the packages of this machine, and with a folder in place of `/out`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::{Architecture, COMMIT_VARIABLE, architecture, context, dockerfile, entries, revision};
use crate::step;

/// The folder to which the build stage writes the image's files, at the begin of a word.
const OUT: &str = " /out/";
/// The begin of the command that installs packages, which is left to the machine's owner.
const PACKAGES: &str = "apt-get ";

/// Runs the commands, starts the binary that they build, and compares their files with the image's.
///
/// # Errors
/// When a command fails, or a file of the image is missing.
pub(super) fn run(root: &Path) -> anyhow::Result<()> {
    let user = step::output(Command::new("id").arg("-u"))?;
    let is_root = String::from_utf8_lossy(&user.stdout).trim() == "0";
    ensure!(is_root, "the build stage changes owners: run it as root, as a builder does");
    let dir = std::env::temp_dir().join(format!("orderstream-context-{}", std::process::id()));
    let build = CleanBuild { dir };
    build.copy_context(root)?;
    let revision = revision(root)?;
    let dockerfile = fs::read_to_string(root.join("Dockerfile")).context("read the Dockerfile")?;
    for command in dockerfile::build_commands(&dockerfile) {
        if command.starts_with(PACKAGES) {
            println!("== not run, this machine has its own packages:\n   {command}");
            continue;
        }
        let mut shell = build.shell(&command);
        shell.env(COMMIT_VARIABLE, &revision);
        step::run("run a command of the Dockerfile's build stage", &mut shell)?;
    }
    build.check_output(&revision)
}

/// The folder with the copied context and the output, removed at the end.
struct CleanBuild {
    dir: PathBuf,
}

impl CleanBuild {
    fn source(&self) -> PathBuf {
        self.dir.join("src")
    }

    fn output(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// Copies the context. As with the Dockerfile's cache mount, `target` is that of former builds.
    fn copy_context(&self, root: &Path) -> anyhow::Result<()> {
        let (source, target) = (self.source(), root.join("target"));
        for path in context::files(root)? {
            let (from, to) = (root.join(&path), source.join(&path));
            fs::create_dir_all(to.parent().unwrap_or(&source))?;
            fs::copy(&from, &to).with_context(|| format!("copy {path}"))?;
        }
        fs::create_dir_all(&target)?;
        symlink(&target, source.join("target")).context("link the folder of former builds")
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = step::program(OsStr::new("sh"));
        let output = format!(" {}/", self.output().display());
        shell.current_dir(self.source()).arg("-ec").arg(command.replace(OUT, &output));
        shell
    }

    /// Checks that the output has every file of the image, and starts its binary.
    fn check_output(&self, revision: &str) -> anyhow::Result<()> {
        let output = self.output();
        let path = output.join("orderstream");
        let binary = architecture::read_static(&path, Architecture::of_host()?)?;
        for entry in entries(binary)? {
            let path = entry.path.trim_end_matches('/');
            let is_there = fs::symlink_metadata(output.join(path)).is_ok();
            ensure!(is_there, "the build stage leaves no /{path}, which the image has");
        }
        let version = step::output(Command::new(&path).arg("--version"))?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        if !version.starts_with("orderstream ") || !version.contains(revision) {
            bail!("the binary of commit {revision} printed '{version}'");
        }
        println!("== the build context is complete, and its binary starts: {version}");
        Ok(())
    }
}

impl Drop for CleanBuild {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_write_to_the_folder() {
        let build = CleanBuild { dir: PathBuf::from("/nowhere/build") };
        let shell = build.shell("mkdir -p /out/data && cp target/a/out/b /out/b");
        let args: Vec<_> = shell.get_args().map(|arg| arg.to_string_lossy()).collect();
        assert_eq!(
            args[1],
            "mkdir -p /nowhere/build/out/data && cp target/a/out/b /nowhere/build/out/b"
        );
        assert_eq!(shell.get_current_dir(), Some(Path::new("/nowhere/build/src")));
    }
}
