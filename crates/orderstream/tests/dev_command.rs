//! `orderstream dev` as a person starts it: its first lines, and the commands that find it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::process::{BINARY, Role, dev, root, run};

/// Runs a command beside the `dev` with this data folder.
fn beside(data: &Path, line: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(line.split(' ')).current_dir(root()).env("ORDERSTREAM_DATA_DIR", data);
    command.env_remove("ORDERSTREAM_SERVER").env_remove("ORDERSTREAM_PROCESSOR_REST");
    command.output().unwrap()
}

#[test]
fn commands_find_the_dev_of_their_folder() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let data = dirs.each_ref().map(|dir| dir.path().join("data"));
    let mut devs = dirs.each_ref().map(|dir| dev(dir.path(), &[]));
    let names = ["of-the-first", "of-the-second"];
    for (data, name) in data.iter().zip(names) {
        let output = beside(data, &format!("submit --name {name} --item DESK:2"));
        assert!(output.status.success(), "{output:?}");
    }
    for (data, name) in data.iter().zip(names) {
        let listed = String::from_utf8(beside(data, "list -o name").stdout).unwrap();
        assert_eq!(listed, format!("orderrequest/{name}\n"));
        let waited = beside(data, &format!("wait {name} --for condition=Streaming"));
        assert!(waited.status.success(), "{waited:?}");
        let status = beside(data, &format!("status {name}"));
        assert!(status.status.success(), "{status:?}");
    }
    devs[0].terminate();
    assert!(devs[0].wait().success());
    assert!(!data[0].join("addresses.json").exists(), "nothing leads to it any more");
    devs[1].kill();
    let output = beside(&data[1], "list");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("addresses.json, is not reached"), "{error}");
}

/// Each start takes ports of its own.
#[test]
fn orders_go_on_at_other_ports() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ok = |line: &str| {
        let output = beside(&data, line);
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let mut former = dev(dir.path(), &[]);
    ok("submit --name chairs --item DESK:2");
    ok("wait chairs --for condition=Streaming");
    let port = former.address("grpc").port();
    former.terminate();
    assert!(former.wait().success());
    // Nothing else gets the port meanwhile.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let _dev = dev(dir.path(), &[]);
    ok("propose chairs --seller acme --price 5 --currency EUR --proposal-id p1");
    ok("wait chairs --for proposals=1");
    ok("award chairs p1");
    ok("wait chairs --for phase=Finalised");
}

/// Its deletion cancels it; another one under its id is another order.
#[test]
fn demo_sellers_notice_orders_that_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut args = vec!["dev", "--data-dir", data.to_str().unwrap(), "--sellers", "3"];
    for flag in ["--grpc-addr", "--rest-addr", "--requestor-addr", "--metrics-addr"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    let _dev = Role::start(&args, dir.path());
    for _ in 0..2 {
        for line in [
            "submit --name chairs --item DESK:2",
            "wait chairs --for proposals=1",
            "delete chairs",
            "wait chairs --for delete",
        ] {
            let output = beside(&data, line);
            assert!(output.status.success(), "{line}: {output:?}");
        }
    }
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn dev_begins_with_a_banner() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut command = Command::new(BINARY);
    command.args(["dev", "--data-dir", data.to_str().unwrap(), "--sellers", "0", "--apply"]);
    command.arg("examples/office-chairs.yaml").current_dir(root());
    for flag in ["--grpc-addr", "--rest-addr", "--requestor-addr", "--metrics-addr"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let mut text = String::new();
    for line in BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap) {
        text.push_str(&format!("{line}\n"));
        if text.contains("  OrderOpened  ") && text.contains(" created\n") {
            break;
        }
    }
    let title = text.lines().next().unwrap();
    assert!(title.starts_with("orderstream ") && title.ends_with("not for production"), "{text}");
    for part in [
        "  buyers     http://127.0.0.1:",
        "  sellers    http://127.0.0.1:",
        "  proposals  none by itself ",
        "  notified   nobody ",
        "in other terminals: export ORDERSTREAM_DATA_DIR=",
        "next: orderstream submit ",
        "stop: Ctrl-C",
        "orderrequest/office-chairs created",
    ] {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
    let id = child.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut log = String::new();
    std::io::Read::read_to_string(&mut child.0.stderr.take().unwrap(), &mut log).unwrap();
    assert!(!log.contains("INFO") && !log.contains("authorisation"), "it is usual: {log}");
}

#[test]
fn counts_of_demo_sellers_are_numbers() {
    let output = run(&["dev", "--sellers", "examples/sellers.yaml"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("sellers of yours are given with --apply"), "{error}");
}
