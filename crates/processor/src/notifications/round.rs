//! One order's round: it reads the outbox and the new events, starts ready attempts, folds their
//! results, and saves the outbox, until nothing is ready and nothing is under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orderstream_core::notification::{Blame, DeliveryError, Notification};
use orderstream_core::outbox::{Input, Output, Report, Snapshot};
use orderstream_core::seal::Cover;
use orderstream_core::{Act, Command, Event, Order, Outbox, Reason, Refusal, Seq, Timestamp, seal};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::destinations::Passage;
use super::queue::Replay;
use super::{Notifications, Wakes, store};
use crate::limits::{NOTIFY_ATTEMPT_TIMEOUT, NOTIFY_PAGE_EVENTS, NOTIFY_SAVE_MS};
use crate::orders::{Life, Orders};

/// Milliseconds until an order's round is retried after the disk refused a write, or the order a
/// report.
const AGAIN_MS: u64 = 1_000;

/// The parts that a round works with.
pub(super) struct Round {
    pub(super) notifications: Notifications,
    pub(super) orders: Orders,
    pub(super) wakes: Wakes,
}

/// The result of one attempt.
struct Attempted {
    number: u64,
    result: Result<(), DeliveryError>,
    passage: Passage,
}

/// A round under way.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
struct Turn<'a> {
    round: &'a Round,
    life: &'a Life,
    /// Empty while a closure over the order holds the outbox; if that closure fails, the round
    /// ends.
    outbox: Outbox,
    /// The events that waiting notifications are about.
    events: BTreeMap<Seq, Arc<Event>>,
    attempts: JoinSet<Attempted>,
    replays: Vec<Replay>,
    next_at: Option<Timestamp>,
    is_changed: bool,
    /// Set when the order refused a report.
    is_unreported: bool,
    saved_at: Instant,
}

impl Round {
    /// Runs the round to its end; returns the time at which the order is due again.
    pub(super) async fn run(
        self,
        life: &Life,
        permit: OwnedSemaphorePermit,
        shutdown: CancellationToken,
    ) -> Option<Timestamp> {
        let key = &life.0;
        match self.turn(life, permit, &shutdown).await {
            Ok(next_at) => next_at,
            Err(refusal) if refusal.reason == Reason::RecordsDamaged => {
                tracing::debug!(order = %key, %refusal, "nobody is notified of this order");
                None
            }
            Err(refusal) if refusal.reason.is_retriable() => {
                tracing::debug!(order = %key, %refusal, "an outbox is retried later");
                Some(self.orders.now().plus_ms(AGAIN_MS))
            }
            // The order is no longer here.
            Err(_) => None,
        }
    }

    async fn turn(
        &self,
        life: &Life,
        permit: OwnedSemaphorePermit,
        shutdown: &CancellationToken,
    ) -> Result<Option<Timestamp>, Refusal> {
        // What is sent could not be recorded, and would be sent again and again.
        if self.orders.is_read_only() {
            return Ok(None);
        }
        let (_, snapshot) = self.orders.outbox(&life.0, Some(&life.1)).await?;
        let outbox = Outbox::new(life.0.clone(), life.1.clone(), snapshot);
        let mut turn = Turn {
            round: self,
            life,
            outbox,
            events: BTreeMap::new(),
            attempts: JoinSet::new(),
            replays: Vec::new(),
            next_at: None,
            is_changed: false,
            is_unreported: false,
            saved_at: Instant::now(),
        };
        let result = turn.run(permit, shutdown).await;
        // What is under way is tried again under the same id.
        turn.attempts.shutdown().await;
        result
    }
}

impl Turn<'_> {
    async fn run(
        &mut self,
        permit: OwnedSemaphorePermit,
        shutdown: &CancellationToken,
    ) -> Result<Option<Timestamp>, Refusal> {
        let first = self.step(&Input::Tick);
        self.act_on(first).await?;
        self.read_on().await?;
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
                return Ok(self.again_at());
            }
            let wait = self.next_at.map_or(NOTIFY_SAVE_MS, |at| at.ms_since(self.now()));
            let wait = Duration::from_millis(wait.clamp(1, NOTIFY_SAVE_MS));
            // Cancel-safe: a joined attempt is taken in before anything else is awaited; the other
            // branches only wake. Nothing new is begun once the server stops.
            tokio::select! {
                Some(ended) = self.attempts.join_next() => {
                    if let Ok(attempted) = ended {
                        self.ended(attempted, shutdown).await?;
                    }
                }
                () = self.round.wakes.notified(), if !is_stopping => self.read_on().await?,
                () = tokio::time::sleep(wait), if !is_stopping => {
                    let output = self.step(&Input::Tick);
                    self.act_on(output).await?;
                }
                () = shutdown.cancelled(), if !is_stopping => is_stopping = true,
            }
        }
    }

    /// Returns the time at which the order is due again, if there is one.
    fn again_at(&self) -> Option<Timestamp> {
        let reported_at = self.is_unreported.then(|| self.now().plus_ms(AGAIN_MS));
        match (self.next_at, reported_at) {
            (Some(next), Some(reported)) => Some(next.min(reported)),
            (next, reported) => next.or(reported),
        }
    }

    fn now(&self) -> Timestamp {
        self.round.orders.now()
    }

    fn step(&mut self, input: &Input<'_>) -> Output {
        let output = self.outbox.step(self.now(), input);
        self.note(&output);
        output
    }

    fn note(&mut self, output: &Output) {
        self.is_changed |= output.is_changed;
        self.next_at = output.next_at;
        self.round.orders.metrics().given_up(output.given_up);
    }

    /// Calls `then` with the redacted order and with the outbox.
    async fn with_order<T: Send + 'static>(
        &mut self,
        then: impl FnOnce(&Order, &mut Outbox) -> T + Send,
    ) -> Result<T, Refusal> {
        let (key, incarnation) = self.life;
        let nothing = Outbox::new(key.clone(), incarnation.clone(), Snapshot::default());
        let mut outbox = std::mem::replace(&mut self.outbox, nothing);
        let view = move |order: &Order, _: &crate::orders::Facts| {
            let value = then(order, &mut outbox);
            (value, outbox)
        };
        let (value, outbox) = self.round.orders.read_one(key, Some(incarnation), view).await?;
        self.outbox = outbox;
        Ok(value)
    }

    /// Folds the events since the outbox's cursor, page by page.
    async fn read_on(&mut self) -> Result<(), Refusal> {
        loop {
            let last = self.round.orders.told_until(self.life)?;
            if self.outbox.cursor() >= last {
                return Ok(());
            }
            let page = self.page(self.outbox.cursor(), NOTIFY_PAGE_EVENTS).await?;
            if page.is_empty() {
                return Ok(());
            }
            let (notifications, orders) =
                (self.round.notifications.clone(), self.round.orders.clone());
            let (now, since) = (self.now(), notifications.since());
            let tenant = self.life.0.tenant.clone();
            let (outputs, events) = self
                .with_order(move |order, outbox| {
                    notifications.with_audience(&orders, &tenant, |audience| {
                        let mut outputs = Vec::new();
                        let mut events = Vec::new();
                        for event in page {
                            let event = seal::shown(Cover::of(Some(order)), &event);
                            outputs.push(if event.at < since {
                                outbox.step(now, &Input::Passed(event.seq))
                            } else {
                                let event = &*event;
                                outbox.step(now, &Input::Event { order, event, audience })
                            });
                            events.push(event);
                        }
                        (outputs, events)
                    })
                })
                .await?;
            self.events.extend(events.into_iter().map(|event| (event.seq, event)));
            for output in outputs {
                self.note(&output);
                self.act_on(output).await?;
            }
        }
    }

    async fn page(&self, after: Seq, limit: usize) -> Result<Vec<Arc<Event>>, Refusal> {
        self.round.orders.events_after(self.life, after, limit).await
    }

    /// Starts ready attempts and sends reports to the order.
    async fn act_on(&mut self, mut output: Output) -> Result<(), Refusal> {
        while !output.attempts.is_empty() || !output.reports.is_empty() {
            let reports = std::mem::take(&mut output.reports);
            let attempts = std::mem::take(&mut output.attempts);
            let mut next = self.start(attempts).await?;
            for number in self.report(reports).await {
                let more = self.step(&Input::Reported(number));
                next.attempts.extend(more.attempts);
                next.reports.extend(more.reports);
            }
            output = next;
        }
        Ok(())
    }

    /// Starts attempts, as far as their destinations admit them.
    async fn start(&mut self, numbers: Vec<u64>) -> Result<Output, Refusal> {
        let mut passages = Vec::new();
        let mut output = Output::default();
        for number in numbers {
            let Some(kept) = self.outbox.pending(number) else { continue };
            let seq = kept.seq;
            let Notifications(shared) = &self.round.notifications;
            let destination = shared.notifier.destination(&kept.due.channel);
            let permit = Arc::clone(&shared.attempts).try_acquire_owned();
            let entered = shared.destinations.enter(&destination, self.now());
            match (entered, permit) {
                (Ok(passage), Ok(permit)) => passages.push((number, seq, passage, permit)),
                (entered, _) => {
                    let for_ms = entered.err().unwrap_or(AGAIN_MS);
                    let for_ms = for_ms.saturating_add(fastrand::u64(0..=for_ms / 2));
                    let more = self.step(&Input::Postponed { number, for_ms });
                    output.attempts.extend(more.attempts);
                    output.reports.extend(more.reports);
                }
            }
        }
        if passages.is_empty() {
            return Ok(output);
        }
        self.fetch(passages.iter().map(|(_, seq, ..)| *seq).collect()).await?;
        let wanted: Vec<(u64, Arc<Event>)> = passages
            .iter()
            .filter_map(|(number, seq, ..)| Some((*number, Arc::clone(self.events.get(seq)?))))
            .collect();
        let composed: BTreeMap<u64, Notification> = self
            .with_order(move |order, outbox| {
                let compose = |(number, event): (u64, Arc<Event>)| {
                    let event = seal::shown(Cover::of(Some(order)), &event);
                    Some((number, outbox.compose(number, order, &event)?))
                };
                wanted.into_iter().filter_map(compose).collect()
            })
            .await?;
        self.launch(passages, composed);
        self.forget_events();
        Ok(output)
    }

    fn launch(
        &mut self,
        passages: Vec<(u64, Seq, Passage, OwnedSemaphorePermit)>,
        mut composed: BTreeMap<u64, Notification>,
    ) {
        for (number, _, passage, permit) in passages {
            let Some(notification) = composed.remove(&number) else { continue };
            let Notifications(shared) = self.round.notifications.clone();
            let metrics = self.round.orders.metrics().clone();
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
                metrics.attempted(channel, &result, began.elapsed().as_secs_f64());
                let id = &notification.id;
                match &result {
                    Ok(()) => tracing::debug!(notification = id, "delivered"),
                    Err(error) => tracing::debug!(notification = id, %error, "not delivered"),
                }
                Attempted { number, result, passage }
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

    /// Takes in the result of an attempt.
    async fn ended(
        &mut self,
        attempted: Attempted,
        shutdown: &CancellationToken,
    ) -> Result<(), Refusal> {
        let Attempted { number, result, passage } = attempted;
        let now = self.now();
        let output = match result {
            Ok(()) => {
                passage.worked();
                self.step(&Input::Delivered(number))
            }
            Err(error) => {
                match &error {
                    DeliveryError::TryAgain { blame: Blame::Destination, .. } => {
                        passage.failed(now);
                    }
                    DeliveryError::TryAgain { .. } | DeliveryError::Bounced { .. } => {
                        passage.worked();
                    }
                }
                let output = self.failed(now, number, error).await?;
                self.note(&output);
                output
            }
        };
        if shutdown.is_cancelled() {
            return Ok(());
        }
        self.act_on(output).await
    }

    async fn failed(
        &mut self,
        now: Timestamp,
        number: u64,
        error: DeliveryError,
    ) -> Result<Output, Refusal> {
        let (notifications, orders) = (self.round.notifications.clone(), self.round.orders.clone());
        let (tenant, jitter_permille) = (self.life.0.tenant.clone(), fastrand::u64(0..=1_000));
        self.with_order(move |order, outbox| {
            notifications.with_audience(&orders, &tenant, |audience| {
                let error = &error;
                let input = Input::Failed { number, error, jitter_permille, order, audience };
                outbox.step(now, &input)
            })
        })
        .await
    }

    /// Reports the results of its invitations to the order; returns the reports that it took. The
    /// others are sent again in the next round.
    async fn report(&mut self, reports: Vec<Report>) -> Vec<u64> {
        let (orders, (key, life)) = (&self.round.orders, self.life);
        let known = join_all(reports.into_iter().map(|report| async move {
            let Report { number, seller, channel, failure } = report;
            let act = Act::Notified { seller, channel, failure };
            let command = Command { incarnation: Some(life.clone()), ..Command::bare(act) };
            match orders.act(key, command).await {
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
        for replay in self.round.notifications.0.queue.take_replays(self.life) {
            let output = self.step(&Input::Replay(&replay.id));
            let is_found = output.is_changed;
            self.act_on(output).await?;
            if is_found {
                self.replays.push(replay);
            } else {
                replay.answer(super::queue::Replayed::Unknown);
            }
        }
        if self.replays.is_empty() { Ok(()) } else { self.save(shutdown).await }
    }

    async fn save(&mut self, shutdown: &CancellationToken) -> Result<(), Refusal> {
        if self.is_changed {
            self.save_outbox(shutdown).await?;
            let head = store::Head::of(self.outbox.snapshot());
            self.round.notifications.tally(self.life, head);
        }
        self.is_changed = false;
        self.saved_at = Instant::now();
        for replay in self.replays.drain(..) {
            replay.answer(super::queue::Replayed::Done);
        }
        Ok(())
    }

    /// Writes the outbox, and retries while the disk takes nothing: a notification that was sent
    /// would otherwise be sent once more. Nothing new is sent meanwhile; at most as many orders as
    /// have a round at one time are delayed in this way.
    async fn save_outbox(&self, shutdown: &CancellationToken) -> Result<(), Refusal> {
        let orders = &self.round.orders;
        loop {
            let saved = orders.save_outbox(self.life, self.outbox.snapshot()).await;
            let is_hopeless = shutdown.is_cancelled() || orders.is_read_only();
            match saved {
                Err(refusal) if refusal.reason.is_retriable() && !is_hopeless => {}
                saved => return saved,
            }
            // Cancel-safe: a dropped sleep loses nothing.
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(AGAIN_MS)) => {}
            }
        }
    }
}
