//! Buyers and sellers that poll pages.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::history::{Found, Line, Recorder, Roll, Seen, View};
use crate::name;
use crate::send::http;

/// The pause between two readings.
const PAUSE: Duration = Duration::from_millis(150);
/// The deadline of one reading.
const DEADLINE: Duration = Duration::from_secs(3);

/// A page that shows one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The requestor's `tracking/{order}`.
    Tracking,
    /// A processor's `orders/{order}`.
    Order,
}

impl Page {
    /// Returns its name in a history.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracking => "tracking",
            Self::Order => "order",
        }
    }

    /// Returns its path.
    pub fn path(self, order: &str) -> String {
        match self {
            Self::Tracking => format!("/api/v1/orders/tracking/{order}"),
            Self::Order => format!("/api/v1/orders/{}{}", name::id(order), name::query(order)),
        }
    }

    /// Reads the order's state from a response.
    pub fn seen(self, body: &Value) -> Seen {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let kinds = ["received", "open", "withdrawn", "closed"];
        let (proposals, follow_ups) = match self {
            Self::Tracking => {
                (kinds.map(|kind| number(&body[format!("proposals_{kind}")])), "notes_count")
            }
            Self::Order => (kinds.map(|kind| number(&body["proposals"][kind])), "follow_ups"),
        };
        Seen {
            phase: text("phase"),
            last_seq: number(&body["last_seq"]),
            epoch: number(&body["epoch"]),
            proposals,
            follow_ups: number(&body[follow_ups]),
            incarnation: text("incarnation"),
        }
    }
}

/// Reads a page once. `None` when there was no usable answer.
pub async fn look(
    address: SocketAddr,
    page: Page,
    order: &str,
    recorder: &Recorder,
) -> Option<View> {
    let t_call = recorder.now();
    let path = page.path(order);
    let asked = http::get(address, &path);
    let answer = tokio::time::timeout(DEADLINE, asked).await.ok()?.ok()?;
    let body = answer.json();
    let found = match (answer.status, body["reason"].as_str()) {
        (200, _) => Found::Order(page.seen(&body)),
        (404, Some("ORDER_NOT_FOUND")) => Found::Nothing,
        _ => return None,
    };
    let (page, order) = (page.name().to_owned(), order.to_owned());
    Some(View { t_call, t_ret: recorder.now(), page, order, found, is_last: false })
}

/// Polls one page of one order for ever.
pub async fn watch(address: SocketAddr, page: Page, order: String, recorder: Recorder) {
    let mut before = None;
    loop {
        if let Some(view) = look(address, page, &order, &recorder).await {
            // The same as before says nothing new.
            if before.as_ref() != Some(&view.found) {
                before = Some(view.found.clone());
                recorder.write(Line::View(view));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads the requestor's list of orders once.
pub async fn roll(address: SocketAddr, recorder: &Recorder) -> Option<Roll> {
    let t_call = recorder.now();
    let asked = http::get(address, "/api/v1/orders/tracking/status");
    let answer = tokio::time::timeout(DEADLINE, asked).await.ok()?.ok()?;
    let body = answer.json();
    if answer.status != 200 {
        return None;
    }
    let ids = body["tracked_order_ids"].as_array()?.iter();
    let orders = ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect();
    let total = body["total_orders"].as_u64()?;
    Some(Roll { t_call, t_ret: recorder.now(), orders, total })
}

/// Polls the requestor's list of orders for ever.
pub async fn watch_roll(address: SocketAddr, recorder: Recorder) {
    let mut before = None;
    loop {
        if let Some(roll) = roll(address, &recorder).await
            && before.as_ref() != Some(&roll.orders)
        {
            before = Some(roll.orders.clone());
            recorder.write(Line::Roll(roll));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
