//! Readers: they follow orders over every interface, resume after every disconnect, and record all
//! that they receive.

pub mod pages;
pub mod poll;
mod sse;

use std::time::Duration;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use tonic::transport::Channel;

pub use self::sse::follow as follow_sse;
use crate::event::Event;
use crate::history::{Line, Reader, Recorder, Stream, Told};
use crate::name;
use crate::op::Opening;

/// The back-off of a reader before it reconnects.
const PAUSE: Duration = Duration::from_millis(120);
/// The number of connections after which a reader starts from the first event again.
const AFRESH_EVERY: u32 = 4;

/// A reader of one order.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Its name in the history.
    pub name: String,
    /// The order.
    pub order: String,
    /// The history that it writes to.
    pub recorder: Recorder,
}

impl Follower {
    fn told(&self, reader: Reader, (connection, after): (u32, u64), event: Event) {
        self.recorder.write(Line::Told(Told {
            t: self.recorder.now(),
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
        let after_seq = if connection % AFRESH_EVERY == 0 { 0 } else { last };
        let request = v1::OrderStreamRequest {
            order_req_id: name::id(&follower.order).to_owned(),
            incarnation: name::life(&follower.order).to_owned(),
            after_seq,
            observer: true,
            ..v1::OrderStreamRequest::default()
        };
        if let Ok(stream) = client.process_order_stream(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(told)) = stream.message().await {
                let Some(event) = Event::from_wire(&told) else { break };
                last = event.seq;
                let is_last = event.is_last();
                follower.told(Reader::Observer, (connection, after_seq), event);
                if is_last {
                    return;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The request of one of the rig's trackers.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its epoch.
    pub epoch: u64,
    /// The order's specification, used if it opens the order.
    pub opening: Opening,
}

/// Tracks an order over gRPC until its end, or until a tracker with a higher epoch takes over.
pub async fn track(channel: Channel, follower: Follower, claim: Claim) {
    let mut client = OrderStreamingServiceClient::new(channel);
    let mut last = 0;
    for connection in 1.. {
        let t_call = follower.recorder.now();
        let mut t_first = None;
        let reason = match client.process_order_stream(request(&follower, &claim, last)).await {
            Err(status) => reason(&status),
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(told)) => {
                            let Some(event) = Event::from_wire(&told) else { continue };
                            t_first.get_or_insert_with(|| follower.recorder.now());
                            let after = last;
                            last = event.seq;
                            follower.told(Reader::Tracker, (connection, after), event);
                        }
                        Ok(None) => break String::new(),
                        Err(status) => break reason(&status),
                    }
                }
            }
        };
        let is_over = matches!(reason.as_str(), "" | "SUPERSEDED" | "STALE_EPOCH");
        follower.recorder.write(Line::Stream(Stream {
            t_call,
            t_first,
            t_end: follower.recorder.now(),
            name: follower.name.clone(),
            order: follower.order.clone(),
            epoch: claim.epoch,
            reason,
        }));
        if is_over {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn request(follower: &Follower, claim: &Claim, after_seq: u64) -> v1::OrderStreamRequest {
    let Opening { expires_in_ms, sealed, sellers } = claim.opening.clone();
    let spec = v1::OrderSpec {
        expires_in_ms,
        sealed,
        sellers: Some(v1::SellerLimits { names: sellers, ..v1::SellerLimits::default() }),
        ..v1::OrderSpec::default()
    };
    v1::OrderStreamRequest {
        order_req_id: name::id(&follower.order).to_owned(),
        incarnation: name::life(&follower.order).to_owned(),
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

/// Reads a whole list over gRPC as an observer does.
///
/// # Errors
/// When the processor refuses, or the list does not come in time.
pub async fn list(channel: Channel, order: &str, within: Duration) -> Result<Vec<Event>, String> {
    let request = v1::OrderStreamRequest {
        order_req_id: name::id(order).to_owned(),
        incarnation: name::life(order).to_owned(),
        observer: true,
        ..v1::OrderStreamRequest::default()
    };
    let mut client = OrderStreamingServiceClient::new(channel);
    let read = async {
        let stream =
            client.process_order_stream(request).await.map_err(|status| reason(&status))?;
        let (mut stream, mut events) = (stream.into_inner(), Vec::new());
        while let Some(told) = stream.message().await.map_err(|status| reason(&status))? {
            events.extend(Event::from_wire(&told));
        }
        Ok(events)
    };
    tokio::time::timeout(within, read).await.unwrap_or_else(|_| Err("no end in time".to_owned()))
}
