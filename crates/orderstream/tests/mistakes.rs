//! Mistakes of users: one clear error for each, the right exit code, and nothing half started.

use std::process::{Command, Output};

use crate::process::{BINARY, dev, run};

/// Returns the text on standard error.
fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check(args: &[&str], code: i32, parts: &[&str]) {
    let output = run(args);
    let text = error_of(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    // One line, after the log.
    let error_lines = text.lines().skip_while(|line| !line.starts_with("error: ")).count();
    assert_eq!(error_lines, 1, "{args:?}: not one line: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?}: '{text}' lacks '{part}'");
    }
}

/// The holder is the process that has the port.
#[test]
fn occupied_ports_name_flag_and_holder() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let port = listener.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let args =
        ["processor", "--grpc-addr", "127.0.0.1:0", "--rest-addr", &address, "--data-dir", data];
    let own = std::process::id().to_string();
    check(&args, 1, &["error: ", &port, "--rest-addr", &own]);
}

#[test]
fn errors_name_unusable_data_folders() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let file = file.to_str().unwrap();
    check(&["processor", "--data-dir", file], 1, &["error: ", "--data-dir", file]);
}

#[test]
fn errors_name_unknown_flags() {
    check(&["processor", "--data-dri", "x"], 2, &["--data-dri", "--data-dir"]);
}

#[test]
fn errors_name_wrong_flag_values() {
    let args = ["processor", "--grpc-addr", "nonsense"];
    check(&args, 2, &["error: ", "'nonsense'", "--grpc-addr"]);
}

/// They are found at the start, and not when something is to be reached.
#[test]
fn errors_name_wrong_processor_urls() {
    const BARE: &str = "http://fd00::5:50051";
    const BRACKETS: &str = "http://[fd00::5]:50051";
    let dir = tempfile::tempdir().unwrap();
    let (data, list) = (dir.path().join("data"), dir.path().join("peers"));
    std::fs::write(&list, format!("{BRACKETS}\n{BARE}\n")).unwrap();
    let (data, list) = (data.to_str().unwrap(), list.to_str().unwrap());
    for (args, parts) in [
        (["processor", "--name", BARE], ["name", BRACKETS]),
        (["processor", "--name", "processor-0"], ["name", "begin it with http://"]),
        (["processor", "--grpc-url", BARE], ["grpc-url", BRACKETS]),
        (["processor", "--rest-url", "https://processor:8005"], ["rest-url", "http://host:port"]),
        (["processor", "--advertise-address", "[fd00::5]"], ["--advertise-address", "[fd00::5]"]),
        (["processor", "--peers", list], [list, "line 2"]),
        (["requestor", "--processor", BARE], ["processor", BRACKETS]),
        (["requestor", "--processor", "http://processor"], ["processor", "give the port"]),
        (["controller", "--processor", BARE], ["--processor", BRACKETS]),
        (["controller", "--processor", "http://10.0.0.300:50051"], ["--processor", "255"]),
    ] {
        let mut args = args.to_vec();
        if args.first() != Some(&"controller") {
            args.extend(["--data-dir", data]);
        }
        check(&args, 2, &["error: ", parts[0], parts[1]]);
    }
    assert!(!dir.path().join("data").exists(), "nothing was begun");
    check(&["requestor", "--data-dir", data], 2, &["error: ", "--processor http://"]);
}

#[test]
fn errors_name_wrong_config_keys() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    for (text, part) in [("data-dri: x\n", "data-dri"), ("grpc-addr: nonsense\n", "address")] {
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        check(&["processor", "--config", file], 2, &["error: ", "--config", part]);
    }
}

/// Otherwise every server would be refused, but only once one is called.
#[test]
fn errors_name_bundles_without_certificates() {
    const PROCESSOR: &str = "http://127.0.0.1:50051";
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("ca.pem"));
    std::fs::write(&file, "").unwrap();
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    for args in [
        &["processor", "--data-dir", data][..],
        &["requestor", "--data-dir", data, "--processor", PROCESSOR],
        &["controller", "--processor", PROCESSOR],
        &["dev", "--data-dir", data],
    ] {
        let args = [args, &["--ca-bundle", file]].concat();
        check(&args, 2, &["error: ", "--ca-bundle", file, "has no certificate"]);
    }
    let missing = dir.path().join("missing");
    let args = ["processor", "--data-dir", data, "--ca-bundle", missing.to_str().unwrap()];
    check(&args, 2, &["error: ", "--ca-bundle", "missing"]);
    assert!(!dir.path().join("data").exists(), "nothing was begun");
}

/// A role reads the variable for notifications, and so does the client of the API server.
#[test]
fn errors_show_no_password_of_a_proxy() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (notify, kubeconfig) = (dir.path().join("notify.yaml"), dir.path().join("kubeconfig"));
    std::fs::write(&notify, "sinks: []\n").unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
         clusters: [{{name: a, cluster: {{server: 'http://{free}'}}}}]\n\
         users: [{{name: a, user: {{}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let (notify, kubeconfig) = (notify.to_str().unwrap(), kubeconfig.to_str().unwrap());
    for (proxy, args, code, part) in [
        ("socks5://ann:secret@a", ["processor", "--notify-config", notify], 2, "HTTPS_PROXY: "),
        ("http://ann:secret@a", ["list", "--kubeconfig", kubeconfig], 5, "error: "),
    ] {
        let mut command = Command::new(BINARY);
        command.args(args).env("HTTPS_PROXY", proxy).current_dir(dir.path());
        let output = command.output().unwrap();
        let text = error_of(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(part) && !text.contains("secret"), "{args:?}: {text}");
    }
}

#[test]
fn errors_name_wrong_manifest_fields() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("order.yaml");
    let base = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: a}\n";
    for (spec, field) in [
        ("spec: {items: [{sku: x, quantity: -1}]}\n", "quantity"),
        ("spec: {expiresIn: 1s}\n", "expiresIn"),
        ("spec: {delivery: {latitude: 91, longitude: 0}}\n", "latitude"),
        ("spec: {tittle: x}\n", "tittle"),
        ("spec: {notificationType: Pigeon}\n", "notificationType"),
    ] {
        std::fs::write(&file, format!("{base}{spec}")).unwrap();
        let file = file.to_str().unwrap();
        check(&["apply", "-f", file], 2, &["error: ", field]);
        check(&["dev", "--apply", file], 2, &["error: ", field]);
    }
}

#[test]
fn unreachable_servers_exit_with_5() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    check(&["list", "--server", &url], 5, &["error: ", &url, "--server"]);
    check(&["list", "--server", "nonsense"], 2, &["error: ", "--server"]);
}

#[test]
fn data_folders_admit_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let _first = dev(dir.path(), &[]);
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    check(&["dev", "--data-dir", data], 1, &["error: ", "--data-dir", data]);
}
