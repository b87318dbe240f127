//! One step of an xtask command: a header, then the program's output.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, bail};

/// The prefixes of environment variables that cargo sets for a program's own package. They are
/// removed: if one differs, a dependency's build script runs again and its dependents are rebuilt.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Returns the cargo that started this program, as if it were called from the shell in the
/// workspace's root.
pub(crate) fn cargo(root: &Path, args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(&cargo);
    command.current_dir(root).args(args);
    command
}

/// Returns a program that calls cargo, as if it were called from the shell.
pub(crate) fn program(name: &OsStr) -> Command {
    let mut command = Command::new(name);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Prints the step, runs it with its output on the terminal, and prints the time that it took.
///
/// # Errors
/// When the command cannot be started or exits with a code other than 0.
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("== {what}\n   {}", line(command));
    let start = Instant::now();
    let status = command.status().with_context(|| format!("start `{}`", line(command)))?;
    if !status.success() {
        bail!("{what}: failed ({status})");
    }
    println!("== {what}: ok ({} s)", start.elapsed().as_secs());
    Ok(())
}

/// Runs a command and returns its output, whatever its exit code.
///
/// # Errors
/// When the command cannot be started.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.output().with_context(|| format!("start `{}`", line(command)))
}

/// Formats the command as typed in a shell.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let set = command
        .get_envs()
        .filter_map(|(key, value)| Some((key, value?)))
        .map(|(key, value)| format!("{}={}", key.display(), value.display()));
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    set.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/opt/bin/cargo");
        command.args(["test", "--workspace"]).env("SEEDS", "5");
        assert_eq!(line(&command), "SEEDS=5 cargo test --workspace");
    }

    #[test]
    fn steps_fail_with_their_command() {
        let mut bad = cargo(Path::new("."), &["no-such-command"]);
        let error = run("the step", &mut bad).unwrap_err().to_string();
        assert!(error.starts_with("the step: failed"), "{error}");
        assert!(run("the step", &mut cargo(Path::new("."), &["--version"])).is_ok());
    }
}
