//! One process: its host while it is up, and its parts that outlive the host.

use axum::body::Body;
use http::Request;
use orderstream_torture::send::http::Answer;

use crate::clock::WallClock;
use crate::host::{Host, Slot};
use crate::journal::Device;
use crate::parts::{Ground, Running, processor, requestor};
use crate::plan::{Part, Syncs};

/// The time in which a process has to end before it is killed, milliseconds: as Kubernetes grants
/// it.
const GRACE_MS: u64 = 30_000;
/// The back-off after a failed start, milliseconds.
const START_PAUSE_MS: u64 = 300;

/// One process.
#[derive(Debug)]
pub(super) struct Node {
    part: Part,
    pub(super) clock: WallClock,
    pub(super) device: Device,
    up: Option<(Host, Running)>,
    /// The time of its next start, while it is down.
    start_at_ms: u64,
    /// While it drains: the time at which it is killed, and the time for which it stays down then;
    /// milliseconds.
    stopping: Option<(u64, u64)>,
    frozen_until_ms: u64,
    held_until_ms: u64,
}

impl Node {
    pub(super) fn new(part: Part, syncs: Syncs) -> Self {
        Self {
            part,
            clock: WallClock::default(),
            device: Device::new(syncs),
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

    /// Starts it.
    pub(super) fn boot(&mut self, now_ms: u64, ground: &Ground) {
        let (host, journal) = (Host::boot(), self.device.open());
        let running = match self.part {
            Part::Processor(at) => processor(&host, &ground.urls[at], &journal, ground),
            Part::Requestor => Some(requestor(&host, &journal, ground)),
        };
        match running {
            Some(running) => self.up = Some((host, running)),
            None => {
                drop(host);
                self.device.close();
                self.start_at_ms = now_ms + START_PAUSE_MS;
            }
        }
    }

    /// Ends it in the middle of whatever it does.
    pub(super) fn crash(&mut self, start_at_ms: u64) {
        if self.up.take().is_some() {
            self.device.close();
            self.start_at_ms = start_at_ms;
            (self.stopping, self.frozen_until_ms) = (None, 0);
        }
    }

    /// Tells it to drain and end.
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

    /// Sets its clock, and restarts it at its time.
    pub(super) fn look_after(&mut self, now_ms: u64, ground: &Ground) {
        self.clock.set(now_ms);
        let has_ended = self.up.as_ref().is_some_and(|(_, it)| it.ended.lock().is_some());
        match self.stopping {
            Some((by_ms, down_ms)) if has_ended || by_ms <= now_ms => {
                self.crash(now_ms + down_ms);
            }
            // It could not start.
            None if has_ended => self.crash(now_ms + START_PAUSE_MS),
            Some(_) | None => {}
        }
        if self.up.is_none() && self.start_at_ms <= now_ms {
            self.boot(now_ms, ground);
        }
    }

    /// Lets its disk work.
    pub(super) fn pump(&self, now_ms: u64, rng: &mut fastrand::Rng) {
        if self.up.is_some() && !self.is_frozen(now_ms) && self.held_until_ms <= now_ms {
            self.device.pump(rng);
        }
    }

    /// Lets it run.
    pub(super) fn tick(&self, now_ms: u64) {
        if let Some((host, _)) = &self.up
            && !self.is_frozen(now_ms)
        {
            host.tick();
        }
    }

    /// Sends a request to its REST.
    pub(super) fn ask(&self, request: Request<Body>) -> Option<Slot<Answer>> {
        let (host, running) = self.up.as_ref()?;
        running.ask(host, request)
    }
}
