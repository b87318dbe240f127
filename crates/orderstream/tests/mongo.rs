//! Order status and follow-ups in MongoDB, with real processes and a real server that is killed:
//! after an outage the documents are late, no event is missing, and neither buyers nor sellers wait
//! for it.

pub(crate) mod expected;
pub(crate) mod relay;
pub(crate) mod server;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::http::{get, post};
use crate::process::{BINARY, Role, dev, run, until};
use expected::Documents;
use server::Server;

const COLLECTIONS: [&str; 4] =
    ["RequestSubmissions", "RequestFollowUp", "OrderFinalised", "OrderPaused"];
/// The limit of a buyer's or a seller's request while MongoDB is unreachable: far less than any of
/// its deadlines.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);

/// A client that reads the collections, as other programs do.
pub(crate) struct Reader {
    runtime: Runtime,
    client: mongodb::Client,
    database: String,
}

impl Reader {
    pub(crate) fn of(server: &Server) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let client =
            runtime.block_on(mongodb::Client::with_uri_str(server.url_for_readers())).unwrap();
        Self { runtime, client, database: server.database().to_owned() }
    }

    /// Returns all documents; `None` while the server is unreachable.
    pub(crate) fn all(&self) -> Option<Documents> {
        let mut documents = Documents::new();
        for name in COLLECTIONS {
            let collection = self.client.database(&self.database).collection::<Document>(name);
            let read =
                async { collection.find(doc! {}).await?.try_collect::<Vec<Document>>().await };
            for document in self.runtime.block_on(read).ok()? {
                let id = document.get_str("_id").unwrap().to_owned();
                documents.insert((name.to_owned(), id), document);
            }
        }
        Some(documents)
    }

    pub(crate) fn drop_database(&self) {
        let database = self.client.database(&self.database);
        self.runtime.block_on(async { database.drop().await }).unwrap();
    }
}

/// A processor, a requestor that projects to a server, and the requests to them.
struct Market {
    processor: Role,
    requestor: Role,
    reader: Reader,
    control: OrderControlServiceClient<tonic::transport::Channel>,
    orders: Vec<String>,
    slowest: Duration,
}

impl Market {
    fn open(dir: &Path, server: &Server, orders: usize) -> Self {
        let data = |name: &str| dir.join(name).display().to_string();
        let (owned, followed, any) = (data("processor"), data("requestor"), "127.0.0.1:0");
        let mut args = vec!["processor", "--data-dir", &owned];
        for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
            args.extend([flag, any]);
        }
        let processor = Role::start(&args, dir);
        let (url, store) = (format!("http://{}", processor.address("grpc")), server.url());
        let mut args = vec!["requestor", "--processor", &url, "--store", &store];
        args.extend(["--data-dir", &followed, "--rest-addr", any, "--metrics-addr", any]);
        let requestor = Role::start(&args, dir);
        let reader = Reader::of(server);
        let control = {
            let _inside = reader.runtime.enter();
            let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap();
            OrderControlServiceClient::new(endpoint.connect_lazy())
        };
        let orders: Vec<_> = (0..orders).map(|n| format!("SB{n}")).collect();
        let mut market =
            Self { processor, requestor, reader, control, orders, slowest: Duration::ZERO };
        for id in market.orders.clone() {
            let body = format!(
                r#"{{"order_req_id":"{id}","session_id":"s-{id}","notification_type":"SMS"}}"#
            );
            market.buyer("initiate", &body);
            market.until_listed(&id, "OrderOpened");
        }
        market
    }

    fn rest(&self) -> SocketAddr {
        self.processor.address("rest")
    }

    fn timed(&mut self, request: impl FnOnce(&Self) -> Value) -> Value {
        let began = Instant::now();
        let response = request(self);
        self.slowest = self.slowest.max(began.elapsed());
        response
    }

    fn buyer(&mut self, path: &str, body: &str) -> Value {
        self.timed(|market| {
            let requestor = market.requestor.address("requestor");
            let response = post(requestor, &format!("/api/v1/orders/{path}"), body).unwrap();
            assert_eq!(response.status, 200, "{path}: {response:?}");
            response.json()
        })
    }

    fn seller(&mut self, path: &str, body: &str) {
        self.timed(|market| {
            let response = post(market.rest(), &format!("/api/v1/proposals{path}"), body).unwrap();
            assert!(response.status < 300, "{path}: {response:?}");
            response.json()
        });
    }

    /// Sends proposals, a withdrawal and a follow-up for each of these orders.
    fn send_round(&mut self, orders: std::ops::Range<usize>, round: usize) {
        let ids = self.orders[orders].to_vec();
        for id in ids {
            for seller in ["acme", "best"] {
                self.seller(
                    "",
                    &format!(
                        r#"{{"order_req_id":"{id}","proposal_id":"{seller}-{round}",
                            "seller":"{seller}","price":"10.50","currency":"EUR",
                            "alternative":"round {round}"}}"#
                    ),
                );
            }
            let body = format!(r#"{{"order_req_id":"{id}","seller":"best","reason":"sold out"}}"#);
            self.seller(&format!("/best-{round}/withdraw"), &body);
            self.follow_up(&id, round);
        }
    }

    fn follow_up(&mut self, id: &str, round: usize) {
        let body = format!(
            r#"{{"order_req_id":"{id}","audience":["acme"],"follow_up_id":"f-{round}",
                "message":{{"message":"round {round}?","urls":["https://example.com/{round}"]}}}}"#
        );
        self.buyer("followup", &body);
    }

    fn pause(&mut self, order: usize) {
        let id = self.orders[order].clone();
        self.buyer(&format!("pause/{id}"), r#"{"reason":"let us think"}"#);
        self.until_listed(&id, "OrderPaused");
    }

    fn resume(&mut self, order: usize) {
        let id = self.orders[order].clone();
        let order =
            v1::OrderRef { order_req_id: id, tenant: "default".to_owned(), ..Default::default() };
        let request = v1::ResumeRequest { order: Some(order), ..v1::ResumeRequest::default() };
        self.reader.runtime.block_on(self.control.resume(request)).unwrap();
    }

    fn finalise(&mut self, order: usize, body: &str) {
        let id = self.orders[order].clone();
        self.buyer(&format!("finalize/{id}"), body);
        self.until_listed(&id, "OrderFinalised");
    }

    /// Returns the order's list, as its owner has it.
    fn events(&self, id: &str) -> Option<Vec<Value>> {
        let order = get(self.rest(), &format!("/api/v1/orders/{id}")).ok()?;
        let last = order.json()["last_seq"].as_u64()?;
        let text = read_events(self.rest(), id, last)?;
        Some(text.iter().map(|data| serde_json::from_str(data).unwrap()).collect())
    }

    fn until_listed(&self, id: &str, event_type: &str) {
        until(&format!("{id} has {event_type}"), || {
            self.events(id)?.iter().any(|event| event["status"] == event_type).then_some(())
        });
    }

    /// Waits until the trackers of these orders have the whole list.
    fn until_tracked(&self, orders: std::ops::Range<usize>) {
        let requestor = self.requestor.address("requestor");
        for id in &self.orders[orders] {
            until("the tracker has the whole list", || {
                let tracked = get(requestor, &format!("/api/v1/orders/tracking/{id}")).ok()?;
                let events = self.events(id)?;
                (tracked.json()["last_seq"] == events.len()).then_some(())
            });
        }
    }

    /// Waits until the collections hold what follows from the lists; fails with the first
    /// difference.
    fn until_equal(&self) {
        let lists = || -> Option<Documents> {
            let lists: Option<Vec<_>> = self.orders.iter().map(|id| self.events(id)).collect();
            Some(lists?.iter().flat_map(|events| expected::documents(events)).collect())
        };
        let began = Instant::now();
        loop {
            let (expected, found) = (lists().unwrap(), self.reader.all().unwrap_or_default());
            if expected == found {
                return;
            }
            if began.elapsed() > Duration::from_secs(45) {
                let ids = |documents: &Documents| documents.keys().cloned().collect::<Vec<_>>();
                assert_eq!(ids(&found), ids(&expected));
                for (id, document) in &expected {
                    assert_eq!(&found[id], document, "{id:?}");
                }
            }
            crate::process::pause(Duration::from_millis(50));
        }
    }

    /// Returns the value of one of the requestor's metrics.
    fn metric(&self, name: &str) -> Option<f64> {
        let text = get(self.requestor.address("metrics"), "/metrics").ok()?.text;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn until_down(&self, down: f64) {
        until("the metric tells whether MongoDB is reached", || {
            (self.metric("orderstream_requestor_projection_down")? == down).then_some(())
        });
    }
}

/// Reads the data of an order's events up to a sequence number; an open order's stream has no end.
fn read_events(rest: SocketAddr, id: &str, last: u64) -> Option<Vec<String>> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = std::net::TcpStream::connect(rest).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(15))).ok()?;
    write!(stream, "GET /orders/{id}/events HTTP/1.1\r\nhost: {rest}\r\n\r\n").ok()?;
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let data = lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    let read: Vec<_> = data.take(usize::try_from(last).unwrap()).collect();
    (read.len() as u64 == last).then_some(read)
}

/// MongoDB and the requestor are killed.
#[test]
fn collections_equal_lists_after_kills() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = Server::start(dir.path()) else { return };
    let mut market = Market::open(dir.path(), &server, 8);
    market.send_round(0..8, 1);
    market.until_equal();

    server.stall();
    market.send_round(0..8, 2);
    market.until_tracked(0..8);
    server.kill();
    market.pause(0);
    market.pause(1);
    market.resume(1);
    market.until_tracked(0..8);
    market.until_down(1.0);
    market.finalise(2, r#"{"proposal_id":"acme-1","reason":"the best"}"#);
    market.finalise(3, "");
    market.requestor.kill();
    market.requestor.restart();
    market.send_round(4..8, 3);
    market.until_tracked(4..8);
    assert!(market.slowest < REQUEST_TIME_MAX, "somebody waited for MongoDB: {:?}", market.slowest);

    server.start_again();
    market.send_round(4..8, 4);
    market.requestor.kill();
    server.kill();
    server.start_again();
    market.requestor.restart();
    market.send_round(4..6, 5);
    market.finalise(4, r#"{"proposal_id":"acme-5"}"#);
    market.until_equal();
    market.until_down(0.0);
    until("no order waits any more", || {
        let waiting = market.metric("orderstream_requestor_projection_orders_waiting")?;
        (waiting == 0.0).then_some(())
    });

    server.kill();
    market.follow_up("SB7", 6);
    market.until_down(1.0);
    server.start_empty(|| market.reader.drop_database());
    market.until_equal();
    assert_eq!(market.reader.all().unwrap().len(), 8 + 27 + 3 + 2, "{:#?}", market.reader.all());
    market.reader.drop_database();
}

#[test]
fn dev_projects_too() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(dir.path()) else { return };
    let dev = dev(dir.path(), &["--store", &server.url()]);
    let reader = Reader::of(&server);
    let body = r#"{"order_req_id":"SB1","session_id":"s","notification_type":"email"}"#;
    let response = post(dev.address("requestor"), "/api/v1/orders/initiate", body).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let found = until("the order is projected", || reader.all().filter(|all| !all.is_empty()));
    let document = found.values().next().unwrap();
    assert_eq!(document.get_str("order_req_id").unwrap(), "SB1");
    assert_eq!(document.get_str("status").unwrap(), "Open");
    reader.drop_database();
}

#[test]
fn requestors_serve_without_mongodb() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = Instant::now();
    let dev = dev(dir.path(), &["--store", &format!("mongodb://ann:secret@{free}/orders")]);
    crate::conversation::run_conversation(dev.address("requestor"));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    dev.terminate();
    let mut dev = dev;
    assert!(dev.wait().success());
}

/// One line names the store's fault, and hides its password.
#[test]
fn wrong_stores_are_refused_without_password() {
    for (role, store, part) in [
        ("requestor", "mongodb://ann:secret@db:99999", "cannot be read"),
        ("requestor", "mongodb://ann:sec/ret-secret@db", "percent-encode"),
        ("requestor", "mongo://ann:secret@db", "embedded:DIR or mongodb://"),
        ("requestor", "mongodb+srv://ann:secret@db", "name the hosts"),
        ("dev", "mysql://ann:secret@db", "mongodb://host/database"),
        ("dev", "embedded:x", "has no use here"),
        ("dev", "mongodb://ann:secret@db/?tls=true&tlsCAFile=/nowhere", "tlsCAFile"),
    ] {
        let of_role: &[&str] = match role {
            "requestor" => &["--processor", "http://127.0.0.1:1"],
            _ => &[],
        };
        let args = [&[role, "--store", store][..], of_role].concat();
        let output = run(&args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(part) && text.contains("store"), "{args:?}: {text}");
        assert!(!text.contains("secret"), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    }
}

#[test]
fn help_hides_environment_passwords() {
    for role in ["requestor", "controller", "dev"] {
        let mut command = std::process::Command::new(BINARY);
        command.args([role, "--help"]).env("ORDERSTREAM_STORE", "mongodb://ann:secret@db");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("ORDERSTREAM_STORE") && !text.contains("secret"), "{text}");
    }
}
