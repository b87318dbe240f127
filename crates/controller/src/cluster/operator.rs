//! The state that the parts of the operator share, and the reconcile of one resource: facts are
//! gathered, `plan` is called, its steps are taken. A reconcile waits for nothing; what takes time
//! is done by tasks that wake the resource again.

use orderstream_core::date::parse_rfc3339;
use std::collections::HashMap;
use std::sync::Arc;

use orderstream_core::plan::{Desired, Seen, Step, plan, refusal};
use orderstream_core::port::{Assignment, Clock, OrderOwners, OrderStreams};
use orderstream_core::{
    Command, Epoch, Incarnation, OrderKey, Reason, Refusal, Snapshot, Timestamp,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cache::{Cache, Kept, ObjectKey};
use super::leadership::Leadership;
use super::metrics::{LookResult, Metrics};
use super::notes::{Note, Placement};
use super::processors::Processors;
use super::queue::Queue;
use super::reporter::Reporter;
use super::room::Room as _;
use super::seller_statuses::SellerStatuses;
use super::sent::Sent;
use super::steps::Edits;
use super::writer::Writer;
use super::written::Shown;
use crate::convert;
use crate::order_request::OrderRequest;
use crate::order_status::OrderRequestStatus;
use crate::status::{ended, own};

/// The operator. Shared by reference.
pub(super) struct Operator {
    pub(super) client: kube::Client,
    /// The namespace that is watched; all when absent.
    pub(super) namespace: Option<String>,
    pub(super) streams: Arc<dyn OrderStreams>,
    pub(super) owners: Arc<dyn OrderOwners>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) leadership: Leadership,
    pub(super) processors: Processors,
    pub(super) cache: Arc<RwLock<Cache>>,
    pub(super) queue: Arc<Queue>,
    pub(super) writer: Arc<Writer>,
    pub(super) reporter: Reporter,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sellers: Arc<SellerStatuses>,
    pub(super) notes: Mutex<HashMap<ObjectKey, Note>>,
    /// The uids of resources that could not be read; their orders are not orphans.
    pub(super) unreadable: Mutex<HashMap<ObjectKey, String>>,
    /// Limits the orders that are located or cancelled at once.
    pub(super) asking: Semaphore,
    /// The time at which this process began to lead.
    pub(super) began: Mutex<Timestamp>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

/// The facts of one reconcile.
pub(super) struct Facts {
    pub(super) object: ObjectKey,
    pub(super) key: OrderKey,
    pub(super) uid: Arc<str>,
    pub(super) resource: Arc<OrderRequest>,
    pub(super) known: Arc<OrderRequestStatus>,
    pub(super) shown: Shown,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) epoch: Epoch,
    pub(super) now: Timestamp,
}

impl Facts {
    pub(super) fn generation(&self) -> i64 {
        self.resource.metadata.generation.unwrap_or(1)
    }
}

impl Operator {
    /// Reconciles resources until shutdown, one after the other: each takes microseconds.
    pub(super) async fn run(self: Arc<Self>) {
        const TIMER_MS_MAX: u64 = 1_000;
        // The number of reconciles after which this task yields its thread.
        const LOOKS_IN_A_ROW: usize = 64;
        while !self.shutdown.is_cancelled() {
            let now = self.clock.now();
            let mut looks = 0;
            while looks < LOOKS_IN_A_ROW
                && let Some((object, _)) = self.queue.take(now)
            {
                self.metrics.worker_began();
                self.look(&object);
                looks += 1;
            }
            self.metrics.worker_rests();
            if looks > 0 {
                tokio::task::yield_now().await;
                continue;
            }
            let wait = self.queue.next_timer().map_or(TIMER_MS_MAX, |at| at.ms_since(now));
            let wait = std::time::Duration::from_millis(wait.clamp(1, TIMER_MS_MAX));
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = self.queue.woken() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reconciles one resource. A step that fails is shown in the status, and retried later.
    pub(super) fn look(self: &Arc<Self>, object: &ObjectKey) {
        let began = tokio::time::Instant::now();
        let Some(epoch) = self.leadership.epoch() else { return };
        let Some(kept) = self.cache.read().get(object).cloned() else {
            self.queue.forget(object);
            return;
        };
        let now = self.clock.now();
        let result = match self.reconcile(object, &kept, (epoch, now)) {
            Ok(next) => {
                self.queue.succeeded(object);
                self.queue.set_timer(object, next);
                next.map_or(LookResult::Success, |_| LookResult::RequeueAfter)
            }
            Err(refusal) => {
                let wait_ms = self.queue.failed(object, fastrand::u64(0..=1_000));
                tracing::debug!(%object, %refusal, wait_ms, "an order request waits");
                self.queue.set_timer(object, Some(now.plus_ms(wait_ms)));
                LookResult::Error
            }
        };
        self.metrics.looked(result, began.elapsed().as_secs_f64());
    }

    fn reconcile(
        self: &Arc<Self>,
        object: &ObjectKey,
        kept: &Kept,
        (epoch, now): (Epoch, Timestamp),
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(resource) = kept.resource() else {
            return Err(Refusal::new(Reason::Internal, "the resource was damaged in memory"));
        };
        let shown = self.writer.shown(object, kept, &resource);
        if shown.is_echo
            && let Some(packed) = self.cache.write().settle(object, kept.version)
        {
            self.writer.echoed(object, kept, packed);
        }
        let known = shown.status.clone();
        let known = known.unwrap_or_else(|| Arc::new(believed(kept, &resource)));
        let desired = match desired(&resource, kept) {
            Ok(desired) => desired,
            Err(refusal) => {
                return Ok(self.refuse((object, kept, resource), (known, shown), &refusal));
            }
        };
        let key = desired.key.clone();
        let snapshot = self.streams.snapshot(&key).filter(|s| s.incarnation == desired.incarnation);
        let (object, uid) = (object.clone(), Arc::clone(&kept.uid));
        let facts = Facts { object, key, uid, resource, known, shown, snapshot, epoch, now };
        if !self.speaks(&facts) {
            let refusal = another_speaks(&facts.key);
            return Ok(self.publish(&facts, Some(&refusal), Edits::Settled));
        }
        self.count_sellers(&facts);
        if facts.known.is_terminal() && !facts.snapshot.as_ref().is_some_and(|s| s.is_terminal()) {
            self.streams.stop(&facts.key, &desired.incarnation);
            return Ok(self.over(&facts, &desired));
        }
        self.raise_epoch(&facts);
        let seen = self.seen(&facts, &desired, kept);
        self.take_steps(&facts, &desired, plan(&desired, &seen, now))
    }

    fn take_steps(
        self: &Arc<Self>,
        facts: &Facts,
        desired: &Desired,
        steps: Vec<Step>,
    ) -> Result<Option<Timestamp>, Refusal> {
        let is_act = |step: &Step| matches!(step, Step::Act(_));
        let edits = if steps.iter().any(is_act) { Edits::OnTheirWay } else { Edits::Settled };
        let mut next: Option<Timestamp> = None;
        let mut sooner = |at: Timestamp| next = Some(next.map_or(at, |held| held.min(at)));
        for step in steps {
            match step {
                Step::Locate => self.locate(facts, desired),
                Step::Place(processor) => {
                    self.note(facts, |note| note.placement = Placement::At(processor));
                }
                Step::Start(processor) => self.start(facts, desired, processor)?,
                Step::Act(command) => self.act(facts, *command)?,
                Step::Stop => {
                    self.streams.stop(&facts.key, &desired.incarnation);
                    let seen = ended(facts.generation(), &facts.known);
                    self.offer(facts, seen).into_iter().for_each(&mut sooner);
                }
                Step::Publish => {
                    let refused = facts.snapshot.as_deref().and_then(|s| refusal(desired, s));
                    self.publish(facts, refused.as_ref(), edits).into_iter().for_each(&mut sooner);
                }
                Step::RequeueAt(at) => sooner(at.max(facts.now.plus_ms(1_000))),
                Step::Remove => self.remove(facts),
            }
        }
        Ok(next)
    }

    fn start(&self, facts: &Facts, desired: &Desired, processor: String) -> Result<(), Refusal> {
        if facts.known.phase.is_none() && facts.snapshot.is_none() {
            let (object, trace_id) = (&facts.object, desired.incarnation.trace_id());
            tracing::info!(%object, trace_id, processor, "an order request is taken up");
        }
        self.streams.ensure(Assignment {
            key: facts.key.clone(),
            incarnation: desired.incarnation.clone(),
            spec: desired.spec.clone(),
            epoch: facts.epoch,
            processor,
        })
    }

    fn act(&self, facts: &Facts, command: Command) -> Result<(), Refusal> {
        let order = facts.snapshot.as_deref().and_then(|snapshot| snapshot.order.as_deref());
        let sent = order.and_then(|order| Sent::of(&command, order));
        self.streams.act(&facts.key, command)?;
        if sent.is_some() {
            self.note(facts, |note| note.sent = sent);
        }
        Ok(())
    }

    fn seen(&self, facts: &Facts, desired: &Desired, kept: &Kept) -> Seen {
        let shown = facts.resource.status.as_ref().and_then(|status| status.processor());
        let is_shown = shown.is_some() && shown == facts.known.processor();
        let noted = self.note(facts, |note| match is_shown {
            // From now on the status names the processor.
            true => std::mem::take(&mut note.placement),
            false => note.placement.clone(),
        });
        let (placed, free) = match noted {
            Placement::At(processor) => (Some(processor), false),
            Placement::Free => (None, true),
            Placement::Unknown | Placement::Asked => (None, false),
        };
        let placement = facts.known.processor().map(ToOwned::to_owned).or(placed);
        // Ranking hashes every processor; a placed order needs none of it.
        let ready = match placement {
            Some(_) => Vec::new(),
            None => self.processors.ranked(&desired.key),
        };
        Seen {
            snapshot: facts.snapshot.clone(),
            placement,
            ready,
            located: kept.is_live || free,
            published_terminal: facts.known.is_terminal(),
        }
    }

    /// Counts the order for the sellers that it invites, while it is open.
    fn count_sellers(&self, facts: &Facts) {
        if facts.known.is_terminal() {
            self.sellers.ended(&facts.object);
            return;
        }
        let order = facts.snapshot.as_deref().and_then(|seen| seen.order.as_deref());
        self.sellers.heard(&facts.object, &facts.uid, order);
    }

    /// Reports whether this resource represents its order, and not another one that names the same
    /// order.
    fn speaks(&self, facts: &Facts) -> bool {
        let cache = self.cache.read();
        cache.of_order(&facts.key).is_some_and(|(object, _)| *object == facts.object)
    }

    /// Raises the floor of epochs where the processor knows a higher one: it would refuse all
    /// commands of this process.
    fn raise_epoch(&self, facts: &Facts) {
        let fenced_by = facts.snapshot.as_ref().and_then(|snapshot| snapshot.stream.fenced_by);
        if let Some(floor) = fenced_by.filter(|floor| *floor > facts.epoch) {
            tracing::warn!(order = %facts.key, floor = floor.0, "a processor knows a higher epoch");
            self.metrics.fenced();
            self.leadership.raise_above(floor);
        }
    }

    /// Handles an order whose end is shown and whose stream is stopped: removes the resource when
    /// that is due. Returns the time of the next reconcile.
    fn over(self: &Arc<Self>, facts: &Facts, desired: &Desired) -> Option<Timestamp> {
        let again = self.offer(facts, ended(facts.generation(), &facts.known));
        let completed = facts.known.completion_time.as_deref().and_then(parse_rfc3339);
        let due = completed.unwrap_or(facts.now).plus_ms(desired.ttl_after_finished_ms);
        if facts.now < due {
            return Some(again.map_or(due, |again| again.min(due)));
        }
        self.remove(facts);
        // The watch shows the removal; the next reconcile is for one that failed.
        Some(facts.now.plus_ms(10_000))
    }

    /// Applies a change to the notes of a resource, which are new for every incarnation; empty ones
    /// are dropped.
    pub(super) fn note<T>(&self, facts: &Facts, change: impl FnOnce(&mut Note) -> T) -> T {
        let mut notes = self.notes.lock();
        let held = notes.get_mut(&facts.object).filter(|note| note.uid == facts.uid);
        if let Some(note) = held {
            let result = change(note);
            if note.is_empty() {
                notes.remove(&facts.object);
                notes.give_back();
            }
            return result;
        }
        let mut note = Note::new(Arc::clone(&facts.uid));
        let result = change(&mut note);
        if !note.is_empty() {
            notes.insert(facts.object.clone(), note);
        }
        result
    }

    fn refuse(
        &self,
        (object, kept, resource): (&ObjectKey, &Kept, Arc<OrderRequest>),
        (known, shown): (Arc<OrderRequestStatus>, Shown),
        refusal: &Refusal,
    ) -> Option<Timestamp> {
        // Without an order there is no key; the name replaces it where a log needs one.
        let key = OrderKey::new(&object.namespace, "invalid").ok()?;
        let facts = Facts {
            object: object.clone(),
            key,
            uid: Arc::clone(&kept.uid),
            resource,
            known,
            shown,
            snapshot: None,
            epoch: self.leadership.epoch()?,
            now: self.clock.now(),
        };
        self.publish(&facts, Some(refusal), Edits::Settled)
    }
}

/// Returns the desired state of a resource, sharing the texts of the cached key and uid.
fn desired(resource: &OrderRequest, kept: &Kept) -> Result<Desired, Refusal> {
    let incarnation = Incarnation::try_from(Arc::clone(&kept.uid))?;
    let mut desired = convert::desired(resource, incarnation)?;
    if let Some(key) = &kept.key {
        desired.key = key.clone();
    }
    Ok(desired)
}

/// Returns the status of a resource to which this process has not yet written. A foreign status
/// counts as lost: the processors are asked.
fn believed(kept: &Kept, resource: &OrderRequest) -> OrderRequestStatus {
    let status = resource.status.as_ref().filter(|_| kept.is_status_ours);
    own(status.cloned().unwrap_or_default())
}

fn another_speaks(key: &OrderKey) -> Refusal {
    let id = &key.order_req_id;
    Refusal {
        field: Some("spec.orderReqId".to_owned()),
        ..Refusal::new(
            Reason::OrderExists,
            format!("another OrderRequest of this namespace has the id {id}; give another id"),
        )
    }
}
