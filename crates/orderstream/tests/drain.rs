//! SIGTERM of a processor under load: requests in flight get their reply, later ones are refused at
//! once, and the order's stream resumes when the processor is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::http::{get, post};
use crate::process::{Pair, pause, until};

#[test]
fn draining_cuts_nothing_and_streams_resume() {
    let mut pair = Pair::start();
    let (requestor, rest) = (pair.requestor.address("requestor"), pair.processor.address("rest"));
    let initiate = r#"{"order_req_id":"D1","session_id":"s","notification_type":"email"}"#;
    assert_eq!(post(requestor, "/api/v1/orders/initiate", initiate).unwrap().status, 200);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let load = std::thread::spawn(move || {
        let (mut acknowledged, mut slowest) = (0_u64, Duration::ZERO);
        while !stopped.load(Ordering::Relaxed) {
            let body = format!(
                r#"{{"order_req_id":"D1","proposal_id":"p{acknowledged}","seller":"a{acknowledged}",
                    "price":"1","currency":"EUR"}}"#
            );
            let began = Instant::now();
            match post(rest, "/api/v1/proposals", &body) {
                Ok(response) if response.status == 201 => acknowledged += 1,
                // Refused by a response while draining, refused by the system in the gap.
                Ok(response) => assert!(matches!(response.status, 404 | 503), "{response:?}"),
                Err(_) => pause(Duration::from_millis(5)),
            }
            slowest = slowest.max(began.elapsed());
        }
        (acknowledged, slowest)
    });
    for round in 1..=3 {
        pause(Duration::from_millis(300));
        pair.processor.terminate();
        let status = pair.processor.wait();
        assert!(status.success(), "{status}");
        pair.processor.restart();
        until("the stream resumed after the drain", || (state(&pair).1 >= round).then_some(()));
    }
    let (before, _) = state(&pair);
    until("proposals flow again", || (state(&pair).0 > before + 5).then_some(()));
    stop.store(true, Ordering::Relaxed);
    let (acknowledged, slowest) = load.join().unwrap();
    assert!(slowest < Duration::from_secs(3), "a request waited {slowest:?}");
    until("every acknowledged proposal reached the tracker", || {
        (state(&pair).0 == acknowledged).then_some(())
    });
}

/// Returns the number of proposals that the tracker received, and of its stream's reconnects.
fn state(pair: &Pair) -> (u64, u64) {
    let requestor = pair.requestor.address("requestor");
    let tracked = get(requestor, "/api/v1/orders/tracking/D1").unwrap().json();
    let number = |name: &str| tracked[name].as_u64().unwrap();
    (number("proposals_received"), number("reconnects"))
}
