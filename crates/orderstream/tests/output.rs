//! The output of commands: on a full disk, into a closed pipe, and of failures as JSON.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::process::{BINARY, run};

/// Linux's `/dev/full` is a disk without space.
#[test]
fn unwritten_output_is_an_error() {
    for line in ["explain LOCKED", "explain LOCKED -o json", "completion bash", "crd"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(BINARY).args(line.split(' ')).stdout(full).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{line}: {error}");
        assert!(error.contains("the output cannot be written: No space left"), "{line}: {error}");
    }
}

#[test]
fn closed_pipes_are_no_errors() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(BINARY).arg("crd").stdout(writer).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn failures_are_json_where_json_is_asked_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    for (args, code, part) in [
        (vec!["list", "-o", "json", "--server", &url], 5, url.as_str()),
        (vec!["list", "-Ao", "json", "--server", "nonsense"], 2, "--server"),
        (vec!["status", "x", "--output=json", "--unknown"], 2, "--unknown"),
        (vec!["explain", "LOKED", "-ojson"], 2, "did you mean LOCKED?"),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let failure: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(failure["exit_code"], code, "{failure}");
        assert!(failure["detail"].as_str().unwrap().contains(part), "{failure}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    let output = run(&["explain", "LOKED"]);
    assert!(output.stderr.starts_with(b"error: "), "{output:?}");
}
