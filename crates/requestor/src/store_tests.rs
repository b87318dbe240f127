//! Tests of the order store.

use orderstream_core::OrderSpec;
use orderstream_core::spec::{Message, NotificationType};

use super::*;
use crate::JournalLists;
use crate::faulty::{Disk, Fault};
use orderstream_journal::Health;

fn key() -> OrderKey {
    OrderKey::new("default", "SB1029436").unwrap()
}

fn submission() -> OrderRecord {
    OrderRecord::RequestSubmission(Box::new(OrderSubmission {
        key: key(),
        session_id: Some("sess_123".to_owned()),
        notification_type: NotificationType::Email,
        spec: OrderSpec::default(),
        incarnation: Incarnation::new("i-1").unwrap(),
        processor: "http://127.0.0.1:50051".to_owned(),
    }))
}

fn follow_up(id: &str) -> OrderRecord {
    let message = Message { message: "how soon?".to_owned(), ..Message::default() };
    let (id, audience) = (FollowUpId::new(id).unwrap(), Vec::new());
    OrderRecord::RequestFollowUp { id, audience, message, answers: None, incarnation: None }
}

fn store() -> (Arc<MemoryLists>, OrderStore) {
    let lists = Arc::new(MemoryLists::default());
    let store = OrderStore::new(Arc::clone(&lists) as Arc<dyn Lists>);
    (lists, store)
}

async fn append(store: &OrderStore, record: OrderRecord) -> Result<(), StoreError> {
    store.write_guard(&key()).await.append(&record).await
}

#[tokio::test]
async fn starts_find_open_orders() {
    let (lists, store) = store();
    assert_eq!(store.start("now").await, Ok(Epoch(1)));
    append(&store, submission()).await.unwrap();
    append(&store, follow_up("f-1")).await.unwrap();
    append(&store, follow_up("f-2")).await.unwrap();
    let id = FollowUpId::new("f-1").unwrap();
    append(&store, OrderRecord::FollowUpForwarded { id, incarnation: None }).await.unwrap();
    let id = IdempotencyKey::new("pause:1").unwrap();
    append(&store, OrderRecord::OrderPaused { id, reason: None, incarnation: None }).await.unwrap();

    let reopened = OrderStore::new(lists);
    assert_eq!(reopened.start("later").await, Ok(Epoch(2)));
    let open = reopened.load_all().unwrap().open;
    assert_eq!(open.len(), 1);
    let (found, stored) = &open[0];
    assert_eq!(*found, key());
    assert_eq!(stored.submission.as_ref().unwrap().incarnation.as_str(), "i-1");
    assert_eq!(stored.len, 5);
    assert_eq!(stored.follow_ups.len(), 2);
    let keys: Vec<_> = stored.open_commands.iter().map(|c| c.key.clone().unwrap()).collect();
    assert_eq!(
        keys.iter().map(IdempotencyKey::as_str).collect::<Vec<_>>(),
        ["follow-up:f-2", "pause:1"]
    );
}

#[tokio::test]
async fn ended_orders_are_not_taken_up() {
    let (_, store) = store();
    append(&store, submission()).await.unwrap();
    append(&store, OrderRecord::OrderEnded { phase: Phase::Finalised, last: None }).await.unwrap();
    assert!(store.load_all().unwrap().open.is_empty());
    assert_eq!(store.load(&key()).unwrap().ended, Some(Phase::Finalised));
}

/// The next append works.
#[tokio::test]
async fn failed_appends_leave_nothing() {
    let (lists, store) = store();
    append(&store, submission()).await.unwrap();
    lists.fail_writes();
    assert!(append(&store, follow_up("f-1")).await.is_err());
    lists.recover();
    append(&store, follow_up("f-2")).await.unwrap();
    assert_eq!(store.load(&key()).unwrap().len, 2);
}

#[tokio::test]
async fn writers_of_one_order_take_turns() {
    let (_, store) = store();
    let ids: Vec<_> = (0..50).map(|n| format!("f-{n}")).collect();
    let writes = ids.iter().map(|id| append(&store, follow_up(id)));
    let results = futures_util::future::join_all(writes).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(store.load(&key()).unwrap().follow_ups.len(), 50);
}

#[tokio::test]
async fn damaged_orders_hide_no_others() {
    let (lists, store) = store();
    append(&store, submission()).await.unwrap();
    let damaged = Bytes::from_static(b"{");
    lists.append(format!("{ORDERS}default/bad"), 0, vec![damaged]).await.unwrap();
    let open = store.load_all().unwrap().open;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].0, key());
}

/// Returns the outcome of the command under a key.
fn outcome(stored: &StoredOrder, key: &str) -> CommandOutcome {
    stored.command(&IdempotencyKey::new(key).unwrap(), None).unwrap().outcome.clone()
}

#[tokio::test]
async fn former_records_are_read_with_outcomes() {
    let (lists, store) = store();
    append(&store, submission()).await.unwrap();
    let message = serde_json::to_string(&Message::default()).unwrap();
    let records = [
        r#"{"OrderPaused":{"id":"pause:1","reason":null}}"#.to_owned(),
        r#"{"ActAnswered":{"id":"pause:1","refused":null}}"#.to_owned(),
        r#"{"OrderFinalised":{"id":"buyer:k1","award":{"Whole":"a"},"reason":null}}"#.to_owned(),
        r#"{"ActAnswered":{"id":"buyer:k1","refused":"ALREADY_AWARDED: too late"}}"#.to_owned(),
        r#"{"BuyerActed":{"id":"cancel:1","act":{"Cancel":{"reason":null}}}}"#.to_owned(),
        format!(r#"{{"RequestFollowUp":{{"id":"f-1","audience":[],"message":{message}}}}}"#),
        r#"{"FollowUpForwarded":{"id":"f-1"}}"#.to_owned(),
        r#"{"OrderEnded":{"phase":"Finalised"}}"#.to_owned(),
    ];
    let bytes = records.into_iter().map(Bytes::from).collect();
    lists.append(list_of(&key()), 1, bytes).await.unwrap();
    let stored = store.load(&key()).unwrap();
    assert_eq!(outcome(&stored, "pause:1"), CommandOutcome::Done);
    let refused = Refusal::new(orderstream_core::Reason::AlreadyAwarded, "too late");
    assert_eq!(outcome(&stored, "buyer:k1"), CommandOutcome::Refused(refused));
    assert_eq!(outcome(&stored, "follow-up:f-1"), CommandOutcome::Done);
    assert_eq!(outcome(&stored, "cancel:1"), CommandOutcome::Pending);
    // Its outcome is not known, so the order is resumed once more.
    let open = store.load_all().unwrap().open;
    let incarnation = open[0].1.open_commands[0].incarnation.as_ref().map(Incarnation::as_str);
    assert_eq!((open.len(), incarnation), (1, Some("i-1")));
}

#[tokio::test]
async fn refusals_are_stored_whole() {
    let (_, store) = store();
    append(&store, follow_up("f-1")).await.unwrap();
    let reason = orderstream_core::Reason::InvalidField;
    let refusal = Refusal { field: Some("answers".to_owned()), ..Refusal::new(reason, "which?") };
    let refusal = refusal.with("phase", "Open");
    let command = store.load(&key()).unwrap().open_commands[0].clone();
    append(&store, outcome_record(&command, Some(&refusal)).unwrap()).await.unwrap();
    let stored = store.load(&key()).unwrap();
    assert_eq!(outcome(&stored, "follow-up:f-1"), CommandOutcome::Refused(refusal));
    assert!(stored.open_commands.is_empty());
}

#[tokio::test]
async fn unknown_orders_take_no_memory() {
    let (_, store) = store();
    for number in 0..1_000 {
        let key = OrderKey::new("default", &format!("unknown-{number}")).unwrap();
        store.write_guard(&key).await.load().unwrap();
    }
    for lane in &store.lanes {
        assert!(lane.lock().await.is_empty());
    }
}

/// Stores commands on one incarnation of the order with their outcomes, as many as are allowed.
async fn fill(lists: &MemoryLists, incarnation_id: &str) {
    let (incarnation, mut records) = (Incarnation::new(incarnation_id).ok(), Vec::new());
    for number in 0..STORED_COMMANDS_MAX {
        let id = IdempotencyKey::new(format!("k{number}")).unwrap();
        let (command_id, incarnation) = (id.clone(), incarnation.clone());
        records.push(OrderRecord::OrderPaused {
            id: command_id,
            reason: None,
            incarnation: incarnation.clone(),
        });
        records.push(OrderRecord::CommandSettled { id, refused: None, refusal: None, incarnation });
    }
    let bytes = records.iter().map(|record| serde_json::to_vec(record).unwrap().into());
    lists.append(list_of(&key()), 0, bytes.collect()).await.unwrap();
}

#[tokio::test]
async fn new_incarnations_have_room() {
    let (lists, store) = store();
    fill(&lists, "uid-1").await;
    let (first, second) = (Incarnation::new("uid-1").unwrap(), Incarnation::new("uid-2").unwrap());
    let (resume, cancel) = (CommandKind::Resume, CommandKind::Cancel { reason: None });
    let mut guard = store.write_guard(&key()).await;
    assert!(guard.check_capacity(&resume, Some(&first)).await.is_err());
    assert!(guard.check_capacity(&resume, None).await.is_err());
    guard.check_capacity(&cancel, Some(&first)).await.unwrap();
    guard.check_capacity(&resume, Some(&second)).await.unwrap();
    assert_eq!(guard.load().unwrap().len, 0);
}

#[tokio::test]
async fn many_commands_are_found_by_key() {
    let (lists, store) = store();
    fill(&lists, "uid-1").await;
    let stored = store.load(&key()).unwrap();
    let keys = (0..STORED_COMMANDS_MAX).map(|number| format!("k{number}"));
    assert!(keys.into_iter().all(|key| outcome(&stored, &key) == CommandOutcome::Done));
    assert!(stored.open_commands.is_empty());
}

/// A record disowns only records before itself.
#[tokio::test]
async fn later_records_are_never_disowned() {
    let (disk, dir) = (Disk::default(), tempfile::tempdir().unwrap());
    let journal = disk.open(dir.path());
    let lists: Arc<dyn Lists> = Arc::new(JournalLists::new(Arc::new(journal.clone())));
    let store = OrderStore::new(Arc::clone(&lists));
    append(&store, submission()).await.unwrap();
    // The first is on the disk all the same, the second is not.
    for (id, fault) in [("f-2", Fault::SyncFails), ("f-3", Fault::WriteFails)] {
        disk.fail_after(0, fault);
        append(&store, follow_up(id)).await.unwrap_err();
        while journal.health() != Health::Healthy {
            tokio::task::yield_now().await;
        }
    }
    store.write_guard(&key()).await.disown().await.unwrap();
    for id in ["f-4", "f-5", "f-6"] {
        append(&store, follow_up(id)).await.unwrap();
    }
    let stored = OrderStore::new(lists).load(&key()).unwrap();
    let ids: Vec<_> = stored.follow_ups.iter().map(FollowUpId::as_str).collect();
    assert_eq!(ids, ["f-4", "f-5", "f-6"]);
}
