//! A claim about repeated seeds.

use orderstream_shells::{plan, run};
use orderstream_torture::event::Event;
use orderstream_torture::history::{Found, Line};

/// Returns a history without values that are drawn outside of the plan: ids made from the real
/// time.
fn plain(seed: u64) -> Vec<String> {
    let without_id = |event: Event| Event { id: String::new(), ..event };
    let line = |line: Line| match line {
        Line::Told(mut told) => {
            told.event = without_id(told.event);
            Line::Told(told)
        }
        Line::List(mut list) => {
            list.events = list.events.map(|events| events.into_iter().map(without_id).collect());
            Line::List(list)
        }
        Line::View(mut view) => {
            if let Found::Order(seen) = &mut view.found {
                seen.incarnation = String::new();
            }
            Line::View(view)
        }
        line @ (Line::Act(_)
        | Line::Stream(_)
        | Line::Roll(_)
        | Line::Fault(_)
        | Line::Pages(_)
        | Line::Figures(_)
        | Line::Gone(_)) => line,
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
