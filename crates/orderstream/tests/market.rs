//! A tender by commands alone, as buyer and sellers type them, with their output.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::http::post;
use crate::process::{BINARY, Role, root, run};

/// A processor with the example's sellers, a requestor, and the CLI set up for both.
pub(crate) struct Market {
    server: String,
    /// The URL of the sellers' REST.
    pub(crate) processor: String,
    _roles: [Role; 2],
    _dir: tempfile::TempDir,
}

impl Market {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("processor");
        let sellers = root().join("examples/sellers.yaml");
        let mut args = vec!["processor", "--data-dir", data.to_str().unwrap()];
        args.extend(["--sellers", sellers.to_str().unwrap()]);
        for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
            args.extend([flag, "127.0.0.1:0"]);
        }
        let processor = Role::start(&args, dir.path());
        let url = format!("http://{}", processor.address("grpc"));
        let store = format!("embedded:{}", dir.path().join("requestor").display());
        let args = ["requestor", "--rest-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"];
        let more = ["--processor", &url, "--store", &store];
        let requestor = Role::start(&[&args[..], &more[..]].concat(), dir.path());
        Self {
            server: format!("http://{}", requestor.address("requestor")),
            processor: format!("http://{}", processor.address("rest")),
            _roles: [processor, requestor],
            _dir: dir,
        }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(BINARY).args(args).output().unwrap()
    }

    /// Returns a program that has the addresses of both servers.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(root()).env("ORDERSTREAM_SERVER", &self.server);
        command.env("ORDERSTREAM_PROCESSOR_REST", &self.processor);
        command
    }

    /// Runs a command that has to succeed; returns its output.
    pub(crate) fn ok(&self, line: &str) -> String {
        self.ok_args(&split_args(line))
    }

    fn ok_args(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        let mut args = split_args(line);
        args.extend(["-o", "json"]);
        serde_json::from_str(&self.ok_args(&args)).unwrap()
    }

    /// Runs a command; returns its exit code and its error.
    pub(crate) fn refused(&self, line: &str) -> (i32, String) {
        let output = self.run(&split_args(line));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), error)
    }

    fn submit(&self) {
        let output = self.ok("submit -f examples/office-chairs.yaml");
        assert!(
            output.starts_with("order office-chairs (OR-2041) submitted: 2 items, open for 30m\n")
        );
        assert!(output.contains("\nkept in `list` for 7d after its end\n"), "{output}");
        self.ok("wait office-chairs --for phase=Open");
    }
}

/// Splits a line at blanks; a text in single quotes is one word.
pub(crate) fn split_args(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        })
        .collect()
}

/// Returns the cells of the row whose first cell begins with a word.
pub(crate) fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("no row {first} in:\n{table}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

const ROSENHEIM: &str = "--seller chairs-rosenheim";
const AUGSBURG: &str = "--seller moebel-augsburg";
const BERLIN: &str = "--seller office-world-berlin";

/// Proposes for three sellers: one for each line, one for one line, one as a whole.
fn propose(market: &Market) {
    let output = market.ok(&format!(
        "propose OR-2041 --proposal-id p-1 {ROSENHEIM} --currency EUR --delivery-date 2030-01-15 \
         --line CHAIR-ERGO-01:40:pieces=5200.00 --line MAT-FLOOR-120:40:pieces=1400.00"
    ));
    assert!(
        output.starts_with("proposal p-1 of chairs-rosenheim submitted: 6600.00 EUR\n"),
        "{output}"
    );
    market.ok(&format!(
        "propose OR-2041 --proposal-id p-2 {AUGSBURG} --currency EUR --note 'from stock' \
         --line CHAIR-ERGO-01:40:pieces=4900.00"
    ));
    market.ok(&format!(
        "propose OR-2041 --proposal-id p-3 {BERLIN} --currency EUR --price 6999 \
         --delivery-date 2030-01-10"
    ));
}

#[test]
fn verbs_alone_complete_an_order() {
    let market = Market::start();
    market.submit();
    let why = market.ok("why office-chairs");
    assert!(why.starts_with("sellers of OR-2041: 3 of 10 invited\n"), "{why}");
    assert_eq!(row(&why, "chairs-rosenheim")[1..3], ["yes", "fits the order"], "{why}");
    assert!(why.contains("does not sell the order's category"), "{why}");
    assert!(why.contains("\nstream up: "), "{why}");

    market.ok(&format!("seen OR-2041 {BERLIN}"));
    propose(&market);

    let output = market
        .ok(&format!("question OR-2041 'Is assembly included?' --question-id q-1 {AUGSBURG}"));
    assert_eq!(output, "question q-1 of moebel-augsburg sent to the buyer\n");
    let conversation = market.ok("conversation office-chairs --open");
    assert!(conversation.contains("Is assembly included?"), "{conversation}");
    assert!(
        conversation.contains("hint: orderstream ask office-chairs --answers q-1 ANSWER"),
        "{conversation}"
    );
    let output = market.ok("ask office-chairs 'Yes, by you.' --answers q-1 --key f-1");
    assert_eq!(output, "question q-1 answered to all 3 sellers (follow-up f-1)\n");
    let again = market.ok("ask office-chairs 'Yes, by you.' --answers q-1 --key f-1");
    assert_eq!(again, output, "the same key, the same answer");
    assert_eq!(
        market.ok("conversation office-chairs --open"),
        "order office-chairs has no open question\n"
    );
    market.ok(&format!("answer OR-2041 f-1 'Fine.' {AUGSBURG}"));

    let amend = format!("amend OR-2041 p-1 {ROSENHEIM} --delivery-date 2030-01-08 --key a-1");
    let changed = "proposal p-1 amended, version 2\n  delivery_date: 2030-01-15 -> 2030-01-08\n";
    assert_eq!(market.ok(&amend), changed);
    assert_eq!(market.ok(&amend), "proposal p-1 already has this content, version 2\n", "once");

    let table = market.ok("compare office-chairs");
    let first = row(&table, "p-1");
    assert_eq!(first[1..4], ["chairs-rosenheim", "6600.00 EUR", "2030-01-08"], "{table}");
    assert_eq!(first[5..], ["2", "best total, earliest"], "{table}");
    assert!(row(&table, "p-2").contains(&"lacks MAT-FLOOR-120"), "{table}");
    assert_eq!(
        row(&table, "CHAIR-ERGO-01")[1..],
        ["40 pieces", "5200.00 (130)", "whole", "4900.00 (122.5) *"],
        "{table}"
    );

    market.ok(&format!("lock OR-2041 p-2 {AUGSBURG} --for 2m"));
    let (code, text) = market.refused(&format!("lock OR-2041 p-2 {BERLIN}"));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("[LOCKED]\n hint: orderstream explain LOCKED\n"), "{text}");
    market.ok(&format!("unlock OR-2041 p-2 {AUGSBURG}"));

    let output = market.ok("extend office-chairs --by 30m");
    assert!(output.contains("(in 59m ") || output.contains("(in 1h"), "{output}");
    decide(&market);
}

/// Awards, undoes the award and awards again; then nothing more is possible.
fn decide(market: &Market) {
    let (code, text) = market.refused("award office-chairs p1");
    assert_eq!(code, 4);
    assert!(text.contains("has no proposal p1; did you mean p-1? [PROPOSAL_NOT_FOUND]"), "{text}");
    let output = market.ok("award office-chairs p-1 --undo-within 10m");
    assert!(
        output.starts_with("awarded p-1 of chairs-rosenheim for 6600.00 EUR; it counts from "),
        "{output}"
    );
    assert!(output.ends_with("undo: orderstream undo-award office-chairs\n"), "{output}");
    let (code, text) = market.refused("award office-chairs p-2");
    assert!(code == 4 && text.contains("[AWARD_PENDING]"), "{text}");
    // An order request knows no keys: a repeated command runs again.
    for _ in 0..2 {
        let output = market.ok("undo-award office-chairs --key u1");
        assert_eq!(output, "award of order office-chairs undone; nobody was notified\n");
        let output = market.ok("award office-chairs p-1 --undo-within 10m --key aw1");
        assert!(output.starts_with("awarded p-1 of chairs-rosenheim"), "{output}");
    }
    for verb in ["award", "undo-award", "ask", "pause", "extend", "cancel"] {
        let help = market.ok(&format!("{verb} --help"));
        let normalized = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            normalized.contains("an order request is edited again, whatever the key"),
            "{help}"
        );
    }
    market.ok("undo-award office-chairs");
    let output = market.ok("award office-chairs --line CHAIR-ERGO-01=p-2 --line MAT-FLOOR-120=p-1");
    let awarded = "CHAIR-ERGO-01 to p-2 of moebel-augsburg for 4900.00 EUR, MAT-FLOOR-120 to p-1 of \
                   chairs-rosenheim for 1400.00 EUR";
    let closed = "1 other proposal closed, all who took part can read it\nkept in `list` for 7d; ";
    assert!(output.starts_with(&format!("awarded {awarded}; {closed}")), "{output}");
    let (code, text) = market.refused("award office-chairs p-2");
    assert!(code == 4 && text.contains("[ALREADY_AWARDED]"), "{text}");
    let again = market.ok("award office-chairs --line CHAIR-ERGO-01=p-2 --line MAT-FLOOR-120=p-1");
    assert!(again.starts_with("order office-chairs is already awarded: "), "{again}");

    let status = market.ok("status office-chairs --events 100");
    assert!(status.starts_with("OR-2041  Office chairs for the new floor\n"), "{status}");
    assert!(status.contains("\n  phase      Finalised since "), "{status}");
    assert!(status.contains(&format!("\n  award      {awarded}\n")), "{status}");
    assert!(status.contains("\n  stream     Ended; event "), "{status}");
    assert_eq!(row(&status, "moebel-augsburg")[1], "Proposed", "{status}");
    for event in ["OrderOpened", "NewProposal", "OrderExtended", "AwardUndone", "OrderFinalised"] {
        assert!(status.contains(&format!("  {event}")), "{event} is not in:\n{status}");
    }
    let table = market.ok("compare office-chairs");
    let count = |remark: &str| table.matches(remark).count();
    assert_eq!((count("  awarded"), count("  not awarded")), (2, 1), "{table}");
    let explained = market.ok("explain already-awarded");
    assert!(explained.starts_with("ALREADY_AWARDED\n\n"), "{explained}");
}

#[test]
fn json_output_matches_its_schema() {
    let market = Market::start();
    market.submit();
    propose(&market);
    let compared = market.json("compare office-chairs --by delivery");
    assert_eq!(compared["rows"][0]["proposal_id"], "p-3", "{compared}");
    let csv = market.ok("compare office-chairs -o csv");
    assert_eq!(csv.lines().count(), 4, "a heading and three proposals: {csv}");
    assert!(csv.contains("moebel-augsburg") && csv.contains("4900.00"), "{csv}");
    let status = market.json("status OR-2041");
    assert_eq!(status["proposal_counts"]["open"], 3, "{status}");
    let declined =
        market.json(&format!("withdraw OR-2041 p-2 {AUGSBURG} --reason 'sold out' --key k-1"));
    assert_eq!((&declined["proposal_id"], &declined["key"]), (&"p-2".into(), &"k-1".into()));
    for (verb, printed) in [
        ("compare", compared),
        ("status", status),
        ("why", market.json("why OR-2041")),
        ("conversation", market.json("conversation OR-2041")),
        ("pause", market.json("pause office-chairs")),
        ("resume", market.json("resume office-chairs")),
        ("explain", market.json("explain LOCKED")),
        ("lint", market.json("lint examples/office-chairs.yaml")),
        ("withdraw", declined),
    ] {
        let schema: Value = serde_json::from_str(&market.ok(&format!("schema {verb}"))).unwrap();
        check_required(verb, &schema, &schema, &printed);
    }
}

/// Checks at each level that a value has every field that the schema requires, and no field that it
/// does not define.
fn check_required(context: &str, root: &Value, schema: &Value, value: &Value) {
    let schema = match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    if let Some(choice) = schema["anyOf"].as_array() {
        return check_required(context, root, &choice[0], value);
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{context} lacks {name}: {value}");
    }
    for (name, below) in value.as_object().into_iter().flatten() {
        let known = &schema["properties"][name];
        assert!(!known.is_null(), "{context}.{name} is not in the schema");
        check_required(&format!("{context}.{name}"), root, known, below);
    }
    for below in value.as_array().into_iter().flatten() {
        check_required(context, root, &schema["items"], below);
    }
}

/// The order has no order request; its commands go to the requestor.
#[test]
fn orders_initiated_over_rest_obey_verbs() {
    let market = Market::start();
    let address = market.server.trim_start_matches("http://").parse().unwrap();
    let body = r#"{"order_req_id": "SB 7", "session_id": "s", "notification_type": "email"}"#;
    assert_eq!(post(address, "/api/v1/orders/initiate", body).unwrap().status, 422, "no blanks");
    let body = body.replace("SB 7", "SB:7");
    assert_eq!(post(address, "/api/v1/orders/initiate", &body).unwrap().status, 200);
    market.ok("wait SB:7 --for phase=Open");
    market.ok("propose SB:7 --proposal-id p-1 --seller saar-coils --price 12.50 --currency EUR");
    market.ok("ask SB:7 'Can you deliver today?' --to saar-coils --key f-1");
    let paused = market.json("pause SB:7 --reason 'stock-taking'");
    assert_eq!((&paused["phase"], &paused["order_req_id"]), (&"Paused".into(), &"SB:7".into()));
    let output = market.ok("award SB:7 p-1");
    assert_eq!(
        output,
        "awarded p-1 of saar-coils for 12.50 EUR; 0 other proposals closed, all who took part can \
         read it\n"
    );
    let status = market.ok("status SB:7");
    assert!(status.contains("stock-taking"), "{status}");
}

/// The reply to the key is repeated, whatever happened to the order since.
#[test]
fn repeated_verbs_repeat_their_outcome() {
    let market = Market::start();
    let address = market.server.trim_start_matches("http://").parse().unwrap();
    let body = r#"{"order_req_id": "SB-8", "session_id": "s", "notification_type": "email"}"#;
    assert_eq!(post(address, "/api/v1/orders/initiate", body).unwrap().status, 200);
    market.ok("wait SB-8 --for phase=Open");
    for id in ["p-1", "p-2"] {
        let price = "--seller saar-coils --price 12.50 --currency EUR";
        market.ok(&format!("propose SB-8 --proposal-id {id} --alternative {id} {price}"));
    }
    let commands = [
        "ask SB-8 'Can you deliver today?' --key k-1",
        "pause SB-8 --reason lunch --key k-2",
        "pause SB-8 --reason lunch --key k-0",
        "resume SB-8 --key k-3",
        "extend SB-8 --expires-in 2h --key k-4",
        "extend SB-8 --expires-in 3h --key k-5",
        "award SB-8 p-1 --undo-within 1h --key k-6",
        "undo-award SB-8 --key k-7",
        "award SB-8 p-2 --key k-8",
    ];
    let again = |sent: &[&str]| {
        let before = market.json("status SB-8")["stream"]["last_seq"].clone();
        for command in sent {
            let repeated = market.json(command);
            assert_eq!(repeated["last_seq"], before, "{command}");
        }
    };
    for (index, command) in commands.iter().enumerate() {
        market.ok(command);
        if *command == "undo-award SB-8 --key k-7" {
            market.ok("withdraw SB-8 p-1 --seller saar-coils");
        }
        again(&commands[..=index]);
    }
    let output = market.ok(commands[6]);
    assert!(output.starts_with("awarded p-1 of saar-coils for 12.50 EUR"), "{output}");
    let (code, text) = market.refused("pause SB-8 --reason lunch --key k-9");
    assert!(code == 4 && text.contains("[ORDER_ENDED]"), "{code}: {text}");
    let (code, text) = market.refused("cancel SB-8 --key k-2");
    assert!(code == 4 && text.contains("[IDEMPOTENCY_CONFLICT]"), "{code}: {text}");
}

#[test]
fn sealed_orders_show_counts_without_prices() {
    let market = Market::start();
    let output = market.ok(
        "submit --name sealed-chairs --title 'Sealed chairs' --item CHAIR:40 --category furniture \
         --sealed --expires-in 10m",
    );
    assert!(
        output.starts_with("order sealed-chairs submitted: 1 item, open for 10m, sealed\n"),
        "{output}"
    );
    market.ok("wait sealed-chairs --for phase=Open");
    market.ok(&format!(
        "propose sealed-chairs --proposal-id p-1 {AUGSBURG} --price 77.70 --currency EUR"
    ));
    let table = market.ok("compare sealed-chairs");
    assert!(
        table.starts_with("order sealed-chairs is sealed; 1 proposal so far, opens at "),
        "{table}"
    );
    let status = market.ok("status sealed-chairs");
    assert!(
        status.contains("Open, sealed, closes at ") && status.contains("p-1: sealed"),
        "{status}"
    );
    assert!(!status.contains("77.7") && !status.contains("XXX"), "{status}");
    let (code, text) = market.refused("award sealed-chairs p-1");
    assert!(code == 4 && text.contains("[ORDER_SEALED]"), "{text}");
    let (code, text) = market.refused(&format!("amend sealed-chairs p-1 {AUGSBURG} --note x"));
    assert!(code == 2 && text.contains("give all of it again"), "{text}");
    market.ok("close sealed-chairs --reason 'no need any more'");
    assert_eq!(market.refused("cancel sealed-chairs").0, 4);
}

/// They name the mistake, with an exit code of their own.
#[test]
fn mistyped_commands_change_nothing() {
    let market = Market::start();
    market.submit();
    for (line, code, part) in [
        ("status nowhere", 4, "[ORDER_NOT_FOUND]"),
        ("ask office-chairs Hello --to nobody", 2, "these do: chairs-rosenheim"),
        ("ask office-chairs Hello --answers q-9", 2, "no seller asked anything yet"),
        ("extend office-chairs --by soon", 2, "is not a duration such as 90s"),
        ("extend office-chairs --expires-in 1m", 4, "[EXPIRY_SHRINKS]"),
        ("extend office-chairs", 2, "--by"),
        ("award office-chairs", 2, "<PROPOSAL|--line <SKU=PROPOSAL>|--none>"),
        ("award office-chairs --line CHAIR", 2, "CHAIR-01=p-2"),
        ("award office-chairs p-1 --undo-within 2d", 2, "give 1s to 1d"),
        ("undo-award office-chairs", 4, "[AWARD_NOT_PENDING]"),
        ("propose OR-2041 --seller acme --price 1", 2, "--currency"),
        ("propose OR-2041 --seller acme --price -1 --currency EUR", 2, "price "),
        ("propose OR-2041 --price 1 --currency EUR", 2, "--seller"),
        ("submit --item CHAIR", 2, "CHAIR-01:40"),
        ("submit", 2, "nothing is wanted"),
        ("submit -f examples/sellers.yaml", 2, "is not one OrderRequest"),
        ("explain LOKED", 2, "did you mean LOCKED?"),
        ("schema comparison", 2, "did you mean compare?"),
        ("lint nowhere.yaml", 2, "nowhere.yaml cannot be read"),
    ] {
        let (actual, text) = market.refused(line);
        assert_eq!(actual, code, "{line}: {text}");
        assert!(text.contains(part), "{line}: '{text}' lacks '{part}'");
    }
    let counts = &market.json("status office-chairs")["proposal_counts"];
    assert_eq!(counts["received"], 0, "{counts}");
}

#[test]
fn lint_of_standard_input_names_lines() {
    let mut child = Command::new(BINARY)
        .args(["lint", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {name: a}\n\
                spec:\n  notificationType: Pigeon\n";
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let expected = "-:5:21: spec.notificationType 'Pigeon' is unknown; use GChat, Email, SMS or \
                    Webhook\n 5 |   notificationType: Pigeon\n   |                     ^^^^^^\n\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn manuals_have_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    assert!(run(&["man", at]).status.success());
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let groups = help.lines().skip_while(|line| *line != "Buyers:");
    let commands: Vec<&str> = groups
        .take_while(|line| *line != "Options:")
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"undo-award") && commands.contains(&"man"), "{commands:?}");
    for command in &commands {
        let page =
            std::fs::read_to_string(dir.path().join(format!("orderstream-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
}

/// Output to a pipe has none unless they are forced.
#[test]
fn no_color_overrules_forced_colours() {
    let heading = |variables: &[(&str, &str)]| {
        let mut command = Command::new(BINARY);
        command.args(["explain", "LOCKED"]).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command.envs(variables.iter().copied());
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(heading(&[]), "LOCKED");
    assert_eq!(heading(&[("CLICOLOR_FORCE", "1")]), "\u{1b}[1mLOCKED\u{1b}[0m");
    assert_eq!(heading(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "LOCKED");
}
