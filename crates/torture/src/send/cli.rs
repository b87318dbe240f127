//! Sends buyers' commands with the binary's subcommands.

use std::process::Stdio;

use tokio::process::Command;

use super::ClientRequest;
use crate::command::{ClientCommand, ClientOutcome};
use crate::fleet::ProductAddresses;

pub(super) async fn send(addresses: &ProductAddresses, call: &ClientRequest) -> ClientOutcome {
    let Some(args) = args(call) else { return ClientOutcome::unknown("there is no such verb") };
    let mut command = Command::new(&addresses.binary);
    command.args(args).args(["--key", &call.key]);
    command.args(["--server", &format!("http://{}", addresses.requestor)]);
    command.args(["--processor-rest", &format!("http://{}", addresses.rest[0])]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Ok(output) => outcome(output.status.code(), &String::from_utf8_lossy(&output.stderr)),
        Err(error) => ClientOutcome::unknown(error.to_string()),
    }
}

/// Derives the outcome from exit code and output: a successful command exits with 0; a refused one
/// prints the reason in brackets, or that the order has ended.
fn outcome(code: Option<i32>, stderr: &str) -> ClientOutcome {
    match code {
        Some(0) if stderr.contains("202") || stderr.contains("not known") => {
            ClientOutcome::unknown("202")
        }
        Some(0) => ClientOutcome::SUCCESS,
        Some(4) if stderr.contains("by now") => ClientOutcome::refused("ORDER_ENDED"),
        _ => {
            let reason = stderr.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            reason.map_or_else(
                || ClientOutcome::unknown(format!("exit code {code:?}: {stderr}")),
                |(reason, _)| ClientOutcome::refused(reason),
            )
        }
    }
}

fn args(call: &ClientRequest) -> Option<Vec<String>> {
    let with = |verb: &str, more: &[&str]| {
        let mut args = vec![verb.to_owned(), call.id().to_owned()];
        args.extend(more.iter().map(ToString::to_string));
        args
    };
    let token = call.token.as_str();
    Some(match &call.command {
        ClientCommand::FollowUp => with("ask", &[token]),
        ClientCommand::Pause => with("pause", &["--reason", token]),
        ClientCommand::Resume => with("resume", &[]),
        ClientCommand::Extend { expires_in_ms } => {
            with("extend", &["--expires-in", &format!("{}s", expires_in_ms / 1_000)])
        }
        ClientCommand::Award { proposal, undo_within_ms: 0 } => {
            with("award", &[proposal, "--reason", token])
        }
        ClientCommand::Award { proposal, undo_within_ms } => {
            // The command accepts whole seconds only.
            let seconds = format!("{}s", undo_within_ms.div_ceil(1_000));
            with("award", &[proposal, "--reason", token, "--undo-within", &seconds])
        }
        ClientCommand::UndoAward => with("undo-award", &["--reason", token]),
        ClientCommand::Close => with("close", &["--reason", token]),
        ClientCommand::Cancel => with("cancel", &["--reason", token]),
        ClientCommand::Open(_)
        | ClientCommand::Propose { .. }
        | ClientCommand::Amend { .. }
        | ClientCommand::Withdraw { .. }
        | ClientCommand::Lock { .. }
        | ClientCommand::Unlock { .. }
        | ClientCommand::Decline
        | ClientCommand::Ask
        | ClientCommand::See => return None,
    })
}
