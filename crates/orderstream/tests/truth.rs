//! The replies to a buyer's commands are true: success only for what is in the order's list and
//! counts, a refusal only for what is not, and else that it is not decided yet, with the location
//! of its state. With rivals, expiries, and processes that are stopped or killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use orderstream_client::{Award, BuyerAct, Client, OrderKey, ProposalId};
use serde_json::{Value, json};

use crate::client::block_on;
use crate::http::{Answer, get, post, send};
use crate::mongo::relay::Relay;
use crate::process::{BINARY, Pair, Role, dev, run, until};

/// The number of orders in which rivals compete.
const ORDERS: usize = 6;

/// The state of a command by the order itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    /// It is in the list, and counts.
    Counts,
    /// It is not in the list, or does not count.
    DoesNot,
}

impl Fact {
    fn of(counts: impl FnOnce() -> bool) -> Self {
        if counts() { Self::Counts } else { Self::DoesNot }
    }
}

/// An action that runs beside others.
type Rival<'a, T> = Box<dyn FnOnce() -> T + Send + 'a>;

/// One order, with the addresses of its requestor and its processor.
#[derive(Clone, Debug)]
struct Tender {
    requestor: SocketAddr,
    processor: SocketAddr,
    id: String,
}

impl Tender {
    /// Initiates an order, and proposes `a` and `b` for two sellers.
    fn open(requestor: SocketAddr, processor: SocketAddr, id: &str) -> Self {
        Self::open_for(requestor, processor, (id, 1_800_000))
    }

    fn open_for(
        requestor: SocketAddr,
        processor: SocketAddr,
        (id, expires_in_ms): (&str, u64),
    ) -> Self {
        let tender = Self { requestor, processor, id: id.to_owned() };
        let body = json!({ "order_req_id": id, "session_id": "s", "notification_type": "Email",
            "expires_in_ms": expires_in_ms });
        let initiate = "/api/v1/orders/initiate";
        assert_eq!(post(requestor, initiate, &body.to_string()).unwrap().status, 200);
        until("the order is open", || (tender.order()["phase"] == "Open").then_some(()));
        for (proposal, seller) in [("a", "anna"), ("b", "bert")] {
            let body = json!({ "order_req_id": id, "proposal_id": proposal, "seller": seller,
                "price": "10.50", "currency": "EUR" });
            let answer = post(processor, "/api/v1/proposals", &body.to_string()).unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        until("the requestor knows both", || {
            (tender.tracked()["proposals_received"] == 2).then_some(())
        });
        tender
    }

    /// Returns the order, as its processor has it.
    fn order(&self) -> Value {
        let order = get(self.processor, &format!("/api/v1/orders/{}", self.id));
        order.map_or(Value::Null, |answer| answer.json())
    }

    fn tracked(&self) -> Value {
        get(self.requestor, &format!("/api/v1/orders/tracking/{}", self.id)).unwrap().json()
    }

    fn act(&self, act: &str, body: &str, key: &str) -> Answer {
        let request = format!("POST /api/v1/orders/{act}/{}", self.id);
        let key = format!("idempotency-key: {key}");
        send(self.requestor, &request, &["content-type: application/json", &key], body).unwrap()
    }

    fn award(&self, proposal: &str) -> Answer {
        self.act("award", &award_of(proposal), &format!("key-{proposal}"))
    }

    fn follow_up(&self, id: &str) -> Answer {
        let body = json!({ "order_req_id": self.id, "follow_up_id": id, "message": "how soon?" });
        post(self.requestor, "/api/v1/orders/followup", &body.to_string()).unwrap()
    }

    fn told(&self, key: &str) -> Answer {
        get(self.requestor, &format!("/api/v1/orders/{}/acts/{key}", self.id)).unwrap()
    }

    /// Waits until a command is decided; returns its state, and the reason of its refusal.
    fn decided(&self, key: &str) -> (String, String) {
        let told = until("it is decided", || {
            let answer = self.told(key);
            assert_eq!(answer.status, 200, "{answer:?}");
            let told = answer.json();
            (told["state"] != "pending").then_some(told)
        });
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        (text("state"), text("reason"))
    }

    /// Compares the reply to a command, and every later report of its outcome, with the order.
    fn judge(&self, key: &str, answer: &Answer, fact: Fact) {
        let counts = fact == Fact::Counts;
        if answer.status == 409 && self.told(key).status == 404 {
            // It came after the end, and was not stored.
            assert!(!counts, "{} {key}: {answer:?}", self.id);
            return;
        }
        let (state, reason) = self.decided(key);
        let (id, order) = (&self.id, self.order());
        assert_eq!(state == "done", counts, "{id} {key}: {state} {reason}: {answer:?}: {order}");
        match answer.status {
            200 => assert!(counts, "{id} {key}: answered with success: {answer:?}: {order}"),
            202 => {}
            409 => {
                assert!(!counts, "{id} {key}: refused: {answer:?}: {order}");
                assert_eq!(answer.json()["reason"], reason.as_str(), "{id} {key}");
            }
            _ => panic!("{id} {key}: {answer:?}"),
        }
    }
}

fn award_of(proposal: &str) -> String {
    json!({ "proposal_id": proposal }).to_string()
}

/// Runs all of these at the same instant; returns their results by name.
fn at_once<T: Send>(acts: Vec<(&'static str, Rival<'_, T>)>) -> BTreeMap<&'static str, T> {
    let start = Barrier::new(acts.len());
    std::thread::scope(|scope| {
        let running: Vec<_> = acts
            .into_iter()
            .map(|(name, act)| {
                let start = &start;
                let running = scope.spawn(move || {
                    start.wait();
                    act()
                });
                (name, running)
            })
            .collect();
        running.into_iter().map(|(name, act)| (name, act.join().unwrap())).collect()
    })
}

fn rivals_over_rest(requestor: SocketAddr, processor: SocketAddr) {
    for number in 0..ORDERS {
        let tender = &Tender::open(requestor, processor, &format!("rest-{number}"));
        let answers = at_once(vec![
            ("a", Box::new(|| tender.award("a"))),
            ("b", Box::new(|| tender.award("b"))),
        ]);
        for (proposal, answer) in &answers {
            let fact = Fact::of(|| tender.order()["award"] == json!({ "Whole": proposal }));
            tender.judge(&format!("key-{proposal}"), answer, fact);
        }
        let done = answers.keys().filter(|id| tender.decided(&format!("key-{id}")).0 == "done");
        assert_eq!(done.count(), 1, "{answers:?}");
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
fn over_grpc(pair: &Pair, id: &str, act: BuyerAct) -> bool {
    let url = format!("http://{}", pair.processor.address("grpc"));
    let order = OrderKey::new("default", id).unwrap();
    block_on(async {
        let client = Client::new(&url).unwrap();
        client.act(&order, act, None).await.is_ok()
    })
}

#[test]
fn rest_replies_hold_beside_grpc_rivals() {
    let pair = &Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let award = |id: &str| Some(Award::Whole(ProposalId::new(id).unwrap()));
    let rivals = [
        BuyerAct::Cancel(None),
        BuyerAct::Close(None),
        BuyerAct::Pause(None),
        BuyerAct::Finalise { award: award("b"), reason: None, undo_within_ms: None },
    ];
    for (number, rival) in rivals.iter().cycle().take(2 * rivals.len()).enumerate() {
        let tender = &Tender::open(requestor, processor, &format!("grpc-{number}"));
        let answers = at_once(vec![
            ("award", Box::new(|| Some(tender.award("a")))),
            ("pause", Box::new(|| Some(tender.act("pause", "", "key-p")))),
            ("follow-up", Box::new(|| Some(tender.follow_up("f-1")))),
            (
                "rival",
                Box::new(|| {
                    over_grpc(pair, &tender.id, rival.clone());
                    None
                }),
            ),
        ]);
        let order = tender.order();
        let answer = |name: &str| answers[name].as_ref().unwrap();
        let won = order["phase"] == "Finalised" && order["award"] == json!({ "Whole": "a" });
        tender.judge("key-a", answer("award"), Fact::of(|| won));
        tender.judge("f-1", answer("follow-up"), Fact::of(|| order["follow_ups"] == 1));
        // The rival's own pause is another one, and an order that lives has no end to its events.
        if *rival != BuyerAct::Pause(None) && order["phase"] != "Open" && order["phase"] != "Paused"
        {
            let events = get(processor, &format!("/api/v1/orders/{}/events", tender.id)).unwrap();
            let paused = Fact::of(|| events.text.contains("OrderPaused"));
            tender.judge("key-p", answer("pause"), paused);
        }
    }
}

/// They are pending, and once decided their outcome stays.
#[test]
fn commands_wait_for_silent_processors() {
    let mut pair = Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let tender = Tender::open(requestor, processor, "silent");
    pair.processor.signal("STOP");
    let asked = [tender.award("a"), tender.award("b"), tender.act("cancel", "", "key-c")];
    for (answer, key) in asked.iter().zip(["key-a", "key-b", "key-c"]) {
        assert_eq!(answer.status, 202, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["location"], format!("/api/v1/orders/silent/acts/{key}"), "{told}");
        let told = get(requestor, told["location"].as_str().unwrap()).unwrap().json();
        assert_eq!(told["state"], "pending", "{told}");
    }
    // What was stored outlives the requestor, too.
    pair.requestor.kill();
    pair.requestor.restart();
    pair.processor.signal("CONT");
    let came_out = |tender: &Tender| {
        assert_eq!(tender.decided("key-a"), ("done".to_owned(), String::new()));
        assert_eq!(tender.decided("key-b"), ("refused".to_owned(), "ALREADY_AWARDED".to_owned()));
        assert_eq!(tender.decided("key-c"), ("refused".to_owned(), "ORDER_ENDED".to_owned()));
        let again = [tender.award("a"), tender.award("b"), tender.act("cancel", "", "key-c")];
        assert_eq!(again.map(|answer| answer.status), [200, 409, 409]);
    };
    came_out(&tender);
    assert_eq!(tender.order()["award"], json!({ "Whole": "a" }));
    pair.requestor.kill();
    pair.requestor.restart();
    came_out(&tender);
    pair.processor.kill();
    pair.processor.restart();
    came_out(&tender);
}

#[test]
fn commands_overtaken_by_expiry_are_refused() {
    let pair = Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let opened = Instant::now();
    let tender = Tender::open_for(requestor, processor, ("late", 10_000));
    pair.processor.signal("STOP");
    assert_eq!(tender.follow_up("f-1").status, 202);
    assert_eq!(tender.act("pause", "", "key-p").status, 202);
    until("its time is over", || (opened.elapsed().as_millis() > 10_500).then_some(()));
    pair.processor.signal("CONT");
    for key in ["f-1", "key-p"] {
        let (state, reason) = tender.decided(key);
        assert_eq!((state.as_str(), reason.as_str()), ("refused", "DEADLINE_PASSED"), "{key}");
    }
    let again = tender.follow_up("f-1");
    assert_eq!((again.status, &again.json()["reason"]), (409, &json!("DEADLINE_PASSED")));
    assert_eq!(tender.order()["follow_ups"], 0);
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
    let place = ["--processor", &url, "--store", &store];
    let requestor = Role::start(&[&flags[..], &place].concat(), dir);
    (processor, relay, requestor)
}

/// They end with code 3, and the command is applied later.
#[test]
fn undecided_verbs_name_their_location() {
    let dir = tempfile::tempdir().unwrap();
    let (processor, relay, requestor) = over_a_relay(dir.path());
    let (buyers, sellers) = (requestor.address("requestor"), processor.address("rest"));
    let tender = Tender::open(buyers, sellers, "cut-off");
    relay.cut();
    let (server, rest) = (format!("http://{buyers}"), format!("http://{sellers}"));
    let verb = |args: &[&str]| {
        let place = ["--server", &server, "--processor-rest", &rest, "--key", "key-v"];
        std::process::Command::new(BINARY).args([args, &place].concat()).output().unwrap()
    };
    let late = verb(&["close", "cut-off"]);
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert_eq!(late.status.code(), Some(3), "{said}");
    let place = "/api/v1/orders/cut-off/acts/key-v";
    assert!(said.contains("goes on by itself") && said.contains(place), "{said}");
    assert_eq!(get(buyers, place).unwrap().json()["state"], "pending");
    relay.mend();
    assert_eq!(tender.decided("key-v"), ("done".to_owned(), String::new()));
    assert!(verb(&["close", "cut-off"]).status.success(), "it is closed by now");
}

/// Runs a command of the CLI at a pair; returns its code and its whole output.
fn verb(pair: &Pair, line: &str) -> (i32, String) {
    let server = format!("http://{}", pair.requestor.address("requestor"));
    let rest = format!("http://{}", pair.processor.address("rest"));
    let place = ["--server", &server, "--processor-rest", &rest];
    let words: Vec<&str> = line.split(' ').collect();
    let output = run(&[&words[..], &place].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

/// A buyer's command is stored and decided later; a seller's error names the key that repeats it.
#[test]
fn verbs_explain_silent_processors() {
    let pair = &Pair::start();
    let (requestor, processor) =
        (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let tenders =
        ["s-1", "s-2", "s-3", "s-4", "s-5"].map(|id| Tender::open(requestor, processor, id));
    assert_eq!(verb(pair, "award s-4 a --undo-within 1h").0, 0);
    pair.processor.signal("STOP");
    let acts = [
        ("ask s-1 when? --key k-1", "s-1"),
        ("extend s-1 --expires-in 2h --key k-2", "s-1"),
        ("award s-1 a --undo-within 1h --key k-3", "s-1"),
        ("close s-2 --key k-4", "s-2"),
        ("cancel s-3 --key k-5", "s-3"),
        ("undo-award s-4 --key k-6", "s-4"),
        ("close s-2", "s-2"),
    ];
    let shown = ["status s-1", "why s-1"];
    let propose = "propose s-5 --seller carl --price 10 --currency EUR";
    let lines = acts.iter().map(|(line, _)| *line).chain(shown).chain([propose]);
    let said: BTreeMap<_, (i32, String)> = at_once(
        lines.map(|line| (line, Box::new(move || verb(pair, line)) as Rival<'_, _>)).collect(),
    );
    pair.processor.signal("CONT");
    for (line, id) in acts {
        let (code, text) = &said[line];
        let place = format!("/api/v1/orders/{id}/acts/");
        assert!(*code == 3 && text.contains("goes on by itself"), "{line}: {code} {text}");
        assert!(text.contains(&place), "{line}: {text}");
        if let Some((_, key)) = line.split_once("--key ") {
            let tender = tenders.iter().find(|tender| tender.id == id).unwrap();
            assert_eq!(tender.decided(key).0, "done", "{line}");
        }
    }
    for line in shown {
        let (code, text) = &said[line];
        assert!(*code == 5 && text.contains("processor does not answer"), "{line}: {text}");
        assert!(text.contains("\n  proposals  2 open, 0 withdrawn, 0 closed\n"), "{line}: {text}");
    }
    let (code, text) = &said[propose];
    assert!(*code == 3 && text.contains("[UNREACHABLE]"), "{code} {text}");
    let key = text.split("--key ").nth(1).and_then(|rest| rest.split([' ', ':']).next()).unwrap();
    for _ in 0..2 {
        let (code, text) = verb(pair, &format!("{propose} --key {key}"));
        assert_eq!(code, 0, "{text}");
    }
    assert_eq!(tenders[4].order()["proposals"]["received"], 3, "one more than before");
}
