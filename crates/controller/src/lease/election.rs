//! The election loop: reads the Lease, does what [`super::decide`] decides, and sets [`Leadership`].
//! A lost lease stops only the writing; the process campaigns again.

use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff;
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client};
use orderstream_core::Epoch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decide::{
    self, ElectionDecision, ElectionTimings, LeaseView, ObservedLease, decide, epoch, next_count,
};
use super::leadership::{ElectionState, Leadership};
use crate::metrics::{Metrics, Requests};
use crate::watch::{Listing, persistent_watch};

/// The time limit of one request; a renewal that takes longer is tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// The back-off after a failed request.
const RETRY: Duration = Duration::from_millis(500);

/// The settings of an election.
#[derive(Clone, Debug)]
pub struct Election {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// This process's identity, another one at every start.
    pub identity: String,
    /// The prefix of the identities of former processes of the same pod; set where there can be
    /// only one process at a time.
    pub identity_prefix: Option<String>,
    /// The election's times.
    pub times: ElectionTimings,
    /// Set when others take part; if not, the lease is taken whoever holds it.
    pub is_contested: bool,
}

/// This process as a candidate.
struct LeaderElector<'a> {
    election: &'a Election,
    api: Api<Lease>,
    leadership: &'a Leadership,
    metrics: &'a Metrics,
    requests: Requests,
    /// Set when the last round failed: the fault is reported once.
    is_failing: bool,
    observed: Option<ObservedLease>,
    /// The lease as it was read or written last.
    lease: Option<Lease>,
    held_epoch: Option<Epoch>,
    /// The epoch that it held last. While the Lease still has it, nobody led in between.
    last_epoch: Option<Epoch>,
    renewed_at: Instant,
}

/// Campaigns until shutdown, then releases the lease.
pub(crate) async fn run(
    election: Election,
    (client, requests): (Client, Requests),
    leadership: Leadership,
    metrics: &Metrics,
    shutdown: CancellationToken,
) {
    let api: Api<Lease> = Api::namespaced(client, &election.namespace);
    let fields = format!("metadata.name={}", election.name);
    let config = watcher::Config::default().fields(&fields).timeout(30);
    let mut lease_events = std::pin::pin!(persistent_watch(api.clone(), config, Listing::Paged));
    let mut elector = LeaderElector {
        election: &election,
        api,
        leadership: &leadership,
        metrics,
        requests,
        is_failing: false,
        observed: None,
        lease: None,
        held_epoch: None,
        last_epoch: None,
        renewed_at: Instant::now(),
    };
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            // A change of the lease is only a reason for a round.
            event = lease_events.next() => if elector.is_new_version(event.as_ref().and_then(|e| e.as_ref().ok())) {
                next = elector.run_round().await;
            },
            () = leadership.raised() => next = elector.run_round().await,
            () = tokio::time::sleep_until(next) => next = elector.run_round().await,
        }
    }
    elector.release().await;
}

impl LeaderElector<'_> {
    /// Reports whether the watch delivers an unknown version of the lease.
    fn is_new_version(&self, event: Option<&watcher::Event<Lease>>) -> bool {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        match event {
            Some(watcher::Event::Apply(lease) | watcher::Event::InitApply(lease)) => {
                version(lease) != self.lease.as_ref().and_then(version)
            }
            Some(watcher::Event::Delete(_)) => true,
            Some(watcher::Event::Init | watcher::Event::InitDone) | None => false,
        }
    }

    /// Runs one round, and returns the time of the next.
    async fn run_round(&mut self) -> Instant {
        let times = self.election.times;
        match self.round().await {
            Ok(next) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the lease can be read and written again");
                }
                next
            }
            Err(error) => {
                // The last version read cannot be trusted after a conflict or a lost response.
                self.lease = None;
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "the lease cannot be read or written; retrying");
                }
                let ends = self.renewed_at + times.lease.saturating_sub(times.margin);
                if self.held_epoch.is_some() && Instant::now() >= ends {
                    self.lose("it was not renewed in time", ElectionState::Unsure);
                }
                Instant::now() + self.requests.backoff().unwrap_or_default().max(RETRY)
            }
        }
    }

    async fn round(&mut self) -> Result<Instant, String> {
        let times = self.election.times;
        let stored = match self.lease.take().filter(|_| self.held_epoch.is_some()) {
            Some(held) => Some(held),
            None => within(self.api.get_opt(&self.election.name)).await?,
        };
        let now = Instant::now();
        let view = stored.as_ref().and_then(|held| held.spec.as_ref()).map(LeaseView::from);
        let observed = ObservedLease::record(self.observed.take(), view.unwrap_or_default(), now);
        let candidate = decide::CandidateIdentity {
            identity: &self.election.identity,
            identity_prefix: self.election.identity_prefix.as_deref(),
            holding: self.held_epoch.or(self.last_epoch),
        };
        let decision = decide(&observed, candidate, (self.leadership.floor(), &times), now);
        self.observed = Some(observed);
        match decision {
            ElectionDecision::Wait(_)
                if !self.election.is_contested && self.held_epoch.is_none() =>
            {
                let count = next_count(self.count_of(stored.as_ref()), self.leadership.floor());
                self.write(stored, count).await
            }
            ElectionDecision::Wait(until) => {
                if self.last_epoch.take().is_some() {
                    self.lose("somebody else took it", ElectionState::Follows);
                }
                self.lease = stored;
                Ok(until.min(now + times.renew))
            }
            ElectionDecision::Take(count) => self.write(stored, count).await,
            ElectionDecision::Renew => {
                let count = self.count_of(stored.as_ref());
                self.write(stored, count).await
            }
        }
    }

    fn count_of(&self, lease: Option<&Lease>) -> i32 {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        spec.and_then(|spec| spec.lease_transitions).unwrap_or_default()
    }

    /// Writes holder, count and time in one request; fails if the lease was written since it was
    /// read.
    async fn write(&mut self, lease: Option<Lease>, count: i32) -> Result<Instant, String> {
        let times = self.election.times;
        let began = Instant::now();
        let is_new = self.held_epoch != Some(epoch(count));
        // Absent if this process only continues its lead after it could not reach the API server.
        let former = self.observed.clone().filter(|_| self.last_epoch != Some(epoch(count)));
        let desired = self.desired_lease(lease.as_ref(), count);
        let params = PostParams::default();
        let stored = match lease {
            Some(_) => within(self.api.replace(&self.election.name, &params, &desired)).await?,
            None => within(self.api.create(&params, &desired)).await?,
        };
        let view = stored.spec.as_ref().map(LeaseView::from).unwrap_or_default();
        self.observed = Some(ObservedLease::record(self.observed.take(), view, Instant::now()));
        self.lease = Some(stored);
        self.renewed_at = began;
        self.held_epoch = Some(epoch(count));
        self.last_epoch = self.held_epoch;
        let until = began + times.lease.saturating_sub(times.margin);
        self.leadership.hold(epoch(count), until);
        if is_new {
            self.metrics.started_leading();
            if let Some(silent) = former.and_then(|former| former.silent_for(Instant::now())) {
                self.metrics.took_over(silent.as_secs_f64());
            }
            let epoch = epoch(count).0;
            tracing::info!(epoch, identity = self.election.identity, "this process leads");
        }
        Ok(began + times.renew)
    }

    fn desired_lease(&self, lease: Option<&Lease>, count: i32) -> Lease {
        let now = MicroTime(jiff::Timestamp::now());
        let former = lease.and_then(|lease| lease.spec.as_ref());
        let acquired = former
            .and_then(|spec| spec.acquire_time.clone())
            .filter(|_| self.held_epoch == Some(epoch(count)));
        let seconds = i32::try_from(self.election.times.lease.as_secs()).unwrap_or(i32::MAX);
        let metadata = lease.map_or_else(
            || ObjectMeta { name: Some(self.election.name.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        let spec = LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_transitions: Some(count),
            lease_duration_seconds: Some(seconds),
            acquire_time: acquired.or_else(|| Some(now.clone())),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    fn lose(&mut self, why: &str, state: ElectionState) {
        self.held_epoch = None;
        self.leadership.lose(state);
        self.metrics.stopped_leading();
        tracing::warn!(why, "this process no longer leads");
    }

    /// Releases the lease, so that the next leader need not wait for its end.
    async fn release(&mut self) {
        if self.held_epoch.is_none() {
            return;
        }
        self.lose("it stops", ElectionState::Follows);
        let Some(mut lease) = self.lease.take() else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        let params = PostParams::default();
        if let Err(error) = within(self.api.replace(&self.election.name, &params, &lease)).await {
            tracing::warn!(%error, "the lease could not be released; it expires by itself");
        }
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(response) => response.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
    }
}
