//! `orderstream watch`: each event once, as it comes, and how to go on after an interruption.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::http::{get, post};
use crate::process::{BINARY, Pair, root, until};

/// A processor and a requestor with one order.
struct WatchedOrder {
    pair: Pair,
    id: &'static str,
}

impl WatchedOrder {
    fn open(id: &'static str) -> Self {
        let order = Self { pair: Pair::start(), id };
        let body = json!({ "order_req_id": id, "session_id": "s", "notification_type": "email" });
        let address = order.pair.requestor.address("requestor");
        let response = post(address, "/api/v1/orders/initiate", &body.to_string()).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        order
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(root());
        let server = format!("http://{}", self.pair.requestor.address("requestor"));
        let processor = format!("http://{}", self.pair.processor.address("rest"));
        command.env("ORDERSTREAM_SERVER", server).env("ORDERSTREAM_PROCESSOR_REST", processor);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts `orderstream watch`; its first event has come.
    fn watch(&self, more: &[&str]) -> Watching {
        let args = [&["watch", self.id], more].concat();
        let mut command = self.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while seqs(&printed).is_empty() {
            assert!(stdout.read_line(&mut printed).unwrap() > 0, "the watch ended: {printed}");
        }
        Watching { child, stdout, printed }
    }

    /// Posts to the processor until it accepts.
    fn sell(&self, path: &str, body: &Value) {
        let address = self.pair.processor.address("rest");
        until(path, || {
            let response = post(address, path, &body.to_string()).ok()?;
            (response.status < 300).then_some(())
        });
    }

    fn propose(&self, seller: &str) {
        let body = json!({ "order_req_id": self.id, "proposal_id": format!("p-{seller}"),
            "seller": seller, "price": "12.50", "currency": "EUR" });
        self.sell("/api/v1/proposals", &body);
    }

    /// Closes the order; returns the sequence number of its last event.
    fn close(&self) -> u64 {
        let address = self.pair.requestor.address("requestor");
        let path = format!("/api/v1/orders/close/default%2F{}", self.id);
        post(address, &path, "{}").unwrap();
        let address = self.pair.processor.address("rest");
        until("the order is closed", || {
            let order = get(address, &format!("/api/v1/orders/{}", self.id)).ok()?.json();
            (order["phase"] == "Closed").then(|| order["last_seq"].as_u64().unwrap())
        })
    }
}

/// A running `orderstream watch`.
struct Watching {
    child: Child,
    stdout: BufReader<ChildStdout>,
    printed: String,
}

impl Watching {
    /// Waits until it ends; returns its exit code, all that it printed, and its errors.
    fn end(mut self) -> (Option<i32>, String, String) {
        std::io::Read::read_to_string(&mut self.stdout, &mut self.printed).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), self.printed, error)
    }
}

/// Returns the sequence numbers of the printed events, in a table or as lines of JSON.
fn seqs(printed: &str) -> Vec<u64> {
    let seq = |line: &str| match line.strip_prefix('#') {
        Some(rest) => rest.split_whitespace().next()?.parse().ok(),
        None => serde_json::from_str::<Value>(line).ok()?["seq"].as_u64(),
    };
    printed.lines().filter_map(seq).collect()
}

#[test]
fn watch_prints_every_event_once() {
    let order = WatchedOrder::open("w-1");
    let watching = order.watch(&[]);
    for seller in ["a", "b", "c", "d", "e", "f", "g"] {
        order.propose(seller);
    }
    let question = json!({ "seller": "a", "message": "Oak?\u{202e}\nP-S: no", "question_id": "q" });
    order.sell("/api/v1/orders/w-1/questions", &question);
    let last = order.close();
    let (code, printed, error) = watching.end();
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(seqs(&printed), (1..=last).collect::<Vec<_>>(), "{printed}");
    assert_eq!(printed.lines().count(), seqs(&printed).len() + 1, "a heading: {printed}");
    let line = |word: &str| printed.lines().find(|line| line.contains(word)).unwrap().to_owned();
    let words = line("p-c").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words[2..], ["c", "NewProposal", "p-c:", "12.50", "EUR"], "{printed}");
    assert!(line("QuestionAsked").ends_with("q: Oak? P-S: no"), "{printed}");
    assert!(line("OrderClosed").contains(" buyer "), "{printed}");

    let later = order.run(&["watch", "w-1", "--after", "5", "-o", "json"]);
    assert!(later.status.success(), "{later:?}");
    let later = String::from_utf8(later.stdout).unwrap();
    assert_eq!(seqs(&later), (6..=last).collect::<Vec<_>>(), "{later}");
    let event: Value = serde_json::from_str(later.lines().last().unwrap()).unwrap();
    assert_eq!(event["status"], "OrderClosed", "{event}");
    let last = last.to_string();
    let nothing = order.run(&["watch", "w-1", "--after", &last]);
    assert!(nothing.status.success() && nothing.stdout.is_empty(), "{nothing:?}");
}

#[test]
fn interrupted_watches_name_the_next_command() {
    let order = WatchedOrder::open("w-2");
    let watching = order.watch(&[]);
    let id = watching.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let (code, printed, error) = watching.end();
    let seen = *seqs(&printed).last().unwrap();
    let expected =
        format!("interrupted after event {seen}\n hint: orderstream watch w-2 --after {seen}\n");
    assert_eq!((code, error), (Some(130), expected));
    order.propose("a");
    let last = order.close();
    let seen = seen.to_string();
    let resumed = String::from_utf8(order.run(&["watch", "w-2", "--after", &seen]).stdout).unwrap();
    let all = [seqs(&printed), seqs(&resumed)].concat();
    assert_eq!(all, (1..=last).collect::<Vec<_>>(), "{printed}{resumed}");
}

#[test]
fn watches_outlive_their_processor() {
    let mut order = WatchedOrder::open("w-3");
    let watching = order.watch(&["-o", "json"]);
    order.propose("a");
    order.pair.processor.kill();
    order.pair.processor.restart();
    order.propose("b");
    let last = order.close();
    let (code, printed, error) = watching.end();
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(seqs(&printed), (1..=last).collect::<Vec<_>>(), "{printed}");
    assert!(error.contains("connecting again"), "{error}");
}

#[test]
fn unknown_orders_are_not_watched() {
    let order = WatchedOrder::open("w-4");
    let output = order.run(&["watch", "nowhere"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && error.contains("[ORDER_NOT_FOUND]"), "{error}");
}
