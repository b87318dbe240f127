//! gRPC clients, and readers of a stream.

use std::net::SocketAddr;

use orderstream_core::Refusal;
use orderstream_rpc::status::refusal_from_status;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_client::OrderControlServiceClient;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::rig::within;

/// The clients of one connection.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) streaming: OrderStreamingServiceClient<Channel>,
    pub(crate) unary: OrderNonStreamingServiceClient<Channel>,
    pub(crate) control: OrderControlServiceClient<Channel>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let endpoint = orderstream_rpc::client::endpoint(&format!("http://{address}")).unwrap();
        let channel = within("a connection", endpoint.connect()).await.unwrap();
        Self {
            streaming: OrderStreamingServiceClient::new(channel.clone()),
            unary: OrderNonStreamingServiceClient::new(channel.clone()),
            control: OrderControlServiceClient::new(channel),
        }
    }

    pub(crate) async fn follow(&self, request: v1::OrderStreamRequest) -> Result<Follow, Status> {
        let mut client = self.streaming.clone();
        let last_seq = request.after_seq;
        let response = within("a stream", client.process_order_stream(request)).await?;
        Ok(Follow { stream: response.into_inner(), last_seq })
    }

    /// Tracks an order; opens it where it is not open.
    pub(crate) async fn track(&self, id: &str) -> Follow {
        self.follow(tracker(id)).await.unwrap()
    }

    /// Tracks a sealed order; opens it where it is not open.
    pub(crate) async fn track_sealed(&self, id: &str) -> Follow {
        let order = Some(v1::OrderSpec { sealed: true, ..v1::OrderSpec::default() });
        self.follow(v1::OrderStreamRequest { order, ..tracker(id) }).await.unwrap()
    }

    pub(crate) async fn observe(&self, id: &str) -> Follow {
        self.follow(observer(id)).await.unwrap()
    }

    /// Sends proposals in one call.
    pub(crate) async fn submit(
        &self,
        submissions: Vec<v1::ProposalSubmission>,
    ) -> Result<v1::SubmitProposalsSummary, Status> {
        let mut client = self.unary.clone();
        let call = client.submit_proposals(tokio_stream::iter(submissions));
        Ok(within("a summary", call).await?.into_inner())
    }

    /// Proposes, and returns the number of the event.
    pub(crate) async fn propose(&self, id: &str, proposal_id: &str) -> u64 {
        let summary = self.submit(vec![submission(id, proposal_id)]).await.unwrap();
        assert_eq!(summary.accepted, 1, "{summary:?}");
        summary.results[0].seq
    }

    /// Proposes `count` times in one call.
    pub(crate) async fn propose_many(&self, id: &str, count: usize) {
        let many = (0..count).map(|n| submission(id, &format!("many-{n}"))).collect();
        let summary = self.submit(many).await.unwrap();
        assert_eq!(summary.refused, 0, "{summary:?}");
    }

    pub(crate) async fn state(&self, id: &str) -> Result<v1::OrderState, Status> {
        let request =
            v1::GetOrderRequest { order: Some(order(id)), ..v1::GetOrderRequest::default() };
        let mut client = self.control.clone();
        Ok(within("an order", client.get_order(request)).await?.into_inner())
    }

    pub(crate) async fn last_seq(&self, id: &str) -> u64 {
        self.state(id).await.unwrap().last_seq
    }
}

pub(crate) fn order(id: &str) -> v1::OrderRef {
    v1::OrderRef { order_req_id: id.to_owned(), ..v1::OrderRef::default() }
}

/// Makes the request of an old client: an order id, and none of the newer fields.
pub(crate) fn tracker(id: &str) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest { order_req_id: id.to_owned(), ..v1::OrderStreamRequest::default() }
}

pub(crate) fn observer(id: &str) -> v1::OrderStreamRequest {
    v1::OrderStreamRequest { observer: true, ..tracker(id) }
}

/// Makes a proposal of `seller1`. One with an id is an alternative with the id as its label, so that
/// a test can make any number of them.
pub(crate) fn proposal(proposal_id: &str) -> v1::Proposal {
    v1::Proposal {
        proposal_id: proposal_id.to_owned(),
        alternative: proposal_id.to_owned(),
        seller: "seller1".to_owned(),
        price: "10.50".to_owned(),
        currency: "EUR".to_owned(),
        ..v1::Proposal::default()
    }
}

pub(crate) fn submission(id: &str, proposal_id: &str) -> v1::ProposalSubmission {
    v1::ProposalSubmission {
        order_req_id: id.to_owned(),
        proposal: Some(proposal(proposal_id)),
        ..v1::ProposalSubmission::default()
    }
}

/// Returns the refusal that a status carries.
pub(crate) fn refusal(status: &Status) -> Refusal {
    refusal_from_status(status).unwrap_or_else(|| panic!("no refusal: {status:?}"))
}

/// Returns the reason of a refusal; checks its code against the one table.
pub(crate) fn reason(status: &Status) -> &'static str {
    let refusal = refusal(status);
    assert_eq!(i32::from(status.code()), refusal.reason.grpc_code());
    refusal.reason.as_str()
}

/// A stream that is read; each number must follow the one before.
pub(crate) struct Follow {
    stream: Streaming<v1::OrderStreamResponse>,
    pub(crate) last_seq: u64,
}

impl Follow {
    /// Returns the next message of any kind; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<v1::OrderStreamResponse, Status>> {
        within("a message", self.stream.message()).await.transpose()
    }

    /// Returns the next event.
    pub(crate) async fn event(&mut self) -> v1::OrderStreamResponse {
        let event = self.next().await.expect("the stream goes on").unwrap();
        assert_eq!(event.seq, self.last_seq + 1, "each event once, in order: {event:?}");
        self.last_seq = event.seq;
        event
    }

    /// Reads on to this number; returns the kind of each event.
    pub(crate) async fn through(&mut self, seq: u64) -> Vec<String> {
        let mut kinds = Vec::new();
        while self.last_seq < seq {
            kinds.push(self.event().await.streaming_response_status);
        }
        kinds
    }

    /// Reads to the end, which must come without an error; returns the kind of each event.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut kinds = Vec::new();
        while let Some(message) = self.next().await {
            let event = message.unwrap();
            assert_eq!(event.seq, self.last_seq + 1, "each event once, in order: {event:?}");
            self.last_seq = event.seq;
            kinds.push(event.streaming_response_status);
        }
        kinds
    }

    /// Reads on to the error that ends the stream.
    pub(crate) async fn error(&mut self) -> Status {
        loop {
            match self.next().await.expect("an error ends the stream") {
                Ok(event) => {
                    assert_eq!(
                        event.seq,
                        self.last_seq + 1,
                        "each event once, in order: {event:?}"
                    );
                    self.last_seq = event.seq;
                }
                Err(status) => return status,
            }
        }
    }
}
