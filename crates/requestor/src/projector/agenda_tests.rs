//! Orders wait once, are worked on once at a time, and none is forgotten.

use super::*;

fn key(n: usize) -> OrderKey {
    OrderKey::new("default", &format!("SB{n}")).unwrap()
}

fn processor() -> Arc<str> {
    Arc::from("http://processor-0:50051")
}

fn drain(agenda: &mut Agenda, now: Instant) -> Vec<OrderKey> {
    std::iter::from_fn(|| agenda.next(now)).map(|task| task.key).collect()
}

#[tokio::test(start_paused = true)]
async fn marked_orders_wait_once_in_turn() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    for n in [1, 2, 1, 3, 2] {
        agenda.mark(&key(n), None);
    }
    assert_eq!(drain(&mut agenda, now), [key(1), key(2), key(3)]);
    assert_eq!(agenda.len(), 3, "they are in work");
    for n in 1..=3 {
        agenda.done(&key(n), End::Done(None), now);
    }
    assert_eq!(agenda.len(), 0);
}

/// Never twice at once.
#[tokio::test(start_paused = true)]
async fn orders_marked_in_work_run_again() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    agenda.mark(&key(1), None);
    assert!(agenda.next(now).is_some());
    agenda.mark(&key(1), None);
    assert_eq!(agenda.next(now), None, "it is in work");
    agenda.done(&key(1), End::Done(None), now);
    assert_eq!(drain(&mut agenda, now), [key(1)]);
    agenda.done(&key(1), End::Again, now);
    assert_eq!(drain(&mut agenda, now), [key(1)]);
}

/// The others wait for it, and return once it got through.
#[tokio::test(start_paused = true)]
async fn one_order_probes_an_unreached_processor() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    for n in 0..10 {
        agenda.mark(&key(n), None);
    }
    for key in drain(&mut agenda, now) {
        agenda.done(&key, End::Unreached(processor()), now);
    }
    assert!(agenda.is_unreached(&processor()));
    let due = agenda.next_due().unwrap();
    let probe = agenda.next(due).unwrap();
    assert!(probe.is_probe);
    assert_eq!(agenda.next(due), None, "the others wait for its word");
    agenda.done(&probe.key, End::Unreached(processor()), due);
    let due = agenda.next_due().unwrap();
    let probe = agenda.next(due).unwrap();
    agenda.done(&probe.key, End::Done(Some(processor())), due);
    assert!(!agenda.is_unreached(&processor()));
    assert_eq!(drain(&mut agenda, due).len(), 9);
}

#[tokio::test(start_paused = true)]
async fn other_processors_orders_go_on() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    agenda.mark(&key(1), None);
    agenda.mark(&key(2), None);
    let first = agenda.next(now).unwrap().key;
    agenda.done(&first, End::Unreached(processor()), now);
    let second = agenda.next(now).unwrap().key;
    agenda.done(&second, End::Done(Some(Arc::from("http://processor-1:50051"))), now);
    assert!(agenda.is_unreached(&processor()));
    assert_eq!(agenda.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unreadable_lists_are_retried_alone() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    agenda.mark(&key(1), None);
    let task = agenda.next(now).unwrap();
    agenda.done(&task.key, End::Failed, now);
    assert!(!agenda.is_unreached(&processor()), "others of its processor go on");
    assert_eq!(agenda.len(), 1);
    let due = agenda.next_due().unwrap();
    let task = agenda.next(due).unwrap();
    agenda.done(&task.key, End::Done(Some(processor())), due);
    assert_eq!((agenda.len(), agenda.next_due()), (0, None), "nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn overflow_is_reported_once_with_room() {
    let (mut agenda, now) = (Agenda::default(), Instant::now());
    for n in 0..=WAITING_MAX {
        agenda.mark(&key(n), None);
    }
    assert_eq!(agenda.len(), WAITING_MAX);
    assert!(!agenda.take_overflow(), "there is no room yet");
    for key in drain(&mut agenda, now) {
        agenda.done(&key, End::Done(None), now);
    }
    assert!(agenda.take_overflow());
    assert!(!agenda.take_overflow(), "it is told once");
}
