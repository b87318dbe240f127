//! Sends one command over one interface, and returns its outcome.

mod bulk;
mod cli;
mod control;
pub mod http;
pub mod requestor;
pub mod rest;
pub mod session;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::fleet::ProductAddresses;

/// The timeout of a client's request. The requestor itself waits two seconds for a processor.
pub const DEADLINE: Duration = Duration::from_secs(4);
/// The timeout for connecting.
const CONNECT: Duration = Duration::from_secs(1);

/// One command, ready to be sent.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// The seller who sends the command, or `buyer`.
    pub actor: String,
    /// The order.
    pub order: String,
    /// The command.
    pub command: ClientCommand,
    /// The idempotency key.
    pub key: String,
    /// A text that identifies the command.
    pub token: String,
    /// The tracker's epoch; 0 for none.
    pub epoch: u64,
}

impl ClientRequest {
    /// Returns the order's id.
    pub(crate) fn id(&self) -> &str {
        crate::name::id(&self.order)
    }
}

/// A sender over all interfaces except sessions.
#[derive(Clone, Debug)]
pub struct Sender {
    addresses: ProductAddresses,
    channels: Vec<Channel>,
}

impl Sender {
    /// Creates a sender for these addresses. Must be called inside a Tokio runtime.
    pub fn new(addresses: &ProductAddresses) -> Self {
        let channels = addresses.grpc.iter().map(|address| channel(*address)).collect();
        Self { addresses: addresses.clone(), channels }
    }

    /// Sends a call, waits at most [`DEADLINE`] for the reply, and returns the outcome.
    pub async fn send(&self, call: &ClientRequest, interface: ClientInterface) -> ClientOutcome {
        let sent = async {
            match interface {
                ClientInterface::Rest(at) => rest::send(self.addresses.rest[at], call).await,
                ClientInterface::Grpc(at) => self.send_control(call, at).await,
                ClientInterface::Bulk(at) => bulk::send(self.channels[at].clone(), call).await,
                ClientInterface::Requestor => requestor::send(self.addresses.requestor, call).await,
                ClientInterface::Cli => cli::send(&self.addresses, call).await,
                ClientInterface::Session(_) => {
                    ClientOutcome::unknown("a session has its own client")
                }
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, sent).await;
        outcome.unwrap_or_else(|_| ClientOutcome::unknown("no answer in time"))
    }

    /// Sends a buyer's unary call, which only the order's owner serves: if a processor does not
    /// have the order, the next one is tried.
    async fn send_control(&self, call: &ClientRequest, first: usize) -> ClientOutcome {
        let count = self.channels.len();
        let mut outcome = ClientOutcome::unknown("no processor");
        for offset in 0..count {
            let channel = self.channels[(first + offset) % count].clone();
            outcome = control::send(channel, call).await;
            if outcome != ClientOutcome::refused("ORDER_NOT_FOUND") {
                break;
            }
        }
        outcome
    }
}

/// Returns a channel that connects with the first call, and detects a lost server within seconds.
pub fn channel(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .connect_lazy()
}

/// Returns the outcome of a gRPC status.
fn outcome_of(status: &tonic::Status) -> ClientOutcome {
    match orderstream_rpc::status::refusal_from_status(status) {
        Some(refusal) => ClientOutcome::refused(refusal.reason.as_str()),
        None => ClientOutcome::unknown(format!("{:?} {}", status.code(), status.message())),
    }
}
