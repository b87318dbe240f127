//! Pollers of the requestor's and the processors' pages.

use axum::body::Body;
use http::Request;
use orderstream_torture::command::ClientInterface;
use orderstream_torture::history::{HistoryLine, OrderListReading, PageLookup, PageReading};
use orderstream_torture::read::poll::PolledPage;
use orderstream_torture::send::http::PlainResponse;

use crate::client::RequestTarget;
use crate::host::ResultSlot;
use crate::readers::SimulationRecorder;

/// The interval between two reads, milliseconds.
const POLL_INTERVAL_MS: u64 = 90;
/// The timeout of one read, milliseconds.
const DEADLINE_MS: u64 = 3_000;
/// The path of the requestor's list of orders.
const ROLL_PATH: &str = "/api/v1/orders/tracking/status";

/// All pollers.
#[derive(Debug)]
pub(super) struct PagePollers {
    pollers: Vec<PagePoller>,
    roll: PollState,
    last_roll: Option<Vec<String>>,
}

#[derive(Debug)]
struct PagePoller {
    page: PolledPage,
    order: String,
    over: ClientInterface,
    poll: PollState,
    before: Option<PageReading>,
}

/// The reads of one page, one after the other.
#[derive(Debug, Default)]
struct PollState {
    pending: Option<(u64, u64, ResultSlot<PlainResponse>)>,
    next_ms: u64,
}

impl PollState {
    /// Runs the next step; returns a response and the time of its request, if one has arrived.
    fn step(
        &mut self,
        now_ms: u64,
        now_us: u64,
        send: impl FnOnce() -> Option<ResultSlot<PlainResponse>>,
    ) -> Option<(u64, PlainResponse)> {
        if let Some((since_ms, t_call, slot)) = &self.pending {
            let response = slot.lock().take().map(|answer| (*t_call, answer));
            if response.is_some() || since_ms + DEADLINE_MS <= now_ms {
                self.pending = None;
                self.next_ms = now_ms + POLL_INTERVAL_MS;
            }
            return response;
        }
        if self.next_ms <= now_ms {
            self.next_ms = now_ms + POLL_INTERVAL_MS;
            self.pending = send().map(|slot| (now_ms, now_us, slot));
        }
        None
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a path")
}

impl PagePollers {
    /// Creates pollers of each order at the requestor and at its owner.
    pub(super) fn new(orders: &[(String, ClientInterface)]) -> Self {
        let mut pollers = Vec::new();
        for (order, home) in orders {
            for (page, over) in
                [(PolledPage::Tracking, ClientInterface::Requestor), (PolledPage::Order, *home)]
            {
                let order = order.clone();
                let poll = PollState::default();
                pollers.push(PagePoller { page, order, over, poll, before: None });
            }
        }
        Self { pollers, roll: PollState::default(), last_roll: None }
    }

    pub(super) fn step(
        &mut self,
        now_ms: u64,
        target: &impl RequestTarget,
        recorder: &SimulationRecorder,
    ) {
        for poller in &mut self.pollers {
            poller.step(now_ms, target, recorder);
        }
        let now_us = recorder.now();
        let send = || target.send(ClientInterface::Requestor, get(ROLL_PATH));
        let Some((t_call, response)) = self.roll.step(now_ms, now_us, send) else { return };
        let body = response.json();
        let ids = body["tracked_order_ids"].as_array().into_iter().flatten();
        let orders: Vec<_> = ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect();
        let Some(total) = body["total_orders"].as_u64().filter(|_| response.status == 200) else {
            return;
        };
        if self.last_roll.as_ref() != Some(&orders) {
            self.last_roll = Some(orders.clone());
            recorder.write(HistoryLine::OrderList(OrderListReading {
                called_at: t_call,
                returned_at: now_us,
                orders,
                total,
            }));
        }
    }

    /// Returns the phase of an order on the requestor's page; empty while the page has none.
    pub(super) fn phase(&self, order: &str) -> String {
        let mut pollers = self.pollers.iter().filter(|it| it.order == order);
        let poller = pollers.find(|it| matches!(it.page, PolledPage::Tracking));
        match poller.and_then(|it| it.before.as_ref()).map(|view| &view.result) {
            Some(PageLookup::Order(order_view)) => order_view.phase.clone(),
            Some(PageLookup::NotFound) | None => String::new(),
        }
    }

    /// Reports whether all pages of an order include this number of events.
    pub(super) fn have_shown(&self, order: &str, last: u64) -> bool {
        let mut of_order = self.pollers.iter().filter(|it| it.order == order);
        of_order.all(|it| match it.before.as_ref().map(|view| &view.result) {
            Some(PageLookup::Order(order_view)) => order_view.last_seq >= last,
            Some(PageLookup::NotFound) | None => false,
        })
    }

    /// Records the last read of each page as the last one.
    pub(super) fn finish(&mut self, recorder: &SimulationRecorder) {
        for poller in &mut self.pollers {
            if let Some(view) = poller.before.take() {
                recorder.write(HistoryLine::Page(PageReading { is_last: true, ..view }));
            }
        }
    }
}

impl PagePoller {
    fn step(&mut self, now_ms: u64, target: &impl RequestTarget, recorder: &SimulationRecorder) {
        let Self { page, order, over, .. } = self;
        let now_us = recorder.now();
        let send = || target.send(*over, get(&page.path(order)));
        let Some((t_call, response)) = self.poll.step(now_ms, now_us, send) else { return };
        let body = response.json();
        let found = match (response.status, body["reason"].as_str()) {
            (200, _) => PageLookup::Order(page.parse(&body)),
            (404, Some("ORDER_NOT_FOUND")) => PageLookup::NotFound,
            _ => return,
        };
        let (page, order) = (page.name().to_owned(), order.clone());
        let view = PageReading {
            called_at: t_call,
            returned_at: now_us,
            page,
            order,
            result: found,
            is_last: false,
        };
        // Unchanged content is not recorded.
        if self.before.as_ref().map(|before| &before.result) != Some(&view.result) {
            recorder.write(HistoryLine::Page(view.clone()));
        }
        self.before = Some(view);
    }
}
