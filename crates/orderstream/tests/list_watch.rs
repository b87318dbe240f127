//! `orderstream list --watch`: the list, and a row for each change of an order request.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::market::Market;
use crate::process::BINARY;

/// A running `orderstream list --watch`.
struct WatchedList {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl WatchedList {
    fn start(market: &Market, more: &[&str]) -> Self {
        let mut command = market.command(BINARY);
        command.args(["list", "-w"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Returns the next line that has all these words.
    fn line_with(&mut self, words: &[&str]) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended before {words:?}");
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    /// Ends it with Ctrl-C; returns its exit code.
    fn interrupt(self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.child.wait_with_output().unwrap().status.code()
    }
}

#[test]
fn lists_go_on_with_changes() {
    let market = Market::start();
    market.ok("submit --name chairs --title Chairs --item CHAIR:2");
    let mut rows = WatchedList::start(&market, &[]);
    rows.line_with(&["NAME", "PHASE", "PROPOSALS", "BEST", "EXPIRES", "TITLE"]);
    let open = rows.line_with(&["chairs", "Open"]);
    let mut objects = WatchedList::start(&market, &["-o", "json"]);
    objects.line_with(&["\"name\":\"chairs\""]);
    market.ok("pause chairs");
    let paused = rows.line_with(&["chairs", "Paused"]);
    let column = |line: &str| line.find("Chairs");
    assert!(column(&open).is_some() && column(&open) == column(&paused), "{open}{paused}");
    let object: Value =
        serde_json::from_str(&objects.line_with(&["\"phase\":\"Paused\""])).unwrap();
    assert_eq!(object["metadata"]["name"], "chairs", "one object on a line");
    market.ok("submit --name desks --title Desks --item DESK:2");
    rows.line_with(&["desks"]);
    market.ok("delete chairs --yes");
    rows.line_with(&["chairs", "Deleted"]);
    objects.line_with(&["\"name\":\"chairs\"", "\"deletionTimestamp\":\"20"]);
    assert_eq!((rows.interrupt(), objects.interrupt()), (Some(130), Some(130)));
}
