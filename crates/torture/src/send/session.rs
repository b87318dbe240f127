//! A seller's session: it sends commands, and records everything that it receives in the history.

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
use super::{ClientRequest, DEADLINE};
use crate::command::{ClientCommand, ClientOutcome};
use crate::event::ComparableEvent;
use crate::history::{EventReceipt, HistoryLine, HistoryRecorder, ReaderKind};

/// The limit on messages that wait to be sent.
const UP_MAX: usize = 4;
/// The back-off before reconnecting.
const BACKOFF: Duration = Duration::from_millis(100);

/// One seller's session, reconnected after every disconnect.
#[derive(Debug)]
pub struct RecordingSession {
    channel: Channel,
    seller: String,
    name: String,
    recorder: HistoryRecorder,
    received: BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
    connections: u32,
    connection: Option<SessionDuplex>,
}

#[derive(Debug)]
struct SessionDuplex {
    up: mpsc::Sender<v1::SellerMessage>,
    down: Streaming<v1::SellerEvent>,
}

impl RecordingSession {
    /// Creates a session of this seller, which connects on first use.
    pub fn new(channel: Channel, seller: &str, name: &str, recorder: &HistoryRecorder) -> Self {
        Self {
            channel,
            seller: seller.to_owned(),
            name: name.to_owned(),
            recorder: recorder.clone(),
            received: BTreeMap::new(),
            after: BTreeMap::new(),
            connections: 0,
            connection: None,
        }
    }

    /// Receives messages until this time.
    pub async fn listen(&mut self, until: Instant) {
        while Instant::now() < until {
            drop(self.next(None, until).await);
        }
    }

    /// Sends a command, and receives messages until its reply.
    pub async fn send(&mut self, call: &ClientRequest) -> ClientOutcome {
        let until = Instant::now() + DEADLINE;
        let Some(kind) = message(call) else {
            return ClientOutcome::unknown("a session has no such message");
        };
        if !self.connect(until).await {
            return ClientOutcome::unknown("no session");
        }
        let message = v1::SellerMessage { request_id: call.key.clone(), kind: Some(kind) };
        let Some(connection) = &self.connection else {
            return ClientOutcome::unknown("no session");
        };
        if connection.up.try_send(message).is_err() {
            self.connection = None;
            return ClientOutcome::unknown("the session broke");
        }
        while Instant::now() < until {
            match self.next(Some(&call.key), until).await {
                SessionPoll::Reply(result) if result.reason.is_empty() => {
                    return ClientOutcome::Ok { seq: Some(result.seq) };
                }
                SessionPoll::Reply(result) => return ClientOutcome::refused(&result.reason),
                SessionPoll::Other => {}
                SessionPoll::Broken => return ClientOutcome::unknown("the session broke"),
            }
        }
        ClientOutcome::unknown("no answer in time")
    }

    async fn connect(&mut self, until: Instant) -> bool {
        if self.connection.is_some() {
            return true;
        }
        let (up, outgoing) = mpsc::channel(UP_MAX);
        let cursors = self.received.iter().map(|(order, seq)| v1::OrderCursor {
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
        let call = client.seller_session(ReceiverStream::new(outgoing));
        let Ok(Ok(down)) = tokio::time::timeout_at(until, call).await else {
            tokio::time::sleep(BACKOFF).await;
            return false;
        };
        self.connections += 1;
        self.after = self.received.clone();
        self.connection = Some(SessionDuplex { up, down: down.into_inner() });
        true
    }

    async fn next(&mut self, awaited_id: Option<&str>, until: Instant) -> SessionPoll {
        if !self.connect(until).await {
            return SessionPoll::Broken;
        }
        let Some(connection) = &mut self.connection else { return SessionPoll::Broken };
        let message = match tokio::time::timeout_at(until, connection.down.message()).await {
            Err(_) => return SessionPoll::Other,
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None) | Err(_)) => {
                self.connection = None;
                return SessionPoll::Broken;
            }
        };
        match message.kind {
            Some(Down::Event(event)) => self.record(&event),
            Some(Down::Result(result)) if awaited_id == Some(result.request_id.as_str()) => {
                return SessionPoll::Reply(result);
            }
            Some(Down::Draining(_)) => self.connection = None,
            Some(Down::Result(_) | Down::Welcome(_)) | None => {}
        }
        SessionPoll::Other
    }

    fn record(&mut self, message: &v1::OrderStreamResponse) {
        let Some(event) = ComparableEvent::from_wire(message) else { return };
        let order = message.order_req_id.clone();
        self.received.insert(order.clone(), event.seq);
        self.recorder.write(HistoryLine::Receipt(EventReceipt {
            received_at: self.recorder.now(),
            reader: ReaderKind::Session,
            name: self.name.clone(),
            connection: self.connections,
            after: self.after.get(&order).copied().unwrap_or_default(),
            order,
            event,
        }));
    }
}

enum SessionPoll {
    Reply(v1::SellerResult),
    Other,
    Broken,
}

fn message(call: &ClientRequest) -> Option<Up> {
    let order =
        Some(v1::OrderRef { order_req_id: call.id().to_owned(), ..v1::OrderRef::default() });
    let (proposal_id, reason) =
        (call.command.proposal().unwrap_or_default().to_owned(), call.token.clone());
    Some(match &call.command {
        ClientCommand::Propose { .. } | ClientCommand::Amend { .. } => {
            let mut submission = submission(call, 1)?;
            // The session's message id is the key.
            submission.idempotency_key.clear();
            Up::Proposal(submission)
        }
        ClientCommand::Withdraw { .. } => {
            Up::Withdraw(v1::Withdraw { order, proposal_id, reason, version: 0 })
        }
        ClientCommand::Lock { lease_ms, .. } => {
            Up::Lock(v1::LockRequest { order, proposal_id, lease_ms: *lease_ms, version: 0 })
        }
        ClientCommand::Unlock { .. } => Up::Unlock(v1::UnlockRequest { order, proposal_id }),
        ClientCommand::Decline => Up::Decline(v1::Decline { order, reason }),
        ClientCommand::Ask => {
            let message = Some(v1::Message { message: reason, ..v1::Message::default() });
            Up::Question(v1::Question { order, question_id: String::new(), message })
        }
        ClientCommand::Open(_)
        | ClientCommand::See
        | ClientCommand::FollowUp
        | ClientCommand::Pause
        | ClientCommand::Resume
        | ClientCommand::Extend { .. }
        | ClientCommand::Award { .. }
        | ClientCommand::UndoAward
        | ClientCommand::Close
        | ClientCommand::Cancel => return None,
    })
}
