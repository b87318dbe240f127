//! Completion as a shell asks for it: with the words of the servers, and in time.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::market::Market;
use crate::process::{BINARY, run, until};

/// The longest time that a person waits for a completion.
const LIMIT: Duration = Duration::from_millis(300);

/// Returns the candidates for the last word of a line.
fn complete(mut command: Command, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let index = words.len() - 1;
    command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n").arg("--").args(&words);
    let output = command.env("_CLAP_COMPLETE_INDEX", index.to_string()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn words_of_the_servers_are_completed() {
    let market = Market::start();
    market.ok("submit -f examples/office-chairs.yaml");
    market.ok("wait office-chairs --for condition=Streaming");
    for (id, seller) in [("p-1", "chairs-rosenheim"), ("p-2", "moebel-augsburg")] {
        let by = format!("--proposal-id {id} --seller {seller}");
        market.ok(&format!("propose OR-2041 {by} --price 5 --currency EUR"));
    }
    market.ok("withdraw OR-2041 p-2 --seller moebel-augsburg");
    market.ok("question OR-2041 Oak? --question-id q-1 --seller chairs-rosenheim");
    market.ok("ask office-chairs Delivered? --key f-1");
    for (line, expected) in [
        ("orderstream status off", vec!["office-chairs"]),
        ("orderstream get OFF", vec!["office-chairs"]),
        ("orderstream award office-chairs p-", vec!["p-1"]),
        ("orderstream propose OR-2041 --seller ch", vec!["chairs-rosenheim"]),
        ("orderstream amend OR-2041 --seller chairs-rosenheim p-", vec!["p-1"]),
        ("orderstream ask office-chairs Yes. --to moebel-", vec!["moebel-augsburg"]),
        ("orderstream ask office-chairs Yes. --answers q", vec!["q-1"]),
        ("orderstream answer OR-2041 f", vec!["f-1"]),
        ("orderstream notify pending off", vec!["office-chairs"]),
    ] {
        assert_eq!(complete(market.command(BINARY), line), expected, "{line}");
    }
}

#[test]
fn known_words_need_no_server() {
    for (line, expected) in [
        ("orderstream explain lock", vec!["LOCKED"]),
        ("orderstream schema compar", vec!["compare"]),
        ("orderstream wait x --for phase=Fi", vec!["phase=Finalised"]),
        ("orderstream wait x --for del", vec!["delete"]),
        ("orderstream list --phase Paused,Fin", vec!["Paused,Finalised"]),
        ("orderstream notify preview invit", vec!["invitation"]),
        ("orderstream undo", vec!["undo-award"]),
    ] {
        assert_eq!(complete(Command::new(BINARY), line), expected, "{line}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completion", shell]);
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("COMPLETE") && script.contains("orderstream"), "{script}");
    }
}

/// The machine may be busy: one answer in time shows that nothing else is waited for.
#[test]
fn silent_servers_do_not_delay_completion() {
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for line in ["orderstream status ", "orderstream award office-chairs "] {
        until("an answer within the limit", || {
            let mut command = Command::new(BINARY);
            command.env("ORDERSTREAM_SERVER", &url).env("ORDERSTREAM_PROCESSOR_REST", &url);
            let began = Instant::now();
            let candidates = complete(command, line);
            let elapsed = began.elapsed();
            let is_flag = |word: &String| word.starts_with('-');
            assert!(candidates.iter().all(is_flag), "{candidates:?}");
            (elapsed <= LIMIT).then_some(())
        });
    }
}
