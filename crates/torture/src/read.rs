//! Readers: they follow orders over every interface, resume after every disconnect, and record
//! everything that they receive.

pub mod pages;
pub mod poll;
mod sse;

use std::time::Duration;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use tonic::transport::Channel;

pub use self::sse::follow as follow_sse;
use crate::command::OpeningParameters;
use crate::event::ComparableEvent;
use crate::history::{EventReceipt, HistoryLine, HistoryRecorder, ReaderKind, StreamSpan};
use crate::name;

/// The back-off of a reader before it reconnects.
const BACKOFF: Duration = Duration::from_millis(120);
/// The number of connections after which a reader starts from the first event again.
const RESTART_EVERY: u32 = 4;

/// A reader of one order.
#[derive(Clone, Debug)]
pub struct Follower {
    /// The reader's name in the history.
    pub name: String,
    /// The order.
    pub order: String,
    /// The history that it writes to.
    pub recorder: HistoryRecorder,
}

impl Follower {
    fn record(&self, reader: ReaderKind, connection: u32, after: u64, event: ComparableEvent) {
        self.recorder.write(HistoryLine::Receipt(EventReceipt {
            received_at: self.recorder.now(),
            reader,
            name: self.name.clone(),
            connection,
            after,
            order: self.order.clone(),
            event,
        }));
    }
}

/// Observes an order over gRPC to its end.
pub async fn observe(channel: Channel, follower: Follower) {
    let mut client = OrderStreamingServiceClient::new(channel);
    let mut last = 0;
    for connection in 1.. {
        let after_seq = if connection % RESTART_EVERY == 0 { 0 } else { last };
        let request = v1::OrderStreamRequest {
            order_req_id: name::id(&follower.order).to_owned(),
            incarnation: name::incarnation(&follower.order).to_owned(),
            after_seq,
            observer: true,
            ..v1::OrderStreamRequest::default()
        };
        if let Ok(stream) = client.process_order_stream(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(message)) = stream.message().await {
                let Some(event) = ComparableEvent::from_wire(&message) else { break };
                last = event.seq;
                let is_last = event.is_last();
                follower.record(ReaderKind::Observer, connection, after_seq, event);
                if is_last {
                    return;
                }
            }
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

/// The parameters of one of the rig's trackers.
#[derive(Clone, Debug)]
pub struct TrackerClaim {
    /// The tracker's epoch.
    pub epoch: u64,
    /// The order's specification, used if the tracker opens the order.
    pub opening: OpeningParameters,
}

/// Tracks an order over gRPC until its end, or until a tracker with a higher epoch takes over.
pub async fn track(channel: Channel, follower: Follower, claim: TrackerClaim) {
    let mut client = OrderStreamingServiceClient::new(channel);
    let mut last = 0;
    for connection in 1.. {
        let called_at = follower.recorder.now();
        let mut first_message_at = None;
        let reason = match client.process_order_stream(request(&follower, &claim, last)).await {
            Err(status) => reason(&status),
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            let Some(event) = ComparableEvent::from_wire(&message) else {
                                continue;
                            };
                            first_message_at.get_or_insert_with(|| follower.recorder.now());
                            let after = last;
                            last = event.seq;
                            follower.record(ReaderKind::Tracker, connection, after, event);
                        }
                        Ok(None) => break String::new(),
                        Err(status) => break reason(&status),
                    }
                }
            }
        };
        let is_over = matches!(reason.as_str(), "" | "SUPERSEDED" | "STALE_EPOCH");
        follower.recorder.write(HistoryLine::Stream(StreamSpan {
            called_at,
            first_message_at,
            ended_at: follower.recorder.now(),
            name: follower.name.clone(),
            order: follower.order.clone(),
            epoch: claim.epoch,
            reason,
        }));
        if is_over {
            return;
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

fn request(follower: &Follower, claim: &TrackerClaim, after_seq: u64) -> v1::OrderStreamRequest {
    let OpeningParameters { expires_in_ms, decide_within_ms, sealed, sellers } =
        claim.opening.clone();
    let spec = v1::OrderSpec {
        expires_in_ms,
        decide_within_ms,
        sealed,
        sellers: Some(v1::SellerLimits { names: sellers, ..v1::SellerLimits::default() }),
        ..v1::OrderSpec::default()
    };
    v1::OrderStreamRequest {
        order_req_id: name::id(&follower.order).to_owned(),
        incarnation: name::incarnation(&follower.order).to_owned(),
        after_seq,
        epoch: claim.epoch,
        order: Some(spec),
        ..v1::OrderStreamRequest::default()
    }
}

fn reason(status: &tonic::Status) -> String {
    match orderstream_rpc::status::refusal_from_status(status) {
        Some(refusal) => refusal.reason.as_str().to_owned(),
        None => format!("{:?}", status.code()),
    }
}

/// Reads a complete list over gRPC as an observer.
///
/// # Errors
/// When the processor refuses, or the list does not arrive in time.
pub async fn list(
    channel: Channel,
    order: &str,
    within: Duration,
) -> Result<Vec<ComparableEvent>, String> {
    let request = v1::OrderStreamRequest {
        order_req_id: name::id(order).to_owned(),
        incarnation: name::incarnation(order).to_owned(),
        observer: true,
        ..v1::OrderStreamRequest::default()
    };
    let mut client = OrderStreamingServiceClient::new(channel);
    let read = async {
        let stream =
            client.process_order_stream(request).await.map_err(|status| reason(&status))?;
        let (mut stream, mut events) = (stream.into_inner(), Vec::new());
        while let Some(message) = stream.message().await.map_err(|status| reason(&status))? {
            events.extend(ComparableEvent::from_wire(&message));
        }
        Ok(events)
    };
    tokio::time::timeout(within, read).await.unwrap_or_else(|_| Err("no end in time".to_owned()))
}
