//! Kubernetes Events at edges: when an order is open, ends or is refused. The note says what
//! happened, at which processor, and what to do, as the condition does; repetitions of a reason are
//! aggregated, and keep the note of the first. One task publishes them, at a bounded rate and from a
//! bounded queue; what does not fit is counted and dropped. An Event costs the API server as much as
//! a status, and ten thousand orders may come up at once.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter as Component};
use orderstream_api::conditions::{READY, SELLERS_NOTIFIED, STALLED, reasons};
use orderstream_api::manifest::API_VERSION;
use orderstream_api::order_status::OrderRequestStatus;
use orderstream_core::RequestPhase;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::object::ObjectKey;

/// Events that may wait to be published.
const WAITING_MAX: usize = 1_024;
/// The time limit of publishing one Event.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two Events, once [`BURST`] of them came together.
const GAP: Duration = Duration::from_millis(40);
/// Events that may be published at once after an idle time.
const BURST: u32 = 100;

/// Events among which repetitions are aggregated. A recorder keeps each for minutes, in a kilobyte
/// and a half, and searches all of them whenever it publishes one; so a new one is made after
/// these.
const RECORDED_MAX: u32 = 200;

/// The reason of an order that was refused before it was opened.
const FAILED: &str = RequestPhase::Failed.as_str();

/// A report about a resource, to be published as an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EventReport {
    object: ObjectKey,
    uid: String,
    content: EventContent,
}

/// The content of an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EventContent {
    is_warning: bool,
    reason: String,
    note: String,
}

/// The sender of reports. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    reports: mpsc::Sender<EventReport>,
    metrics: Arc<Metrics>,
}

/// Returns the Events for a change of a status from `known` to `next`: of the order's state, or that
/// it stalls. An order that is refused has one for both.
fn events_of_change(known: &OrderRequestStatus, next: &OrderRequestStatus) -> Vec<EventContent> {
    let warning = |reason: String, kind: &str| {
        let note = message_of(next, kind).to_owned();
        EventContent { is_warning: true, reason, note }
    };
    let entered = state(next).filter(|reason| state(known) != Some(*reason));
    let of_state = entered.and_then(|reason| event_of_state(reason, next));
    let is_refused = of_state.as_ref().is_some_and(|event| event.reason == FAILED);
    let stalls =
        stalled_reason(next).filter(|reason| Some(reason) != stalled_reason(known).as_ref());
    let of_stall = stalls.filter(|_| !is_refused).map(|reason| warning(reason, STALLED));
    let no_seller = begins_without_sellers(known, next)
        .then(|| warning(reasons::NO_SELLER_FITS.to_owned(), SELLERS_NOTIFIED));
    [of_state, of_stall, no_seller].into_iter().flatten().collect()
}

/// Returns the Event of an order's state; `None` for one without an Event.
fn event_of_state(reason: &str, status: &OrderRequestStatus) -> Option<EventContent> {
    let note = match reason {
        reasons::PROPOSALS_OPENED
        | reasons::DECISION_DUE
        | reasons::AWARD_PENDING
        | reasons::STREAM_DOWN => message_of(status, READY).to_owned(),
        phase => note_of_phase(RequestPhase::parse(phase)?, status)?,
    };
    let is_warning = matches!(reason, reasons::STREAM_DOWN | FAILED);
    Some(EventContent { is_warning, reason: reason.to_owned(), note })
}

/// Returns the note of the Event of a phase; `None` for a phase without one.
fn note_of_phase(phase: RequestPhase, status: &OrderRequestStatus) -> Option<String> {
    let note = match phase {
        RequestPhase::Pending => return None,
        RequestPhase::Open => {
            let processor = status.processor().unwrap_or("that has it");
            return Some(format!(
                "the order is open at the processor {processor} and takes proposals until \
                 status.expiresAt"
            ));
        }
        RequestPhase::Failed => {
            let refusal = status.condition(STALLED)?;
            let (message, reason) = (&refusal.message, &refusal.reason);
            return Some(format!(
                "the order was refused before it was opened: {message} [{reason}]"
            ));
        }
        RequestPhase::Paused => "the order takes no proposals until spec.suspend is false",
        RequestPhase::Deciding => {
            "the order waits for a decision; award a proposal, or end the order without an award"
        }
        RequestPhase::Finalised => "the order ended with a decision",
        RequestPhase::Expired => "the order's time ran out without a decision",
        RequestPhase::Closed => "the buyer closed the order without an award",
        RequestPhase::Cancelled => "the buyer cancelled the order",
    };
    Some(note.to_owned())
}

/// Returns the message of a condition, or an empty one where there is no such condition.
fn message_of<'a>(status: &'a OrderRequestStatus, kind: &str) -> &'a str {
    status.condition(kind).map_or("", |condition| condition.message.as_str())
}

impl Reporter {
    /// Makes a reporter, and the task that publishes.
    pub(crate) fn start(
        client: Client,
        identity: String,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (reports, waiting) = mpsc::channel(WAITING_MAX);
        let component =
            Component { controller: "orderstream.dev/controller".into(), instance: Some(identity) };
        let recorder = move || Recorder::new(client.clone(), component.clone());
        (
            Self { reports, metrics: Arc::clone(&metrics) },
            publish(recorder, waiting, metrics, shutdown),
        )
    }

    /// Reports a change of a status from `known` to `next`: the order's state, or that it stalls.
    pub(super) fn report_transition(
        &self,
        object: &ObjectKey,
        uid: &str,
        known: &OrderRequestStatus,
        next: &OrderRequestStatus,
    ) {
        for content in events_of_change(known, next) {
            self.enqueue(object, uid, content);
        }
    }

    /// Reports a resource that cannot be read.
    pub(crate) fn report_unreadable(&self, object: &ObjectKey, uid: &str) {
        let note = "the order request cannot be read, as its definition and the controller are of \
                    different versions; apply the definitions of the controller's version";
        let (reason, note) = ("Unreadable".to_owned(), note.to_owned());
        self.enqueue(object, uid, EventContent { is_warning: true, reason, note });
    }

    fn enqueue(&self, object: &ObjectKey, uid: &str, content: EventContent) {
        let (object, uid) = (object.clone(), uid.to_owned());
        if self.reports.try_send(EventReport { object, uid, content }).is_err() {
            self.metrics.event_dropped();
        }
    }
}

/// Returns an order's state: the reason of its condition `Ready`, else its phase.
fn state(status: &OrderRequestStatus) -> Option<&str> {
    let ready = status.condition(READY);
    ready.map(|ready| ready.reason.as_str()).or(status.phase.as_deref())
}

/// Reports whether a status is the first one that says that no seller fits the order.
fn begins_without_sellers(known: &OrderRequestStatus, next: &OrderRequestStatus) -> bool {
    let invites_nobody = |status: &OrderRequestStatus| {
        let condition = status.condition(SELLERS_NOTIFIED);
        condition.is_some_and(|condition| condition.reason == reasons::NO_SELLER_FITS)
    };
    invites_nobody(next) && !invites_nobody(known)
}

/// Returns the reason for which a status is stalled, in CamelCase as Events have it.
fn stalled_reason(status: &OrderRequestStatus) -> Option<String> {
    let condition = status.condition(STALLED)?;
    (condition.status == "True").then(|| camel_case(&condition.reason))
}

fn camel_case(reason: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect::<String>()
    };
    reason.split('_').map(word).collect()
}

async fn publish(
    new_recorder: impl Fn() -> Recorder,
    mut waiting: mpsc::Receiver<EventReport>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    let mut due = Instant::now();
    let (mut recorder, mut recorded) = (new_recorder(), 0);
    loop {
        let now = Instant::now();
        due = due.max(now) + GAP;
        let wait = due.saturating_duration_since(now + GAP * BURST);
        let report = tokio::select! {
            () = shutdown.cancelled() => return,
            report = async {
                tokio::time::sleep(wait).await;
                waiting.recv().await
            } => report,
        };
        let Some(report) = report else { return };
        let about = ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some("OrderRequest".to_owned()),
            name: Some(report.object.name.to_string()),
            namespace: Some(report.object.namespace.to_string()),
            uid: Some(report.uid),
            ..ObjectReference::default()
        };
        if recorded == RECORDED_MAX {
            (recorder, recorded) = (new_recorder(), 0);
        }
        recorded += 1;
        let EventContent { is_warning, reason, note } = report.content;
        let event = Event {
            type_: if is_warning { EventType::Warning } else { EventType::Normal },
            reason,
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let published = tokio::time::timeout(PUBLISH_TIMEOUT, recorder.publish(&event, &about));
        let failed = match published.await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        metrics.event_dropped();
        tracing::debug!(error = failed, "an Event was not published");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns a condition, with a message of its own.
    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({ "type": kind, "status": status, "reason": reason,
            "message": format!("{kind} is {status}, for {reason}; wait"),
            "lastTransitionTime": "2026-10-01T00:00:00Z" })
    }

    fn status(conditions: &[Value]) -> OrderRequestStatus {
        let stream = json!({ "processor": "http://p:50051" });
        serde_json::from_value(json!({ "conditions": conditions, "stream": stream })).unwrap()
    }

    #[test]
    fn orders_for_nobody_are_warned_of_once() {
        let status = |reason: &str| status(&[condition("SellersNotified", "False", reason)]);
        let (opening, lonely) = (status("NotOpened"), status("NoSellerFits"));
        let warned = events_of_change(&opening, &lonely);
        let reasons: Vec<_> = warned.iter().map(|event| event.reason.as_str()).collect();
        assert_eq!(reasons, ["NoSellerFits"]);
        assert_eq!(events_of_change(&lonely, &lonely), [], "it is reported");
        assert_eq!(events_of_change(&opening, &status("Notifying")), []);
        assert_eq!(events_of_change(&lonely, &status("Notifying")), []);
    }

    #[test]
    fn every_state_has_a_whole_note() {
        let states = RequestPhase::ALL.map(RequestPhase::as_str).into_iter().chain([
            reasons::PROPOSALS_OPENED,
            reasons::DECISION_DUE,
            reasons::AWARD_PENDING,
            reasons::STREAM_DOWN,
        ]);
        for reason in states.filter(|reason| *reason != "Pending") {
            let stalled = condition(
                "Stalled",
                if reason == FAILED { "True" } else { "False" },
                "INVALID_FIELD",
            );
            let next = status(&[condition("Ready", "True", reason), stalled]);
            let events = events_of_change(&OrderRequestStatus::default(), &next);
            let [event] = events.as_slice() else { panic!("{reason}: {events:?}") };
            assert_eq!(event.reason, reason);
            assert_eq!(event.is_warning, matches!(reason, "StreamDown" | "Failed"), "{reason}");
            assert!(event.note.contains(' ') && event.note.len() < 1_024, "{event:?}");
            assert!(!event.note.contains("the condition"), "{event:?} says it elsewhere");
        }
    }

    /// The order was refused, and nothing else is to be read.
    #[test]
    fn refused_orders_have_one_event() {
        let pending = status(&[condition("Ready", "False", "Pending")]);
        let stalled = condition("Stalled", "True", "INVALID_FIELD");
        let failed = status(&[condition("Ready", "False", "Failed"), stalled.clone()]);
        let events = events_of_change(&pending, &failed);
        let [event] = events.as_slice() else { panic!("{events:?}") };
        let expected = "the order was refused before it was opened: Stalled is True, for \
            INVALID_FIELD; wait [INVALID_FIELD]";
        assert_eq!((event.reason.as_str(), event.note.as_str()), ("Failed", expected));
        let open = condition("Ready", "True", "Open");
        let events =
            events_of_change(&status(std::slice::from_ref(&open)), &status(&[open, stalled]));
        let [event] = events.as_slice() else { panic!("{events:?}") };
        let expected = "Stalled is True, for INVALID_FIELD; wait";
        assert_eq!((event.reason.as_str(), event.note.as_str()), ("InvalidField", expected));
    }
}
