//! The delivery pass of one order: it reads the outbox and the new events, starts ready attempts,
//! folds their results, and saves the outbox, until nothing is ready and nothing is under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orderstream_core::notification::{Blame, DeliveryError, Notification};
use orderstream_core::outbox::{InvitationReport, OutboxInput, OutboxOutput, OutboxSnapshot};
use orderstream_core::seal::Redaction;
use orderstream_core::{
    Command, CommandKind, Event, Order, OrderIncarnation, Outbox, Reason, Refusal, Seq, Timestamp,
    seal,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::destinations::DeliveryPermit;
use super::queue::ReplayRequest;
use super::{Notifications, PassWaker, store};
use crate::limits::{NOTIFY_ATTEMPT_TIMEOUT, NOTIFY_PAGE_EVENTS, NOTIFY_SAVE_MS};
use crate::orders::OwnedOrders;

/// Milliseconds until an order's delivery pass is retried after the disk refused a write, or the
/// order a report.
const RETRY_MS: u64 = 1_000;

/// The parts that a delivery pass works with.
pub(super) struct DeliveryPass {
    pub(super) notifications: Notifications,
    pub(super) orders: OwnedOrders,
    pub(super) waker: PassWaker,
}

/// The result of one attempt.
struct DeliveryAttemptResult {
    number: u64,
    result: Result<(), DeliveryError>,
    permit: DeliveryPermit,
}

/// A delivery pass under way.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
struct DeliveryPassState<'a> {
    pass: &'a DeliveryPass,
    order_incarnation: &'a OrderIncarnation,
    /// Empty while a closure over the order holds the outbox; if that closure fails, the round
    /// ends.
    outbox: Outbox,
    /// The events that waiting notifications are about.
    events: BTreeMap<Seq, Arc<Event>>,
    attempts: JoinSet<DeliveryAttemptResult>,
    replays: Vec<ReplayRequest>,
    next_at: Option<Timestamp>,
    is_changed: bool,
    /// Set when the order refused a report.
    is_unreported: bool,
    saved_at: Instant,
}

impl DeliveryPass {
    /// Runs the pass to its end; returns the time at which the order is due again.
    pub(super) async fn run(
        self,
        order_incarnation: &OrderIncarnation,
        permit: OwnedSemaphorePermit,
        shutdown: CancellationToken,
    ) -> Option<Timestamp> {
        let key = &order_incarnation.key;
        match self.try_run(order_incarnation, permit, &shutdown).await {
            Ok(next_at) => next_at,
            Err(refusal) if refusal.reason == Reason::RecordsDamaged => {
                tracing::debug!(order = %key, %refusal, "nobody is notified of this order");
                None
            }
            Err(refusal) if refusal.reason.is_retriable() => {
                tracing::debug!(order = %key, %refusal, "an outbox is retried later");
                Some(self.orders.now().plus_ms(RETRY_MS))
            }
            // The order is no longer here.
            Err(_) => None,
        }
    }

    async fn try_run(
        &self,
        order_incarnation: &OrderIncarnation,
        permit: OwnedSemaphorePermit,
        shutdown: &CancellationToken,
    ) -> Result<Option<Timestamp>, Refusal> {
        // A notification could not be recorded as sent, and would be sent again and again.
        if self.orders.is_read_only() {
            return Ok(None);
        }
        let (_, snapshot) = self
            .orders
            .outbox(&order_incarnation.key, Some(&order_incarnation.incarnation))
            .await?;
        let outbox = Outbox::new(
            order_incarnation.key.clone(),
            order_incarnation.incarnation.clone(),
            snapshot,
        );
        let mut state = DeliveryPassState {
            pass: self,
            order_incarnation,
            outbox,
            events: BTreeMap::new(),
            attempts: JoinSet::new(),
            replays: Vec::new(),
            next_at: None,
            is_changed: false,
            is_unreported: false,
            saved_at: Instant::now(),
        };
        let result = state.run(permit, shutdown).await;
        // Attempts that were under way are made again under the same ids.
        state.attempts.shutdown().await;
        result
    }
}

impl DeliveryPassState<'_> {
    async fn run(
        &mut self,
        permit: OwnedSemaphorePermit,
        shutdown: &CancellationToken,
    ) -> Result<Option<Timestamp>, Refusal> {
        let first = self.step(&OutboxInput::Tick);
        self.apply_output(first).await?;
        self.fold_new_events().await?;
        drop(permit);
        let mut is_stopping = false;
        loop {
            self.replay(shutdown).await?;
            let is_idle = self.attempts.is_empty();
            let is_old = self.saved_at.elapsed() >= Duration::from_millis(NOTIFY_SAVE_MS);
            if is_idle || is_old || is_stopping {
                self.save(shutdown).await?;
            }
            if is_idle {
                return Ok(self.retry_at());
            }
            let wait = self.next_at.map_or(NOTIFY_SAVE_MS, |at| at.ms_since(self.now()));
            let wait = Duration::from_millis(wait.clamp(1, NOTIFY_SAVE_MS));
            // Cancel-safe: a finished attempt is processed before anything else is awaited; the
            // other branches only wake. Nothing new is begun once the server stops.
            tokio::select! {
                Some(ended) = self.attempts.join_next() => {
                    if let Ok(attempt) = ended {
                        self.finish_attempt(attempt, shutdown).await?;
                    }
                }
                () = self.pass.waker.notified(), if !is_stopping => self.fold_new_events().await?,
                () = tokio::time::sleep(wait), if !is_stopping => {
                    let output = self.step(&OutboxInput::Tick);
                    self.apply_output(output).await?;
                }
                () = shutdown.cancelled(), if !is_stopping => is_stopping = true,
            }
        }
    }

    /// Returns the time at which the order is due again, if there is one.
    fn retry_at(&self) -> Option<Timestamp> {
        let reported_at = self.is_unreported.then(|| self.now().plus_ms(RETRY_MS));
        match (self.next_at, reported_at) {
            (Some(next), Some(reported)) => Some(next.min(reported)),
            (next, reported) => next.or(reported),
        }
    }

    fn now(&self) -> Timestamp {
        self.pass.orders.now()
    }

    fn step(&mut self, input: &OutboxInput<'_>) -> OutboxOutput {
        let output = self.outbox.step(self.now(), input);
        self.record_output(&output);
        output
    }

    fn record_output(&mut self, output: &OutboxOutput) {
        self.is_changed |= output.is_changed;
        self.next_at = output.next_at;
        self.pass.orders.metrics().given_up(output.given_up);
        if output.given_up > 0 {
            self.pass.notifications.report_given_up();
        }
    }

    /// Calls `then` with the redacted order and with the outbox.
    async fn with_order<T: Send + 'static>(
        &mut self,
        then: impl FnOnce(&Order, &mut Outbox) -> T + Send,
    ) -> Result<T, Refusal> {
        let OrderIncarnation { key, incarnation } = self.order_incarnation;
        let placeholder = Outbox::new(key.clone(), incarnation.clone(), OutboxSnapshot::default());
        let mut outbox = std::mem::replace(&mut self.outbox, placeholder);
        let view = move |order: &Order, _: &crate::orders::OrderRuntimeState| {
            let value = then(order, &mut outbox);
            (value, outbox)
        };
        let (value, outbox) = self.pass.orders.read_one(key, Some(incarnation), view).await?;
        self.outbox = outbox;
        Ok(value)
    }

    /// Folds the events since the outbox's cursor, page by page.
    async fn fold_new_events(&mut self) -> Result<(), Refusal> {
        loop {
            let last = self.pass.orders.last_durable_seq(self.order_incarnation)?;
            if self.outbox.cursor() >= last {
                return Ok(());
            }
            let page = self.page(self.outbox.cursor(), NOTIFY_PAGE_EVENTS).await?;
            if page.is_empty() {
                return Ok(());
            }
            let (notifications, orders) =
                (self.pass.notifications.clone(), self.pass.orders.clone());
            let (now, since) = (self.now(), notifications.since());
            let tenant = self.order_incarnation.key.tenant.clone();
            let (outputs, events) = self
                .with_order(move |order, outbox| {
                    notifications.with_audience(&orders, &tenant, |audience| {
                        let mut outputs = Vec::new();
                        let mut events = Vec::new();
                        for event in page {
                            let event = seal::apply(Redaction::of(Some(order)), &event);
                            outputs.push(if event.at < since {
                                outbox.step(now, &OutboxInput::Passed(event.seq))
                            } else {
                                let event = &*event;
                                outbox.step(now, &OutboxInput::Event { order, event, audience })
                            });
                            events.push(event);
                        }
                        (outputs, events)
                    })
                })
                .await?;
            self.events.extend(events.into_iter().map(|event| (event.seq, event)));
            for output in outputs {
                self.record_output(&output);
                self.apply_output(output).await?;
            }
        }
    }

    async fn page(&self, after: Seq, limit: usize) -> Result<Vec<Arc<Event>>, Refusal> {
        self.pass.orders.events_after(self.order_incarnation, after, limit).await
    }

    /// Starts ready attempts and sends reports to the order.
    async fn apply_output(&mut self, mut output: OutboxOutput) -> Result<(), Refusal> {
        while !output.attempts.is_empty() || !output.reports.is_empty() {
            let reports = std::mem::take(&mut output.reports);
            let attempts = std::mem::take(&mut output.attempts);
            let mut next = self.start(attempts).await?;
            for number in self.report(reports).await {
                let more = self.step(&OutboxInput::Reported(number));
                next.attempts.extend(more.attempts);
                next.reports.extend(more.reports);
            }
            output = next;
        }
        Ok(())
    }

    /// Starts attempts, as far as their destinations admit them.
    async fn start(&mut self, numbers: Vec<u64>) -> Result<OutboxOutput, Refusal> {
        let mut admissions = Vec::new();
        let mut output = OutboxOutput::default();
        for number in numbers {
            let Some(entry) = self.outbox.pending(number) else { continue };
            let seq = entry.seq;
            let Notifications(shared) = &self.pass.notifications;
            let destination = shared.notifier.destination(&entry.due.channel);
            let permit = Arc::clone(&shared.attempts).try_acquire_owned();
            let admission = shared.destinations.acquire(&destination, self.now());
            match (admission, permit) {
                (Ok(destination_permit), Ok(permit)) => {
                    admissions.push((number, seq, destination_permit, permit))
                }
                (admission, _) => {
                    let for_ms = admission.err().unwrap_or(RETRY_MS);
                    let for_ms = for_ms.saturating_add(fastrand::u64(0..=for_ms / 2));
                    let more = self.step(&OutboxInput::Postponed { number, for_ms });
                    output.attempts.extend(more.attempts);
                    output.reports.extend(more.reports);
                }
            }
        }
        if admissions.is_empty() {
            return Ok(output);
        }
        self.fetch(admissions.iter().map(|(_, seq, ..)| *seq).collect()).await?;
        let to_compose: Vec<(u64, Arc<Event>)> = admissions
            .iter()
            .filter_map(|(number, seq, ..)| Some((*number, Arc::clone(self.events.get(seq)?))))
            .collect();
        let composed: BTreeMap<u64, Notification> = self
            .with_order(move |order, outbox| {
                let compose = |(number, event): (u64, Arc<Event>)| {
                    let event = seal::apply(Redaction::of(Some(order)), &event);
                    Some((number, outbox.compose(number, order, &event)?))
                };
                to_compose.into_iter().filter_map(compose).collect()
            })
            .await?;
        self.launch(admissions, composed);
        self.forget_events();
        Ok(output)
    }

    fn launch(
        &mut self,
        admissions: Vec<(u64, Seq, DeliveryPermit, OwnedSemaphorePermit)>,
        mut composed: BTreeMap<u64, Notification>,
    ) {
        for (number, _, destination_permit, permit) in admissions {
            let Some(notification) = composed.remove(&number) else { continue };
            let Notifications(shared) = self.pass.notifications.clone();
            let metrics = self.pass.orders.metrics().clone();
            self.attempts.spawn(async move {
                let (began, channel) = (Instant::now(), notification.channel.kind);
                let delivery = shared.notifier.deliver(&notification);
                let result = tokio::time::timeout(NOTIFY_ATTEMPT_TIMEOUT, delivery).await;
                let result = result.unwrap_or_else(|_| {
                    Err(DeliveryError::TryAgain {
                        reason: "the attempt took too long".to_owned(),
                        after_ms: None,
                        blame: Blame::Destination,
                    })
                });
                drop(permit);
                metrics.attempt_finished(channel, &result, began.elapsed().as_secs_f64());
                let id = &notification.id;
                match &result {
                    Ok(()) => tracing::debug!(notification = id, "delivered"),
                    Err(error) => tracing::debug!(notification = id, %error, "not delivered"),
                }
                DeliveryAttemptResult { number, result, permit: destination_permit }
            });
        }
    }

    /// Reads the events that are not in memory.
    async fn fetch(&mut self, seqs: Vec<Seq>) -> Result<(), Refusal> {
        for seq in seqs {
            if self.events.contains_key(&seq) {
                continue;
            }
            let page = self.page(Seq(seq.0.saturating_sub(1)), 1).await?;
            self.events.extend(page.into_iter().map(|event| (event.seq, event)));
        }
        Ok(())
    }

    /// Drops all but a limited number of events; the others are read again when needed.
    fn forget_events(&mut self) {
        while self.events.len() > NOTIFY_PAGE_EVENTS {
            self.events.pop_first();
        }
    }

    /// Processes the result of an attempt.
    async fn finish_attempt(
        &mut self,
        attempt: DeliveryAttemptResult,
        shutdown: &CancellationToken,
    ) -> Result<(), Refusal> {
        let DeliveryAttemptResult { number, result, permit } = attempt;
        let now = self.now();
        let output = match result {
            Ok(()) => {
                permit.succeeded();
                self.step(&OutboxInput::Delivered(number))
            }
            Err(error) => {
                match &error {
                    DeliveryError::TryAgain { blame: Blame::Destination, reason, .. } => {
                        permit.failed(now, reason);
                    }
                    DeliveryError::TryAgain { .. } | DeliveryError::Bounced { .. } => {
                        permit.succeeded();
                    }
                }
                let output = self.failed(now, number, error).await?;
                self.record_output(&output);
                output
            }
        };
        if shutdown.is_cancelled() {
            return Ok(());
        }
        self.apply_output(output).await
    }

    async fn failed(
        &mut self,
        now: Timestamp,
        number: u64,
        error: DeliveryError,
    ) -> Result<OutboxOutput, Refusal> {
        let (notifications, orders) = (self.pass.notifications.clone(), self.pass.orders.clone());
        let (tenant, jitter_permille) =
            (self.order_incarnation.key.tenant.clone(), fastrand::u64(0..=1_000));
        self.with_order(move |order, outbox| {
            notifications.with_audience(&orders, &tenant, |audience| {
                let error = &error;
                let input = OutboxInput::Failed { number, error, jitter_permille, order, audience };
                outbox.step(now, &input)
            })
        })
        .await
    }

    /// Reports the results of its invitations to the order; returns the reports that the order
    /// accepted. The others are sent again in the next pass.
    async fn report(&mut self, reports: Vec<InvitationReport>) -> Vec<u64> {
        let orders = &self.pass.orders;
        let OrderIncarnation { key, incarnation } = self.order_incarnation;
        let known = join_all(reports.into_iter().map(|report| async move {
            let InvitationReport { number, seller, channel, failure } = report;
            let body = CommandKind::Notified { seller, channel, failure };
            let command = Command { incarnation: Some(incarnation.clone()), ..Command::bare(body) };
            match orders.execute(key, command).await {
                Err(refusal) if refusal.reason.is_retriable() => None,
                Ok(_) | Err(_) => Some(number),
            }
        }))
        .await;
        self.is_unreported |= known.iter().any(Option::is_none);
        known.into_iter().flatten().collect()
    }

    /// Executes the replay requests.
    async fn replay(&mut self, shutdown: &CancellationToken) -> Result<(), Refusal> {
        for replay in self.pass.notifications.0.queue.take_replays(self.order_incarnation) {
            let output = self.step(&OutboxInput::Replay(&replay.id));
            let is_found = output.is_changed;
            self.apply_output(output).await?;
            if is_found {
                self.replays.push(replay);
            } else {
                replay.reply(super::queue::ReplayOutcome::Unknown);
            }
        }
        if self.replays.is_empty() { Ok(()) } else { self.save(shutdown).await }
    }

    async fn save(&mut self, shutdown: &CancellationToken) -> Result<(), Refusal> {
        if self.is_changed {
            self.save_outbox(shutdown).await?;
            let summary = store::OutboxSummary::of(self.outbox.snapshot());
            self.pass.notifications.record_summary(self.order_incarnation, summary);
        }
        self.is_changed = false;
        self.saved_at = Instant::now();
        for replay in self.replays.drain(..) {
            replay.reply(super::queue::ReplayOutcome::Requeued);
        }
        Ok(())
    }

    /// Writes the outbox, and retries while the disk accepts nothing: a notification that was sent
    /// would otherwise be sent once more. Nothing new is sent meanwhile; at most as many orders as
    /// have a delivery pass at one time are delayed in this way.
    async fn save_outbox(&self, shutdown: &CancellationToken) -> Result<(), Refusal> {
        let orders = &self.pass.orders;
        loop {
            let saved = orders.save_outbox(self.order_incarnation, self.outbox.snapshot()).await;
            let is_hopeless = shutdown.is_cancelled() || orders.is_read_only();
            match saved {
                Err(refusal) if refusal.reason.is_retriable() && !is_hopeless => {}
                saved => return saved,
            }
            // Cancel-safe: a dropped sleep loses nothing.
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
            }
        }
    }
}
