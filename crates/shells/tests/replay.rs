//! Test that a repeated seed yields the same history.

use orderstream_shells::{plan, run};
use orderstream_torture::event::ComparableEvent;
use orderstream_torture::history::{HistoryLine, PageLookup};

/// Returns a history without values that do not come from the plan: ids that are derived from the
/// real time.
fn plain(seed: u64) -> Vec<String> {
    let without_id = |event: ComparableEvent| ComparableEvent { id: String::new(), ..event };
    let line = |line: HistoryLine| match line {
        HistoryLine::Receipt(mut received) => {
            received.event = without_id(received.event);
            HistoryLine::Receipt(received)
        }
        HistoryLine::List(mut list) => {
            list.events = list.events.map(|events| events.into_iter().map(without_id).collect());
            HistoryLine::List(list)
        }
        HistoryLine::Page(mut view) => {
            if let PageLookup::Order(order_view) = &mut view.result {
                order_view.incarnation = String::new();
            }
            HistoryLine::Page(view)
        }
        line @ (HistoryLine::Attempt(_)
        | HistoryLine::Stream(_)
        | HistoryLine::OrderList(_)
        | HistoryLine::Fault(_)
        | HistoryLine::Pages(_)
        | HistoryLine::Measurements(_)
        | HistoryLine::Exit(_)) => line,
    };
    let lines = run(&plan(seed)).lines.into_iter().map(line);
    lines.map(|line| serde_json::to_string(&line).unwrap()).collect()
}

#[test]
fn seeds_run_the_same_every_time() {
    for seed in 1..=2 {
        let (first, second) = (plain(seed), plain(seed));
        let differs = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
