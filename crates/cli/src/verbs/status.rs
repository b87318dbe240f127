//! `orderstream status`: shows an order on one screen.

use std::collections::BTreeMap;

use orderstream_core::command::{Award, winners};
use orderstream_core::date::{parse_rfc3339, rfc3339_seconds};
use orderstream_core::request_phase::is_end;
use orderstream_core::seal::SEALED;
use orderstream_core::{Phase, ProposalId, Timestamp};
use orderstream_rest_types::notification::{NotificationView, OutboxView};
use orderstream_rest_types::order::{
    AwardView, InvitationView, ItemView, OrderView, PendingAwardView,
};
use orderstream_rest_types::proposal::{ProposalView, WonPartView};

use super::award_remarks::{conditions_text, label_text};
use super::event_line::EventLine;
use super::ids::ShortIds;
use super::market::{Market, MarketArgs, Subject};
use super::model::{
    FormerIncarnation, NotificationReport, ProposalReport, StatusReport, TimelineEntry,
};
use super::print::{self, or_dash};
use super::show::OutputFormat;
use super::table::{self, Column};
use super::winners::Winners;
use super::{request_facts, shell, show, stalled, stream, timeline, tracked};
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// The most proposals that are shown.
const PROPOSALS_MAX: usize = 100;
/// The words for an award of a later server.
const UNKNOWN_AWARD: &str = "in a form that this version of orderstream does not know";
/// The number of events that are shown, by default.
const EVENTS_DEFAULT: u64 = 20;
/// The most notifications that are shown; the newest ones are.
const NOTIFICATIONS_MAX: usize = 20;

/// `orderstream status ORDER`
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Name of the order request, or the order's id
    order: String,
    /// The number of last events that are shown; 0 for none
    #[arg(long, default_value_t = EVENTS_DEFAULT, value_name = "COUNT",
          value_parser = clap::value_parser!(u64).range(..=1000))]
    events: u64,
    /// A former incarnation of the order's id, as `status` lists them; the newest when absent
    #[arg(long, value_name = "NAME")]
    incarnation: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

impl StatusArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?.of_incarnation(self.incarnation.clone());
        let subject = market.subject_to_read(&self.order).await?;
        let report = match report(&market, &subject, self.events).await {
            Ok(report) => report,
            Err(failure) => {
                return Err(tracked::print_tracking(&market, &subject, self.output, failure).await);
            }
        };
        if self.output != OutputFormat::Table {
            return print::structured(&report, self.output);
        }
        show(&self.order, &report);
        Ok(())
    }
}

async fn report(market: &Market, subject: &Subject, events: u64) -> Result<StatusReport, CliError> {
    let order = market.order(subject).await?;
    let sellers = market.sellers();
    let proposals = sellers.proposals(&subject.id, PROPOSALS_MAX).await?;
    let timeline = timeline::last(sellers, &order, &proposals, events).await?;
    let notifications = notifications(market, subject).await?;
    let stream = stream::report(market, subject, &order).await?;
    // A former incarnation has no order request any more.
    let resource = subject.resource().filter(|_| !sellers.reads_named_incarnation());
    let stalled = resource.and_then(stalled::text);
    let for_people = PeopleStatus::of(subject, &order, &proposals);
    let award = order.award.as_ref().map(award_text);
    let pending = order.pending_award.as_ref();
    let pending_award = pending.map(|award| pending_award_text(award, print::utc_moment));
    let formers = order.former_incarnations.into_iter();
    Ok(StatusReport {
        order_req_id: order.order_req_id,
        tenant: sellers.tenant().to_owned(),
        title: order.title,
        incarnation: order.incarnation,
        former_incarnations: formers.map(FormerIncarnation::from).collect(),
        items: order.items,
        category: order.category,
        delivery: order.delivery,
        message: order.message,
        currency: order.currency,
        time_zone: order.time_zone,
        phase: order.phase,
        sealed: order.sealed,
        opened_at: order.opened_at,
        expires_at: order.expires_at,
        decide_until: order.decide_until,
        ended_at: order.ended_at,
        award,
        pending_award,
        for_people,
        proposal_counts: order.proposals,
        proposals: proposals.into_iter().map(ProposalReport::from).collect(),
        sellers_considered: order.sellers.len(),
        sellers: order.invitations,
        stream,
        timeline,
        notifications: notifications.into_iter().map(NotificationReport::from).collect(),
        stalled,
    })
}

/// Reads the waiting notifications and the dead letters; none where the processor has no outbox.
async fn notifications(
    market: &Market,
    subject: &Subject,
) -> Result<Vec<NotificationView>, CliError> {
    let outbox: OutboxView = market.sellers().read(&subject.id, "/notifications", &[]).await?;
    Ok(outbox.notifications)
}

fn award_of(award: &AwardView) -> Option<Award> {
    let id = |id: &String| ProposalId::new(id.clone()).ok();
    Some(match award {
        AwardView::Other => return None,
        AwardView::Whole(winner) => Award::Whole(id(winner)?),
        AwardView::Lines(lines) => {
            let lines = lines.iter().map(|(sku, winner)| Some((sku.clone(), id(winner)?)));
            Award::Lines(lines.collect::<Option<_>>()?)
        }
    })
}

fn award_text(award: &AwardView) -> String {
    if *award == AwardView::Other {
        return UNKNOWN_AWARD.to_owned();
    }
    winners(award_of(award).as_ref())
}

fn pending_award_text(
    pending: &PendingAwardView,
    moment: impl Fn(&str, Timestamp) -> String,
) -> String {
    let award = pending.award.as_ref().map_or_else(|| winners(None), award_text);
    format!("{award}, counts from {}", moment(&pending.effective_at, crate::clock::now()))
}

/// The parts of a status that only people get.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeopleStatus {
    /// The award, or the pending one, with sellers, prices and times in the reader's zone.
    award: Option<String>,
    /// The lines that proposals won, with their price, by the proposals' ids.
    won: BTreeMap<String, String>,
    /// The end of the order request, RFC 3339.
    kept_until: Option<String>,
}

impl PeopleStatus {
    fn of(subject: &Subject, order: &OrderView, proposals: &[ProposalView]) -> Self {
        let words = |award: Option<&AwardView>| match Winners::of(award) {
            Some(winners) => winners.describe(&order.items, proposals),
            None => UNKNOWN_AWARD.to_owned(),
        };
        let is_finalised = order.phase == Phase::Finalised.as_str();
        let pending = order.pending_award.as_ref().map(|pending| {
            let at = print::moment(&pending.effective_at, crate::clock::now());
            format!("{}, counts from {at}", words(pending.award.as_ref()))
        });
        let award = is_finalised.then(|| words(order.award.as_ref())).or(pending);
        // A whole award is in the line of the order.
        let is_by_lines = matches!(order.award, Some(AwardView::Lines(_)));
        let won = proposals.iter().filter(|_| is_by_lines).filter_map(|proposal| {
            let won = won_text(proposal.won.as_ref()?, &proposal.content.currency);
            Some((proposal.proposal_id.clone(), won))
        });
        let won = won.collect();
        let ended = order.ended_at.as_deref().and_then(parse_rfc3339);
        let kept_until = ended.zip(subject.resource().and_then(show::ttl_ms));
        Self {
            award,
            won,
            kept_until: kept_until.map(|(at, ttl_ms)| rfc3339_seconds(at.plus_ms(ttl_ms))),
        }
    }
}

/// Describes the part of an order that a proposal has won: `CHAIR, MAT for 12.50 EUR`.
fn won_text(part: &WonPartView, currency: &str) -> String {
    let lines: Vec<&str> = part.lines.iter().map(|won| won.line.as_str()).collect();
    let total = part.total.as_ref().map(|total| format!(" for {total} {currency}"));
    print::one_line(&format!("{}{}", lines.join(", "), total.unwrap_or_default()))
}

/// Returns the word for a proposal's state: after the order's end, what that made of it.
fn state(proposal: &ProposalReport) -> &str {
    match proposal.outcome.as_deref() {
        Some("NotAwarded") => "Not awarded",
        Some(outcome) => outcome,
        None => &proposal.status,
    }
}

/// Counts the order's proposals. None of them is open any more once the order has ended.
fn counts(report: &StatusReport) -> String {
    let counts = report.proposal_counts;
    if is_end(&report.phase) {
        return format!("{} received, {} withdrawn", counts.received, counts.withdrawn);
    }
    format!("{} open, {} withdrawn, {} closed", counts.open, counts.withdrawn, counts.closed)
}

fn show(name: &str, report: &StatusReport) {
    summary(report);
    sellers(report);
    proposals(report);
    if !report.timeline.is_empty() {
        let (first, last) = (report.timeline.first(), report.timeline.last());
        let seq = |entry: Option<&TimelineEntry>| entry.map_or(0, |entry| entry.seq);
        print::heading(&format!("timeline ({} to {} of {})", seq(first), seq(last), seq(last)));
        let short = short_ids(report);
        let row = |entry: &TimelineEntry| {
            let EventLine { who, event, what } = entry.line.clone();
            let what = short.shortened(&what);
            vec![print::clock(&entry.at), format!("#{}", entry.seq), who, event, what]
        };
        let columns = [
            Column::Extra("WHEN"),
            Column::Text("SEQ"),
            Column::Text("WHO"),
            Column::Text("EVENT"),
            Column::Prose("WHAT"),
        ];
        table::print(&columns, report.timeline.iter().map(row).collect());
    }
    notified(report);
    if let Some(step) = next(name, report) {
        output::line("");
        match step {
            NextStep::Command(command) => print::next(&command),
            NextStep::Hint(text) => print::hint(&text),
        }
    }
}

/// Returns the ids of the shown proposals.
fn short_ids(report: &StatusReport) -> ShortIds<'_> {
    ShortIds::of(report.proposals.iter().map(|proposal| proposal.proposal_id.as_str()))
}

fn summary(report: &StatusReport) {
    let id = styled(Style::Heading, &report.order_req_id);
    let title = report.title.as_deref().map(print::one_line).unwrap_or_default();
    output::line(format!("{id}  {title}").trim_end());
    if is_former(report) {
        output::line("  a former incarnation, which can only be read");
    }
    let now = crate::clock::now();
    let fact = |name: &str, text: &str| output::line(&format!("  {name:<10} {text}"));
    fact("phase", &phase(report, now));
    let items: Vec<String> = report.items.iter().map(item).collect();
    if !items.is_empty() {
        fact("items", &items.join(", "));
    }
    request_facts::of(report).iter().for_each(|(name, text)| fact(name, text));
    fact("proposals", &counts(report));
    if let Some(award) = &report.for_people.award {
        fact("award", &print::one_line(&short_ids(report).shortened(award)));
    }
    if let Some(stalled) = &report.stalled {
        fact("stalled", stalled);
    }
    if let Some(until) = report.for_people.kept_until.as_ref().filter(|_| !is_former(report)) {
        fact("kept", &format!("in `list` until {}", print::moment(until, now)));
    }
    let stream_phase = report.stream.phase.as_deref().unwrap_or("down");
    let stream = match &report.stream.down_because {
        Some(why) if !is_end(&report.phase) => format!("{stream_phase}: {why}"),
        Some(_) | None => stream_phase.to_owned(),
    };
    let at = report.stream.processor.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
    let stream =
        format!("{stream}; event {}, epoch {}{at}", report.stream.last_seq, report.stream.epoch);
    fact("stream", &stream);
    let formers = &report.former_incarnations;
    if let Some(last) = formers.first().filter(|_| !is_former(report)) {
        let last = print::one_line(&last.incarnation);
        fact("former", &format!("{}; the last one with --incarnation {last}", formers.len()));
    }
}

/// Reports whether a newer incarnation replaced the one that is shown.
fn is_former(report: &StatusReport) -> bool {
    let mut formers = report.former_incarnations.iter();
    formers.any(|former| former.incarnation == report.incarnation)
}

fn phase(report: &StatusReport, now: Timestamp) -> String {
    let phase = &report.phase;
    let sealed = if report.sealed && report.decide_until.is_none() { ", sealed" } else { "" };
    match (&report.ended_at, &report.decide_until) {
        (Some(ended), _) => format!("{phase} since {}", print::moment(ended, now)),
        (None, Some(until)) => {
            format!("{} until {}", Phase::Deciding.as_str(), print::moment(until, now))
        }
        (None, None) => {
            format!("{phase}{sealed}, closes at {}", print::moment(&report.expires_at, now))
        }
    }
}

fn item(item: &ItemView) -> String {
    let unit = item.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let line = item.line.as_deref().map(|line| format!(" (line {line})")).unwrap_or_default();
    print::one_line(&format!("{}{unit} {}{line}", item.quantity, item.sku))
}

fn sellers(report: &StatusReport) {
    let (invited, considered) = (report.sellers.len(), report.sellers_considered);
    print::heading(&format!("sellers ({invited} invited of {considered} considered)"));
    let row = |seller: &InvitationView| {
        vec![
            print::seller(&seller.seller, seller.display_name.as_deref()),
            seller.state.clone(),
            seller.at.as_deref().map_or_else(|| "-".to_owned(), print::clock),
            or_dash(seller.reason.as_deref()),
        ]
    };
    let columns = [
        Column::Text("SELLER"),
        Column::Text("STATE"),
        Column::Extra("SINCE"),
        Column::Prose("REASON"),
    ];
    table::print(&columns, report.sellers.iter().map(row).collect());
}

fn proposals(report: &StatusReport) {
    if report.proposals.is_empty() {
        return;
    }
    let hidden = report.sealed && report.decide_until.is_none();
    let listed = report.proposals.len();
    let of = usize::try_from(report.proposal_counts.received).unwrap_or(listed);
    let count = if of > listed { format!("first {listed} of {of}") } else { listed.to_string() };
    print::heading(&format!("proposals ({count})"));
    let short = short_ids(report);
    let won = &report.for_people.won;
    let has_won = !won.is_empty();
    let row = |proposal: &ProposalReport| {
        let price = if hidden {
            SEALED.to_owned()
        } else {
            format!("{} {}", proposal.price, proposal.currency)
        };
        let mut cells = vec![
            short.short(&proposal.proposal_id).to_owned(),
            print::seller(&proposal.seller, proposal.seller_name.as_deref()),
            state(proposal).to_owned(),
            price,
            proposal.version.to_string(),
            or_dash(proposal.delivery_date.as_deref()),
            or_dash(proposal.locked_by.as_deref()),
        ];
        if has_won {
            cells.push(or_dash(won.get(&proposal.proposal_id).map(String::as_str)));
        }
        cells
    };
    let mut columns = vec![
        Column::Text("PROPOSAL"),
        Column::Text("SELLER"),
        Column::Text("STATE"),
        Column::Numbers("TOTAL"),
        Column::ExtraNumbers("VERSION"),
        Column::Extra("DELIVERY"),
        Column::Extra("LOCKED BY"),
    ];
    if has_won {
        columns.push(Column::Prose("WON"));
    }
    table::print(&columns, report.proposals.iter().map(row).collect());
    let conditions = report.proposals.iter().filter(|_| !hidden).filter_map(conditions);
    for (id, text) in conditions {
        print::lines(&format!("{}: {text}", short.short(id)));
    }
}

/// Returns a proposal's id, and its label, validity and note; `None` where it has none of these.
fn conditions(proposal: &ProposalReport) -> Option<(&str, String)> {
    let label = label_text(proposal.alternative.as_deref());
    let text = conditions_text(proposal.valid_until.as_deref(), proposal.note.as_deref());
    let parts: Vec<String> = label.into_iter().chain(text).collect();
    (!parts.is_empty()).then(|| (proposal.proposal_id.as_str(), parts.join("; ")))
}

fn notified(report: &StatusReport) {
    let all = &report.notifications;
    if all.is_empty() {
        return;
    }
    let latest = &all[all.len().saturating_sub(NOTIFICATIONS_MAX)..];
    print::heading(&format!(
        "notifications that wait, or were given up (last {} of {})",
        latest.len(),
        all.len()
    ));
    let row = |notification: &NotificationReport| {
        vec![
            notification.topic.clone(),
            notification.seller.clone().unwrap_or_else(|| notification.recipient.clone()),
            notification.channel.clone(),
            notification.state.clone(),
            notification.attempts.to_string(),
            or_dash(notification.reason.as_deref()),
        ]
    };
    let columns = [
        Column::Text("TOPIC"),
        Column::Text("TO"),
        Column::Text("BY"),
        Column::Text("STATE"),
        Column::ExtraNumbers("ATTEMPTS"),
        Column::Prose("REASON"),
    ];
    table::print(&columns, latest.iter().map(row).collect());
}

/// The step that a buyer most likely takes next.
enum NextStep {
    /// A command, as it is pasted into a shell.
    Command(String),
    /// A sentence.
    Hint(String),
}

/// Returns the next step; `None` where the order needs none.
fn next(name: &str, report: &StatusReport) -> Option<NextStep> {
    if is_end(&report.phase) || is_former(report) {
        return None;
    }
    let command = |verb: &str| NextStep::Command(shell::command(&[verb, name]));
    if report.pending_award.is_some() {
        let undo = shell::command(&["undo-award", name]);
        return Some(NextStep::Hint(format!(
            "the award counts by itself; until then `{undo}` undoes it"
        )));
    }
    if report.proposal_counts.open > 0 && (!report.sealed || report.decide_until.is_some()) {
        return Some(command("compare"));
    }
    report.sellers.is_empty().then(|| command("why"))
}
