//! `orderstream why`: explains why each seller was or was not invited, and why the stream is down.

use orderstream_core::spec::Verdict;
use orderstream_rest_types::order::ConsideredSellerView;

use super::invited;
use super::market::MarketArgs;
use super::model::WhyReport;
use super::print;
use super::show::OutputFormat;
use super::table::{self, Column};
use super::{stalled, stream, tracked};
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// `orderstream why ORDER`
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// Name of the order request, or the order's id
    order: String,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

impl WhyArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?;
        let subject = market.subject_to_read(&self.order).await?;
        let order = match market.order(&subject).await {
            Ok(order) => order,
            Err(failure) => {
                return Err(tracked::print_tracking(&market, &subject, self.output, failure).await);
            }
        };
        let stream = stream::report(&market, &subject, &order).await?;
        let mut sellers = order.sellers;
        sellers.sort_by(|a, b| (!a.chosen, &a.seller).cmp(&(!b.chosen, &b.seller)));
        let open_to_all = order.open_to_all;
        let stalled = subject.resource().and_then(stalled::text);
        let order_req_id = order.order_req_id;
        let report = WhyReport { order_req_id, sellers, open_to_all, stream, stalled };
        if self.output != OutputFormat::Table {
            return print::structured(&report, self.output);
        }
        show(&report);
        Ok(())
    }
}

fn show(report: &WhyReport) {
    let chosen = report.sellers.iter().filter(|seller| seller.chosen).count();
    let (id, all) = (&report.order_req_id, report.sellers.len());
    output::line(&styled(Style::Heading, &format!("sellers of {id}: {chosen} of {all} invited")));
    if let Some(text) = invited::none_text(&report.sellers) {
        output::line(&text);
    } else if report.open_to_all {
        output::line("others may propose too: the order is open to all");
    }
    let row = |seller: &ConsideredSellerView| {
        vec![
            print::seller(&seller.seller, seller.display_name.as_deref()),
            if seller.chosen { "yes" } else { "no" }.to_owned(),
            verdict_text(&seller.reason).to_owned(),
            print::distance(seller.distance_m),
        ]
    };
    let columns = [
        Column::Text("SELLER"),
        Column::Text("INVITED"),
        Column::Prose("WHY"),
        Column::Numbers("DISTANCE"),
    ];
    table::print(&columns, report.sellers.iter().map(row).collect());
    output::line("");
    match &report.stream.down_because {
        None => output::line(&format!(
            "stream up: the buyer has received the events up to {}, epoch {}",
            report.stream.last_seq, report.stream.epoch
        )),
        Some(why) => output::line(&format!("stream down: {why}")),
    }
    if let Some(stalled) = &report.stalled {
        output::line(&format!("stalled: {stalled}"));
    }
}

/// Describes a verdict as the predicate of a sentence about the seller.
pub(super) fn verdict_text(verdict: &str) -> &str {
    match Verdict::parse(verdict) {
        Some(Verdict::Chosen) => "fits the order",
        Some(Verdict::TooFar) => "is farther away than the order allows",
        Some(Verdict::PlaceUnknown) => "the order limits the distance, and its place is unknown",
        Some(Verdict::WrongCategory) => "does not sell the order's category",
        Some(Verdict::NotNamed) => "the order names its sellers, and not this one",
        Some(Verdict::Excluded) => "the order excludes it",
        Some(Verdict::Suspended) => "is suspended",
        Some(Verdict::Full) => "takes part in as many open orders as it can",
        Some(Verdict::BeyondCount) => "fits, but the order invites no more",
        None => verdict,
    }
}
