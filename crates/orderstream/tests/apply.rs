//! Manifests that are applied again: by `dev` at each start, by the verbs, and as they were printed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::http::post;
use crate::market::split_args;
use crate::process::{BINARY, Role, dev, root, until};

/// Runs a command against a `dev`, with a text as its standard input.
fn run_piped(role: &Role, line: &str, input: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(split_args(line))
        .current_dir(root())
        .env("ORDERSTREAM_SERVER", format!("http://{}", role.address("requestor")))
        .env("ORDERSTREAM_PROCESSOR_REST", format!("http://{}", role.address("rest")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a command that has to succeed; returns its output.
fn ok_piped(role: &Role, line: &str, input: &str) -> String {
    let output = run_piped(role, line, input);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn ok(role: &Role, line: &str) -> String {
    ok_piped(role, line, "")
}

fn json(role: &Role, line: &str) -> Value {
    serde_json::from_str(&ok(role, &format!("{line} -o json"))).unwrap()
}

/// Returns the spec of every order request, by its name.
fn specs(role: &Role) -> BTreeMap<String, Value> {
    let list = json(role, "list");
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), item["spec"].clone()))
        .collect()
}

/// Writes orders to close and to cancel, and one with the number of the start.
fn write_orders(file: &Path, start: usize) {
    let order = |metadata: &str| {
        format!(
            "---\napiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{{metadata}}}\n\
             spec: {{title: An order, expiresIn: 1h, suspend: false}}\n"
        )
    };
    let last = format!("name: last, labels: {{start: 's{start}'}}");
    let text = ["name: to-close", "name: to-cancel", &last].map(order).concat();
    std::fs::write(file, text).unwrap();
}

/// Waits until all manifests of a start are applied; the last one has its number.
fn until_applied(role: &Role, start: usize) {
    until("the manifests are applied", || {
        let output = run_piped(role, "get last -o json", "");
        let last: Value = serde_json::from_slice(&output.stdout).ok()?;
        (last["metadata"]["labels"]["start"] == format!("s{start}")).then_some(())
    });
}

/// The README's command, again after every command of a buyer.
#[test]
fn started_again_dev_takes_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let more = dir.path().join("more.yaml");
    write_orders(&more, 0);
    let files = ["examples/sellers.yaml", "examples/office-chairs.yaml", more.to_str().unwrap()];
    let mut role = dev(dir.path(), &[&["--apply"][..], &files[..]].concat());
    until_applied(&role, 0);
    for name in ["office-chairs", "to-close", "to-cancel"] {
        ok(&role, &format!("wait {name} --for phase=Open"));
    }
    let proposal = r#"{"order_req_id":"OR-2041","proposal_id":"p1","seller":"chairs-rosenheim",
                       "price":"7418.40","currency":"EUR"}"#;
    let response = post(role.address("rest"), "/api/v1/proposals", proposal).unwrap();
    assert_eq!(response.status, 201, "{response:?}");
    for (round, line) in [
        "ask office-chairs 'Which colours?'",
        "extend office-chairs --expires-in 40m",
        "pause office-chairs --reason lunch",
        "resume office-chairs",
        "close to-close --reason 'no budget'",
        "cancel to-cancel",
        "award office-chairs p1 --undo-within 1h",
        "undo-award office-chairs",
        "award office-chairs p1",
    ]
    .into_iter()
    .enumerate()
    {
        ok(&role, line);
        let before = specs(&role);
        let start = round + 1;
        write_orders(&more, start);
        role.terminate();
        assert!(role.wait().success(), "{line}");
        role.restart();
        until_applied(&role, start);
        assert_eq!(specs(&role), before, "{line}");
    }
    let seller = ok(&role, "apply examples/sellers.yaml");
    assert!(seller.lines().all(|line| line.ends_with(" unchanged")), "{seller}");
}

#[test]
fn printed_resources_can_be_applied() {
    let dir = tempfile::tempdir().unwrap();
    let role = dev(dir.path(), &[]);
    let created = ok(&role, "apply examples/");
    assert_eq!(created.lines().filter(|line| line.starts_with("seller/")).count(), 10);
    assert!(created.lines().all(|line| line.ends_with(" created")), "{created}");
    let over_rest =
        r#"{"order_req_id":"typed","session_id":"s","items":[{"sku":"A","quantity":"2.50"}]}"#;
    let response = post(role.address("requestor"), "/api/v1/orders/initiate", over_rest).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    for name in ["typed", "office-chairs"] {
        ok(&role, &format!("wait {name} --for phase=Open"));
    }
    ok(&role, "pause office-chairs --reason lunch");
    let specs_before = specs(&role);
    for format in ["yaml", "json"] {
        let printed = ok(&role, &format!("list -o {format}"));
        assert_eq!(ok_piped(&role, "lint -", &printed), "5 documents in 1 file: nothing wrong\n");
        for line in ["apply -", "apply -f -"] {
            let applied = ok_piped(&role, line, &printed);
            assert_eq!(applied.lines().count(), 5, "{applied}");
            assert!(applied.lines().all(|line| line.ends_with(" unchanged")), "{applied}");
        }
    }
    assert_eq!(specs(&role), specs_before);
    let drafted = ok(&role, "submit --title Shelves --name shelves --item SHELF:2 --dry-run");
    assert_eq!(ok_piped(&role, "apply -f -", &drafted), "orderrequest/shelves created\n");
    assert_eq!(ok_piped(&role, "delete -f -", &drafted), "orderrequest/shelves deleted\n");
}

#[test]
fn applied_sellers_are_invited() {
    let dir = tempfile::tempdir().unwrap();
    let role = dev(dir.path(), &[]);
    ok(&role, "apply -f examples/sellers.yaml");
    ok(&role, "submit -f examples/office-chairs.yaml");
    let selected = |name: &str| {
        until("sellers are selected", || {
            let resource = json(&role, &format!("get {name}"));
            resource["status"]["sellers"]["selected"].as_u64().filter(|count| *count > 0)
        })
    };
    assert_eq!(selected("office-chairs"), 3);
    assert_eq!(ok(&role, "delete seller/chairs-rosenheim"), "seller/chairs-rosenheim deleted\n");
    let again = std::fs::read_to_string(root().join("examples/office-chairs.yaml")).unwrap();
    let again = again.replace("name: office-chairs", "name: again").replace("OR-2041", "OR-2042");
    ok_piped(&role, "submit -f -", &again);
    assert_eq!(selected("again"), 2);
    let gone = run_piped(&role, "delete seller/chairs-rosenheim", "");
    assert_eq!(gone.status.code(), Some(4));
}

/// They go to standard error, since the output is for programs.
#[test]
fn applied_values_are_noted_as_by_lint() {
    let dir = tempfile::tempdir().unwrap();
    let role = dev(dir.path(), &[]);
    let order = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
                 metadata: {name: chairs}\nspec:\n  items: [{sku: CHAIR, quantity: 010}]\n";
    for line in ["apply - -o json", "submit -f - -o json"] {
        let output = run_piped(&role, line, order);
        let noted = String::from_utf8(output.stderr).unwrap();
        let note = "note: spec.items[0].quantity: 010 is read as 8, as by kubectl; write 8";
        assert!(output.status.success() && noted.contains(note), "{line}: {noted}");
        let applied: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(applied["spec"]["items"][0]["quantity"], 8, "{line}");
    }
}

/// Nothing of a folder is applied if one of its manifests cannot be.
#[test]
fn foreign_resources_are_noted_and_not_applied() {
    let dir = tempfile::tempdir().unwrap();
    let role = dev(dir.path(), &[]);
    let folder = dir.path().join("manifests");
    std::fs::create_dir(&folder).unwrap();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: buying}\n";
    std::fs::write(folder.join("namespace.yaml"), namespace).unwrap();
    std::fs::copy(root().join("examples/steel-coils.yaml"), folder.join("coils.yaml")).unwrap();
    let folder = folder.display();
    let linted = ok(&role, &format!("lint {folder}"));
    let note = "namespace.yaml:2:7: note: Namespace of v1 is not ours; it is not checked";
    assert!(linted.contains(note) && linted.ends_with("nothing wrong\n"), "{linted}");
    let refused = run_piped(&role, &format!("apply {folder}"), "");
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("kubectl") && error.contains("namespace.yaml, document 1"), "{error}");
    assert_eq!(ok(&role, "list"), "no order requests\n");
}
