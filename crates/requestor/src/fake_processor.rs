//! A processor for tests: the core's own state machine in memory, behind the real protocol.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::stream::{Stream, unfold};
use orderstream_core::book::{Book, Context};
use orderstream_core::command::{Award, CommandKind, OrderOpening, ProposalContent};
use orderstream_core::withheld::ListHash;
use orderstream_core::{
    Command, Durable, Epoch, Event, EventKind, IdempotencyKey, Incarnation, OrderKey, Price,
    ProposalId, Reason, Refusal, SellerId, Seq, Timestamp,
};
use orderstream_rpc::convert::{
    award_input_from_wire, draining, event_to_wire, follow_up_from_wire, spec_from_wire,
};
use orderstream_rpc::status::status_from_refusal;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_control_service_server as control;
use orderstream_rpc::v1::order_non_streaming_service_server as unary;
use orderstream_rpc::v1::order_streaming_service_server as streaming;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

type Events = Pin<Box<dyn Stream<Item = Result<v1::OrderStreamResponse, Status>> + Send>>;
type Summaries = Pin<Box<dyn Stream<Item = Result<v1::OrderSummary, Status>> + Send>>;

#[derive(Debug)]
struct FakeOrder {
    book: Book,
    events: Vec<Event>,
}

/// The way in which a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamCut {
    /// With an error.
    Broken,
    /// With the in-band message that the processor drains.
    Draining,
}

/// The processor's treatment of commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Commands are decided and replied to.
    #[default]
    Open,
    /// Commands are decided, and their replies held back.
    Mute,
    /// Commands are decided, and their replies are lost in transit.
    Lost,
    /// Nothing is decided, as in a process that is stopped.
    Shut,
}

#[derive(Debug, Default)]
struct FakeProcessorState {
    gate: watch::Sender<Gate>,
    commands_received: AtomicUsize,
    orders: Mutex<BTreeMap<OrderKey, FakeOrder>>,
    changed: Notify,
    cut: Mutex<(u64, Option<StreamCut>)>,
    streams_opened: AtomicUsize,
    open_streams: Arc<AtomicUsize>,
    /// Set while all streams are refused.
    refuses_streams: AtomicBool,
    /// The last event that streams send; later ones are held back. 0 holds none back.
    event_limit: AtomicU64,
}

/// A processor for tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeProcessor {
    state: Arc<FakeProcessorState>,
}

type FakeStreamState = (FakeProcessor, OrderKey, u64, u64, OpenStreamGuard);

struct AlwaysDurable;

impl Durable for AlwaysDurable {
    fn proves(&self, _: ListHash, _: Seq) -> bool {
        true
    }
}

struct OpenStreamGuard(Arc<AtomicUsize>);

impl Drop for OpenStreamGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FakeProcessor {
    /// Serves on a free port until `stop` is cancelled; returns the URL.
    pub(crate) async fn serve(&self, tasks: &TaskTracker, stop: CancellationToken) -> String {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = tokio::net::TcpListener::bind(any).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder()
            .add_service(streaming::OrderStreamingServiceServer::new(self.clone()))
            .add_service(unary::OrderNonStreamingServiceServer::new(self.clone()))
            .add_service(control::OrderControlServiceServer::new(self.clone()));
        tasks.spawn(async move {
            let serving = server.serve_with_incoming(incoming);
            tokio::select! {
                result = serving => result.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        url
    }

    /// Sets the treatment of commands from now on.
    pub(crate) fn set_gate(&self, gate: Gate) {
        self.state.gate.send_replace(gate);
    }

    /// Returns the number of commands received, undecided ones included.
    pub(crate) fn commands_received(&self) -> usize {
        self.state.commands_received.load(Ordering::SeqCst)
    }

    /// Runs another caller's command on an order.
    pub(crate) fn run_rival_command(
        &self,
        key: &OrderKey,
        body: CommandKind,
    ) -> Result<(), Refusal> {
        self.decide(key, &Command::bare(body)).map(drop)
    }

    /// Forgets an order, as when its disk is lost.
    pub(crate) fn forget(&self, key: &OrderKey) {
        self.state.orders.lock().remove(key);
    }

    /// Waits until the gate lets commands go this far.
    async fn pass_gate(&self, is_open: impl Fn(Gate) -> bool) {
        let mut gate = self.state.gate.subscribe();
        gate.wait_for(|gate| is_open(*gate)).await.unwrap();
    }

    pub(crate) fn streams_opened(&self) -> usize {
        self.state.streams_opened.load(Ordering::SeqCst)
    }

    pub(crate) fn streams_open_now(&self) -> usize {
        self.state.open_streams.load(Ordering::SeqCst)
    }

    /// Ends all streams that are open now.
    pub(crate) fn cut(&self, kind: StreamCut) {
        {
            let mut cut = self.state.cut.lock();
            *cut = (cut.0 + 1, Some(kind));
        }
        self.state.changed.notify_waiters();
    }

    /// Refuses all streams from now on.
    pub(crate) fn refuse_streams(&self) {
        self.state.refuses_streams.store(true, Ordering::SeqCst);
    }

    /// Accepts streams again.
    pub(crate) fn accept_streams(&self) {
        self.state.refuses_streams.store(false, Ordering::SeqCst);
    }

    /// Holds back the events after this one from now on; 0 holds none back.
    pub(crate) fn limit_events(&self, seq: u64) {
        self.state.event_limit.store(seq, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }

    /// Ends the order with this winner, at nobody's request.
    pub(crate) fn finalise(&self, key: &OrderKey, winner: &str) {
        let award = Some(Award::Whole(ProposalId::new(winner).unwrap()));
        let body = CommandKind::Finalise { award, reason: None, undo_within_ms: None };
        self.decide(key, &Command::bare(body)).unwrap();
    }

    pub(crate) fn grant(&self, key: &OrderKey, epoch: Epoch) {
        self.state.orders.lock().get_mut(key).unwrap().book.grant(epoch).unwrap();
    }

    pub(crate) fn events(&self, key: &OrderKey) -> Vec<Event> {
        self.state.orders.lock().get(key).map(|entry| entry.events.clone()).unwrap_or_default()
    }

    pub(crate) fn propose(&self, key: &OrderKey, id: &str) {
        let seller = SellerId::new(format!("seller-of-{id}")).unwrap();
        let proposed = ProposalContent {
            proposal_id: Some(ProposalId::new(id).unwrap()),
            ..ProposalContent::new(seller, Price::parse("10.50", "EUR").unwrap())
        };
        self.decide(key, &Command::bare(CommandKind::Propose(proposed))).unwrap();
    }

    fn decide(
        &self,
        key: &OrderKey,
        command: &Command,
    ) -> Result<orderstream_core::Reply, Refusal> {
        let context = Context { now: Timestamp(1_000), fresh_id: ProposalId::new("p").ok() };
        let reply = {
            let mut orders = self.state.orders.lock();
            let entry = orders
                .entry(key.clone())
                .or_insert_with(|| FakeOrder { book: Book::new(key.clone()), events: Vec::new() });
            let output = entry.book.step(&context, command);
            entry.events.extend(output.events);
            output.reply.release(&AlwaysDurable).unwrap()
        };
        self.state.changed.notify_waiters();
        reply
    }

    async fn run_command(
        &self,
        order: Option<v1::OrderRef>,
        key: &str,
        body: CommandKind,
    ) -> Result<Response<v1::ActResponse>, Status> {
        self.state.commands_received.fetch_add(1, Ordering::SeqCst);
        self.pass_gate(|gate| gate != Gate::Shut).await;
        let order = order.unwrap_or_default();
        let order_key = OrderKey::new(&order.tenant, &order.order_req_id).unwrap();
        let command = Command {
            key: IdempotencyKey::new(key).ok(),
            incarnation: Incarnation::new(order.incarnation).ok(),
            ..Command::bare(body)
        };
        let decided = self.decide(&order_key, &command);
        self.pass_gate(|gate| matches!(gate, Gate::Open | Gate::Lost)).await;
        if *self.state.gate.borrow() == Gate::Lost {
            return Err(Status::unavailable("the connection is gone"));
        }
        let reply = decided.map_err(|refusal| status_from_refusal(&refusal))?;
        Ok(Response::new(v1::ActResponse { seq: reply.seq.0, ..v1::ActResponse::default() }))
    }

    /// Sends an observer the rest of the list, and then the end, as at the end of an order.
    fn observe(
        &self,
        key: &OrderKey,
        request: &v1::OrderStreamRequest,
    ) -> Result<Response<Events>, Status> {
        let orders = self.state.orders.lock();
        let entry = orders.get(key).ok_or_else(|| Status::not_found(""))?;
        let at = usize::try_from(request.after_seq).unwrap();
        if at > entry.events.len() {
            let refusal = Refusal::new(Reason::AheadOfList, "the list was set back");
            return Err(status_from_refusal(&refusal));
        }
        let rest: Vec<_> =
            entry.events[at..].iter().map(|event| Ok(event_to_wire(key, event))).collect();
        Ok(Response::new(Box::pin(futures_util::stream::iter(rest))))
    }

    fn next_event(&self, key: &OrderKey, after: u64) -> Option<Event> {
        let event_limit = self.state.event_limit.load(Ordering::SeqCst);
        if event_limit > 0 && after >= event_limit {
            return None;
        }
        let orders = self.state.orders.lock();
        orders.get(key)?.events.iter().find(|event| event.seq.0 == after + 1).cloned()
    }
}

#[tonic::async_trait]
impl streaming::OrderStreamingService for FakeProcessor {
    type ProcessOrderStreamStream = Events;
    async fn process_order_stream(
        &self,
        request: Request<v1::OrderStreamRequest>,
    ) -> Result<Response<Events>, Status> {
        let request = request.into_inner();
        let key = OrderKey::new(&request.tenant, &request.order_req_id).unwrap();
        if request.observer {
            return self.observe(&key, &request);
        }
        if self.state.refuses_streams.load(Ordering::SeqCst) {
            return Err(Status::unavailable("away"));
        }
        let opening = OrderOpening {
            incarnation: Incarnation::new(request.incarnation).unwrap(),
            spec: spec_from_wire(request.order.unwrap_or_default()).unwrap(),
            choices: Vec::new(),
        };
        let is_over =
            |entry: &FakeOrder| entry.book.order().is_some_and(|order| order.phase.is_terminal());
        let is_over = self.state.orders.lock().get(&key).is_some_and(is_over);
        if !is_over {
            let open = Command::bare(CommandKind::Open(Box::new(opening)));
            self.decide(&key, &open).map_err(|refusal| status_from_refusal(&refusal))?;
        }
        let granted = {
            let mut orders = self.state.orders.lock();
            orders.get_mut(&key).unwrap().book.grant(Epoch(request.epoch))
        };
        granted.map_err(|refusal| status_from_refusal(&refusal))?;
        self.state.streams_opened.fetch_add(1, Ordering::SeqCst);
        self.state.open_streams.fetch_add(1, Ordering::SeqCst);
        let open = OpenStreamGuard(Arc::clone(&self.state.open_streams));
        let cut = self.state.cut.lock().0;
        let state = Some((self.clone(), key, request.after_seq, cut, open));
        Ok(Response::new(Box::pin(unfold(state, |state| async move {
            let (fake, key, after, cut, open): FakeStreamState = state?;
            loop {
                let state = Arc::clone(&fake.state);
                let changed = state.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let now = *fake.state.cut.lock();
                if now.0 != cut {
                    let last = match now.1 {
                        Some(StreamCut::Draining) => Ok(draining(&key, Seq(after))),
                        _ => Err(Status::unavailable("cut")),
                    };
                    return Some((last, None));
                }
                if let Some(event) = fake.next_event(&key, after) {
                    let response = event_to_wire(&key, &event);
                    return Some((Ok(response), Some((fake, key, after + 1, cut, open))));
                }
                changed.await;
            }
        }))))
    }

    type SellerSessionStream = Pin<Box<dyn Stream<Item = Result<v1::SellerEvent, Status>> + Send>>;
    async fn seller_session(
        &self,
        _: Request<Streaming<v1::SellerMessage>>,
    ) -> Result<Response<Self::SellerSessionStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl unary::OrderNonStreamingService for FakeProcessor {
    async fn process_follow_up(
        &self,
        request: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        let request = request.into_inner();
        let id = request.follow_up_id;
        let follow_up =
            follow_up_from_wire(id, request.audience, request.answers, request.message).unwrap();
        let order = v1::OrderRef {
            order_req_id: request.order_req_id,
            tenant: request.tenant,
            incarnation: request.incarnation,
        };
        self.run_command(Some(order), &request.idempotency_key, CommandKind::FollowUp(follow_up))
            .await?;
        Ok(Response::new(v1::FollowUpResponse { success: true, ..Default::default() }))
    }

    async fn submit_proposals(
        &self,
        _: Request<Streaming<v1::ProposalSubmission>>,
    ) -> Result<Response<v1::SubmitProposalsSummary>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Returns a text of the wire; an empty one means none.
fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[tonic::async_trait]
impl control::OrderControlService for FakeProcessor {
    async fn pause(
        &self,
        request: Request<v1::PauseRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        self.run_command(
            request.order,
            &request.idempotency_key,
            CommandKind::Pause { reason: non_empty(request.reason) },
        )
        .await
    }
    async fn award(
        &self,
        request: Request<v1::AwardRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        let award = award_input_from_wire(request.proposal_id, request.lines).try_into();
        let body = CommandKind::Finalise {
            award: award.unwrap(),
            reason: non_empty(request.reason),
            undo_within_ms: Some(request.undo_within_ms).filter(|ms| *ms > 0),
        };
        self.run_command(request.order, &request.idempotency_key, body).await
    }
    async fn undo_award(
        &self,
        request: Request<v1::UndoAwardRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        let body = CommandKind::UndoAward { reason: non_empty(request.reason) };
        self.run_command(request.order, &request.idempotency_key, body).await
    }
    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        self.run_command(request.order, &request.idempotency_key, CommandKind::Resume).await
    }
    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        let body = CommandKind::Extend { expires_in_ms: request.expires_in_ms };
        self.run_command(request.order, &request.idempotency_key, body).await
    }
    async fn close(
        &self,
        request: Request<v1::CloseRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        let body = CommandKind::Close { reason: non_empty(request.reason) };
        self.run_command(request.order, &request.idempotency_key, body).await
    }
    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        let request = request.into_inner();
        let body = CommandKind::Cancel { reason: non_empty(request.reason) };
        self.run_command(request.order, &request.idempotency_key, body).await
    }
    async fn get_order(
        &self,
        _: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::OrderState>, Status> {
        Err(Status::unimplemented(""))
    }
    type ListOrdersStream = Summaries;
    async fn list_orders(
        &self,
        _: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<Summaries>, Status> {
        let orders = self.state.orders.lock();
        let summary = |(key, entry): (&OrderKey, &FakeOrder)| {
            let EventKind::OrderOpened(opened) = &entry.events[0].kind else {
                panic!("a list begins with its opening")
            };
            let order = v1::OrderRef {
                order_req_id: key.order_req_id.to_string(),
                tenant: key.tenant.to_string(),
                incarnation: opened.incarnation.to_string(),
            };
            let last_seq = entry.events.last().unwrap().seq.0;
            Ok(v1::OrderSummary { order: Some(order), last_seq, ..Default::default() })
        };
        let all: Vec<_> = orders.iter().map(summary).collect();
        Ok(Response::new(Box::pin(futures_util::stream::iter(all))))
    }
    async fn locate_order(
        &self,
        _: Request<v1::LocateOrderRequest>,
    ) -> Result<Response<v1::LocateOrderResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn meet_processor(
        &self,
        _: Request<v1::MeetProcessorRequest>,
    ) -> Result<Response<v1::MeetProcessorResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
