//! Tests of the queue: orders wait once, are projected once at a time, and none is forgotten.

use super::*;

fn key(n: usize) -> OrderKey {
    OrderKey::new("default", &format!("SB{n}")).unwrap()
}

fn processor() -> Arc<str> {
    Arc::from("http://processor-0:50051")
}

fn drain(queue: &mut ProjectionQueue, now: Instant) -> Vec<OrderKey> {
    std::iter::from_fn(|| queue.next(now)).map(|task| task.key).collect()
}

#[tokio::test(start_paused = true)]
async fn marked_orders_wait_once_in_turn() {
    let (mut queue, now) = (ProjectionQueue::default(), Instant::now());
    for n in [1, 2, 1, 3, 2] {
        queue.mark(&key(n), None);
    }
    assert_eq!(drain(&mut queue, now), [key(1), key(2), key(3)]);
    assert_eq!(queue.len(), 3, "they are in work");
    for n in 1..=3 {
        queue.done(&key(n), PassEnd::Done(None), now);
    }
    assert_eq!(queue.len(), 0);
}

/// An order is never projected twice at once.
#[tokio::test(start_paused = true)]
async fn orders_marked_in_work_run_again() {
    let (mut queue, now) = (ProjectionQueue::default(), Instant::now());
    queue.mark(&key(1), None);
    assert!(queue.next(now).is_some());
    queue.mark(&key(1), None);
    assert_eq!(queue.next(now), None, "it is in work");
    queue.done(&key(1), PassEnd::Done(None), now);
    assert_eq!(drain(&mut queue, now), [key(1)]);
    queue.done(&key(1), PassEnd::Requeue, now);
    assert_eq!(drain(&mut queue, now), [key(1)]);
}

/// The others wait for it, and run once it has reached the processor.
#[tokio::test(start_paused = true)]
async fn one_order_probes_an_unreached_processor() {
    let (mut queue, now) = (ProjectionQueue::default(), Instant::now());
    for n in 0..10 {
        queue.mark(&key(n), None);
    }
    for key in drain(&mut queue, now) {
        queue.done(&key, PassEnd::Unreachable(processor()), now);
    }
    assert!(queue.is_unreachable(&processor()));
    let due = queue.next_due().unwrap();
    let probe = queue.next(due).unwrap();
    assert!(probe.is_probe);
    assert_eq!(queue.next(due), None, "the others wait for its word");
    queue.done(&probe.key, PassEnd::Unreachable(processor()), due);
    let due = queue.next_due().unwrap();
    let probe = queue.next(due).unwrap();
    queue.done(&probe.key, PassEnd::Done(Some(processor())), due);
    assert!(!queue.is_unreachable(&processor()));
    assert_eq!(drain(&mut queue, due).len(), 9);
}

#[tokio::test(start_paused = true)]
async fn other_processors_orders_go_on() {
    let (mut queue, now) = (ProjectionQueue::default(), Instant::now());
    queue.mark(&key(1), None);
    queue.mark(&key(2), None);
    let first = queue.next(now).unwrap().key;
    queue.done(&first, PassEnd::Unreachable(processor()), now);
    let second = queue.next(now).unwrap().key;
    queue.done(&second, PassEnd::Done(Some(Arc::from("http://processor-1:50051"))), now);
    assert!(queue.is_unreachable(&processor()));
    assert_eq!(queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unreadable_lists_are_retried_alone() {
    let (mut queue, now) = (ProjectionQueue::default(), Instant::now());
    queue.mark(&key(1), None);
    let task = queue.next(now).unwrap();
    queue.done(&task.key, PassEnd::Failed, now);
    assert!(!queue.is_unreachable(&processor()), "others of its processor go on");
    assert_eq!(queue.len(), 1);
    let due = queue.next_due().unwrap();
    let task = queue.next(due).unwrap();
    queue.done(&task.key, PassEnd::Done(Some(processor())), due);
    assert_eq!((queue.len(), queue.next_due()), (0, None), "nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn overflow_is_reported_once_with_room() {
    let (mut queue, now) = (ProjectionQueue::default(), Instant::now());
    for n in 0..=WAITING_MAX {
        queue.mark(&key(n), None);
    }
    assert_eq!(queue.len(), WAITING_MAX);
    assert!(!queue.take_overflow(), "there is no room yet");
    for key in drain(&mut queue, now) {
        queue.done(&key, PassEnd::Done(None), now);
    }
    assert!(queue.take_overflow());
    assert!(!queue.take_overflow(), "it is told once");
}
