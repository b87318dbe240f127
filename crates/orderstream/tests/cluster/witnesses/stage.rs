//! The processes of the tender: an API server with twenty sellers, a processor that selects and
//! notifies them, a controller that projects to MongoDB, and servers that receive all webhooks.

use std::net::SocketAddr;

use orderstream_client::{Client, OrderKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::webhook_servers::{SECRET, ServerBehaviour, WebhookServers};
use crate::cluster::bed::{Bed, shared};
use crate::http::get;
use crate::mongo::Reader;
use crate::mongo::server::Server;
use crate::process::{Role, until};

/// The buyer's id of the order; the resource is named `tender`.
pub(super) const ORDER: &str = "RFQ-77";

/// The sellers to be invited, each with the behaviour of its server.
pub(super) const INVITED: [(&str, ServerBehaviour); 13] = [
    ("asker", ServerBehaviour::Accepts),
    ("batch-a", ServerBehaviour::Accepts),
    ("batch-b", ServerBehaviour::Accepts),
    ("declines", ServerBehaviour::Accepts),
    ("gone", ServerBehaviour::Gone),
    ("locks", ServerBehaviour::Accepts),
    ("miscounts", ServerBehaviour::Accepts),
    ("repeats", ServerBehaviour::Accepts),
    ("rest", ServerBehaviour::Accepts),
    ("session", ServerBehaviour::Accepts),
    ("stutters", ServerBehaviour::FailsFirst(2)),
    ("typist", ServerBehaviour::Accepts),
    ("withdraws", ServerBehaviour::Accepts),
];

/// The other sellers, each with the reason of its verdict.
pub(super) const LEFT_OUT: [(&str, &str); 7] = [
    ("asleep", "Suspended"),
    ("berlin", "TooFar"),
    ("full", "Full"),
    ("last", "BeyondCount"),
    ("nowhere", "PlaceUnknown"),
    ("rival", "Excluded"),
    ("steel", "WrongCategory"),
];

/// The addresses that a seller uses, which stay the same when processes are killed.
#[derive(Clone, Debug)]
pub(super) struct SellerEndpoints {
    pub(super) rest: SocketAddr,
    pub(super) grpc: String,
    pub(super) tenant: String,
}

impl SellerEndpoints {
    pub(super) fn key(&self) -> OrderKey {
        OrderKey::new(&self.tenant, ORDER).unwrap()
    }

    /// Returns a gRPC client; to be called inside a runtime.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.grpc).unwrap()
    }

    /// Returns a path below the order, at the processor.
    pub(super) fn path(&self, part: &str, query: &str) -> String {
        format!("/api/v1/orders/{ORDER}{part}?tenant={}{query}", self.tenant)
    }

    /// Reads such a path; `None` unless the status is 200.
    pub(super) fn read(&self, part: &str, query: &str) -> Option<Value> {
        let response = get(self.rest, &self.path(part, query)).ok()?;
        (response.status == 200).then(|| response.json())
    }

    /// Returns the state of an invited seller.
    pub(super) fn state_of(&self, seller: &str) -> Option<String> {
        let order = self.read("", "")?;
        let invitations = order["invitations"].as_array()?;
        let found = invitations.iter().find(|invitation| invitation["seller"] == seller)?;
        found["state"].as_str().map(ToOwned::to_owned)
    }
}

/// All processes and servers.
pub(super) struct Stage {
    pub(super) bed: Bed,
    pub(super) controller: Role,
    pub(super) webhook_servers: WebhookServers,
    pub(super) mongo: Reader,
    // Ends after the processes that write to it.
    _server: Server,
    pub(super) dir: TempDir,
}

impl Stage {
    /// Starts everything, without an order; `None` where such tests are skipped.
    pub(super) fn set() -> Option<Self> {
        let kubeconfig = shared()?.kubeconfig();
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path())?;
        let sellers =
            INVITED.into_iter().chain(LEFT_OUT.map(|(name, _)| (name, ServerBehaviour::Accepts)));
        let others = ["buyer", "operator"].map(|name| (name, ServerBehaviour::Accepts));
        let ears = WebhookServers::open(sellers.chain(others));
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let settings = json!({
            "sinks": [ears.url("operator")],
            "webhook": { "allow-local": true, "secret-files": [secret] },
        });
        let notify = dir.path().join("notify.yaml");
        std::fs::write(&notify, settings.to_string()).unwrap();
        let more = ["--notify-config", notify.to_str().unwrap()];
        let bed = Bed::make_with_sellers_and(&kubeconfig, &more)?;
        bed.apply(&sellers_manifest(&ears));
        until("the processor knows its sellers", || {
            let ready = get(bed.processor.address("metrics"), "/readyz").ok()?;
            (ready.status == 200).then_some(())
        });
        let controller = bed.controller_with(&kubeconfig, &["--store", &server.url()]);
        let mongo = Reader::of(&server);
        Some(Self { bed, controller, webhook_servers: ears, mongo, _server: server, dir })
    }

    pub(super) fn endpoints(&self) -> SellerEndpoints {
        let processor = &self.bed.processor;
        SellerEndpoints {
            rest: processor.address("rest"),
            grpc: format!("http://{}", processor.address("grpc")),
            tenant: self.bed.namespace.clone(),
        }
    }

    /// Fills the capacity of one seller, then opens the tender; waits until everyone who can be
    /// notified at once is.
    pub(super) fn open(&self) {
        let contact = json!({ "channels": [{ "type": "Webhook", "address": self.webhook_servers.url("buyer") }] });
        self.apply("busy", &json!({ "expiresIn": "1h", "sellers": { "names": ["full"] } }));
        self.bed.until_phase("busy", "Open");
        self.apply(
            "tender",
            &json!({
                "orderReqId": ORDER, "title": "Chairs and tables", "category": "furniture",
                "session": "s-77", "notificationType": "Webhook", "expiresIn": "1h",
                "items": [
                    { "sku": "CHAIR", "description": "With arms", "quantity": 40, "unit": "pieces" },
                    { "sku": "TABLE", "quantity": 10, "unit": "pieces" },
                ],
                "delivery": { "latitude": 48.137, "longitude": 11.576, "by": "2030-02-01T12:00:00Z" },
                "sellers": { "maxCount": INVITED.len(), "maxDistanceKm": 100, "excluded": ["rival"],
                    "openToAll": true },
                "buyer": contact,
            }),
        );
        self.bed.until_phase("tender", "Open");
        let endpoints = self.endpoints();
        for (name, behaviour) in INVITED {
            let expected = match behaviour {
                ServerBehaviour::Accepts => "Notified",
                ServerBehaviour::Gone => "Bounced",
                ServerBehaviour::FailsFirst(_) => continue,
            };
            until(&format!("{name} is {expected}"), || {
                (endpoints.state_of(name)? == expected).then_some(())
            });
        }
    }

    pub(super) fn apply(&self, name: &str, spec: &Value) {
        let order = json!({ "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": { "name": name }, "spec": spec });
        self.bed.apply(&order.to_string());
    }

    /// Waits until the outbox is empty but for dead letters; returns it.
    pub(super) fn until_all_is_notified(&self) -> Value {
        let endpoints = self.endpoints();
        until("nothing waits to be told", || {
            let outbox = endpoints.read("/notifications", "")?;
            let last = endpoints.read("", "")?["last_seq"].clone();
            (outbox["waiting"] == 0 && outbox["cursor"] == last).then_some(outbox)
        })
    }
}

/// Returns the sellers as resources: around Munich, but for one in Berlin and one without a
/// location.
fn sellers_manifest(servers: &WebhookServers) -> String {
    let names = INVITED.iter().map(|(name, _)| *name).chain(LEFT_OUT.map(|(name, _)| name));
    let seller = |name: &str| {
        let mut spec = json!({
            "location": { "latitude": 48.14, "longitude": 11.58 },
            "categories": ["furniture"],
            "channels": [{ "type": "Webhook", "address": servers.url(name) }],
        });
        match name {
            "asleep" => spec["suspended"] = json!(true),
            "berlin" => spec["location"] = json!({ "latitude": 52.52, "longitude": 13.40 }),
            "full" => spec["capacity"] = json!(1),
            "last" => spec["location"] = json!({ "latitude": 48.37, "longitude": 10.90 }),
            "nowhere" => spec["location"] = Value::Null,
            "steel" => spec["categories"] = json!(["steel"]),
            _ => {}
        }
        let seller = json!({ "apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": { "name": name }, "spec": spec });
        format!("---\n{seller}\n")
    };
    names.map(seller).collect()
}
