//! `orderstream compare`: shows the proposals side by side.

use orderstream_rest_types::comparison::{ComparisonView, RowView};
use orderstream_rest_types::order::OrderView;

use super::market::MarketArgs;
use super::print::{self, Column};
use super::show::OutputFormat;
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// The most proposals whose lines are shown side by side; more do not fit on a screen.
const COLUMNS_MAX: usize = 5;

/// `orderstream compare ORDER`
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Name of the order request, or the order's id
    order: String,
    /// The order of the proposals
    #[arg(long, default_value = "total")]
    by: CompareKey,
    /// A former incarnation of the order's id, as `status` lists them; the newest when absent
    #[arg(long, value_name = "NAME")]
    incarnation: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: CompareFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CompareKey {
    /// The lowest total first
    Total,
    /// The earliest delivery first
    Delivery,
    /// The nearest seller first
    Distance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CompareFormat {
    /// Columns for people
    Table,
    /// One row for each proposal, for spreadsheets
    Csv,
    /// JSON for programs
    Json,
    /// The same in YAML
    Yaml,
}

impl CompareArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?.of_incarnation(self.incarnation.clone());
        let subject = market.subject_to_read(&self.order).await?;
        let by = match self.by {
            CompareKey::Total => "total",
            CompareKey::Delivery => "delivery",
            CompareKey::Distance => "distance",
        };
        let (sellers, id) = (market.sellers(), &subject.id);
        if self.output == CompareFormat::Csv {
            let query = [("by", by), ("format", "csv")];
            let csv = sellers.text(id, "/comparison", &query, &|_| false).await?;
            output::bytes(csv.as_bytes());
            return Ok(());
        }
        let comparison: ComparisonView = sellers.read(id, "/comparison", &[("by", by)]).await?;
        match self.output {
            CompareFormat::Json => return print::structured(&comparison, OutputFormat::Json),
            CompareFormat::Yaml => return print::structured(&comparison, OutputFormat::Yaml),
            CompareFormat::Table | CompareFormat::Csv => {}
        }
        let order = market.order(&subject).await?;
        show(&self.order, &order, &comparison);
        Ok(())
    }
}

fn show(name: &str, order: &OrderView, comparison: &ComparisonView) {
    if comparison.sealed {
        let opens = print::moment(&order.expires_at, crate::clock::now());
        let count = usize::try_from(order.proposals.received).unwrap_or_default();
        let received = print::count(count, "proposal");
        output::line(&format!("order {name} is sealed; {received} so far, opened at {opens}"));
        return;
    }
    if comparison.rows.is_empty() {
        output::line(&format!("order {name} has no proposal to compare"));
        return;
    }
    let rows = &comparison.rows;
    totals(rows);
    if rows.iter().any(|row| row.lines.iter().any(Option::is_some)) {
        lines(order, comparison);
    }
    if comparison.omitted > 0 {
        output::line(&format!("and {} more; -o csv has them", comparison.omitted));
    }
    if !super::order_commands::is_ended(order)
        && order.pending_award.is_none()
        && let Some(best) = rows.iter().find(|row| row.best_total).or_else(|| rows.first())
    {
        output::line("");
        print::next(&format!("orderstream award {name} {} --undo-within 10m", best.proposal_id));
    }
}

fn totals(rows: &[RowView]) {
    let columns = [
        Column::Text("PROPOSAL"),
        Column::Text("SELLER"),
        Column::Numbers("TOTAL"),
        Column::Text("DELIVERY"),
        Column::Numbers("DISTANCE"),
        Column::Numbers("VERSION"),
        Column::Text("REMARKS"),
    ];
    let row = |row: &RowView| {
        vec![
            row.proposal_id.clone(),
            row.seller.clone(),
            format!("{} {}", row.total, row.currency),
            print::or_dash(row.delivery_date.as_deref()),
            print::distance(row.distance_m),
            row.version.to_string(),
            remarks(row),
        ]
    };
    print::table(&columns, rows.iter().map(row).collect());
}

/// Lists a proposal's strengths and flaws in words, because no fact may be shown by colour alone.
fn remarks(row: &RowView) -> String {
    let mut remarks = Vec::new();
    if row.awarded {
        remarks.push(styled(Style::Best, "awarded"));
    } else if !row.open {
        remarks.push("closed".to_owned());
    }
    if row.best_total {
        remarks.push(styled(Style::Best, "best total"));
    }
    if row.best_delivery {
        remarks.push(styled(Style::Best, "earliest"));
    }
    if row.in_time == Some(false) {
        remarks.push("too late".to_owned());
    }
    if row.lapsed {
        remarks.push("no longer valid".to_owned());
    }
    if !row.missing.is_empty() {
        remarks.push(format!("lacks {}", row.missing.join(" ")));
    }
    remarks.join(", ")
}

/// Prints the lines' prices: articles down, proposals across; the best of each line has a star.
fn lines(order: &OrderView, comparison: &ComparisonView) {
    let visible_rows = &comparison.rows[..comparison.rows.len().min(COLUMNS_MAX)];
    let mut columns = vec![Column::Text("LINE"), Column::Numbers("WANTED")];
    columns.extend(visible_rows.iter().map(|row| Column::Numbers(&row.proposal_id)));
    let mut rows = Vec::new();
    for (index, sku) in comparison.skus.iter().enumerate() {
        let ordered = order.items.iter().find(|item| item.sku == *sku);
        let mut cells =
            vec![sku.clone(), ordered.map_or_else(|| "-".to_owned(), |item| item.quantity.clone())];
        cells.extend(visible_rows.iter().map(|row| match row.lines.get(index) {
            Some(Some(line)) => {
                let star = if line.best { "*" } else { " " };
                format!("{} {star}", line.price)
            }
            Some(None) | None if row.lines.iter().all(Option::is_none) => "whole  ".to_owned(),
            Some(None) | None => "-  ".to_owned(),
        }));
        rows.push(cells);
    }
    output::line("");
    print::table(&columns, rows);
    let hidden = comparison.rows.len().saturating_sub(visible_rows.len());
    let more =
        if hidden > 0 { format!("; {hidden} more proposals with -o csv") } else { String::new() };
    output::line(&format!("* lowest price of the line{more}"));
}
