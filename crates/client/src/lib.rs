//! A gRPC client for sellers' and buyers' programs.
//!
//! - [`SellerSession`]: a seller stays connected, receives every order that it is invited to, sends
//!   proposals and questions, and answers follow-ups.
//! - [`Client::submit`]: thousands of proposals in one call, each with its own result.
//! - [`Client::send_command`] and [`Client::follow_up`]: a buyer's commands to an order.
//! - [`OrderFollower`]: an order's events, each once and in order, to its end.
//!
//! Sessions and followers reconnect after every interruption, with a back-off with full jitter, and
//! resume after the last event that they received, without gaps or repetitions. Every command
//! carries a key, so that it has one effect however often it is sent. Nothing runs in the
//! background: a session or follower progresses only while its futures are awaited.
//!
//! ```no_run
//! use orderstream_client::{Client, SellerId, SessionItem};
//!
//! # async fn run() -> Result<(), orderstream_client::Error> {
//! let client = Client::new("http://127.0.0.1:50051")?;
//! let mut session = client.seller(SellerId::new("steel-works")?);
//! loop {
//!     match session.next().await? {
//!         SessionItem::Connected(connected) => println!("connected to {}", connected.processor),
//!         SessionItem::Event(item) => {
//!             println!("{} {}: {}", item.order, item.event.seq, item.event.kind.as_str());
//!             session.acknowledge(&item.order, item.event.seq).await?;
//!         }
//!         SessionItem::Refused(refused) => eprintln!("{}", refused.message),
//!     }
//! }
//! # }
//! ```

mod backoff;
mod buyer;
mod error;
mod follower;
mod seller;
mod submit;

use orderstream_rpc::limits::MESSAGE_BYTES_MAX;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use tonic::transport::Channel;

pub use buyer::BuyerReceipt;
pub use error::{Error, RequestRefusal};
pub use follower::{FollowRole, OrderFollower};
pub use orderstream_core::buyer::BuyerCommand;
pub use orderstream_core::command::{Award, ProposalContent};
pub use orderstream_core::event::{Event, EventKind, ProposalUpdate};
pub use orderstream_core::input::{ProposalInput, ProposalLineInput, SpecInput};
pub use orderstream_core::spec::{FollowUp, Message};
pub use orderstream_core::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderKey, OrderSpec, Phase, Price, ProposalId,
    Reason, Refusal, SellerId, Seq, Tenant, Timestamp,
};
pub use seller::cursors::{Cursors, InMemory, SellerCursor};
pub use seller::{ConnectedSession, OrderEvent, Receipt, SellerSession, SessionItem};
pub use submit::{SubmissionSummary, SubmittedProposal};

/// A connection to one processor, established with the first call and again after an interruption.
/// Clones are cheap and share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Prepares a connection to a URL such as `http://127.0.0.1:50051`. Must be called inside a
    /// Tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use orderstream_client::{Client, Error};
    ///
    /// assert!(Client::new("http://127.0.0.1:50051").is_ok());
    /// assert!(matches!(Client::new("not a url"), Err(Error::Url(_))));
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the text is not a URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let endpoint = orderstream_rpc::client::endpoint(url).map_err(Error::Url)?;
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    /// Returns a seller's session in the tenant `default`, with its cursors in memory; see
    /// [`SellerSession::in_tenant`] and [`SellerSession::with_cursors`]. It connects on first use.
    pub fn seller(&self, seller: SellerId) -> SellerSession {
        SellerSession::new(self.clone(), seller)
    }

    fn streaming(&self) -> OrderStreamingServiceClient<Channel> {
        OrderStreamingServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn non_streaming(&self) -> OrderNonStreamingServiceClient<Channel> {
        OrderNonStreamingServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn control(&self) -> OrderControlServiceClient<Channel> {
        OrderControlServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Returns a new, unique key.
fn fresh_key() -> String {
    uuid::Uuid::now_v7().to_string()
}
