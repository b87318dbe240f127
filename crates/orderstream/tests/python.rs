//! Python's gRPC with a real processor: the example in a session, and compressed messages.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use orderstream_client::{
    Award, BuyerCommand, Client, EventKind, FollowUpId, ProposalId, ProposalUpdate,
};

use crate::client::{block_on, follow_up, order, processor, track};
use crate::process::root;

/// A seller that sends one proposal over a channel with gzip, and prints how many were accepted
/// and refused.
const GZIP_SELLER: &str = "
import sys
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(sys.prefix).parent / 'stubs'))
from orderstream.v1 import model_pb2, non_streaming_pb2_grpc, streaming_pb2

note = 'x' * 2_000
proposal = model_pb2.Proposal(seller='python-works', price='10.50', currency='EUR', note=note)
submission = streaming_pb2.ProposalSubmission(order_req_id='SB1029436', proposal=proposal)
with grpc.insecure_channel(sys.argv[1], compression=grpc.Compression.Gzip) as channel:
    stub = non_streaming_pb2_grpc.OrderNonStreamingServiceStub(channel)
    summary = stub.SubmitProposals(iter([submission]), timeout=30)
print(summary.accepted, summary.refused)
";

/// Returns the example's Python with its packages and stubs, which is made once for all tests.
fn python() -> Option<&'static Path> {
    static PYTHON: LazyLock<Option<PathBuf>> = LazyLock::new(make_python);
    PYTHON.as_deref()
}

/// Makes the example's Python; prints a notice and returns `None` where there is no Python.
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
fn make_python() -> Option<PathBuf> {
    let found = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!is_required, "CI needs python3 with venv");
        println!("SKIPPED: there is no python3 with venv; the Python example is not run");
        return None;
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python");
    let script = root().join("examples/python/build.py");
    let built = Command::new("python3").arg(script).arg(&target).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(PathBuf::from(String::from_utf8(built.stdout).unwrap().trim()))
}

/// The processor is killed between the seller's proposal and the buyer's answer.
#[test]
fn python_seller_wins_despite_a_kill() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut processor = processor(dir.path(), "python-works");
    let address = processor.address("grpc").to_string();
    let seller = Command::new(python)
        .arg(root().join("examples/python/seller.py"))
        .args(["--address", &address, "--seller", "python-works", "--orders", "1"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let url = format!("http://{address}");
    let bought = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let question = block_on(await_question_and_proposal(&url));
        processor.kill();
        processor.restart();
        block_on(answer_and_award(&url, &question));
    }));
    let id = seller.id().to_string();
    if bought.is_err() {
        Command::new("kill").arg(&id).status().unwrap();
    }
    let output = seller.wait_with_output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let status = output.status;
    assert!(bought.is_ok() && status.success(), "{status}: {stdout}\n{stderr}");
    assert!(stdout.contains("the buyer answers: Friday is fine"), "{stdout}");
    assert!(stdout.contains("SB1029436 is over: won"), "{stdout}");
    assert!(!stdout.contains("refused: "), "{stdout}");
    assert_eq!(
        stdout.matches("connected to").count(),
        2,
        "once before the kill, once after: {stdout}"
    );
    assert_eq!(stdout.matches("OrderOpened").count(), 1, "each event once: {stdout}");
}

/// A seller that cannot work says why in one line, and not where its program stood.
#[test]
fn python_seller_ends_with_one_line() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), "python-works");
    let address = processor.address("grpc").to_string();
    let script = root().join("examples/python/seller.py");
    // Without its environment the interpreter has no packages.
    for (interpreter, flags, part) in [
        (Path::new("python3"), &["-I", "-S"][..], "examples/python/build.py"),
        (python, &[][..], address.as_str()),
    ] {
        let mut seller = Command::new(interpreter);
        seller.args(flags).arg(&script).args(["--address", &address, "--seller", "no name!"]);
        let output = seller.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// gzip is the only compression that clients of gRPC have in common.
#[test]
fn gzip_messages_are_taken() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let processor = processor(dir.path(), "python-works");
    let address = processor.address("grpc").to_string();
    block_on(async {
        let client = Client::new(&format!("http://{address}")).unwrap();
        track(&client).next().await.unwrap().expect("the order opens");
    });
    let mut seller = Command::new(python);
    let seller = seller.args(["-c", GZIP_SELLER, &address]).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = seller.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1 0", "{stderr}");
}

/// Opens the order as its buyer, and waits until the seller has seen it, asked and proposed.
async fn await_question_and_proposal(url: &str) -> FollowUpId {
    let client = Client::new(url).unwrap();
    let mut events = track(&client);
    let (mut question, mut proposed, mut is_seen) = (None, false, false);
    loop {
        if let Some(question) = question.as_ref().filter(|_| proposed && is_seen) {
            return FollowUpId::clone(question);
        }
        let kind = events.next().await.unwrap().expect("the order goes on").kind;
        proposed |= matches!(kind, EventKind::NewProposal(_));
        if let EventKind::SellerNotified { seller, .. } = &kind {
            is_seen = seller.as_str() == "python-works";
        }
        if let EventKind::ProposalUpdate(ProposalUpdate::Asked { question_id, .. }) = kind {
            question = Some(question_id);
        }
    }
}

/// Answers as the buyer, and awards the proposal once it is amended.
async fn answer_and_award(url: &str, question: &FollowUpId) {
    let client = Client::new(url).unwrap();
    let mut events = track(&client);
    let answer = follow_up("a-1", "Friday is fine", Some(question));
    client.follow_up(&order(), answer, None).await.unwrap();
    let version = loop {
        let kind = events.next().await.unwrap().expect("the order goes on").kind;
        if let EventKind::ProposalUpdate(ProposalUpdate::Amended { version, .. }) = kind {
            break version;
        }
    };
    assert_eq!(version, 2);
    let award = BuyerCommand::Finalise {
        award: Some(Award::Whole(ProposalId::new("SB1029436-python-works").unwrap())),
        reason: None,
        undo_within_ms: None,
    };
    client.send_command(&order(), award, None).await.unwrap();
}
