//! A seller's live session: it sends commands, and all that it receives is written into the
//! history.

use std::collections::BTreeMap;
use std::time::Duration;

use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_client::OrderStreamingServiceClient;
use orderstream_rpc::v1::seller_event::Kind as Down;
use orderstream_rpc::v1::seller_message::Kind as Up;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::bulk::submission;
use super::{Call, DEADLINE};
use crate::event::Event;
use crate::history::{Line, Reader, Recorder, Told};
use crate::op::{Op, Outcome};

/// The limit of messages that wait to be sent.
const UP_MAX: usize = 4;
/// The back-off before a new connection.
const PAUSE: Duration = Duration::from_millis(100);

/// One seller's session, reconnected after every disconnect.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    seller: String,
    name: String,
    recorder: Recorder,
    heard: BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
    connections: u32,
    line: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
}

impl Session {
    /// Returns a session of this seller, which connects when it is used.
    pub fn new(channel: Channel, seller: &str, name: &str, recorder: &Recorder) -> Self {
        Self {
            channel,
            seller: seller.to_owned(),
            name: name.to_owned(),
            recorder: recorder.clone(),
            heard: BTreeMap::new(),
            after: BTreeMap::new(),
            connections: 0,
            line: None,
        }
    }

    /// Receives until this moment.
    pub async fn listen(&mut self, until: Instant) {
        while Instant::now() < until {
            drop(self.next(None, until).await);
        }
    }

    /// Sends a command, and receives until it is answered.
    pub async fn send(&mut self, call: &Call) -> Outcome {
        let until = Instant::now() + DEADLINE;
        let Some(kind) = message(call) else {
            return Outcome::unknown("a session has no such message");
        };
        if !self.connect(until).await {
            return Outcome::unknown("no session");
        }
        let message = v1::SellerMessage { request_id: call.key.clone(), kind: Some(kind) };
        let Some(line) = &self.line else { return Outcome::unknown("no session") };
        if line.up.try_send(message).is_err() {
            self.line = None;
            return Outcome::unknown("the session broke");
        }
        while Instant::now() < until {
            match self.next(Some(&call.key), until).await {
                Next::Answer(result) if result.reason.is_empty() => {
                    return Outcome::Ok { seq: Some(result.seq) };
                }
                Next::Answer(result) => return Outcome::refused(&result.reason),
                Next::Other => {}
                Next::Broken => return Outcome::unknown("the session broke"),
            }
        }
        Outcome::unknown("no answer in time")
    }

    async fn connect(&mut self, until: Instant) -> bool {
        if self.line.is_some() {
            return true;
        }
        let (up, waiting) = mpsc::channel(UP_MAX);
        let cursors = self.heard.iter().map(|(order, seq)| v1::OrderCursor {
            order: Some(v1::OrderRef { order_req_id: order.clone(), ..v1::OrderRef::default() }),
            after_seq: *seq,
        });
        let hello = v1::Hello {
            seller: self.seller.clone(),
            cursors: cursors.collect(),
            ..v1::Hello::default()
        };
        let hello = v1::SellerMessage { request_id: String::new(), kind: Some(Up::Hello(hello)) };
        drop(up.try_send(hello));
        let mut client = OrderStreamingServiceClient::new(self.channel.clone());
        let call = client.seller_session(ReceiverStream::new(waiting));
        let Ok(Ok(down)) = tokio::time::timeout_at(until, call).await else {
            tokio::time::sleep(PAUSE).await;
            return false;
        };
        self.connections += 1;
        self.after = self.heard.clone();
        self.line = Some(Connected { up, down: down.into_inner() });
        true
    }

    async fn next(&mut self, wanted: Option<&str>, until: Instant) -> Next {
        if !self.connect(until).await {
            return Next::Broken;
        }
        let Some(line) = &mut self.line else { return Next::Broken };
        let message = match tokio::time::timeout_at(until, line.down.message()).await {
            Err(_) => return Next::Other,
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None) | Err(_)) => {
                self.line = None;
                return Next::Broken;
            }
        };
        match message.kind {
            Some(Down::Event(event)) => self.hear(&event),
            Some(Down::Result(result)) if wanted == Some(result.request_id.as_str()) => {
                return Next::Answer(result);
            }
            Some(Down::Draining(_)) => self.line = None,
            Some(Down::Result(_) | Down::Welcome(_)) | None => {}
        }
        Next::Other
    }

    fn hear(&mut self, told: &v1::OrderStreamResponse) {
        let Some(event) = Event::from_wire(told) else { return };
        let order = told.order_req_id.clone();
        self.heard.insert(order.clone(), event.seq);
        self.recorder.write(Line::Told(Told {
            t: self.recorder.now(),
            reader: Reader::Session,
            name: self.name.clone(),
            connection: self.connections,
            after: self.after.get(&order).copied().unwrap_or_default(),
            order,
            event,
        }));
    }
}

enum Next {
    Answer(v1::SellerResult),
    Other,
    Broken,
}

fn message(call: &Call) -> Option<Up> {
    let order =
        Some(v1::OrderRef { order_req_id: call.id().to_owned(), ..v1::OrderRef::default() });
    let (proposal_id, reason) =
        (call.op.proposal().unwrap_or_default().to_owned(), call.token.clone());
    Some(match &call.op {
        Op::Propose { .. } | Op::Amend { .. } => {
            let mut submission = submission(call, 1)?;
            // The message's id is the key.
            submission.idempotency_key.clear();
            Up::Proposal(submission)
        }
        Op::Withdraw { .. } => {
            Up::Withdraw(v1::Withdraw { order, proposal_id, reason, version: 0 })
        }
        Op::Lock { lease_ms, .. } => {
            Up::Lock(v1::LockRequest { order, proposal_id, lease_ms: *lease_ms, version: 0 })
        }
        Op::Unlock { .. } => Up::Unlock(v1::UnlockRequest { order, proposal_id }),
        Op::Decline => Up::Decline(v1::Decline { order, reason }),
        Op::Ask => {
            let message = Some(v1::Message { message: reason, ..v1::Message::default() });
            Up::Question(v1::Question { order, question_id: String::new(), message })
        }
        Op::Open(_)
        | Op::See
        | Op::FollowUp
        | Op::Pause
        | Op::Resume
        | Op::Extend { .. }
        | Op::Award { .. }
        | Op::UndoAward
        | Op::Close
        | Op::Cancel => return None,
    })
}
