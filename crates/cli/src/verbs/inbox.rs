//! `orderstream inbox`: the orders that a seller is invited to, with state, deadline and its own
//! proposals.

use orderstream_core::{Phase, Timestamp, date};
use orderstream_rest_types::inbox::{InboxEntryView, OwnProposalView};

use super::ids::ShortIds;
use super::inbox_watch::InboxWatch;
use super::market::{MarketArgs, ProcessorRest};
use super::model::InboxReport;
use super::show::OutputFormat;
use super::table::{self, Column};
use super::{print, shell};
use crate::clock;
use crate::exit::CliError;
use crate::output;

/// The most pages of an inbox that are read; each holds, or looks at, many orders.
const PAGES_MAX: usize = 1_000;

/// `orderstream inbox --seller NAME`
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "independent flags")]
pub struct InboxArgs {
    /// The seller's name
    #[arg(long = "seller", env = "ORDERSTREAM_SELLER", value_name = "NAME")]
    seller: String,
    /// List the orders that have ended too
    #[arg(long)]
    ended: bool,
    /// Go on with each order that opens or changes, until Ctrl-C; in JSON each one is a line
    #[arg(long, conflicts_with = "ended")]
    watch: bool,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

impl InboxArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let sellers = self.market_args.processor_rest().await?;
        if self.watch {
            return InboxWatch::new(&sellers, &self.seller, self.output).run().await;
        }
        let report = self.read(&sellers).await?;
        if self.output != OutputFormat::Table {
            return print::structured(&report, self.output);
        }
        for url in &report.unreached {
            output::note(&format!("warning: {url} does not answer; its orders are missing here"));
        }
        if report.invitations.is_empty() {
            let which = if self.ended { "order" } else { "open order" };
            output::line(&format!("no {which} invites {}", print::one_line(&self.seller)));
            return Ok(());
        }
        print_table(&report.invitations);
        if let Some(entry) = report.invitations.iter().find(|entry| is_waiting(entry)) {
            print::next(&shell::command(&["status", &entry.order_req_id]));
        }
        Ok(())
    }

    /// Reads the whole inbox, the next deadline first, and the orders that have ended last.
    async fn read(&self, sellers: &ProcessorRest) -> Result<InboxReport, CliError> {
        let mut report = InboxReport { seller: self.seller.clone(), ..InboxReport::default() };
        let (ended, mut after) = (self.ended.to_string(), String::new());
        for _ in 0..PAGES_MAX {
            let query = [("ended", ended.as_str()), ("after", after.as_str())];
            let page = sellers.inbox(&self.seller, &query).await?;
            report.invitations.extend(page.invitations);
            report.unreached.extend(page.unreached);
            match page.next.filter(|next| !next.is_empty() && *next != after) {
                Some(next) => after = next,
                None => break,
            }
        }
        report.unreached.sort_unstable();
        report.unreached.dedup();
        // It is stable: orders with one deadline stay in the order of their ids.
        report.invitations.sort_by_key(|entry| {
            (entry.ended_at.is_some(), date::parse_rfc3339(&entry.expires_at))
        });
        Ok(report)
    }
}

/// Reports whether the seller can propose, and has no proposal and has not declined. Of a sealed
/// order nobody reads that.
fn is_waiting(entry: &InboxEntryView) -> bool {
    let is_open = |own: &OwnProposalView| own.status == "Open";
    entry.phase == Phase::Open.as_str()
        && !entry.sealed
        && entry.state != "Declined"
        && !entry.proposals.iter().any(is_open)
}

fn print_table(entries: &[InboxEntryView]) {
    let columns = [
        Column::Text("ORDER"),
        Column::Extra("PHASE"),
        Column::Text("STATE"),
        Column::Moment("DEADLINE"),
        Column::Text("PROPOSAL"),
        Column::Numbers("PRICE"),
        Column::ExtraProse("TITLE"),
    ];
    let row = |entry: &InboxEntryView| {
        let [order, phase, state, deadline, proposal, price] = cells(entry);
        let title = print::or_dash(entry.title.as_deref());
        vec![order, phase, state, deadline, proposal, price, title]
    };
    table::print(&columns, entries.iter().map(row).collect());
}

/// Returns order, phase, state, deadline, proposal and price for people. Whether the seller has a
/// proposal in a sealed order is not read before its opening.
pub(super) fn cells(entry: &InboxEntryView) -> [String; 6] {
    let own = entry.proposals.first();
    let more = entry.proposals.len().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let without = if entry.sealed { "sealed" } else { "-" };
    let short = ShortIds::of(entry.proposals.iter().map(|own| own.proposal_id.as_str()));
    let proposal = own.map(|own| format!("{}{more}", proposal_text(entry, own, &short)));
    [
        print::one_line(&entry.order_req_id),
        print::one_line(&entry.phase),
        print::one_line(&entry.state),
        deadline(entry, clock::now()),
        print::or_dash(proposal.as_deref().or(Some(without))),
        own.map_or_else(|| without.to_owned(), price_text),
    ]
}

/// Returns the deadline, or the end of an order that has ended before or after it.
fn deadline(entry: &InboxEntryView, now: Timestamp) -> String {
    match &entry.ended_at {
        Some(ended) => format!("ended {}", print::moment(ended, now)),
        None => print::moment(&entry.expires_at, now),
    }
}

/// Names a proposal with its version, and what became of it.
fn proposal_text(entry: &InboxEntryView, own: &OwnProposalView, short: &ShortIds<'_>) -> String {
    let is_finalised = entry.phase == Phase::Finalised.as_str();
    let state = match own.status.as_str() {
        _ if own.won => " (won)".to_owned(),
        "Open" | "Closed" if entry.ended_at.is_some() && is_finalised => {
            " (not awarded)".to_owned()
        }
        "Open" | "Closed" if entry.ended_at.is_some() => " (ended)".to_owned(),
        "Open" => String::new(),
        status => format!(" ({})", status.to_lowercase()),
    };
    format!("{} v{}{state}", short.short(&own.proposal_id), own.version)
}

fn price_text(own: &OwnProposalView) -> String {
    match (&own.price, &own.currency) {
        (Some(price), Some(currency)) => print::one_line(&format!("{price} {currency}")),
        _ => "sealed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(status: &str) -> OwnProposalView {
        OwnProposalView {
            proposal_id: "p-1".to_owned(),
            status: status.to_owned(),
            version: 2,
            price: Some("9.50".to_owned()),
            currency: Some("EUR".to_owned()),
            ..OwnProposalView::default()
        }
    }

    #[test]
    fn own_proposals_have_their_state() {
        let entry = InboxEntryView::default();
        let short = ShortIds::default();
        let texts = |own: &OwnProposalView| (proposal_text(&entry, own, &short), price_text(own));
        let expected = |text: &str, price: &str| (text.to_owned(), price.to_owned());
        assert_eq!(texts(&own("Open")), expected("p-1 v2", "9.50 EUR"));
        assert_eq!(texts(&own("Withdrawn")), expected("p-1 v2 (withdrawn)", "9.50 EUR"));
        let won = OwnProposalView { won: true, ..own("Open") };
        assert_eq!(texts(&won), expected("p-1 v2 (won)", "9.50 EUR"));
        let sealed = OwnProposalView { price: None, currency: None, ..own("Open") };
        assert_eq!(texts(&sealed), expected("p-1 v2", "sealed"));
    }

    #[test]
    fn ended_orders_say_what_became_of_proposals() {
        let now = date::parse_rfc3339("2026-12-01T12:00:00Z").unwrap();
        let text = |phase: &str, own: OwnProposalView| {
            let entry = InboxEntryView {
                phase: phase.to_owned(),
                ended_at: Some("2026-12-01T11:00:00Z".to_owned()),
                expires_at: "2026-12-01T12:30:00Z".to_owned(),
                proposals: vec![own],
                ..InboxEntryView::default()
            };
            assert!(deadline(&entry, now).starts_with("ended "), "no running deadline");
            assert!(deadline(&entry, now).ends_with(" (1h ago)"));
            cells(&entry)[4].clone()
        };
        assert_eq!(text("Finalised", own("Closed")), "p-1 v2 (not awarded)");
        assert_eq!(text("Closed", own("Open")), "p-1 v2 (ended)");
        assert_eq!(text("Closed", own("Withdrawn")), "p-1 v2 (withdrawn)");
        let won = OwnProposalView { won: true, ..own("Open") };
        assert_eq!(text("Finalised", won), "p-1 v2 (won)");
        let proposal_id = "01a22855-0c47-75f7-b561-3fe65a6fa1e5".to_owned();
        let generated = OwnProposalView { proposal_id, ..own("Closed") };
        assert_eq!(text("Finalised", generated), "01a22855 v2 (not awarded)");
    }

    #[test]
    fn open_orders_without_proposal_wait() {
        let entry = |phase: &str, state: &str, proposals: Vec<OwnProposalView>| InboxEntryView {
            phase: phase.to_owned(),
            state: state.to_owned(),
            proposals,
            ..InboxEntryView::default()
        };
        assert!(is_waiting(&entry("Open", "Seen", Vec::new())));
        assert!(is_waiting(&entry("Open", "Proposed", vec![own("Withdrawn")])));
        assert!(!is_waiting(&entry("Open", "Proposed", vec![own("Open")])));
        assert!(!is_waiting(&entry("Open", "Declined", Vec::new())));
        assert!(!is_waiting(&entry("Deciding", "Seen", Vec::new())));
    }

    /// The seller may have proposed, or declined.
    #[test]
    fn sealed_orders_do_not_seem_to_wait() {
        let entry = InboxEntryView {
            phase: "Open".to_owned(),
            state: "Invited".to_owned(),
            sealed: true,
            ..InboxEntryView::default()
        };
        assert!(!is_waiting(&entry));
        let [.., proposal, price] = cells(&entry);
        assert_eq!((proposal.as_str(), price.as_str()), ("sealed", "sealed"));
    }
}
