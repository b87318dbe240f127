//! The notifications of an order, whichever channels fail: a notifier that the test controls,
//! behind a real processor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orderstream_core::notification::{
    Blame, Delivery, DeliveryError, Notification, Notifier, Recipient,
};
use orderstream_core::spec::{Channel, NotificationType};
use orderstream_rpc::v1;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::damage::damage;
use crate::faulty::{Disk, Room};
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

/// A notifier that takes everything, unless the test sets another outcome.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    fates: Mutex<BTreeMap<String, Fate>>,
    taken: Mutex<Vec<Notification>>,
    attempts: watch::Sender<usize>,
    sinks: Vec<Channel>,
    /// A disk that is full from the first attempt on.
    disk: Option<Disk>,
}

impl Hand {
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

    /// Waits until the taken notifications are as wanted, and returns them.
    async fn taken(
        &self,
        what: &str,
        wanted: impl Fn(&[Notification]) -> bool,
    ) -> Vec<Notification> {
        let mut attempts = self.attempts.subscribe();
        let come = attempts.wait_for(|_| wanted(&self.taken.lock()));
        drop(within(what, come).await.unwrap());
        self.taken.lock().clone()
    }

    async fn tried(&self, count: usize) {
        let mut attempts = self.attempts.subscribe();
        drop(within("attempts", attempts.wait_for(|held| *held >= count)).await.unwrap());
    }
}

impl Notifier for Hand {
    fn serves(&self, _: NotificationType) -> bool {
        true
    }

    fn sinks(&self) -> &[Channel] {
        &self.sinks
    }

    fn destination(&self, channel: &Channel) -> String {
        channel.address.clone()
    }

    fn deliver<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
        Box::pin(async move {
            if let Some(disk) = &self.disk {
                disk.set_room(Room::None);
            }
            let fate = self.fates.lock().get(&notification.channel.address).copied();
            if fate.is_none() {
                self.taken.lock().push(notification.clone());
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

fn heard_by<'a>(taken: &'a [Notification], who: &str) -> Vec<&'a Notification> {
    let is_who = |told: &&Notification| match &told.recipient {
        Recipient::Buyer => who == "buyer",
        Recipient::Seller(seller) => who == seller.as_str(),
        Recipient::Sink => who == "sink",
    };
    taken.iter().filter(is_who).collect()
}

fn templates(taken: &[Notification], who: &str) -> Vec<&'static str> {
    heard_by(taken, who).iter().map(|told| told.template.as_str()).collect()
}

async fn propose(rig: &Rig, seller: &str, id: &str) {
    let body = json!({
        "order_req_id": "a", "proposal_id": id, "seller": seller, "price": "4711.5",
        "currency": "EUR", "note": "between us",
    });
    let answer = post(rig.rest(), "/api/v1/proposals", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn invitation_states(rig: &Rig) -> BTreeMap<String, &'static str> {
    let key = orderstream_core::OrderKey::new("", "a").unwrap();
    let view = |order: &orderstream_core::Order, _: &_| {
        let state = |held: &orderstream_core::order::Invitation| {
            (held.seller.to_string(), held.state.as_str())
        };
        order.invitations.iter().map(state).collect()
    };
    rig.orders().read(&key, view).await.unwrap()
}

async fn dead_letters(rig: &Rig) -> Vec<Value> {
    let page = get(rig.rest(), "/api/v1/dead-letters").await.json();
    page["dead_letters"].as_array().unwrap().clone()
}

async fn opened(rig: &Rig) -> Wire {
    let wire = rig.wire().await;
    drop(wire.track("a").await);
    wire
}

#[tokio::test]
async fn order_records_invitation_results() {
    let hand = Hand::with_sink();
    let rig = Rig::start_telling(&hand).await;
    hand.set("https://seller2/", Some(Fate::Bounces));
    let wire = opened(&rig).await;
    // The opening, the choice, and what came of three invitations.
    wire.observe("a").await.through(5).await;
    let states = invitation_states(&rig).await;
    let wanted = [("seller1", "Notified"), ("seller2", "Bounced"), ("seller3", "Notified")];
    assert_eq!(states, wanted.map(|(name, state)| (name.to_owned(), state)).into());
    let taken = hand.taken("the failure", |t| templates(t, "sink").len() == 3).await;
    let mut sink = templates(&taken, "sink");
    sink.sort_unstable();
    assert_eq!(sink, ["acknowledgement", "invitation", "seller-not-reached"]);
    assert_eq!(templates(&taken, "seller1"), ["invitation"]);
}

/// Neither in their order nor in another one.
#[tokio::test]
async fn hanging_attempts_delay_no_others() {
    let hand = Hand::with_sink();
    let rig = Rig::start_telling(&hand).await;
    hand.set("https://seller1/", Some(Fate::Hangs));
    let wire = opened(&rig).await;
    drop(wire.track("b").await);
    for number in 0..3 {
        propose(&rig, "seller2", &format!("p{number}")).await;
    }
    let taken = hand.taken("all of seller2", |taken| templates(taken, "seller2").len() == 5).await;
    let of_a = heard_by(&taken, "seller2").into_iter();
    let of_a: Vec<_> = of_a.filter(|told| told.key.order_req_id.as_str() == "a").collect();
    assert!(of_a.is_sorted_by_key(|told| told.seq), "{of_a:?}");
    assert_eq!(invitation_states(&rig).await["seller1"], "Invited");
}

/// After their back-off, under the same id.
#[tokio::test]
async fn failed_attempts_are_retried_after_restart() {
    let hand = Hand::with_sink();
    let mut rig = Rig::start_telling(&hand).await;
    hand.set("https://seller1/", Some(Fate::TryAgain));
    drop(opened(&rig).await);
    // Three invitations and two topics to the sink.
    hand.tried(5).await;
    until_listed(&rig, |listed| listed["notifications"][0]["attempts"] == 1).await;
    let first = listed(&rig).await["notifications"][0]["notification_id"].clone();
    rig.restart().await;
    hand.set("https://seller1/", None);
    rig.clock.set(START.plus_ms(2_000));
    let taken = hand.taken("the invitation", |t| !templates(t, "seller1").is_empty()).await;
    assert_eq!(heard_by(&taken, "seller1")[0].id.as_str(), first.as_str().unwrap());
    until_listed(&rig, |listed| listed["waiting"] == 0).await;
    // Nobody hears anything twice after an orderly restart.
    let ids: BTreeSet<_> = taken.iter().map(|told| told.id.clone()).collect();
    assert_eq!(ids.len(), taken.len(), "{taken:?}");
    assert_eq!(invitation_states(&rig).await["seller1"], "Notified");
}

#[tokio::test]
async fn full_disk_repeats_no_notification() {
    let disk = Disk::default();
    let hand = Arc::new(Hand { disk: Some(disk.clone()), ..Hand::default() });
    let mut rig = Rig::start_on(&disk).await;
    rig.tell(&hand);
    rig.restart().await;
    drop(opened(&rig).await);
    hand.tried(1).await;
    for second in 1..=20 {
        rig.clock.set(START.plus_ms(second * 1_000));
        rig.clock.has_been_heeded().await;
    }
    let is_told_once = |hand: &Hand| {
        let taken = hand.taken.lock();
        let ids: BTreeSet<_> = taken.iter().map(|told| told.id.clone()).collect();
        assert_eq!(ids.len(), taken.len(), "{ids:?}");
    };
    is_told_once(&hand);
    disk.set_room(Room::Enough);
    let mut told = 0;
    while told < 3 {
        // Each attempt fills the disk again.
        disk.set_room(Room::Enough);
        rig.clock.has_been_heeded().await;
        told = hand.taken.lock().len();
    }
    is_told_once(&hand);
}

#[tokio::test]
async fn former_incarnations_are_still_notified() {
    let hand = Hand::with_sink();
    let mut rig = Rig::start_telling(&hand).await;
    hand.set("https://seller1/", Some(Fate::TryAgain));
    let life = |incarnation: &str| v1::OrderStreamRequest {
        incarnation: incarnation.to_owned(),
        ..tracker("a")
    };
    let wire = rig.wire().await;
    drop(wire.follow(life("uid-1")).await.unwrap());
    hand.tried(5).await;
    until_listed(&rig, |listed| listed["waiting"] == 1).await;
    let cancel = v1::CancelRequest { order: Some(order("a")), ..v1::CancelRequest::default() };
    wire.control.clone().cancel(cancel).await.unwrap();
    drop(wire.follow(life("uid-2")).await.unwrap());
    let path = "/api/v1/orders/a/notifications?incarnation=uid-1";
    let waiting = async {
        while get(rig.rest(), path).await.json()["waiting"] == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the former outbox is read by its name", waiting).await;
    hand.set("https://seller1/", None);
    rig.restart().await;
    rig.clock.set(START.plus_ms(600_000));
    let of_uid_1 = |told: &&Notification| told.incarnation.as_str() == "uid-1";
    let taken = hand
        .taken("all of the former one", |taken| {
            heard_by(taken, "seller1").into_iter().filter(of_uid_1).count() == 2
        })
        .await;
    let told = heard_by(&taken, "seller1").into_iter().filter(of_uid_1);
    let told: Vec<_> = told.map(|told| told.template.as_str()).collect();
    assert_eq!(told.first(), Some(&"invitation"), "{told:?}");
}

async fn listed(rig: &Rig) -> Value {
    get(rig.rest(), "/api/v1/orders/a/notifications").await.json()
}

async fn until_listed(rig: &Rig, wanted: impl Fn(&Value) -> bool) {
    let look = async {
        while !wanted(&listed(rig).await) {
            tokio::task::yield_now().await;
        }
    };
    within("the outbox", look).await;
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed() {
    let hand = Hand::with_sink();
    let mut rig = Rig::start_telling(&hand).await;
    hand.set("https://seller3/", Some(Fate::Bounces));
    let wire = opened(&rig).await;
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
    hand.set("https://seller3/", None);
    let replay = |id: &str| format!("/api/v1/dead-letters/{id}/replay");
    let answer = post(rig.rest(), &replay(id), &json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let taken = hand.taken("the invitation", |t| !templates(t, "seller3").is_empty()).await;
    assert_eq!(heard_by(&taken, "seller3")[0].id, id);
    until_listed(&rig, |listed| listed["dead"] == 0 && listed["waiting"] == 0).await;
    assert_eq!(dead_letters(&rig).await, Vec::<Value>::new());
    for id in [id, "nothing", "default~a~life~2~0"] {
        let answer = post(rig.rest(), &replay(id), &json!({})).await;
        assert_eq!((answer.status, answer.reason().as_str()), (404, "NOTIFICATION_NOT_FOUND"));
    }
    // Since the restart: the one that was sent again.
    let metric = |name: &str| rig.metric(&format!("orderstream_processor_{name}"), &[]);
    assert!(metric("notification_attempts_total") >= 1.0);
}

#[tokio::test]
async fn nothing_sealed_leaves_before_the_opening() {
    let hand = Hand::with_sink();
    let rig = Rig::start_telling(&hand).await;
    let wire = rig.wire().await;
    drop(wire.track_sealed("a").await);
    propose(&rig, "seller1", "p1").await;
    let taken =
        hand.taken("the proposal", |taken| templates(taken, "sink").contains(&"proposal")).await;
    for told in &taken {
        let data = told.data.to_string();
        for hidden in ["seller1", "seller2", "seller3", "4711", "between us"] {
            assert!(!data.contains(hidden), "{hidden} is in {data}");
        }
    }
    assert_eq!(templates(&taken, "seller1"), ["invitation"], "no receipt");
    let listed = listed(&rig).await.to_string();
    assert!(!listed.contains("4711"), "{listed}");
}

/// Events from the time when notifications were off.
#[tokio::test]
async fn earlier_events_are_never_notified() {
    let hand = Hand::with_sink();
    let mut rig = Rig::start().await;
    drop(opened(&rig).await);
    rig.clock.set(START.plus_ms(1_000));
    rig.tell(&hand);
    rig.restart().await;
    propose(&rig, "seller2", "p1").await;
    let taken = hand.taken("the receipt", |t| !templates(t, "seller2").is_empty()).await;
    assert_eq!(templates(&taken, "seller2"), ["receipt"]);
    assert!(taken.iter().all(|told| told.template.as_str() != "invitation"), "{taken:?}");
}

/// Until the list of sellers is known, no address is: events of that time are notified late.
#[tokio::test]
async fn events_wait_for_seller_list() {
    let hand = Arc::new(Hand::default());
    let mut rig = Rig::start_telling(&hand).await;
    drop(opened(&rig).await);
    hand.taken("the invitations", |taken| taken.len() == 3).await;
    until_listed(&rig, |listed| listed["waiting"] == 0).await;
    rig.stop().await;
    rig.hide_sellers();
    rig.begin().await;
    propose(&rig, "seller2", "p1").await;
    rig.list_sellers();
    propose(&rig, "seller3", "p2").await;
    let taken = hand.taken("both receipts", |taken| taken.len() == 5).await;
    for seller in ["seller2", "seller3"] {
        assert_eq!(templates(&taken, seller), ["invitation", "receipt"], "{seller}");
    }
}

/// The order takes commands, the other order's notifications are sent, and no attempt is repeated
/// for ever.
#[tokio::test]
async fn damaged_outbox_costs_only_notifications() {
    let (disk, hand) = (Disk::default(), Hand::with_sink());
    let rig = Rig::start_telling_on(&disk, &hand).await;
    let wire = opened(&rig).await;
    drop(wire.track("b").await);
    until_listed(&rig, |listed| listed["cursor"] == 5 && listed["waiting"] == 0).await;
    damage(&disk, 'n');
    propose(&rig, "seller1", "p1").await;
    until_listed(&rig, |answer| answer["reason"] == "STORAGE_UNAVAILABLE").await;
    rig.clock.set(START.plus_ms(2_000));
    until_listed(&rig, |answer| answer["reason"] == "RECORDS_DAMAGED").await;
    propose(&rig, "seller1", "p2").await;
    wire.propose("b", "p1").await;
    let of_b = |told: &Notification| told.key.order_req_id.as_str() == "b";
    let is_told = |told: &Notification| of_b(told) && told.template.as_str() == "proposal";
    hand.taken("the other order's proposal", |taken| taken.iter().any(is_told)).await;
    assert_eq!(rig.metric("orderstream_journal_damaged_orders", &[]), 0.0);
}
