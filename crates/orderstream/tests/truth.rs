//! The replies to a buyer's commands are true: success only for a command that is in the order's
//! list and takes effect, a refusal only for one that is not, and else that it is not decided yet,
//! with the location of its state. With rivals, expiries, and processes that are stopped or killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use orderstream_client::{Award, BuyerCommand, Client, OrderKey, ProposalId};
use serde_json::{Value, json};

use crate::client::block_on;
use crate::http::{HttpResponse, get, post, send};
use crate::mongo::relay::Relay;
use crate::process::{BINARY, Pair, Role, dev, run, until};

/// The number of orders in which rivals compete.
const ORDERS: usize = 6;

/// The state of a command by the order itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommandEffect {
    /// It is in the list, and in effect.
    InEffect,
    /// It is not in the list, or not in effect.
    NotInEffect,
}

impl CommandEffect {
    fn of(counts: impl FnOnce() -> bool) -> Self {
        if counts() { Self::InEffect } else { Self::NotInEffect }
    }
}

/// An action that runs beside others.
type Rival<'a, T> = Box<dyn FnOnce() -> T + Send + 'a>;

/// One order, with the addresses of its requestor and its processor.
#[derive(Clone, Debug)]
struct TrackedOrder {
    requestor: SocketAddr,
    processor: SocketAddr,
    id: String,
}

impl TrackedOrder {
    /// Initiates an order, and proposes `a` and `b` for two sellers.
    fn open(requestor: SocketAddr, processor: SocketAddr, id: &str) -> Self {
        Self::open_for(requestor, processor, id, 1_800_000)
    }

    fn open_for(
        requestor: SocketAddr,
        processor: SocketAddr,
        id: &str,
        expires_in_ms: u64,
    ) -> Self {
        let tracked_order = Self { requestor, processor, id: id.to_owned() };
        let body = json!({ "order_req_id": id, "session_id": "s", "notification_type": "Email",
            "expires_in_ms": expires_in_ms, "decide_within_ms": 0 });
        let initiate = "/api/v1/orders/initiate";
        assert_eq!(post(requestor, initiate, &body.to_string()).unwrap().status, 200);
        until("the order is open", || (tracked_order.order()["phase"] == "Open").then_some(()));
        for (proposal, seller) in [("a", "anna"), ("b", "bert")] {
            let body = json!({ "order_req_id": id, "proposal_id": proposal, "seller": seller,
                "price": "10.50", "currency": "EUR" });
            let response = post(processor, "/api/v1/proposals", &body.to_string()).unwrap();
            assert_eq!(response.status, 201, "{response:?}");
        }
        until("the requestor knows both", || {
            (tracked_order.tracked()["proposals_received"] == 2).then_some(())
        });
        tracked_order
    }

    /// Returns the order, as its processor has it.
    fn order(&self) -> Value {
        let order = get(self.processor, &format!("/api/v1/orders/{}", self.id));
        order.map_or(Value::Null, |response| response.json())
    }

    fn tracked(&self) -> Value {
        get(self.requestor, &format!("/api/v1/orders/tracking/{}", self.id)).unwrap().json()
    }

    fn send_command(&self, act: &str, body: &str, key: &str) -> HttpResponse {
        let request = format!("POST /api/v1/orders/{act}/{}", self.id);
        let key = format!("idempotency-key: {key}");
        send(self.requestor, &request, &["content-type: application/json", &key], body).unwrap()
    }

    fn award(&self, proposal: &str) -> HttpResponse {
        self.send_command("award", &award_of(proposal), &format!("key-{proposal}"))
    }

    fn follow_up(&self, id: &str) -> HttpResponse {
        let body = json!({ "order_req_id": self.id, "follow_up_id": id, "message": "how soon?" });
        post(self.requestor, "/api/v1/orders/followup", &body.to_string()).unwrap()
    }

    fn command_state(&self, key: &str) -> HttpResponse {
        get(self.requestor, &format!("/api/v1/orders/{}/acts/{key}", self.id)).unwrap()
    }

    /// Waits until a command is decided; returns its state, and the reason of its refusal.
    fn decided(&self, key: &str) -> (String, String) {
        let state = until("it is decided", || {
            let response = self.command_state(key);
            assert_eq!(response.status, 200, "{response:?}");
            let state = response.json();
            (state["state"] != "pending").then_some(state)
        });
        let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
        (text("state"), text("reason"))
    }

    /// Compares the reply to a command, and every later report of its outcome, with the order.
    fn judge(&self, key: &str, response: &HttpResponse, effect: CommandEffect) {
        let is_in_effect = effect == CommandEffect::InEffect;
        if response.status == 409 && self.command_state(key).status == 404 {
            // It came after the end, and was not stored.
            assert!(!is_in_effect, "{} {key}: {response:?}", self.id);
            return;
        }
        let (state, reason) = self.decided(key);
        let (id, order) = (&self.id, self.order());
        assert_eq!(
            state == "done",
            is_in_effect,
            "{id} {key}: {state} {reason}: {response:?}: {order}"
        );
        match response.status {
            200 => {
                assert!(is_in_effect, "{id} {key}: answered with success: {response:?}: {order}")
            }
            202 => {}
            409 => {
                assert!(!is_in_effect, "{id} {key}: refused: {response:?}: {order}");
                assert_eq!(response.json()["reason"], reason.as_str(), "{id} {key}");
            }
            _ => panic!("{id} {key}: {response:?}"),
        }
    }
}

fn award_of(proposal: &str) -> String {
    json!({ "proposal_id": proposal }).to_string()
}

/// Runs all of these at the same instant; returns their results by name.
fn at_once<T: Send>(commands: Vec<(&'static str, Rival<'_, T>)>) -> BTreeMap<&'static str, T> {
    let start = Barrier::new(commands.len());
    std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .into_iter()
            .map(|(name, command)| {
                let start = &start;
                let running = scope.spawn(move || {
                    start.wait();
                    command()
                });
                (name, running)
            })
            .collect();
        running.into_iter().map(|(name, command)| (name, command.join().unwrap())).collect()
    })
}

fn rivals_over_rest(requestor: SocketAddr, processor: SocketAddr) {
    for number in 0..ORDERS {
        let tracked_order = &TrackedOrder::open(requestor, processor, &format!("rest-{number}"));
        let responses = at_once(vec![
            ("a", Box::new(|| tracked_order.award("a"))),
            ("b", Box::new(|| tracked_order.award("b"))),
        ]);
        let winner = until("one of them wins", || {
            let award = tracked_order.order()["award"]["Whole"].as_str().map(str::to_owned);
            award.filter(|proposal| responses.contains_key(proposal.as_str()))
        });
        for (proposal, response) in &responses {
            let effect = CommandEffect::of(|| *proposal == winner);
            tracked_order.judge(&format!("key-{proposal}"), response, effect);
        }
    }
}

/// Both are sent at the same time, and the other one is refused.
#[test]
fn dev_grants_one_of_two_awards() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev(dir.path(), &[]);
    rivals_over_rest(dev.address("requestor"), dev.address("rest"));
}

/// Both are sent at the same time, and the other one is refused.
#[test]
fn requestor_grants_one_of_two_awards() {
    let pair = Pair::start();
    rivals_over_rest(pair.requestor.address("requestor"), pair.processor.address("rest"));
}

/// Sends a command as a buyer's program at the processor, beside the buyer's REST.
fn over_grpc(pair: &Pair, id: &str, command: BuyerCommand) -> bool {
    let url = format!("http://{}", pair.processor.address("grpc"));
    let order = OrderKey::new("default", id).unwrap();
    block_on(async {
        let client = Client::new(&url).unwrap();
        client.send_command(&order, command, None).await.is_ok()
    })
}

#[test]
fn rest_replies_hold_beside_grpc_rivals() {
    let pair = &Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let award = |id: &str| Some(Award::Whole(ProposalId::new(id).unwrap()));
    let rivals = [
        BuyerCommand::Cancel(None),
        BuyerCommand::Close(None),
        BuyerCommand::Pause(None),
        BuyerCommand::Finalise { award: award("b"), reason: None, undo_within_ms: None },
    ];
    for (number, rival) in rivals.iter().cycle().take(2 * rivals.len()).enumerate() {
        let tracked_order = &TrackedOrder::open(requestor, processor, &format!("grpc-{number}"));
        let responses = at_once(vec![
            ("award", Box::new(|| Some(tracked_order.award("a")))),
            ("pause", Box::new(|| Some(tracked_order.send_command("pause", "", "key-p")))),
            ("follow-up", Box::new(|| Some(tracked_order.follow_up("f-1")))),
            (
                "rival",
                Box::new(|| {
                    over_grpc(pair, &tracked_order.id, rival.clone());
                    None
                }),
            ),
        ]);
        let order = tracked_order.order();
        let response = |name: &str| responses[name].as_ref().unwrap();
        let won = order["phase"] == "Finalised" && order["award"] == json!({ "Whole": "a" });
        tracked_order.judge("key-a", response("award"), CommandEffect::of(|| won));
        tracked_order.judge(
            "f-1",
            response("follow-up"),
            CommandEffect::of(|| order["follow_ups"] == 1),
        );
        // The rival's own pause is another one, and an open order's events have no end.
        if *rival != BuyerCommand::Pause(None)
            && order["phase"] != "Open"
            && order["phase"] != "Paused"
        {
            let events =
                get(processor, &format!("/api/v1/orders/{}/events", tracked_order.id)).unwrap();
            let paused = CommandEffect::of(|| events.text.contains("OrderPaused"));
            tracked_order.judge("key-p", response("pause"), paused);
        }
    }
}

/// They are pending, and once decided their outcome stays.
#[test]
fn commands_wait_for_silent_processors() {
    let mut pair = Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let tracked_order = TrackedOrder::open(requestor, processor, "silent");
    pair.processor.signal("STOP");
    let responses = [
        tracked_order.award("a"),
        tracked_order.award("b"),
        tracked_order.send_command("cancel", "", "key-c"),
    ];
    for (response, key) in responses.iter().zip(["key-a", "key-b", "key-c"]) {
        assert_eq!(response.status, 202, "{response:?}");
        let reply = response.json();
        assert_eq!(reply["location"], format!("/api/v1/orders/silent/acts/{key}"), "{reply}");
        let state = get(requestor, reply["location"].as_str().unwrap()).unwrap().json();
        assert_eq!(state["state"], "pending", "{state}");
    }
    // The stored commands outlive the requestor, too.
    pair.requestor.kill();
    pair.requestor.restart();
    pair.processor.signal("CONT");
    let check_outcome = |tracked_order: &TrackedOrder| {
        assert_eq!(tracked_order.decided("key-a"), ("done".to_owned(), String::new()));
        assert_eq!(
            tracked_order.decided("key-b"),
            ("refused".to_owned(), "ALREADY_AWARDED".to_owned())
        );
        assert_eq!(
            tracked_order.decided("key-c"),
            ("refused".to_owned(), "ORDER_ENDED".to_owned())
        );
        let again = [
            tracked_order.award("a"),
            tracked_order.award("b"),
            tracked_order.send_command("cancel", "", "key-c"),
        ];
        assert_eq!(again.map(|response| response.status), [200, 409, 409]);
    };
    check_outcome(&tracked_order);
    assert_eq!(tracked_order.order()["award"], json!({ "Whole": "a" }));
    pair.requestor.kill();
    pair.requestor.restart();
    check_outcome(&tracked_order);
    pair.processor.kill();
    pair.processor.restart();
    check_outcome(&tracked_order);
}

#[test]
fn commands_overtaken_by_expiry_are_refused() {
    let pair = Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let opened = Instant::now();
    let tracked_order = TrackedOrder::open_for(requestor, processor, "late", 10_000);
    pair.processor.signal("STOP");
    assert_eq!(tracked_order.follow_up("f-1").status, 202);
    assert_eq!(tracked_order.send_command("pause", "", "key-p").status, 202);
    until("its time is over", || (opened.elapsed().as_millis() > 10_500).then_some(()));
    pair.processor.signal("CONT");
    for key in ["f-1", "key-p"] {
        let (state, reason) = tracked_order.decided(key);
        assert_eq!((state.as_str(), reason.as_str()), ("refused", "DEADLINE_PASSED"), "{key}");
    }
    let again = tracked_order.follow_up("f-1");
    assert_eq!((again.status, &again.json()["reason"]), (409, &json!("DEADLINE_PASSED")));
    assert_eq!(tracked_order.order()["follow_ups"], 0);
}

/// Starts a processor, and a requestor that reaches it over a relay that can be cut.
fn over_a_relay(dir: &Path) -> (Role, Relay, Role) {
    let data = dir.join("processor");
    let any = "127.0.0.1:0";
    let flags = ["processor", "--grpc-addr", any, "--rest-addr", any, "--metrics-addr", any];
    let processor =
        Role::start(&[&flags[..], &["--data-dir", data.to_str().unwrap()]].concat(), dir);
    let relay = Relay::to(&processor.address("grpc").to_string());
    let url = format!("http://127.0.0.1:{}", relay.port());
    let store = format!("embedded:{}", dir.join("requestor").display());
    let flags = ["requestor", "--rest-addr", any, "--metrics-addr", any];
    let endpoints = ["--processor", &url, "--store", &store];
    let requestor = Role::start(&[&flags[..], &endpoints].concat(), dir);
    (processor, relay, requestor)
}

/// They end with code 3, and the command is applied later.
#[test]
fn undecided_verbs_name_their_location() {
    let dir = tempfile::tempdir().unwrap();
    let (processor, relay, requestor) = over_a_relay(dir.path());
    let (buyers, sellers) = (requestor.address("requestor"), processor.address("rest"));
    let tracked_order = TrackedOrder::open(buyers, sellers, "cut-off");
    relay.cut();
    let (server, rest) = (format!("http://{buyers}"), format!("http://{sellers}"));
    let verb = |args: &[&str]| {
        let flags = ["--server", &server, "--processor-rest", &rest, "--key", "key-v"];
        std::process::Command::new(BINARY).args([args, &flags].concat()).output().unwrap()
    };
    let late = verb(&["close", "cut-off"]);
    let stderr = String::from_utf8_lossy(&late.stderr).into_owned();
    assert_eq!(late.status.code(), Some(3), "{stderr}");
    let location = "/api/v1/orders/cut-off/acts/key-v";
    assert!(stderr.contains("goes on by itself") && stderr.contains(location), "{stderr}");
    assert_eq!(get(buyers, location).unwrap().json()["state"], "pending");
    relay.mend();
    assert_eq!(tracked_order.decided("key-v"), ("done".to_owned(), String::new()));
    assert!(verb(&["close", "cut-off"]).status.success(), "it is closed by now");
}

/// Runs a command of the CLI at a pair; returns its code and its whole output.
fn verb(pair: &Pair, line: &str) -> (i32, String) {
    let server = format!("http://{}", pair.requestor.address("requestor"));
    let rest = format!("http://{}", pair.processor.address("rest"));
    let flags = ["--server", &server, "--processor-rest", &rest];
    let args: Vec<&str> = line.split(' ').collect();
    let output = run(&[&args[..], &flags].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

/// A buyer's command is stored and decided later; a seller's error names the key that repeats it.
#[test]
fn verbs_explain_silent_processors() {
    let pair = &Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let tracked_orders =
        ["s-1", "s-2", "s-3", "s-4", "s-5"].map(|id| TrackedOrder::open(requestor, processor, id));
    assert_eq!(verb(pair, "award s-4 a --undo-within 1h").0, 0);
    pair.processor.signal("STOP");
    let commands = [
        ("ask s-1 when? --key k-1", "s-1"),
        ("extend s-1 --expires-in 2h --key k-2", "s-1"),
        ("award s-1 a --undo-within 1h --key k-3", "s-1"),
        ("close s-2 --key k-4", "s-2"),
        ("cancel s-3 --key k-5", "s-3"),
        ("undo-award s-4 --key k-6", "s-4"),
        ("close s-2", "s-2"),
    ];
    let reads = ["status s-1", "why s-1"];
    let propose = "propose s-5 --seller carl --price 10 --currency EUR";
    let lines = commands.iter().map(|(line, _)| *line).chain(reads).chain([propose]);
    let outputs: BTreeMap<_, (i32, String)> = at_once(
        lines.map(|line| (line, Box::new(move || verb(pair, line)) as Rival<'_, _>)).collect(),
    );
    pair.processor.signal("CONT");
    for (line, id) in commands {
        let (code, text) = &outputs[line];
        let location = format!("/api/v1/orders/{id}/acts/");
        assert!(*code == 3 && text.contains("goes on by itself"), "{line}: {code} {text}");
        assert!(text.contains(&location), "{line}: {text}");
        if let Some((_, key)) = line.split_once("--key ") {
            let tracked_order = tracked_orders.iter().find(|tender| tender.id == id).unwrap();
            assert_eq!(tracked_order.decided(key).0, "done", "{line}");
        }
    }
    for line in reads {
        let (code, text) = &outputs[line];
        assert!(*code == 5 && text.contains("processor does not answer"), "{line}: {text}");
        assert!(text.contains("\n  proposals  2 open, 0 withdrawn, 0 closed\n"), "{line}: {text}");
    }
    let (code, text) = &outputs[propose];
    assert!(*code == 3 && text.contains("[UNREACHABLE]"), "{code} {text}");
    let key = text.split("--key ").nth(1).and_then(|rest| rest.split([' ', ':']).next()).unwrap();
    for _ in 0..2 {
        let (code, text) = verb(pair, &format!("{propose} --key {key}"));
        assert_eq!(code, 0, "{text}");
    }
    assert_eq!(tracked_orders[4].order()["proposals"]["received"], 3, "one more than before");
}
