//! Buyers' commands by the binary's own verbs.

use std::process::Stdio;

use tokio::process::Command;

use super::Call;
use crate::op::{Op, Outcome};
use crate::world::Addresses;

pub(super) async fn send(addresses: &Addresses, call: &Call) -> Outcome {
    let Some(args) = args(call) else { return Outcome::unknown("there is no such verb") };
    let mut command = Command::new(&addresses.binary);
    command.args(args).args(["--key", &call.key]);
    command.args(["--server", &format!("http://{}", addresses.requestor)]);
    command.args(["--processor-rest", &format!("http://{}", addresses.rest[0])]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Ok(output) => outcome(output.status.code(), &String::from_utf8_lossy(&output.stderr)),
        Err(error) => Outcome::unknown(error.to_string()),
    }
}

/// Reads the outcome from code and output: a verb that succeeded ends with 0; a refused one prints
/// the reason in brackets, or that the order has ended.
fn outcome(code: Option<i32>, said: &str) -> Outcome {
    match code {
        Some(0) if said.contains("202") || said.contains("not known") => Outcome::unknown("202"),
        Some(0) => Outcome::DONE,
        Some(4) if said.contains("by now") => Outcome::refused("ORDER_ENDED"),
        _ => {
            let reason = said.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            reason.map_or_else(
                || Outcome::unknown(format!("exit code {code:?}: {said}")),
                |(reason, _)| Outcome::refused(reason),
            )
        }
    }
}

fn args(call: &Call) -> Option<Vec<String>> {
    let with = |verb: &str, more: &[&str]| {
        let mut args = vec![verb.to_owned(), call.id().to_owned()];
        args.extend(more.iter().map(ToString::to_string));
        args
    };
    let token = call.token.as_str();
    Some(match &call.op {
        Op::FollowUp => with("ask", &[token]),
        Op::Pause => with("pause", &["--reason", token]),
        Op::Resume => with("resume", &[]),
        Op::Extend { expires_in_ms } => {
            with("extend", &["--expires-in", &format!("{}s", expires_in_ms / 1_000)])
        }
        Op::Award { proposal, undo_within_ms: 0 } => with("award", &[proposal, "--reason", token]),
        Op::Award { proposal, undo_within_ms } => {
            // The verb takes whole seconds.
            let seconds = format!("{}s", undo_within_ms.div_ceil(1_000));
            with("award", &[proposal, "--reason", token, "--undo-within", &seconds])
        }
        Op::UndoAward => with("undo-award", &["--reason", token]),
        Op::Close => with("close", &["--reason", token]),
        Op::Cancel => with("cancel", &["--reason", token]),
        Op::Open(_)
        | Op::Propose { .. }
        | Op::Amend { .. }
        | Op::Withdraw { .. }
        | Op::Lock { .. }
        | Op::Unlock { .. }
        | Op::Decline
        | Op::Ask
        | Op::See => return None,
    })
}
