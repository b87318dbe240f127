//! `orderstream status`: shows an order on one screen.

use orderstream_core::ProposalId;
use orderstream_core::command::{Award, winners};
use orderstream_core::request_phase::is_end;
use orderstream_rest_types::notification::{NotificationView, OutboxView};
use orderstream_rest_types::order::{AwardView, InvitationView, ItemView, PendingAwardView};

use super::market::{Market, MarketArgs, Subject};
use super::model::{
    FormerIncarnation, NotificationReport, ProposalReport, StatusReport, TimelineEntry,
};
use super::print::{self, Column, or_dash};
use super::show::OutputFormat;
use super::{stream, timeline, tracked};
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// The most proposals that are shown.
const PROPOSALS_MAX: usize = 100;
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
    let timeline = timeline::last(sellers, &order, events).await?;
    let notifications = notifications(market, subject).await?;
    let stream = stream::report(market, subject, &order).await?;
    let formers = order.former_incarnations.into_iter();
    let award = order.award.as_ref().map(award_text);
    let pending_award = order.pending_award.as_ref().map(pending_award_text);
    Ok(StatusReport {
        order_req_id: order.order_req_id,
        tenant: sellers.tenant().to_owned(),
        title: order.title,
        incarnation: order.incarnation,
        former_incarnations: formers.map(FormerIncarnation::from).collect(),
        items: order.items,
        phase: order.phase,
        sealed: order.sealed,
        opened_at: order.opened_at,
        expires_at: order.expires_at,
        decide_until: order.decide_until,
        ended_at: order.ended_at,
        award,
        pending_award,
        proposal_counts: order.proposals,
        proposals: proposals.into_iter().map(ProposalReport::from).collect(),
        sellers_considered: order.sellers.len(),
        sellers: order.invitations,
        stream,
        timeline,
        notifications: notifications.into_iter().map(NotificationReport::from).collect(),
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
        return "in a form that this version of orderstream does not know".to_owned();
    }
    winners(award_of(award).as_ref())
}

fn pending_award_text(pending: &PendingAwardView) -> String {
    let award = pending.award.as_ref().map_or_else(|| winners(None), award_text);
    format!("{award}, counts from {}", print::moment(&pending.effective_at, crate::clock::now()))
}

fn show(name: &str, report: &StatusReport) {
    summary(report);
    sellers(report);
    proposals(report);
    if !report.timeline.is_empty() {
        let (first, last) = (report.timeline.first(), report.timeline.last());
        let seq = |entry: Option<&TimelineEntry>| entry.map_or(0, |entry| entry.seq);
        print::heading(&format!("timeline ({} to {} of {})", seq(first), seq(last), seq(last)));
        let row = |entry: &TimelineEntry| {
            let text = entry.text.clone();
            vec![print::clock(&entry.at), format!("#{}", entry.seq), entry.event.clone(), text]
        };
        let columns = ["WHEN", "SEQ", "EVENT", "WHAT"].map(Column::Text);
        print::table(&columns, report.timeline.iter().map(row).collect());
    }
    notified(report);
    if let Some(command) = next(name, report) {
        output::line("");
        print::next(&command);
    }
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
    let counts = report.proposal_counts;
    fact(
        "proposals",
        &format!("{} open, {} withdrawn, {} closed", counts.open, counts.withdrawn, counts.closed),
    );
    if let Some(award) = report.award.as_ref().or(report.pending_award.as_ref()) {
        fact("award", award);
    }
    let stream = match &report.stream.down_because {
        None => "up".to_owned(),
        Some(why) => format!("down: {why}"),
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

fn phase(report: &StatusReport, now: orderstream_core::Timestamp) -> String {
    let phase = &report.phase;
    let sealed = if report.sealed && report.decide_until.is_none() { ", sealed" } else { "" };
    match (&report.ended_at, &report.decide_until) {
        (Some(ended), _) => format!("{phase} since {}", print::moment(ended, now)),
        (None, Some(until)) => {
            format!("{phase}, opened; decide until {}", print::moment(until, now))
        }
        (None, None) => {
            format!("{phase}{sealed}, closes at {}", print::moment(&report.expires_at, now))
        }
    }
}

fn item(item: &ItemView) -> String {
    let unit = item.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    print::one_line(&format!("{}{unit} {}", item.quantity, item.sku))
}

fn sellers(report: &StatusReport) {
    let (invited, considered) = (report.sellers.len(), report.sellers_considered);
    print::heading(&format!("sellers ({invited} invited of {considered} considered)"));
    let row = |seller: &InvitationView| {
        vec![
            seller.seller.clone(),
            seller.state.clone(),
            seller.at.as_deref().map_or_else(|| "-".to_owned(), print::clock),
            or_dash(seller.reason.as_deref()),
        ]
    };
    let columns = ["SELLER", "STATE", "SINCE", "REASON"].map(Column::Text);
    print::table(&columns, report.sellers.iter().map(row).collect());
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
    let row = |proposal: &ProposalReport| {
        let price = if hidden {
            "hidden".to_owned()
        } else {
            format!("{} {}", proposal.price, proposal.currency)
        };
        vec![
            proposal.proposal_id.clone(),
            proposal.seller.clone(),
            proposal.status.clone(),
            price,
            proposal.version.to_string(),
            or_dash(proposal.delivery_date.as_deref()),
            or_dash(proposal.locked_by.as_deref()),
        ]
    };
    let columns = [
        Column::Text("PROPOSAL"),
        Column::Text("SELLER"),
        Column::Text("STATE"),
        Column::Numbers("TOTAL"),
        Column::Numbers("VERSION"),
        Column::Text("DELIVERY"),
        Column::Text("LOCKED BY"),
    ];
    print::table(&columns, report.proposals.iter().map(row).collect());
}

fn notified(report: &StatusReport) {
    let all = &report.notifications;
    if all.is_empty() {
        return;
    }
    let latest = &all[all.len().saturating_sub(NOTIFICATIONS_MAX)..];
    print::heading(&format!(
        "still to be told, or given up (last {} of {})",
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
        Column::Numbers("ATTEMPTS"),
        Column::Text("REASON"),
    ];
    print::table(&columns, latest.iter().map(row).collect());
}

/// Returns the command that a buyer most likely runs next.
fn next(name: &str, report: &StatusReport) -> Option<String> {
    if is_end(&report.phase) || is_former(report) {
        return None;
    }
    if report.pending_award.is_some() {
        return Some(format!("orderstream undo-award {name}, or wait until it counts"));
    }
    if report.proposal_counts.open > 0 && (!report.sealed || report.decide_until.is_some()) {
        return Some(format!("orderstream compare {name}"));
    }
    if report.sellers.is_empty() {
        return Some(format!("orderstream why {name}"));
    }
    None
}
