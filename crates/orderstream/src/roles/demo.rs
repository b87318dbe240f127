//! The demo of `dev`: sellers that propose over gRPC as a seller's program would, and every event
//! of every order as one line.

use orderstream_core::date::rfc3339_seconds;
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use orderstream_cli::exit::CliError;
use orderstream_cli::output;
use orderstream_core::event::{Event, EventKind};
use orderstream_core::hash::StableHasher;
use orderstream_core::port::Clock as _;
use orderstream_core::price::Decimal;
use orderstream_core::spec::{Item, Seller, Verdict};
use orderstream_core::{OrderKey, Seq};
use orderstream_processor::OwnedOrders;
use orderstream_processor::orders::FollowItem;
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_client::OrderNonStreamingServiceClient;
use orderstream_support::SystemClock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::dev::seller_manifests;

/// The interval at which new orders are looked up.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The most orders that are shown live at one time.
const ORDERS_MAX: usize = 1_000;
/// The longest random delay before a demo seller proposes, milliseconds; 300 ms come on top.
const DELAY_MS_MAX: u64 = 1_500;

/// Returns the first `count` demo sellers of the examples.
pub(super) fn sellers(count: usize) -> Result<Vec<Seller>, CliError> {
    let mut sellers = seller_manifests(include_str!("../../../../examples/sellers.yaml"))?;
    sellers.truncate(count);
    Ok(sellers)
}

/// Shows all orders live and proposes for their sellers, until shutdown.
pub(super) async fn run(
    orders: OwnedOrders,
    url: String,
    shutdown: CancellationToken,
) -> Result<(), CliError> {
    let channel = Endpoint::from_shared(url)
        .map_err(|error| CliError::unexpected(error.to_string()))?
        .connect_timeout(Duration::from_secs(2))
        .connect_lazy();
    let mut known = BTreeSet::new();
    let mut followers = JoinSet::new();
    // Orders from before the start continue after their last event; earlier events are not printed
    // again.
    for key in orders.keys(None, None, ORDERS_MAX) {
        let state = orders.read(&key, |order, _| (order.last_seq, order.phase)).await;
        let Ok((last, phase)) = state else { continue };
        known.insert(key.clone());
        if !phase.is_terminal() {
            output::line(&format!("order {key} goes on after event {last}"));
            followers.spawn(show(orders.clone(), channel.clone(), key, last));
        }
    }
    let mut poll = tokio::time::interval(POLL_INTERVAL);
    while !shutdown.is_cancelled() {
        // Cancel-safe: a dropped tick comes again.
        tokio::select! {
            _ = poll.tick() => {}
            Some(_) = followers.join_next() => {}
            () = shutdown.cancelled() => {}
        }
        for key in orders.keys(None, None, ORDERS_MAX) {
            if followers.len() < ORDERS_MAX && known.insert(key.clone()) {
                followers.spawn(show(orders.clone(), channel.clone(), key, Seq(0)));
            }
        }
    }
    while followers.join_next().await.is_some() {}
    Ok(())
}

/// Shows one order to its end; its sellers propose when they are selected.
async fn show(orders: OwnedOrders, channel: Channel, key: OrderKey, after: Seq) {
    let Ok(mut events) = orders.follow(&key, after, None).await else { return };
    let mut proposing = JoinSet::new();
    if after > Seq(1) {
        propose_all(&orders, &channel, &key, &mut proposing).await;
    }
    while let Some(Ok(FollowItem::Event(event))) = events.next().await {
        output::line(&describe(&key, &event));
        if matches!(event.kind, EventKind::SellersSelected(_)) {
            propose_all(&orders, &channel, &key, &mut proposing).await;
        }
    }
    proposing.shutdown().await;
}

/// Makes every chosen seller of an order propose after a delay. The proposal's incarnation and
/// idempotency key are fixed, so a seller that proposed before a restart does not propose twice.
async fn propose_all(
    orders: &OwnedOrders,
    channel: &Channel,
    key: &OrderKey,
    proposing: &mut JoinSet<()>,
) {
    let invited = orders
        .read(key, |order, _| {
            let chosen = order.choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
            let sellers: Vec<String> = chosen.map(|choice| choice.seller.to_string()).collect();
            (sellers, order.spec.items.clone(), order.incarnation.to_string())
        })
        .await;
    let Ok((sellers, items, incarnation)) = invited else { return };
    for seller in sellers {
        let submission = proposal(key, &incarnation, &seller, &items);
        let channel = channel.clone();
        let delay =
            Duration::from_millis(300 + stable_number(&seller, &incarnation) % DELAY_MS_MAX);
        proposing.spawn(async move {
            tokio::time::sleep(delay).await;
            let mut client = OrderNonStreamingServiceClient::new(channel);
            let call = client.submit_proposals(futures_util::stream::iter([submission]));
            match tokio::time::timeout(Duration::from_secs(5), call).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(seller, %error, "a demo seller failed"),
                Err(_) => tracing::warn!(seller, "a demo seller got no reply"),
            }
        });
    }
}

/// Returns a stable number from two texts, so that a demo runs the same way each time.
fn stable_number(first: &str, second: &str) -> u64 {
    let hash = StableHasher::default().bytes(first.as_bytes()).bytes(second.as_bytes()).finish();
    hash ^ (hash >> 29)
}

/// Makes a seller's demo proposal: each line is priced by its sku, a little apart from the other
/// sellers'.
fn proposal(
    key: &OrderKey,
    incarnation: &str,
    seller: &str,
    items: &[Item],
) -> v1::ProposalSubmission {
    let mut total = Decimal::ZERO;
    if items.is_empty() {
        // An old client's order has no items; the seller gives a price for what was agreed
        // otherwise.
        let cents =
            i64::try_from(10_000 + stable_number(seller, incarnation) % 5_000).unwrap_or(10_000);
        total = Decimal::new(cents, 2);
    }
    let mut lines = Vec::new();
    for item in items {
        let cents = 2_000 + stable_number(&item.sku, "") % 20_000;
        let own = 90 + stable_number(seller, &item.sku) % 21;
        let each = i64::try_from(cents * own / 100).unwrap_or(2_000);
        let price = (Decimal::new(each, 2) * item.quantity.value()).round_dp(2);
        total += price;
        lines.push(v1::ProposalLine {
            sku: item.sku.clone(),
            quantity: item.quantity.value().to_string(),
            unit: item.unit.clone().unwrap_or_default(),
            price: price.to_string(),
        });
    }
    v1::ProposalSubmission {
        order_req_id: key.order_req_id.to_string(),
        tenant: key.tenant.to_string(),
        incarnation: incarnation.to_owned(),
        idempotency_key: format!("demo:{seller}"),
        proposal: Some(v1::Proposal {
            seller: seller.to_owned(),
            price: total.to_string(),
            currency: "EUR".to_owned(),
            note: "from stock".to_owned(),
            lines,
            ..v1::Proposal::default()
        }),
    }
}

/// Formats an event in one line.
fn describe(key: &OrderKey, event: &Event) -> String {
    let age_ms = SystemClock.now().ms_since(event.at);
    let at = rfc3339_seconds(event.at);
    let event_type = event.kind.as_str();
    let detail = event.kind.text();
    let age = if age_ms > 1_000 { format!("  ({age_ms} ms ago)") } else { String::new() };
    format!("{at}  {key}  #{:<3} {event_type:<16} {detail}{age}", event.seq.0)
}
