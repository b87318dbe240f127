//! Pollers of the pages of the requestor and the processors.

use axum::body::Body;
use http::Request;
use orderstream_torture::history::{Found, Line, Roll, View};
use orderstream_torture::op::Over;
use orderstream_torture::read::poll::Page;
use orderstream_torture::send::http::Answer;

use crate::client::Asked;
use crate::host::Slot;
use crate::readers::Recorder;

/// The pause between two readings, milliseconds.
const PAUSE_MS: u64 = 90;
/// The deadline of one reading, milliseconds.
const DEADLINE_MS: u64 = 3_000;
/// The path of the requestor's list of orders.
const ROLL: &str = "/api/v1/orders/tracking/status";

/// All pollers.
#[derive(Debug)]
pub(super) struct Pages {
    watchers: Vec<Watcher>,
    roll: Look,
    rolled: Option<Vec<String>>,
}

#[derive(Debug)]
struct Watcher {
    page: Page,
    order: String,
    over: Over,
    look: Look,
    before: Option<View>,
}

/// The readings of one page, one after the other.
#[derive(Debug, Default)]
struct Look {
    asked: Option<(u64, u64, Slot<Answer>)>,
    next_ms: u64,
}

impl Look {
    /// Continues; returns an answer and the time of its request, if there is one now.
    fn step(
        &mut self,
        (now_ms, t): (u64, u64),
        ask: impl FnOnce() -> Option<Slot<Answer>>,
    ) -> Option<(u64, Answer)> {
        if let Some((since_ms, t_call, slot)) = &self.asked {
            let answer = slot.lock().take().map(|answer| (*t_call, answer));
            if answer.is_some() || since_ms + DEADLINE_MS <= now_ms {
                self.asked = None;
                self.next_ms = now_ms + PAUSE_MS;
            }
            return answer;
        }
        if self.next_ms <= now_ms {
            self.next_ms = now_ms + PAUSE_MS;
            self.asked = ask().map(|slot| (now_ms, t, slot));
        }
        None
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a path")
}

impl Pages {
    /// Returns pollers of each order at the requestor and at its processor.
    pub(super) fn new(orders: &[(String, Over)]) -> Self {
        let mut watchers = Vec::new();
        for (order, home) in orders {
            for (page, over) in [(Page::Tracking, Over::Requestor), (Page::Order, *home)] {
                let order = order.clone();
                let look = Look::default();
                watchers.push(Watcher { page, order, over, look, before: None });
            }
        }
        Self { watchers, roll: Look::default(), rolled: None }
    }

    pub(super) fn step(&mut self, now_ms: u64, world: &impl Asked, recorder: &Recorder) {
        for watcher in &mut self.watchers {
            watcher.step(now_ms, world, recorder);
        }
        let t = recorder.now();
        let ask = || world.ask(Over::Requestor, get(ROLL));
        let Some((t_call, answer)) = self.roll.step((now_ms, t), ask) else { return };
        let body = answer.json();
        let ids = body["tracked_order_ids"].as_array().into_iter().flatten();
        let orders: Vec<_> = ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect();
        let Some(total) = body["total_orders"].as_u64().filter(|_| answer.status == 200) else {
            return;
        };
        if self.rolled.as_ref() != Some(&orders) {
            self.rolled = Some(orders.clone());
            recorder.write(Line::Roll(Roll { t_call, t_ret: t, orders, total }));
        }
    }

    /// Returns the phase of an order as the requestor shows it; empty while it shows none.
    pub(super) fn phase(&self, order: &str) -> String {
        let mut shown = self.watchers.iter().filter(|it| it.order == order);
        let shown = shown.find(|it| matches!(it.page, Page::Tracking));
        match shown.and_then(|it| it.before.as_ref()).map(|view| &view.found) {
            Some(Found::Order(seen)) => seen.phase.clone(),
            Some(Found::Nothing) | None => String::new(),
        }
    }

    /// Reports whether all pages of an order have shown this number of events.
    pub(super) fn have_seen(&self, order: &str, last: u64) -> bool {
        let mut of_order = self.watchers.iter().filter(|it| it.order == order);
        of_order.all(|it| match it.before.as_ref().map(|view| &view.found) {
            Some(Found::Order(seen)) => seen.last_seq >= last,
            Some(Found::Nothing) | None => false,
        })
    }

    /// Records the last reading of each page as such.
    pub(super) fn finish(&mut self, recorder: &Recorder) {
        for watcher in &mut self.watchers {
            if let Some(view) = watcher.before.take() {
                recorder.write(Line::View(View { is_last: true, ..view }));
            }
        }
    }
}

impl Watcher {
    fn step(&mut self, now_ms: u64, world: &impl Asked, recorder: &Recorder) {
        let Self { page, order, over, .. } = self;
        let t = recorder.now();
        let ask = || world.ask(*over, get(&page.path(order)));
        let Some((t_call, answer)) = self.look.step((now_ms, t), ask) else { return };
        let body = answer.json();
        let found = match (answer.status, body["reason"].as_str()) {
            (200, _) => Found::Order(page.seen(&body)),
            (404, Some("ORDER_NOT_FOUND")) => Found::Nothing,
            _ => return,
        };
        let (page, order) = (page.name().to_owned(), order.clone());
        let view = View { t_call, t_ret: t, page, order, found, is_last: false };
        // The same as before says nothing new.
        if self.before.as_ref().map(|before| &before.found) != Some(&view.found) {
            recorder.write(Line::View(view.clone()));
        }
        self.before = Some(view);
    }
}
