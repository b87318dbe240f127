//! The demo of `dev`: sellers that propose over gRPC as a seller's program would, and every event
//! of every order as one line.

use orderstream_core::date::rfc3339_seconds;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use orderstream_cli::exit::CliError;
use orderstream_cli::output;
use orderstream_cli::verbs::event_name;
use orderstream_core::display;
use orderstream_core::event::{Event, EventKind};
use orderstream_core::hash::StableHasher;
use orderstream_core::port::Clock as _;
use orderstream_core::price::{Currency, Decimal};
use orderstream_core::spec::{Seller, SellerChoice, Verdict};
use orderstream_core::{Incarnation, OrderKey, OrderSpec, Seq};
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

/// The demo sellers that propose, and the orders that they propose for. Cheap to clone.
#[derive(Clone)]
pub(super) struct DemoSellers {
    orders: OwnedOrders,
    channel: Channel,
    names: Arc<BTreeSet<String>>,
}

impl DemoSellers {
    /// Makes the first `count` demo sellers; they propose over gRPC at this URL.
    pub(super) fn new(orders: OwnedOrders, url: &str, count: usize) -> Result<Self, CliError> {
        let channel = Endpoint::from_shared(url.to_owned())
            .map_err(|error| CliError::unexpected(error.to_string()))?
            .connect_timeout(Duration::from_secs(2))
            .connect_lazy();
        let names = sellers(count)?.into_iter().map(|seller| seller.id.to_string()).collect();
        Ok(Self { orders, channel, names: Arc::new(names) })
    }

    /// Returns the number of demo sellers.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Shows all orders live and proposes for the demo sellers, until shutdown.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), CliError> {
        // The newest incarnation of each order: a deleted order may come again under its id.
        let mut known = BTreeMap::new();
        let mut followers = JoinSet::new();
        // Orders from before the start continue after their last event; earlier events are not
        // printed again.
        for key in self.orders.keys(None, None, ORDERS_MAX) {
            let state = self
                .orders
                .read(&key, |order, _| (order.last_seq, order.phase, order.incarnation.clone()));
            let Ok((last, phase, incarnation)) = state.await else { continue };
            known.insert(key.clone(), incarnation.clone());
            if !phase.is_terminal() {
                output::line(&format!("order {key} goes on after event {last}"));
                followers.spawn(self.clone().show(key, incarnation, last));
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
            for key in self.orders.keys(None, None, ORDERS_MAX) {
                let Some(incarnation) = self.orders.incarnation(&key) else { continue };
                if followers.len() < ORDERS_MAX && known.get(&key) != Some(&incarnation) {
                    known.insert(key.clone(), incarnation.clone());
                    followers.spawn(self.clone().show(key, incarnation, Seq(0)));
                }
            }
        }
        while followers.join_next().await.is_some() {}
        Ok(())
    }

    /// Shows one order to its end; demo sellers propose when they are selected.
    async fn show(self, key: OrderKey, incarnation: Incarnation, after: Seq) {
        let follow = self.orders.follow_one(&key, Some(&incarnation), after, None);
        let Ok(mut events) = follow.await else { return };
        let mut proposing = JoinSet::new();
        if after > Seq(1) {
            self.propose_all(&key, &incarnation, &mut proposing).await;
        }
        while let Some(Ok(FollowItem::Event(event))) = events.next().await {
            output::line(&describe(&key, &event));
            if matches!(event.kind, EventKind::SellersSelected(_)) {
                self.propose_all(&key, &incarnation, &mut proposing).await;
            }
        }
        proposing.shutdown().await;
    }

    /// Makes every demo seller that an order has chosen propose after a delay. The proposal's
    /// incarnation and idempotency key are fixed, so a seller that proposed before a restart does
    /// not propose twice.
    async fn propose_all(
        &self,
        key: &OrderKey,
        incarnation: &Incarnation,
        proposing: &mut JoinSet<()>,
    ) {
        let invited = self.orders.read_one(key, Some(incarnation), |order, _| {
            (order.choices.clone(), order.spec.clone())
        });
        let Ok((choices, spec)) = invited.await else { return };
        let incarnation = incarnation.as_str();
        for seller in proposing_sellers(&choices, &self.names) {
            let submission = proposal(key, incarnation, seller, &spec);
            let (channel, seller) = (self.channel.clone(), seller.to_owned());
            let delay =
                Duration::from_millis(300 + stable_number(&seller, incarnation) % DELAY_MS_MAX);
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
}

/// Returns the chosen sellers that are demo sellers. Others have programs, or people, of their own.
fn proposing_sellers<'a>(
    choices: &'a [SellerChoice],
    names: &BTreeSet<String>,
) -> impl Iterator<Item = &'a str> {
    let chosen = choices.iter().filter(|choice| choice.verdict == Verdict::Chosen);
    chosen.map(|choice| choice.seller.as_str()).filter(|seller| names.contains(*seller))
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
    spec: &OrderSpec,
) -> v1::ProposalSubmission {
    let places = spec.currency.and_then(Currency::minor_digits).unwrap_or(2).min(2);
    let mut total = Decimal::ZERO;
    if spec.items.is_empty() {
        // An old client's order has no items; the seller gives a price for what was agreed
        // otherwise.
        let cents =
            i64::try_from(10_000 + stable_number(seller, incarnation) % 5_000).unwrap_or(10_000);
        total = Decimal::new(cents, 2).round_dp(places);
    }
    let mut lines = Vec::new();
    for item in &spec.items {
        let cents = 2_000 + stable_number(&item.sku, "") % 20_000;
        let own = 90 + stable_number(seller, &item.sku) % 21;
        let each = i64::try_from(cents * own / 100).unwrap_or(2_000);
        let price = (Decimal::new(each, 2) * item.quantity.value()).round_dp(places);
        total += price;
        lines.push(v1::ProposalLine {
            sku: item.sku.clone(),
            quantity: item.quantity.value().to_string(),
            unit: item.unit.clone().unwrap_or_default(),
            price: price.to_string(),
            line: item.line.clone().unwrap_or_default(),
            ..v1::ProposalLine::default()
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
            currency: spec.currency.as_ref().map_or("EUR", Currency::as_str).to_owned(),
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
    let event_type = event_name(&event.kind);
    let detail = display::line(&detail(&event.kind));
    let age = if age_ms > 1_000 { format!("  ({age_ms} ms ago)") } else { String::new() };
    format!("{at}  {key}  #{:<3} {event_type:<16} {detail}{age}", event.seq.0)
}

/// Describes an event's content; a hidden price is not a number.
fn detail(kind: &EventKind) -> String {
    match kind.proposal_content().filter(|proposed| proposed.price.is_hidden()) {
        Some(proposed) => {
            let id = proposed.proposal_id.as_ref().map_or("", |id| id.as_str());
            format!("{id}: {}", proposed.price.for_people())
        }
        None => kind.text(),
    }
}

#[cfg(test)]
mod tests {
    use orderstream_core::event::ProposalUpdate;
    use orderstream_core::{SellerId, Timestamp};

    use super::*;

    #[test]
    fn the_log_names_events_as_watch_does() {
        let key = OrderKey::new("default", "chairs").unwrap();
        let update = ProposalUpdate::Declined {
            seller: SellerId::new("chairs-rosenheim").unwrap(),
            reason: None,
        };
        for (kind, name) in [
            (EventKind::ProposalUpdate(update), "SellerDeclined"),
            (
                EventKind::OrderPaused {
                    expired: true,
                    reason: None,
                    decide_by: Some(Timestamp(1_800_000_000_000)),
                },
                "DeadlinePassed",
            ),
        ] {
            let event = Event { seq: Seq(7), at: Timestamp(0), cause: None, kind };
            let line = describe(&key, &event);
            assert!(line.contains(&format!("#7   {name} ")), "{line}");
        }
    }

    #[test]
    fn only_demo_sellers_propose_by_themselves() {
        let choice = |name: &str, verdict: Verdict| SellerChoice {
            seller: SellerId::new(name).unwrap(),
            verdict,
            distance_m: None,
            display_name: None,
        };
        let choices = [
            choice("chairs-rosenheim", Verdict::Chosen),
            choice("moebel-augsburg", Verdict::TooFar),
            choice("a-seller-of-mine", Verdict::Chosen),
        ];
        let names = |count: usize| -> BTreeSet<String> {
            sellers(count).unwrap().into_iter().map(|seller| seller.id.to_string()).collect()
        };
        let proposing = |count: usize| {
            proposing_sellers(&choices, &names(count)).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(proposing(20), ["chairs-rosenheim"]);
        assert_eq!(proposing(0), [""; 0]);
    }

    #[test]
    fn sealed_proposals_are_logged_without_price() {
        let proposed = |amount: &str, currency: &str| -> EventKind {
            let price = serde_json::json!({"amount": amount, "currency": currency});
            let proposed = serde_json::json!({"proposal_id": "p-1", "seller": "s", "price": price});
            serde_json::from_value(serde_json::json!({ "NewProposal": proposed })).unwrap()
        };
        assert_eq!(detail(&proposed("0", "XXX")), "p-1: sealed");
        assert_eq!(detail(&proposed("9.50", "EUR")), "s  9.50 EUR");
    }
}
