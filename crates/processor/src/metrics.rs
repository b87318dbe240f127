//! The processor's metrics. No label ever holds a user's value.

use orderstream_core::event::EventKind;
use orderstream_core::notification::DeliveryError;
use orderstream_core::spec::NotificationType;
use orderstream_core::{CommandKind, Epoch, Event, Order, Phase, Refusal, Reply, Timestamp};
use orderstream_support::Register;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry,
};

/// Seconds from a command to its event on the tracker's stream.
const DELIVERY_BOUNDS: [f64; 12] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Seconds from an order's opening to its first proposal.
const FIRST_PROPOSAL_BOUNDS: [f64; 11] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];
/// Seconds of one delivery attempt.
const ATTEMPT_BOUNDS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// The channels, as labels.
const CHANNELS: [NotificationType; 4] = [
    NotificationType::GChat,
    NotificationType::Email,
    NotificationType::Sms,
    NotificationType::Webhook,
];
/// The phases in which an order ends.
const ENDS: [Phase; 4] = [Phase::Finalised, Phase::Expired, Phase::Closed, Phase::Cancelled];

/// The label that separates orders with a proposal from those without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProposalsLabel {
    /// No seller has proposed.
    None,
    /// A seller has proposed.
    Some,
}

impl ProposalsLabel {
    /// Returns the label's value.
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Some => "some",
        }
    }
}

/// The counts of notifications that are to be sent, or were given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotificationCounts {
    /// The number of waiting notifications.
    pub(crate) waiting: usize,
    /// The number of notifications that were given up.
    pub(crate) dead: usize,
    /// The due time of the oldest waiting one.
    pub(crate) oldest_due_at: Option<Timestamp>,
}

/// Handles on the processor's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    orders: IntGauge,
    open_orders: IntGauge,
    ended: IntCounterVec,
    damaged: IntGauge,
    trackers: IntGauge,
    observers: IntGauge,
    delivered: IntCounter,
    delivery_seconds: Histogram,
    proposals_accepted: IntCounter,
    proposals_refused: IntCounter,
    first_proposal_seconds: Histogram,
    expiry_overdue: Gauge,
    replay_seconds: Gauge,
    replayed: IntGauge,
    forwards: IntCounterVec,
    listed: IntGauge,
    notifications: NotificationMetrics,
}

/// The metrics of notifications.
#[derive(Clone, Debug)]
struct NotificationMetrics {
    attempts: IntCounterVec,
    seconds: HistogramVec,
    given_up: IntCounter,
    waiting: IntGauge,
    dead: IntGauge,
    oldest_seconds: Gauge,
}

impl NotificationMetrics {
    fn new(make: Register<'_>) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(
            "orderstream_processor_notification_attempt_seconds",
            "Duration of one delivery attempt, by channel.",
        );
        let seconds = make.histograms(options.buckets(ATTEMPT_BOUNDS.to_vec()), &["channel"])?;
        Ok(Self {
            attempts: make.counters(
                "orderstream_processor_notification_attempts_total",
                "Delivery attempts of notifications, by channel and result.",
                &["channel", "result"],
            )?,
            seconds,
            given_up: make.counter(
                "orderstream_processor_notifications_given_up_total",
                "Notifications that were given up.",
            )?,
            waiting: make.gauge(
                "orderstream_processor_notifications_waiting",
                "Notifications that are still to be delivered.",
            )?,
            dead: make.gauge(
                "orderstream_processor_notifications_dead",
                "Notifications that were given up and can be sent again.",
            )?,
            oldest_seconds: make.seconds(
                "orderstream_processor_notification_oldest_seconds",
                "Age of the oldest notification that is to be delivered; 0 when there is none.",
            )?,
        })
    }

    fn start_at_zero(&self) {
        for channel in CHANNELS {
            // The lookup creates the series.
            drop(self.seconds.with_label_values(&[channel.as_str()]));
            for result in ["delivered", "failed", "bounced"] {
                self.attempts.with_label_values(&[channel.as_str(), result]).reset();
            }
        }
    }
}

impl Metrics {
    /// Makes and registers all metrics; each series exists at 0 from the start.
    ///
    /// # Errors
    /// A metric's name is already registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Register::new(registry);
        let help = "Open order streams, by role of the follower.";
        let streams = make.gauges("orderstream_processor_streams", help, &["follower"])?;
        let help = "Proposals and amendments, by result.";
        let proposals =
            make.counters("orderstream_processor_proposals_total", help, &["result"])?;
        let metrics = Self {
            orders: make.gauge("orderstream_processor_orders", "Orders held in memory.")?,
            open_orders: make
                .gauge("orderstream_processor_orders_open", "Orders that are not at their end.")?,
            ended: make.counters(
                "orderstream_processor_orders_ended_total",
                "Orders that ended, by phase and by whether they had a proposal.",
                &["phase", "proposals"],
            )?,
            damaged: make.gauge(
                "orderstream_journal_damaged_orders",
                "Orders that are refused because their records are damaged.",
            )?,
            trackers: streams.with_label_values(&["tracker"]),
            observers: streams.with_label_values(&["observer"]),
            delivered: make.counter(
                "orderstream_processor_events_delivered_total",
                "Events delivered to streams.",
            )?,
            delivery_seconds: make.histogram(
                "orderstream_processor_delivery_seconds",
                "Time from a command to the delivery of its event to the order's tracker.",
                &DELIVERY_BOUNDS,
            )?,
            proposals_accepted: proposals.with_label_values(&["accepted"]),
            proposals_refused: proposals.with_label_values(&["refused"]),
            first_proposal_seconds: make.histogram(
                "orderstream_processor_first_proposal_seconds",
                "Time from an order's opening to its first proposal.",
                &FIRST_PROPOSAL_BOUNDS,
            )?,
            expiry_overdue: make.seconds(
                "orderstream_processor_expiry_overdue_seconds",
                "Delay of the most overdue expiry; 0 when none is overdue.",
            )?,
            replay_seconds: make.seconds(
                "orderstream_journal_replay_seconds",
                "Duration of reading the whole journal at the last start.",
            )?,
            replayed: make
                .gauge("orderstream_journal_replayed_records", "Records read at the last start.")?,
            forwards: make.counters(
                "orderstream_processor_forwards_total",
                "Requests forwarded to the processor that holds their order, by result.",
                &["result"],
            )?,
            listed: make.gauge(
                "orderstream_processor_listed",
                "Processors in the list of peers, this one included; 0 before it has been read.",
            )?,
            notifications: NotificationMetrics::new(make)?,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    fn start_at_zero(&self) {
        self.notifications.start_at_zero();
        for result in ["ok", "refused", "unreached", "unknown_order"] {
            self.forwards.with_label_values(&[result]).reset();
        }
        for phase in ENDS {
            for proposals in [ProposalsLabel::None, ProposalsLabel::Some] {
                let phase = phase.as_str().to_lowercase();
                self.ended.with_label_values(&[phase.as_str(), proposals.as_str()]).reset();
            }
        }
    }

    pub(crate) fn set_orders(&self, count: usize) {
        self.orders.set(number(count));
    }

    /// Records the duration and the size of the replay at the start.
    pub(crate) fn set_replay(&self, seconds: f64, records: usize) {
        self.replay_seconds.set(seconds);
        self.replayed.set(number(records));
    }

    /// Counts one more open order.
    pub(crate) fn order_opened(&self) {
        self.open_orders.inc();
    }

    /// Counts one open order fewer.
    pub(crate) fn order_closed(&self) {
        self.open_orders.dec();
    }

    pub(crate) fn order_is_damaged(&self) {
        self.damaged.inc();
    }

    /// Counts a proposal or an amendment by its result; other commands are not counted.
    pub(crate) fn command_executed(&self, body: &CommandKind, result: &Result<Reply, Refusal>) {
        if let CommandKind::Propose(_) | CommandKind::Amend(_) = body {
            match result {
                Ok(_) => self.proposals_accepted.inc(),
                Err(_) => self.proposals_refused.inc(),
            }
        }
    }

    /// Counts the events of an order that reached the disk; returns whether it has a proposal now.
    pub(crate) fn events_stored(
        &self,
        order: &Order,
        events: &[impl AsRef<Event>],
        before: ProposalsLabel,
    ) -> ProposalsLabel {
        let mut proposals = before;
        for event in events {
            let event = event.as_ref();
            if matches!(event.kind, EventKind::NewProposal(_)) && proposals == ProposalsLabel::None
            {
                proposals = ProposalsLabel::Some;
                self.first_proposal_seconds.observe(seconds(order.opened_at, event.at));
            }
            if let Some(phase) = event.kind.ends() {
                self.ended(phase, proposals);
            }
        }
        proposals
    }

    fn ended(&self, phase: Phase, proposals: ProposalsLabel) {
        let phase = phase.as_str().to_lowercase();
        self.ended.with_label_values(&[phase.as_str(), proposals.as_str()]).inc();
    }

    /// Sets the time since the earliest missed deadline; 0 when there is none.
    pub(crate) fn set_overdue(&self, since: Option<Timestamp>, now: Timestamp) {
        self.expiry_overdue.set(since.map_or(0.0, |since| seconds(since, now)));
    }

    pub(crate) fn stream_opened(&self, tracker: Option<Epoch>) {
        self.streams(tracker).inc();
    }

    pub(crate) fn stream_closed(&self, tracker: Option<Epoch>) {
        self.streams(tracker).dec();
    }

    pub(crate) fn forwarded(&self, result: &'static str) {
        self.forwards.with_label_values(&[result]).inc();
    }

    /// Sets the number of processors in the list of peers, this one included.
    pub(crate) fn set_listed(&self, count: usize) {
        self.listed.set(number(count));
    }

    /// Counts a delivery attempt by its result.
    pub(crate) fn attempt_finished(
        &self,
        channel: NotificationType,
        result: &Result<(), DeliveryError>,
        seconds: f64,
    ) {
        let label = match result {
            Ok(()) => "delivered",
            Err(DeliveryError::TryAgain { .. }) => "failed",
            Err(DeliveryError::Bounced { .. }) => "bounced",
        };
        let channel = channel.as_str();
        self.notifications.attempts.with_label_values(&[channel, label]).inc();
        self.notifications.seconds.with_label_values(&[channel]).observe(seconds);
    }

    /// Counts notifications that were given up.
    pub(crate) fn given_up(&self, count: usize) {
        self.notifications.given_up.inc_by(count as u64);
    }

    /// Sets the numbers of waiting and given-up notifications, and the age of the oldest waiting
    /// one.
    pub(crate) fn set_notifications(&self, counts: NotificationCounts, now: Timestamp) {
        self.notifications.waiting.set(number(counts.waiting));
        self.notifications.dead.set(number(counts.dead));
        let oldest = counts.oldest_due_at.map_or(0.0, |since| seconds(since, now));
        self.notifications.oldest_seconds.set(oldest);
    }

    pub(crate) fn event_delivered(&self) {
        self.delivered.inc();
    }

    /// Observes the delay of a fresh event that was sent to the order's tracker.
    pub(crate) fn observe_delivery(&self, at: Timestamp, now: Timestamp) {
        self.delivery_seconds.observe(seconds(at, now));
    }

    const fn streams(&self, tracker: Option<Epoch>) -> &IntGauge {
        if tracker.is_some() { &self.trackers } else { &self.observers }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the seconds between two moments; 0 when the clock ran back.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of days fit in 53 bits")]
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.ms_since(from) as f64 / 1_000.0
}
