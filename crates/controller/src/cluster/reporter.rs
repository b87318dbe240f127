//! Kubernetes Events at edges: when an order streams, ends, is refused. Constant notes for each
//! reason, so that the server can fold repetitions; one task, a bounded rate and a bounded queue,
//! and what does not fit is counted and dropped. An Event costs the API server as much as a status,
//! and ten thousand orders may come up at once.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter as Component};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cache::ObjectKey;
use super::metrics::Metrics;
use crate::manifest::API_VERSION;
use crate::order_status::OrderRequestStatus;

/// Events that may wait.
const WAITING_MAX: usize = 1_024;
/// How long publishing one may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two Events, once [`BURST`] of them came together.
const GAP: Duration = Duration::from_millis(40);
/// Events that may be published at once after a quiet time.
const BURST: u32 = 100;

/// Events among which repetitions are folded. A recorder keeps each for minutes, in a kilobyte and a
/// half, and looks through all of them whenever it publishes one; so it is made anew after these.
const RECORDED_MAX: u32 = 200;

/// What is to be told about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    object: ObjectKey,
    uid: String,
    is_warning: bool,
    reason: String,
    note: &'static str,
}

/// Takes reports. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    reports: mpsc::Sender<Report>,
    metrics: Arc<Metrics>,
}

/// The note of how an order stands now, and whether it is a warning; `None` for what nobody waits for.
fn of_standing(standing: &str) -> Option<(bool, &'static str)> {
    Some(match standing {
        "Streaming" => (false, "the order is open and its proposals are followed"),
        "Paused" => (false, "the order takes no proposals for now"),
        "ProposalsOpened" => (false, "the sealed order is opened and awaits a decision"),
        "AwardPending" => (false, "an award waits to count and can be undone"),
        "Reconnecting" => (true, "the stream to the processor is down and is opened again"),
        "Finalised" => (false, "the order ended with a decision"),
        "Expired" => (false, "the order's time ran out"),
        "Closed" => (false, "the order was closed"),
        "Cancelled" => (false, "the order was cancelled"),
        "Failed" => (true, "the order was refused; the condition Stalled says why"),
        _ => return None,
    })
}

impl Reporter {
    /// A reporter, and the task that publishes.
    pub(super) fn start(
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

    /// A status has changed from `known` to `next`: tells how the order stands now, or that it stalls.
    pub(super) fn edge(
        &self,
        object: &ObjectKey,
        uid: &str,
        known: &OrderRequestStatus,
        next: &OrderRequestStatus,
    ) {
        if standing(known) != standing(next)
            && let Some(standing) = standing(next)
            && let Some((is_warning, note)) = of_standing(standing)
        {
            self.tell(object, uid, (is_warning, standing.to_owned(), note));
        }
        if let Some(reason) = stalled(next).filter(|reason| Some(reason) != stalled(known).as_ref())
        {
            self.tell(object, uid, (true, reason, "see the condition Stalled"));
        }
    }

    /// The resource cannot be read.
    pub(super) fn unreadable(&self, object: &ObjectKey, uid: &str) {
        let note = "this OrderRequest cannot be read; its definition and the controller differ";
        self.tell(object, uid, (true, "Unreadable".to_owned(), note));
    }

    fn tell(&self, object: &ObjectKey, uid: &str, told: (bool, String, &'static str)) {
        let (is_warning, reason, note) = told;
        let (object, uid) = (object.clone(), uid.to_owned());
        if self.reports.try_send(Report { object, uid, is_warning, reason, note }).is_err() {
            self.metrics.event_dropped();
        }
    }
}

/// How an order stands: its phase, or what it waits for in that phase.
fn standing(status: &OrderRequestStatus) -> Option<&str> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.reason.as_str()).or(status.phase.as_deref())
}

/// Why a status is stalled, in CamelCase as Events have it.
fn stalled(status: &OrderRequestStatus) -> Option<String> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Stalled")?;
    (condition.status == "True").then(|| camel(&condition.reason))
}

fn camel(reason: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect::<String>()
    };
    reason.split('_').map(word).collect()
}

async fn publish(
    new_recorder: impl Fn() -> Recorder,
    mut waiting: mpsc::Receiver<Report>,
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
