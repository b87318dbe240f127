//! One process: its host while it runs, and the parts that outlive the host.

use axum::body::Body;
use http::Request;
use orderstream_torture::send::http::PlainResponse;

use crate::clock::HostClock;
use crate::host::{Host, ResultSlot};
use crate::journal::HostJournal;
use crate::parts::{HostEnvironment, RunningService, processor, requestor};
use crate::plan::{HostRole, SyncEffect};

/// The time that a process has for ending before it is killed, milliseconds: the termination grace
/// period of Kubernetes.
const GRACE_MS: u64 = 30_000;
/// The back-off after a failed start, milliseconds.
const START_BACKOFF_MS: u64 = 300;

/// One process and the parts that outlive its host.
#[derive(Debug)]
pub(super) struct HostNode {
    role: HostRole,
    pub(super) clock: HostClock,
    pub(super) journal: HostJournal,
    up: Option<(Host, RunningService)>,
    /// The time of the next start while the process is down.
    start_at_ms: u64,
    /// While the process drains: the time at which it is killed, and the time for which it then
    /// stays down; milliseconds.
    stopping: Option<(u64, u64)>,
    frozen_until_ms: u64,
    held_until_ms: u64,
}

impl HostNode {
    pub(super) fn new(role: HostRole, syncs: SyncEffect) -> Self {
        Self {
            role,
            clock: HostClock::default(),
            journal: HostJournal::new(syncs),
            up: None,
            start_at_ms: 0,
            stopping: None,
            frozen_until_ms: 0,
            held_until_ms: 0,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.up.is_some() && self.stopping.is_none()
    }

    const fn is_frozen(&self, now_ms: u64) -> bool {
        now_ms < self.frozen_until_ms
    }

    /// Starts the process.
    pub(super) fn boot(&mut self, now_ms: u64, environment: &HostEnvironment) {
        let (host, journal) = (Host::boot(), self.journal.open());
        let running = match self.role {
            HostRole::Processor(at) => {
                processor(&host, &environment.urls[at], &journal, environment)
            }
            HostRole::Requestor => Some(requestor(&host, &journal, environment)),
        };
        match running {
            Some(running) => self.up = Some((host, running)),
            None => {
                drop(host);
                self.journal.close();
                self.start_at_ms = now_ms + START_BACKOFF_MS;
            }
        }
    }

    /// Ends the process abruptly.
    pub(super) fn crash(&mut self, start_at_ms: u64) {
        if self.up.take().is_some() {
            self.journal.close();
            self.start_at_ms = start_at_ms;
            (self.stopping, self.frozen_until_ms) = (None, 0);
        }
    }

    /// Makes the process drain and end.
    pub(super) fn stop(&mut self, now_ms: u64, down_ms: u64) {
        if let Some((_, running)) = &self.up
            && self.stopping.is_none()
        {
            running.shutdown.cancel();
            self.stopping = Some((now_ms + GRACE_MS, down_ms));
        }
    }

    pub(super) const fn freeze(&mut self, until_ms: u64) {
        self.frozen_until_ms = until_ms;
    }

    pub(super) const fn hold(&mut self, until_ms: u64) {
        self.held_until_ms = until_ms;
    }

    /// Sets the process's clock, and restarts it when it is due.
    pub(super) fn supervise(&mut self, now_ms: u64, environment: &HostEnvironment) {
        self.clock.set(now_ms);
        let has_ended = self.up.as_ref().is_some_and(|(_, it)| it.ended.lock().is_some());
        match self.stopping {
            Some((by_ms, down_ms)) if has_ended || by_ms <= now_ms => {
                self.crash(now_ms + down_ms);
            }
            // The process could not start.
            None if has_ended => self.crash(now_ms + START_BACKOFF_MS),
            Some(_) | None => {}
        }
        if self.up.is_none() && self.start_at_ms <= now_ms {
            self.boot(now_ms, environment);
        }
    }

    /// Lets the process's disk work.
    pub(super) fn pump(&self, now_ms: u64, rng: &mut fastrand::Rng) {
        if self.up.is_some() && !self.is_frozen(now_ms) && self.held_until_ms <= now_ms {
            self.journal.pump(rng);
        }
    }

    /// Runs the process for one tick.
    pub(super) fn tick(&self, now_ms: u64) {
        if let Some((host, _)) = &self.up
            && !self.is_frozen(now_ms)
        {
            host.tick();
        }
    }

    /// Sends a request to the process's REST router.
    pub(super) fn send(&self, request: Request<Body>) -> Option<ResultSlot<PlainResponse>> {
        let (host, running) = self.up.as_ref()?;
        running.send(host, request)
    }
}
