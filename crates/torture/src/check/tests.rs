//! Tests with a correct history, and for each predicate at least one way to violate it, which must
//! be found under that predicate's name.

mod good;

use self::good::{LIFETIME_MS, attempt, good};
use super::*;
use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::history::{PageLookup, PageSnapshot, ReaderKind};

const ORDER: &str = "O";
const SEALED: &str = "S";

/// Changes every line that `pick` selects; there must be one.
fn change<T>(
    lines: &mut [HistoryLine],
    pick: impl Fn(&mut HistoryLine) -> Option<&mut T>,
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

fn attempt_in(line: &mut HistoryLine) -> Option<&mut ClientAttempt> {
    if let HistoryLine::Attempt(act) = line { Some(act) } else { None }
}

fn change_commands(
    lines: &mut [HistoryLine],
    is: impl Fn(&ClientCommand) -> bool,
    with: impl FnMut(&mut ClientAttempt),
) {
    change(lines, |line| attempt_in(line).filter(|act| is(&act.command)), with);
}

fn change_lists(lines: &mut [HistoryLine], mut with: impl FnMut(&mut Vec<ComparableEvent>)) {
    for line in lines {
        if let HistoryLine::List(EventListReading { order, events: Ok(events), .. }) = line
            && order == ORDER
        {
            with(events);
        }
    }
}

fn page_readings<'a>(page: &'a str) -> impl Fn(&mut HistoryLine) -> Option<&mut PageReading> + 'a {
    move |line| {
        let HistoryLine::Page(reading) = line else { return None };
        (reading.page == page).then_some(reading)
    }
}

fn receipts_of<'a>(name: &'a str) -> impl Fn(&mut HistoryLine) -> Option<&mut EventReceipt> + 'a {
    move |line| {
        let HistoryLine::Receipt(receipt) = line else { return None };
        (receipt.name == name).then_some(receipt)
    }
}

#[track_caller]
fn breaks(predicate: &str, spoil: impl FnOnce(&mut Vec<HistoryLine>)) {
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
    let follow_up = |op: &ClientCommand| *op == ClientCommand::FollowUp;
    breaks("P1", |lines| change_commands(lines, follow_up, |act| act.token = "others".to_owned()));
    // A losing award whose reply is a success.
    let late = |op: &ClientCommand| op.proposal() == Some("b") && op.is_end();
    breaks("P1", |lines| change_commands(lines, late, |act| act.result = ClientOutcome::SUCCESS));
    breaks("P1", |lines| lines.retain(|line| !matches!(line, HistoryLine::List(_))));
}

#[test]
fn p2_finds_gaps_repeats_and_changed_events() {
    breaks("P2", |lines| {
        lines.retain(
            |line| !matches!(line, HistoryLine::Receipt(receipt) if receipt.name == "sse" && receipt.event.seq == 4),
        );
    });
    breaks("P2", |lines| change(lines, receipts_of("observer"), |receipt| receipt.after = 3));
    breaks("P2", |lines| {
        change(lines, receipts_of("observer"), |receipt| receipt.event.proposal = "z".to_owned());
    });
}

/// P3 also finds keys with two replies, keys shared by actors, and effects that nobody requested.
#[test]
fn p3_finds_keys_with_two_effects() {
    breaks("P3", |lines| {
        change_lists(lines, |list| {
            let duplicate = list.iter().find(|event| event.kind == "FollowUpAdded").cloned();
            list.extend(duplicate);
        });
    });
    let lock = |op: &ClientCommand| matches!(op, ClientCommand::Lock { .. });
    breaks("P3", |lines| {
        let duplicate =
            lines.iter_mut().filter_map(attempt_in).find(|act| lock(&act.command)).cloned();
        lines.extend(duplicate.map(|act| {
            HistoryLine::Attempt(ClientAttempt {
                result: ClientOutcome::Ok { seq: Some(9) },
                ..act
            })
        }));
    });
    breaks("P3", |lines| {
        change_commands(lines, lock, |act| {
            act.result = ClientOutcome::refused("IDEMPOTENCY_CONFLICT")
        });
    });
    breaks("P3", |lines| {
        change_commands(lines, lock, |act| act.result = ClientOutcome::refused("LOCKED"))
    });
    // Refused although an earlier attempt succeeded.
    breaks("P3", |lines| {
        let duplicate =
            lines.iter_mut().filter_map(attempt_in).find(|act| lock(&act.command)).cloned();
        let refused = ClientOutcome::refused("LOCKED");
        let later = |act: ClientAttempt| ClientAttempt {
            called_at: act.returned_at + 10,
            returned_at: act.returned_at + 20,
            ..act
        };
        lines.extend(
            duplicate
                .map(|act| HistoryLine::Attempt(ClientAttempt { result: refused, ..later(act) })),
        );
    });
    breaks("P3b", |lines| {
        lines.retain(|line| !matches!(line, HistoryLine::Attempt(act) if act.command == ClientCommand::FollowUp));
    });
}

/// The streams of former trackers received events, or their commands were accepted.
#[test]
fn p4_and_p5_find_former_trackers() {
    fn pick(line: &mut HistoryLine) -> Option<&mut StreamSpan> {
        let HistoryLine::Stream(stream) = line else { return None };
        (stream.epoch == 3).then_some(stream)
    }
    breaks("P4", |lines| {
        change(lines, pick, |stream| {
            (stream.called_at, stream.first_message_at) = (6_000, Some(6_100))
        });
    });
    breaks("P4", |lines| change(lines, pick, |stream| stream.reason = "DRAINING".to_owned()));
    breaks("P5", |lines| {
        change_commands(lines, |op| *op == ClientCommand::Resume, |act| act.epoch = 3)
    });
}

/// P6 also finds pages with content that was never correct.
#[test]
fn p6_finds_pages_that_go_back() {
    let nothing = |reading: &mut PageReading| {
        if reading.called_at > 5_000 {
            reading.result = PageLookup::NotFound;
        }
    };
    breaks("P6", |lines| change(lines, page_readings("tracking"), nothing));
    breaks("P6", |lines| change(lines, page_readings("order"), nothing));
    let with = |with: fn(&mut PageSnapshot)| {
        move |reading: &mut PageReading| {
            if let (PageLookup::Order(snapshot), 5_000..) = (&mut reading.result, reading.called_at)
            {
                with(snapshot);
            }
        }
    };
    breaks("P6", |lines| {
        change(
            lines,
            page_readings("tracking"),
            with(|seen| (seen.last_seq, seen.phase) = (0, "Pending".to_owned())),
        );
    });
    breaks("P6", |lines| change(lines, page_readings("tracking"), with(|seen| seen.epoch = 0)));
    breaks("P6", |lines| change(lines, page_readings("order"), with(|seen| seen.proposals[1] = 7)));
    breaks("P6", |lines| change(lines, page_readings("order"), with(|seen| seen.last_seq = 99)));
    let paused = |seen: &mut PageSnapshot| seen.phase = "Paused".to_owned();
    breaks("P6", |lines| change(lines, page_readings("order"), with(paused)));
    breaks("P6", |lines| change(lines, page_readings("tracking"), with(paused)));
    breaks("P6", |lines| {
        for line in lines {
            if let HistoryLine::OrderList(roll) = line {
                (roll.orders, roll.total) = (Vec::new(), 300 - roll.called_at.min(300));
            }
        }
    });
}

#[test]
fn p7_finds_metrics_out_of_balance() {
    fn measurements(line: &mut HistoryLine) -> Option<&mut ProcessMeasurements> {
        if let HistoryLine::Measurements(sample) = line { Some(sample) } else { None }
    }
    let series = |name: &'static str, value: f64| {
        move |measurements: &mut ProcessMeasurements| {
            for (series, current) in &mut measurements.series {
                if series.starts_with(name) {
                    *current = value;
                }
            }
        }
    };
    breaks("P7", |lines| change(lines, measurements, series("grpc_server_started_total", 9.0)));
    breaks("P7", |lines| change(lines, measurements, series("grpc_server_in_flight", -1.0)));
    breaks("P7", |lines| change(lines, measurements, series("orderstream_processor_orders", 5.0)));
    breaks("P7", |lines| change(lines, measurements, |sample| sample.rss_kb = 9_000_000));
    breaks("P7", |lines| change(lines, measurements, |sample| sample.descriptors = 9_000));
}

#[test]
fn p8_and_p9_find_unsettled_runs() {
    breaks("P8", |lines| change_lists(lines, |list| drop(list.pop())));
    breaks("P8", |lines| {
        change(lines, page_readings("tracking"), |view| {
            if let (true, PageLookup::Order(snapshot)) = (view.is_last, &mut view.result) {
                snapshot.last_seq -= 1;
            }
        });
    });
    breaks("P9", |lines| {
        change_commands(
            lines,
            |op| *op == ClientCommand::Ask,
            |act| act.result = ClientOutcome::unknown("no answer"),
        );
    });
}

#[test]
fn p10_and_p15_find_cuts_and_crashes() {
    let cut = ClientOutcome::Fail { reason: "CUT: reset".to_owned() };
    breaks("P10", |lines| {
        change_commands(lines, |op| *op == ClientCommand::Ask, |act| act.result = cut.clone())
    });
    breaks("P15", |lines| {
        let (process, status) = ("processor-0".to_owned(), "exit status: 101".to_owned());
        lines.push(HistoryLine::Exit(UnexpectedExit { detected_at: 5, process, status }));
    });
    let fault = ClientOutcome::refused("INTERNAL");
    breaks("P15", |lines| {
        change_commands(lines, |op| *op == ClientCommand::Ask, |act| act.result = fault.clone())
    });
}

#[test]
fn p11_finds_expiries_at_wrong_times() {
    let early = |list: &mut Vec<ComparableEvent>| {
        if let Some(last) = list.last_mut() {
            (last.kind, last.change) = ("OrderPaused".to_owned(), "expired".to_owned());
        }
    };
    breaks("P11", |lines| change_lists(lines, early));
    let late = |list: &mut Vec<ComparableEvent>| {
        if let Some(last) = list.last_mut() {
            last.at += i64::try_from(LIFETIME_MS).unwrap_or_default();
        }
    };
    breaks("P11", |lines| change_lists(lines, late));
}

/// The buyer of an undone award has the time that it had still to run, also after the deadline.
#[test]
fn p11_finds_decisions_cut_short() {
    let cut_short = |list: &mut Vec<ComparableEvent>| {
        let proposed = list.iter().position(|event| event.kind == "NewProposal").unwrap();
        list.truncate(proposed + 1);
        let proposal = list[proposed].proposal.clone();
        let deadline = list[0].until.unwrap();
        let mut append = |at: i64, kind: &str, change: &str| {
            let (seq, id) = (list.len() as u64 + 1, list[0].id.clone());
            let (kind, change) = (kind.to_owned(), change.to_owned());
            let is_award = kind == "AwardPending";
            list.push(ComparableEvent {
                seq,
                at,
                kind,
                change,
                id,
                proposal: if is_award { proposal.clone() } else { String::new() },
                until: is_award.then_some(deadline + 10),
                ..ComparableEvent::default()
            });
        };
        append(deadline - 1, "AwardPending", "");
        append(deadline + 1, "AwardUndone", "");
        append(deadline + 1, "OrderPaused", "expired");
    };
    breaks("P11", |lines| change_lists(lines, cut_short));
}

#[test]
fn p12_finds_commands_without_linearisation() {
    // Refused for a reason that never applied.
    for (reason, seller) in [
        ("ORDER_PAUSED", "crane"),
        ("ORDER_NOT_FOUND", "crane"),
        ("ORDER_ENDED", "crane"),
        ("AWARD_PENDING", "crane"),
        ("PROPOSAL_ENDED", "crane"),
        ("PROPOSAL_EXISTS", "crane"),
        ("PROPOSAL_NOT_FOUND", "bolt"),
        ("NOT_INVITED", "bolt"),
    ] {
        breaks("P12", |lines| {
            let lock = ClientCommand::Lock { proposal: "a".to_owned(), lease_ms: 7 };
            let mut attempt = attempt(2_500, &lock, seller, ClientInterface::Rest(0));
            attempt.result = ClientOutcome::refused(reason);
            lines.push(HistoryLine::Attempt(attempt));
        });
    }
    // The reply came before the event was in the list: a command that was sent later precedes it.
    breaks("P12", |lines| {
        change_commands(
            lines,
            |op| *op == ClientCommand::FollowUp,
            |act| (act.called_at, act.returned_at) = (900, 950),
        );
    });
    // The event was in the list before the command was sent.
    breaks("P12", |lines| {
        change_commands(
            lines,
            |op| *op == ClientCommand::Ask,
            |act| (act.called_at, act.returned_at) = (10_600, 10_650),
        );
    });
    // Rules: a lock that another seller has, a proposal while paused, the award of a losing
    // proposal.
    breaks("P12", |lines| {
        change_lists(lines, |list| {
            let index = list.iter().position(|event| event.change == "unlocked").unwrap_or(0);
            list[index].actor = "bolt".to_owned();
        });
    });
    breaks("P12", |lines| {
        change_lists(lines, |list| {
            list.iter_mut().filter(|event| event.kind == "OrderFinalised").for_each(|event| {
                event.proposal = "nobody's".to_owned();
            });
        });
    });
    breaks("P12", |lines| change_lists(lines, |list| list.swap(3, 4)));
    // A seller's second proposal, and one of a seller that is not invited.
    for seller in ["acme", "crane"] {
        breaks("P12", |lines| {
            change_lists(lines, |list| {
                let second = list.iter_mut().find(|event| event.proposal == "b").unwrap();
                second.actor = seller.to_owned();
            });
        });
    }
}

#[test]
fn p13_finds_pages_unlike_the_list() {
    fn pages(line: &mut HistoryLine) -> Option<&mut OrderPagesReading> {
        if let HistoryLine::Pages(pages) = line { Some(pages) } else { None }
    }
    breaks("P13", |lines| change(lines, pages, |pages| drop(pages.proposals.pop())));
    breaks("P13", |lines| change(lines, pages, |pages| drop(pages.conversation.pop())));
    breaks("P13", |lines| {
        for line in lines {
            if let HistoryLine::List(EventListReading { by, events: Ok(events), .. }) = line
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
        change(lines, receipts_of("bolt-1"), |receipt| receipt.event.actor = "acme".to_owned())
    });
    breaks("P14", |lines| {
        change(lines, receipts_of("bolt-1"), |receipt| {
            (receipt.reader, receipt.event.actor) = (ReaderKind::Sse, "acme".to_owned());
        });
    });
}
