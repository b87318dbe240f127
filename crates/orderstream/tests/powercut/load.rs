//! Buyers and sellers of a few orders at once, which record their requests and the replies.

use std::net::SocketAddr;

use orderstream_powercut::DiskRecorder;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;

use super::bed::SinkServer;
use super::history::{LoadCommand, TraceEntry};
use crate::http::{HttpResponse, get, post};
use crate::process::{Role, until};

const ORDERS: [&str; 4] = ["A", "B", "C", "D"];
/// The orders that end with an award.
const AWARDED: [&str; 2] = ["A", "B"];
const PROPOSALS: u32 = 6;
const FOLLOW_UPS: u32 = 3;

/// The addresses of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) rest: SocketAddr,
    pub(super) requestor: SocketAddr,
    pub(super) grpc: SocketAddr,
}

impl Ports {
    pub(super) fn of(dev: &Role) -> Self {
        let address = |name| dev.address(name);
        Self { rest: address("rest"), requestor: address("requestor"), grpc: address("grpc") }
    }
}

/// Runs the whole load; ends when every request has a reply and most notifications are received.
pub(super) fn run(dev: &Role, recorder: &DiskRecorder, sink: &SinkServer) {
    let ports = Ports::of(dev);
    std::thread::scope(|scope| {
        for order in ORDERS {
            scope.spawn(move || buy_and_sell(ports, recorder, order));
        }
    });
    until("people are told", || (sink.received().len() >= ORDERS.len()).then_some(()));
}

fn buy_and_sell(ports: Ports, recorder: &DiskRecorder, order: &str) {
    let order = order.to_owned();
    record_and_send(recorder, LoadCommand::Initiate { order: order.clone() }, |act| {
        send_over_rest(ports, act)
    });
    until("the order is open", || {
        let response = get(ports.rest, &format!("/api/v1/orders/{order}")).ok()?;
        (response.status == 200).then_some(())
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..FOLLOW_UPS {
                let command =
                    LoadCommand::FollowUp { order: order.clone(), id: format!("f{number}") };
                record_and_send(recorder, command, |act| send_over_rest(ports, act));
            }
        });
        scope.spawn(|| {
            for number in 0..PROPOSALS {
                let (id, price) = (format!("g{number}"), format!("{}.25", 20 + number));
                let command = LoadCommand::Propose { order: order.clone(), id, price };
                record_and_send(recorder, command, |act| propose_over_grpc(ports, act));
            }
        });
        for number in 0..PROPOSALS {
            let (id, price) = (format!("p{number}"), format!("{}.50", 10 + number));
            let command = LoadCommand::Propose { order: order.clone(), id: id.clone(), price };
            record_and_send(recorder, command, |act| send_over_rest(ports, act));
            if number % 3 == 0 {
                record_and_send(recorder, LoadCommand::Lock { order: order.clone(), id }, |act| {
                    send_over_rest(ports, act)
                });
            }
        }
    });
    if AWARDED.contains(&order.as_str()) {
        record_and_send(recorder, LoadCommand::Award { order, id: "p2".to_owned() }, |act| {
            send_over_rest(ports, act)
        });
    }
}

/// Sends a command, and records it before and after. On a disk without faults each has a reply.
fn record_and_send(
    recorder: &DiskRecorder,
    command: LoadCommand,
    request: impl FnOnce(&LoadCommand) -> Result<Option<u64>, String>,
) {
    recorder.note(&TraceEntry::Requested(command.clone()).text()).unwrap();
    let seq = request(&command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
    recorder.note(&TraceEntry::Replied(command, seq).text()).unwrap();
}

/// Sends a command over REST; returns the event's sequence number where the reply has one.
pub(super) fn send_over_rest(ports: Ports, command: &LoadCommand) -> Result<Option<u64>, String> {
    let response = send(ports, command).map_err(|error| error.to_string())?;
    if !(200..=202).contains(&response.status) {
        return Err(format!("{} {}", response.status, response.text));
    }
    Ok(response.json()["seq"].as_u64())
}

/// Sends the request of a command.
pub(super) fn send(ports: Ports, command: &LoadCommand) -> std::io::Result<HttpResponse> {
    let (address, path, body) = match command {
        LoadCommand::Initiate { order } => {
            let body = format!(r#"{{"order_req_id":"{order}","session_id":"s"}}"#);
            (ports.requestor, "/api/v1/orders/initiate".to_owned(), body)
        }
        LoadCommand::FollowUp { order, id } => {
            let body = format!(
                r#"{{"order_req_id":"{order}","follow_up_id":"{id}","message":"what of {id}?"}}"#
            );
            (ports.requestor, "/api/v1/orders/followup".to_owned(), body)
        }
        LoadCommand::Propose { order, id, price } => {
            let body = format!(
                r#"{{"order_req_id":"{order}","proposal_id":"{id}","seller":"{}",
                    "price":"{price}","currency":"EUR"}}"#,
                seller(id)
            );
            (ports.rest, "/api/v1/proposals".to_owned(), body)
        }
        LoadCommand::Lock { order, id } => {
            let body = format!(r#"{{"order_req_id":"{order}","holder":"{}"}}"#, seller(id));
            (ports.rest, format!("/api/v1/proposals/{id}/edit-lock"), body)
        }
        LoadCommand::Award { order, id } => {
            let body = format!(r#"{{"proposal_id":"{id}"}}"#);
            (ports.requestor, format!("/api/v1/orders/award/{order}"), body)
        }
    };
    post(address, &path, &body)
}

fn seller(proposal: &str) -> String {
    format!("seller-of-{proposal}")
}

fn propose_over_grpc(ports: Ports, command: &LoadCommand) -> Result<Option<u64>, String> {
    let LoadCommand::Propose { order, id, price } = command else {
        return Err("is no proposal".to_owned());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let submission = v1::ProposalSubmission {
        order_req_id: order.clone(),
        proposal: Some(v1::Proposal {
            proposal_id: id.clone(),
            seller: seller(id),
            price: price.clone(),
            currency: "EUR".to_owned(),
            ..v1::Proposal::default()
        }),
        ..v1::ProposalSubmission::default()
    };
    let call = async {
        let url = format!("http://{}", ports.grpc);
        let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await;
        let channel = channel.map_err(|error| error.to_string())?;
        let mut client = OrderNonStreamingServiceClient::new(channel);
        let submissions = futures_util::stream::iter([submission]);
        client.submit_proposals(submissions).await.map_err(|error| error.to_string())
    };
    let summary = runtime.block_on(call)?.into_inner();
    if summary.accepted == 1 { Ok(None) } else { Err(format!("{summary:?}")) }
}
