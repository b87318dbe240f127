//! A correct history, and for each predicate at least one way to break it, which has to be found
//! under that predicate's name.

mod good;

use self::good::{LIFE_MS, act, good};
use super::*;
use crate::history::{Found, Reader, Seen};
use crate::op::{Op, Outcome, Over};

const ORDER: &str = "O";
const SEALED: &str = "S";

/// Changes every line that `pick` selects; there has to be one.
fn change<T>(
    lines: &mut [Line],
    pick: impl Fn(&mut Line) -> Option<&mut T>,
    mut with: impl FnMut(&mut T),
) {
    let mut changed = 0;
    for line in lines {
        if let Some(part) = pick(line) {
            with(part);
            changed += 1;
        }
    }
    assert!(changed > 0, "the history has no such line");
}

fn acts(line: &mut Line) -> Option<&mut Act> {
    if let Line::Act(act) = line { Some(act) } else { None }
}

fn act_of(lines: &mut [Line], is: impl Fn(&Op) -> bool, with: impl FnMut(&mut Act)) {
    change(lines, |line| acts(line).filter(|act| is(&act.op)), with);
}

fn lists(lines: &mut [Line], mut with: impl FnMut(&mut Vec<Event>)) {
    for line in lines {
        if let Line::List(List { order, events: Ok(events), .. }) = line
            && order == ORDER
        {
            with(events);
        }
    }
}

fn views<'a>(page: &'a str) -> impl Fn(&mut Line) -> Option<&mut View> + 'a {
    move |line| {
        let Line::View(view) = line else { return None };
        (view.page == page).then_some(view)
    }
}

fn readings<'a>(name: &'a str) -> impl Fn(&mut Line) -> Option<&mut Told> + 'a {
    move |line| {
        let Line::Told(told) = line else { return None };
        (told.name == name).then_some(told)
    }
}

#[track_caller]
fn breaks(predicate: &str, spoil: impl FnOnce(&mut Vec<Line>)) {
    let mut lines = good();
    spoil(&mut lines);
    let findings = check(&lines);
    assert!(
        findings.iter().any(|finding| finding.predicate == predicate),
        "{predicate} is not among {findings:#?}"
    );
}

#[test]
fn a_good_history_has_no_findings() {
    assert_eq!(check(&good()), []);
}

#[test]
fn p1_finds_lost_acknowledged_commands() {
    let follow_up = |op: &Op| *op == Op::FollowUp;
    breaks("P1", |lines| act_of(lines, follow_up, |act| act.token = "others".to_owned()));
    // An award that lost, and was told that it won.
    let late = |op: &Op| op.proposal() == Some("b") && op.is_end();
    breaks("P1", |lines| act_of(lines, late, |act| act.result = Outcome::DONE));
    breaks("P1", |lines| lines.retain(|line| !matches!(line, Line::List(_))));
}

#[test]
fn p2_finds_gaps_repeats_and_changed_events() {
    breaks("P2", |lines| {
        lines.retain(
            |line| !matches!(line, Line::Told(told) if told.name == "sse" && told.event.seq == 4),
        );
    });
    breaks("P2", |lines| change(lines, readings("observer"), |told| told.after = 3));
    breaks("P2", |lines| {
        change(lines, readings("observer"), |told| told.event.proposal = "z".to_owned());
    });
}

/// It also finds keys with two replies, keys that actors share, and effects that nobody requested.
#[test]
fn p3_finds_keys_with_two_effects() {
    breaks("P3", |lines| {
        lists(lines, |list| {
            let again = list.iter().find(|event| event.kind == "FollowUpAdded").cloned();
            list.extend(again);
        });
    });
    let lock = |op: &Op| matches!(op, Op::Lock { .. });
    breaks("P3", |lines| {
        let again = lines.iter_mut().filter_map(acts).find(|act| lock(&act.op)).cloned();
        lines.extend(
            again.map(|act| Line::Act(Act { result: Outcome::Ok { seq: Some(9) }, ..act })),
        );
    });
    breaks("P3", |lines| {
        act_of(lines, lock, |act| act.result = Outcome::refused("IDEMPOTENCY_CONFLICT"));
    });
    breaks("P3", |lines| act_of(lines, lock, |act| act.result = Outcome::refused("LOCKED")));
    // Refused although it was done by an earlier attempt.
    breaks("P3", |lines| {
        let again = lines.iter_mut().filter_map(acts).find(|act| lock(&act.op)).cloned();
        let refused = Outcome::refused("LOCKED");
        let later = |act: Act| Act { t_call: act.t_ret + 10, t_ret: act.t_ret + 20, ..act };
        lines.extend(again.map(|act| Line::Act(Act { result: refused, ..later(act) })));
    });
    breaks("P3b", |lines| {
        lines.retain(|line| !matches!(line, Line::Act(act) if act.op == Op::FollowUp));
    });
}

/// Their streams received events, or their commands were accepted.
#[test]
fn p4_and_p5_find_former_trackers() {
    fn pick(line: &mut Line) -> Option<&mut Stream> {
        let Line::Stream(stream) = line else { return None };
        (stream.epoch == 3).then_some(stream)
    }
    breaks("P4", |lines| {
        change(lines, pick, |stream| (stream.t_call, stream.t_first) = (6_000, Some(6_100)));
    });
    breaks("P4", |lines| change(lines, pick, |stream| stream.reason = "DRAINING".to_owned()));
    breaks("P5", |lines| act_of(lines, |op| *op == Op::Resume, |act| act.epoch = 3));
}

/// It also finds pages that show what was never true.
#[test]
fn p6_finds_pages_that_go_back() {
    let nothing = |view: &mut View| {
        if view.t_call > 5_000 {
            view.found = Found::Nothing;
        }
    };
    breaks("P6", |lines| change(lines, views("tracking"), nothing));
    breaks("P6", |lines| change(lines, views("order"), nothing));
    let with = |with: fn(&mut Seen)| {
        move |view: &mut View| {
            if let (Found::Order(seen), 5_000..) = (&mut view.found, view.t_call) {
                with(seen);
            }
        }
    };
    breaks("P6", |lines| {
        change(
            lines,
            views("tracking"),
            with(|seen| (seen.last_seq, seen.phase) = (0, "Pending".to_owned())),
        );
    });
    breaks("P6", |lines| change(lines, views("tracking"), with(|seen| seen.epoch = 0)));
    breaks("P6", |lines| change(lines, views("order"), with(|seen| seen.proposals[1] = 7)));
    breaks("P6", |lines| change(lines, views("order"), with(|seen| seen.last_seq = 99)));
    let paused = |seen: &mut Seen| seen.phase = "Paused".to_owned();
    breaks("P6", |lines| change(lines, views("order"), with(paused)));
    breaks("P6", |lines| {
        for line in lines {
            if let Line::Roll(roll) = line {
                (roll.orders, roll.total) = (Vec::new(), 300 - roll.t_call.min(300));
            }
        }
    });
}

#[test]
fn p7_finds_metrics_out_of_balance() {
    fn figures(line: &mut Line) -> Option<&mut Figures> {
        if let Line::Figures(figures) = line { Some(figures) } else { None }
    }
    let series = |name: &'static str, value: f64| {
        move |figures: &mut Figures| {
            for (series, held) in &mut figures.series {
                if series.starts_with(name) {
                    *held = value;
                }
            }
        }
    };
    breaks("P7", |lines| change(lines, figures, series("grpc_server_started_total", 9.0)));
    breaks("P7", |lines| change(lines, figures, series("grpc_server_in_flight", -1.0)));
    breaks("P7", |lines| change(lines, figures, series("orderstream_processor_orders", 5.0)));
    breaks("P7", |lines| change(lines, figures, |figures| figures.rss_kb = 9_000_000));
    breaks("P7", |lines| change(lines, figures, |figures| figures.descriptors = 9_000));
}

#[test]
fn p8_and_p9_find_unsettled_runs() {
    breaks("P8", |lines| lists(lines, |list| drop(list.pop())));
    breaks("P8", |lines| {
        change(lines, views("tracking"), |view| {
            if let (true, Found::Order(seen)) = (view.is_last, &mut view.found) {
                seen.last_seq -= 1;
            }
        });
    });
    breaks("P9", |lines| {
        act_of(lines, |op| *op == Op::Ask, |act| act.result = Outcome::unknown("no answer"));
    });
}

#[test]
fn p10_and_p15_find_cuts_and_crashes() {
    let cut = Outcome::Fail { reason: "CUT: reset".to_owned() };
    breaks("P10", |lines| act_of(lines, |op| *op == Op::Ask, |act| act.result = cut.clone()));
    breaks("P15", |lines| {
        let (process, status) = ("processor-0".to_owned(), "exit status: 101".to_owned());
        lines.push(Line::Gone(Gone { t: 5, process, status }));
    });
    let fault = Outcome::refused("INTERNAL");
    breaks("P15", |lines| act_of(lines, |op| *op == Op::Ask, |act| act.result = fault.clone()));
}

#[test]
fn p11_finds_expiries_at_wrong_times() {
    let early = |list: &mut Vec<Event>| {
        if let Some(last) = list.last_mut() {
            (last.kind, last.change) = ("OrderPaused".to_owned(), "expired".to_owned());
        }
    };
    breaks("P11", |lines| lists(lines, early));
    let late = |list: &mut Vec<Event>| {
        if let Some(last) = list.last_mut() {
            last.at += i64::try_from(LIFE_MS).unwrap_or_default();
        }
    };
    breaks("P11", |lines| lists(lines, late));
}

#[test]
fn p12_finds_commands_without_linearisation() {
    // Refused for a reason that was never true.
    for reason in
        ["ORDER_PAUSED", "ORDER_NOT_FOUND", "ORDER_ENDED", "AWARD_PENDING", "PROPOSAL_ENDED"]
    {
        breaks("P12", |lines| {
            let lock = Op::Lock { proposal: "a".to_owned(), lease_ms: 7 };
            let mut act = act(2_500, &lock, "crane", Over::Rest(0));
            act.result = Outcome::refused(reason);
            lines.push(Line::Act(act));
        });
    }
    // Answered before it was in the list: what was asked for later stands before it.
    breaks("P12", |lines| {
        act_of(lines, |op| *op == Op::FollowUp, |act| (act.t_call, act.t_ret) = (900, 950));
    });
    // In the list before it was asked for.
    breaks("P12", |lines| {
        act_of(lines, |op| *op == Op::Ask, |act| (act.t_call, act.t_ret) = (10_600, 10_650));
    });
    // Rules: a lock that another holds, an offer while paused, a loser's award.
    breaks("P12", |lines| {
        lists(lines, |list| {
            let place = list.iter().position(|event| event.change == "unlocked").unwrap_or(0);
            list[place].who = "bolt".to_owned();
        });
    });
    breaks("P12", |lines| {
        lists(lines, |list| {
            list.iter_mut().filter(|event| event.kind == "OrderFinalised").for_each(|event| {
                event.proposal = "nobody's".to_owned();
            });
        });
    });
    breaks("P12", |lines| lists(lines, |list| list.swap(3, 4)));
}

#[test]
fn p13_finds_pages_unlike_the_list() {
    fn pages(line: &mut Line) -> Option<&mut Pages> {
        if let Line::Pages(pages) = line { Some(pages) } else { None }
    }
    breaks("P13", |lines| change(lines, pages, |pages| drop(pages.proposals.pop())));
    breaks("P13", |lines| change(lines, pages, |pages| drop(pages.said.pop())));
    breaks("P13", |lines| {
        for line in lines {
            if let Line::List(List { by, events: Ok(events), .. }) = line
                && by.starts_with("sse")
            {
                events.pop();
            }
        }
    });
}

#[test]
fn p14_finds_leaked_events() {
    breaks("P14", |lines| {
        change(lines, readings("bolt-1"), |told| told.event.who = "acme".to_owned())
    });
    breaks("P14", |lines| {
        change(lines, readings("bolt-1"), |told| {
            (told.reader, told.event.who) = (Reader::Sse, "acme".to_owned());
        });
    });
}
