//! Kubernetes Events at edges: when an order is open, ends or is refused. Each reason has a
//! constant note, so that the server can aggregate repetitions. One task publishes them, at a
//! bounded rate and from a bounded queue; what does not fit is counted and dropped. An Event costs
//! the API server as much as a status, and ten thousand orders may come up at once.

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

/// A report about a resource, to be published as an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EventReport {
    object: ObjectKey,
    uid: String,
    is_warning: bool,
    reason: String,
    note: &'static str,
}

/// The sender of reports. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    reports: mpsc::Sender<EventReport>,
    metrics: Arc<Metrics>,
}

/// Returns whether an order's state is a warning, and its note; `None` for one without an Event.
fn event_of_reason(reason: &str) -> Option<(bool, &'static str)> {
    Some(match reason {
        reasons::PROPOSALS_OPENED => (false, "the sealed order is opened and awaits a decision"),
        reasons::DECISION_DUE => (false, "the order's time is over and it awaits a decision"),
        reasons::AWARD_PENDING => (false, "an award waits to count and can be undone"),
        reasons::STREAM_DOWN => (true, "the stream to the processor is down and is opened again"),
        phase => return event_of_phase(RequestPhase::parse(phase)?),
    })
}

/// Returns whether a phase is a warning, and its note; `None` for one without an Event.
const fn event_of_phase(phase: RequestPhase) -> Option<(bool, &'static str)> {
    Some(match phase {
        RequestPhase::Pending => return None,
        RequestPhase::Open => (false, "the order is open and its proposals are followed"),
        RequestPhase::Paused => (false, "the order takes no proposals for now"),
        RequestPhase::Deciding => (false, "the order awaits a decision"),
        RequestPhase::Finalised => (false, "the order ended with a decision"),
        RequestPhase::Expired => (false, "the order's time ran out"),
        RequestPhase::Closed => (false, "the order was closed"),
        RequestPhase::Cancelled => (false, "the order was cancelled"),
        RequestPhase::Failed => (true, "the order was refused; the condition Stalled says why"),
    })
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
        if ready_reason(known) != ready_reason(next)
            && let Some(reason) = ready_reason(next)
            && let Some((is_warning, note)) = event_of_reason(reason)
        {
            self.enqueue(object, uid, (is_warning, reason.to_owned(), note));
        }
        if let Some(reason) =
            stalled_reason(next).filter(|reason| Some(reason) != stalled_reason(known).as_ref())
        {
            self.enqueue(object, uid, (true, reason, "see the condition Stalled"));
        }
        if begins_without_sellers(known, next) {
            let note = "the order invites no seller, as none fits; anybody may propose";
            self.enqueue(object, uid, (true, reasons::NO_SELLER_FITS.to_owned(), note));
        }
    }

    /// Reports a resource that cannot be read.
    pub(crate) fn report_unreadable(&self, object: &ObjectKey, uid: &str) {
        let note = "this OrderRequest cannot be read; its definition and the controller differ";
        self.enqueue(object, uid, (true, "Unreadable".to_owned(), note));
    }

    fn enqueue(&self, object: &ObjectKey, uid: &str, content: (bool, String, &'static str)) {
        let (is_warning, reason, note) = content;
        let (object, uid) = (object.clone(), uid.to_owned());
        if self.reports.try_send(EventReport { object, uid, is_warning, reason, note }).is_err() {
            self.metrics.event_dropped();
        }
    }
}

/// Returns an order's state: the reason of its condition `Ready`, else its phase.
fn ready_reason(status: &OrderRequestStatus) -> Option<&str> {
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
        let event = Event {
            type_: if report.is_warning { EventType::Warning } else { EventType::Normal },
            reason: report.reason,
            note: Some(report.note.to_owned()),
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
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_for_nobody_are_warned_of_once() {
        let status = |reason: &str| {
            let condition = json!({ "type": "SellersNotified", "status": "False", "message": "",
                "reason": reason, "lastTransitionTime": "2026-10-01T00:00:00Z" });
            let status = json!({ "conditions": [condition] });
            serde_json::from_value::<OrderRequestStatus>(status).unwrap()
        };
        let (opening, lonely) = (status("NotOpened"), status("NoSellerFits"));
        assert!(begins_without_sellers(&opening, &lonely));
        assert!(!begins_without_sellers(&lonely, &lonely), "it is reported");
        assert!(!begins_without_sellers(&opening, &status("Notifying")));
        assert!(!begins_without_sellers(&lonely, &status("Notifying")));
    }
}
