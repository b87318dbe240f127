//! One step of a command: a header that says what runs, then cargo itself.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, bail};

/// What cargo tells a program that it runs of that program's own package. The build script of one that
/// we depend on is run again where any of it differs, and with it whatever depends on that is built anew.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The cargo that started this program, run in the workspace's root, as if it was typed there.
pub(crate) fn cargo(root: &Path, args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(args);
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|prefix| shown.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Prints what this step is, runs it with its output shown, and says how long it took.
///
/// # Errors
/// When the command cannot be started or ends with another code than 0.
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

/// Runs a command and keeps its output, whatever code it ends with.
///
/// # Errors
/// When the command cannot be started.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.output().with_context(|| format!("start `{}`", line(command)))
}

/// The command as one would type it.
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
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/opt/bin/cargo");
        command.args(["test", "--workspace"]).env("SEEDS", "5");
        assert_eq!(line(&command), "SEEDS=5 cargo test --workspace");
    }

    #[test]
    fn a_step_fails_when_its_command_fails() {
        let mut bad = cargo(Path::new("."), &["no-such-command"]);
        let error = run("the step", &mut bad).unwrap_err().to_string();
        assert!(error.starts_with("the step: failed"), "{error}");
        assert!(run("the step", &mut cargo(Path::new("."), &["--version"])).is_ok());
    }
}
