//! The notifications of an order, whichever channels fail: a notifier that the test controls,
//! behind a real processor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orderstream_core::notification::{
    Blame, DeliveryError, DeliveryFuture, Notification, Notifier, Recipient,
};
use orderstream_core::spec::{Channel, NotificationType};
use orderstream_rpc::v1;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::damage::damage;
use crate::faulty::{Disk, DiskSpace};
use crate::http::{get, post};
use crate::rig::{Rig, START, within};
use crate::wire::{Wire, order, tracker};

/// The outcome of attempts for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    TryAgain,
    Bounces,
    Hangs,
}

/// A notifier that accepts everything, unless the test sets another outcome.
#[derive(Debug, Default)]
pub(crate) struct ManualNotifier {
    fates: Mutex<BTreeMap<String, Fate>>,
    delivered: Mutex<Vec<Notification>>,
    attempts: watch::Sender<usize>,
    sinks: Vec<Channel>,
    /// A disk that is full from the first attempt on.
    disk: Option<Disk>,
}

impl ManualNotifier {
    pub(crate) fn with_sink() -> Arc<Self> {
        let sink = Channel { kind: NotificationType::Webhook, address: "https://sink/".to_owned() };
        Arc::new(Self { sinks: vec![sink], ..Self::default() })
    }

    fn set(&self, address: &str, fate: Option<Fate>) {
        let mut fates = self.fates.lock();
        match fate {
            Some(fate) => fates.insert(address.to_owned(), fate),
            None => fates.remove(address),
        };
    }

    /// Waits until the accepted notifications are as expected, and returns them.
    pub(crate) async fn wait_for_delivered(
        &self,
        what: &str,
        is_complete: impl Fn(&[Notification]) -> bool,
    ) -> Vec<Notification> {
        let mut attempts = self.attempts.subscribe();
        let completed = attempts.wait_for(|_| is_complete(&self.delivered.lock()));
        drop(within(what, completed).await.unwrap());
        self.delivered.lock().clone()
    }

    async fn wait_for_attempts(&self, count: usize) {
        let mut attempts = self.attempts.subscribe();
        drop(within("attempts", attempts.wait_for(|held| *held >= count)).await.unwrap());
    }
}

impl Notifier for ManualNotifier {
    fn serves(&self, _: NotificationType) -> bool {
        true
    }

    fn sinks(&self) -> &[Channel] {
        &self.sinks
    }

    fn destination(&self, channel: &Channel) -> String {
        channel.address.clone()
    }

    fn deliver<'a>(&'a self, notification: &'a Notification) -> DeliveryFuture<'a> {
        Box::pin(async move {
            if let Some(disk) = &self.disk {
                disk.set_space(DiskSpace::None);
            }
            let fate = self.fates.lock().get(&notification.channel.address).copied();
            if fate.is_none() {
                self.delivered.lock().push(notification.clone());
            }
            self.attempts.send_modify(|count| *count += 1);
            let reason = || "no luck".to_owned();
            match fate {
                None => Ok(()),
                Some(Fate::Hangs) => std::future::pending().await,
                Some(Fate::Bounces) => Err(DeliveryError::Bounced { reason: reason() }),
                Some(Fate::TryAgain) => Err(DeliveryError::TryAgain {
                    reason: reason(),
                    after_ms: None,
                    blame: Blame::Recipient,
                }),
            }
        })
    }
}

fn received_by<'a>(notifications: &'a [Notification], who: &str) -> Vec<&'a Notification> {
    let is_who = |notification: &&Notification| match &notification.recipient {
        Recipient::Buyer => who == "buyer",
        Recipient::Seller(seller) => who == seller.as_str(),
        Recipient::Sink => who == "sink",
    };
    notifications.iter().filter(is_who).collect()
}

fn templates(notifications: &[Notification], who: &str) -> Vec<&'static str> {
    received_by(notifications, who)
        .iter()
        .map(|notification| notification.template.as_str())
        .collect()
}

async fn propose(rig: &Rig, seller: &str, id: &str) {
    let body = json!({
        "order_req_id": "a", "proposal_id": id, "seller": seller, "price": "4711.5",
        "currency": "EUR", "note": "between us", "alternative": id,
    });
    let response = post(rig.rest(), "/api/v1/proposals", &body).await;
    assert_eq!(response.status, 201, "{response:?}");
}

async fn invitation_states(rig: &Rig) -> BTreeMap<String, &'static str> {
    let key = orderstream_core::OrderKey::new("", "a").unwrap();
    let view = |order: &orderstream_core::Order, _: &_| {
        let state = |invitation: &orderstream_core::order::Invitation| {
            (invitation.seller.to_string(), invitation.state.as_str())
        };
        order.invitations.iter().map(state).collect()
    };
    rig.orders().read(&key, view).await.unwrap()
}

async fn dead_letters(rig: &Rig) -> Vec<Value> {
    let page = get(rig.rest(), "/api/v1/dead-letters").await.json();
    page["dead_letters"].as_array().unwrap().clone()
}

async fn open_order(rig: &Rig) -> Wire {
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire
}

#[tokio::test]
async fn order_records_invitation_results() {
    let notifier = ManualNotifier::with_sink();
    let rig = Rig::start_with_notifier(&notifier).await;
    notifier.set("https://seller2/", Some(Fate::Bounces));
    let wire = open_order(&rig).await;
    // The opening, the selection, and the results of three invitations.
    wire.observe("a").await.through(5).await;
    let states = invitation_states(&rig).await;
    let wanted = [("seller1", "Notified"), ("seller2", "Bounced"), ("seller3", "Notified")];
    assert_eq!(states, wanted.map(|(name, state)| (name.to_owned(), state)).into());
    let delivered =
        notifier.wait_for_delivered("the failure", |t| templates(t, "sink").len() == 3).await;
    let mut sink = templates(&delivered, "sink");
    sink.sort_unstable();
    assert_eq!(sink, ["acknowledgement", "invitation", "seller-not-reached"]);
    assert_eq!(templates(&delivered, "seller1"), ["invitation"]);
}

/// Attempts neither in their order nor in another one are delayed.
#[tokio::test]
async fn hanging_attempts_delay_no_others() {
    let notifier = ManualNotifier::with_sink();
    let rig = Rig::start_with_notifier(&notifier).await;
    notifier.set("https://seller1/", Some(Fate::Hangs));
    let wire = open_order(&rig).await;
    drop(wire.track("b").await);
    for number in 0..3 {
        propose(&rig, "seller2", &format!("p{number}")).await;
    }
    let delivered = notifier
        .wait_for_delivered("all of seller2", |taken| templates(taken, "seller2").len() == 5)
        .await;
    let of_a = received_by(&delivered, "seller2").into_iter();
    let of_a: Vec<_> =
        of_a.filter(|notification| notification.key.order_req_id.as_str() == "a").collect();
    assert!(of_a.is_sorted_by_key(|notification| notification.seq), "{of_a:?}");
    assert_eq!(invitation_states(&rig).await["seller1"], "Invited");
}

/// They are retried after their back-off, under the same id.
#[tokio::test]
async fn failed_attempts_are_retried_after_restart() {
    let notifier = ManualNotifier::with_sink();
    let mut rig = Rig::start_with_notifier(&notifier).await;
    notifier.set("https://seller1/", Some(Fate::TryAgain));
    drop(open_order(&rig).await);
    // Three invitations and two topics to the sink.
    notifier.wait_for_attempts(5).await;
    until_listed(&rig, |listed| listed["notifications"][0]["attempts"] == 1).await;
    let first = listed(&rig).await["notifications"][0]["notification_id"].clone();
    rig.restart().await;
    notifier.set("https://seller1/", None);
    rig.clock.set(START.plus_ms(2_000));
    let delivered = notifier
        .wait_for_delivered("the invitation", |t| !templates(t, "seller1").is_empty())
        .await;
    assert_eq!(received_by(&delivered, "seller1")[0].id.as_str(), first.as_str().unwrap());
    until_listed(&rig, |listed| listed["waiting"] == 0).await;
    // Nobody is notified twice after an orderly restart.
    let ids: BTreeSet<_> = delivered.iter().map(|notification| notification.id.clone()).collect();
    assert_eq!(ids.len(), delivered.len(), "{delivered:?}");
    assert_eq!(invitation_states(&rig).await["seller1"], "Notified");
}

#[tokio::test]
async fn full_disk_repeats_no_notification() {
    let disk = Disk::default();
    let notifier =
        Arc::new(ManualNotifier { disk: Some(disk.clone()), ..ManualNotifier::default() });
    let mut rig = Rig::start_on(&disk).await;
    rig.set_notifier(&notifier);
    rig.restart().await;
    drop(open_order(&rig).await);
    notifier.wait_for_attempts(1).await;
    for second in 1..=20 {
        rig.clock.set(START.plus_ms(second * 1_000));
        rig.clock.wait_for_expiry_round().await;
    }
    let assert_delivered_once = |notifier: &ManualNotifier| {
        let delivered = notifier.delivered.lock();
        let ids: BTreeSet<_> =
            delivered.iter().map(|notification| notification.id.clone()).collect();
        assert_eq!(ids.len(), delivered.len(), "{ids:?}");
    };
    assert_delivered_once(&notifier);
    disk.set_space(DiskSpace::Enough);
    let mut delivered = 0;
    while delivered < 3 {
        // Each attempt fills the disk again.
        disk.set_space(DiskSpace::Enough);
        rig.clock.wait_for_expiry_round().await;
        delivered = notifier.delivered.lock().len();
    }
    assert_delivered_once(&notifier);
}

#[tokio::test]
async fn former_incarnations_are_still_notified() {
    let notifier = ManualNotifier::with_sink();
    let mut rig = Rig::start_with_notifier(&notifier).await;
    notifier.set("https://seller1/", Some(Fate::TryAgain));
    let of_incarnation = |incarnation: &str| v1::OrderStreamRequest {
        incarnation: incarnation.to_owned(),
        ..tracker("a")
    };
    let wire = rig.wire().await;
    drop(wire.follow(of_incarnation("uid-1")).await.unwrap());
    notifier.wait_for_attempts(5).await;
    until_listed(&rig, |listed| listed["waiting"] == 1).await;
    let cancel = v1::CancelRequest { order: Some(order("a")), ..v1::CancelRequest::default() };
    wire.control.clone().cancel(cancel).await.unwrap();
    drop(wire.follow(of_incarnation("uid-2")).await.unwrap());
    let path = "/api/v1/orders/a/notifications?incarnation=uid-1";
    let waiting = async {
        while get(rig.rest(), path).await.json()["waiting"] == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the former outbox is read by its name", waiting).await;
    notifier.set("https://seller1/", None);
    rig.restart().await;
    rig.clock.set(START.plus_ms(600_000));
    let of_uid_1 = |notification: &&Notification| notification.incarnation.as_str() == "uid-1";
    let delivered = notifier
        .wait_for_delivered("all of the former one", |taken| {
            received_by(taken, "seller1").into_iter().filter(of_uid_1).count() == 2
        })
        .await;
    let received = received_by(&delivered, "seller1").into_iter().filter(of_uid_1);
    let received: Vec<_> = received.map(|notification| notification.template.as_str()).collect();
    assert_eq!(received.first(), Some(&"invitation"), "{received:?}");
}

async fn listed(rig: &Rig) -> Value {
    get(rig.rest(), "/api/v1/orders/a/notifications").await.json()
}

async fn until_listed(rig: &Rig, is_expected: impl Fn(&Value) -> bool) {
    let check = async {
        while !is_expected(&listed(rig).await) {
            tokio::task::yield_now().await;
        }
    };
    within("the outbox", check).await;
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed() {
    let notifier = ManualNotifier::with_sink();
    let mut rig = Rig::start_with_notifier(&notifier).await;
    notifier.set("https://seller3/", Some(Fate::Bounces));
    let wire = open_order(&rig).await;
    wire.observe("a").await.through(5).await;
    until_listed(&rig, |listed| listed["dead"] == 1 && listed["waiting"] == 0).await;
    rig.restart().await;
    let dead = dead_letters(&rig).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    for (field, wanted) in [
        ("seller", "seller3"),
        ("template", "invitation"),
        ("topic", "SELLER_NOTIFY"),
        ("state", "dead"),
        ("reason", "no luck"),
        ("channel", "Webhook"),
    ] {
        assert_eq!(dead[0][field], wanted, "{field}");
    }
    let id = dead[0]["notification_id"].as_str().unwrap();
    notifier.set("https://seller3/", None);
    let replay = |id: &str| format!("/api/v1/dead-letters/{id}/replay");
    let response = post(rig.rest(), &replay(id), &json!({})).await;
    assert_eq!(response.status, 200, "{response:?}");
    let delivered = notifier
        .wait_for_delivered("the invitation", |t| !templates(t, "seller3").is_empty())
        .await;
    assert_eq!(received_by(&delivered, "seller3")[0].id, id);
    until_listed(&rig, |listed| listed["dead"] == 0 && listed["waiting"] == 0).await;
    assert_eq!(dead_letters(&rig).await, Vec::<Value>::new());
    for id in [id, "nothing", "default~a~life~2~0"] {
        let response = post(rig.rest(), &replay(id), &json!({})).await;
        assert_eq!((response.status, response.reason().as_str()), (404, "NOTIFICATION_NOT_FOUND"));
    }
    // Since the restart: the one that was sent again.
    let metric = |name: &str| rig.metric(&format!("orderstream_processor_{name}"), &[]);
    assert!(metric("notification_attempts_total") >= 1.0);
}

#[tokio::test]
async fn nothing_sealed_leaves_before_the_opening() {
    let notifier = ManualNotifier::with_sink();
    let rig = Rig::start_with_notifier(&notifier).await;
    let wire = rig.wire().await;
    drop(wire.track_sealed("a").await);
    propose(&rig, "seller1", "p1").await;
    let delivered = notifier
        .wait_for_delivered("the proposal", |taken| templates(taken, "sink").contains(&"proposal"))
        .await;
    for notification in &delivered {
        let data = notification.data.to_string();
        for hidden in ["seller1", "seller2", "seller3", "4711", "between us"] {
            assert!(!data.contains(hidden), "{hidden} is in {data}");
        }
    }
    assert_eq!(templates(&delivered, "seller1"), ["invitation"], "no receipt");
    let listed = listed(&rig).await.to_string();
    assert!(!listed.contains("4711"), "{listed}");
}

/// They are from a time when notifications were disabled.
#[tokio::test]
async fn earlier_events_are_never_notified() {
    let notifier = ManualNotifier::with_sink();
    let mut rig = Rig::start().await;
    drop(open_order(&rig).await);
    rig.clock.set(START.plus_ms(1_000));
    rig.set_notifier(&notifier);
    rig.restart().await;
    propose(&rig, "seller2", "p1").await;
    let delivered =
        notifier.wait_for_delivered("the receipt", |t| !templates(t, "seller2").is_empty()).await;
    assert_eq!(templates(&delivered, "seller2"), ["receipt"]);
    assert!(
        delivered.iter().all(|notification| notification.template.as_str() != "invitation"),
        "{delivered:?}"
    );
}

/// Until the list of sellers is known, no address is: notifications of that time are sent late.
#[tokio::test]
async fn events_wait_for_seller_list() {
    let notifier = Arc::new(ManualNotifier::default());
    let mut rig = Rig::start_with_notifier(&notifier).await;
    drop(open_order(&rig).await);
    notifier.wait_for_delivered("the invitations", |taken| taken.len() == 3).await;
    until_listed(&rig, |listed| listed["waiting"] == 0).await;
    rig.stop().await;
    rig.hide_sellers();
    rig.begin().await;
    propose(&rig, "seller2", "p1").await;
    rig.list_sellers();
    propose(&rig, "seller3", "p2").await;
    let delivered = notifier.wait_for_delivered("both receipts", |taken| taken.len() == 5).await;
    for seller in ["seller2", "seller3"] {
        assert_eq!(templates(&delivered, seller), ["invitation", "receipt"], "{seller}");
    }
}

/// The order accepts commands, the other order's notifications are sent, and no attempt is repeated
/// for ever.
#[tokio::test]
async fn damaged_outbox_costs_only_notifications() {
    let (disk, notifier) = (Disk::default(), ManualNotifier::with_sink());
    let rig = Rig::start_on_with_notifier(&disk, &notifier).await;
    let wire = open_order(&rig).await;
    drop(wire.track("b").await);
    until_listed(&rig, |listed| listed["cursor"] == 5 && listed["waiting"] == 0).await;
    damage(&disk, 'n');
    propose(&rig, "seller1", "p1").await;
    until_listed(&rig, |answer| answer["reason"] == "STORAGE_UNAVAILABLE").await;
    rig.clock.set(START.plus_ms(2_000));
    until_listed(&rig, |answer| answer["reason"] == "RECORDS_DAMAGED").await;
    propose(&rig, "seller1", "p2").await;
    wire.propose("b", "p1").await;
    let of_b = |notification: &Notification| notification.key.order_req_id.as_str() == "b";
    let is_delivered = |notification: &Notification| {
        of_b(notification) && notification.template.as_str() == "proposal"
    };
    notifier
        .wait_for_delivered("the other order's proposal", |taken| taken.iter().any(is_delivered))
        .await;
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 0.0);
}
