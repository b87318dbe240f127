//! `orderstream compare`: shows the proposals side by side.

use orderstream_rest_types::comparison::ComparisonView;

use super::comparison_table;
use super::market::{MarketArgs, ProcessorRest};
use super::print;
use super::show::OutputFormat;
use crate::exit::CliError;
use crate::output;

/// The most pages of one comparison that are read; each has hundreds of proposals.
const PAGES_MAX: usize = 1_000;
/// The most times that a comparison is read from its start, because the order changed meanwhile.
const READS_MAX: usize = 5;
/// The longest name of a locale that is sent.
const LOCALE_CHARS_MAX: usize = 35;

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
    /// With -o csv: the form that spreadsheets open by themselves, for a locale such as
    /// --excel=de-AT; without one, for the locale of the environment
    #[arg(
        long,
        value_name = "LOCALE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    excel: Option<String>,
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
        if self.excel.is_some() && self.output != CompareFormat::Csv {
            return Err(CliError::input("--excel is a form of CSV; add -o csv".to_owned()));
        }
        let market = self.market_args.market().await?.of_incarnation(self.incarnation.clone());
        let subject = market.subject_to_read(&self.order).await?;
        let by = match self.by {
            CompareKey::Total => "total",
            CompareKey::Delivery => "delivery",
            CompareKey::Distance => "distance",
        };
        let (sellers, id) = (market.sellers(), &subject.id);
        if self.output == CompareFormat::Csv {
            let locale = self.excel.map(|given| spreadsheet_locale(given, environment));
            let mut query = vec![("by", by)];
            match &locale {
                Some(locale) => {
                    query.extend([("format", "csv-excel"), ("locale", locale.as_str())])
                }
                None => query.push(("format", "csv")),
            }
            let csv = sellers.text(id, "/comparison", &query, &|_| false).await?;
            output::bytes(csv.as_bytes());
            return Ok(());
        }
        let comparison = read_all(sellers, id, by).await?;
        match self.output {
            CompareFormat::Json => return print::structured(&comparison, OutputFormat::Json),
            CompareFormat::Yaml => return print::structured(&comparison, OutputFormat::Yaml),
            CompareFormat::Table | CompareFormat::Csv => {}
        }
        let order = market.order(&subject).await?;
        comparison_table::show(&self.order, &order, &comparison);
        Ok(())
    }
}

/// Reads all pages of a comparison as one; again from its start where the order changed meanwhile.
pub(super) async fn read_all(
    sellers: &ProcessorRest,
    id: &str,
    by: &str,
) -> Result<ComparisonView, CliError> {
    for _ in 0..READS_MAX {
        if let Some(comparison) = read_pages(sellers, id, by).await? {
            return Ok(comparison);
        }
    }
    let text = "the order changes while its proposals are read; -o csv reads all of them at once";
    Err(CliError::refused(text.to_owned()))
}

/// Reads all pages of a comparison; `None` where the order changed between two of them.
async fn read_pages(
    sellers: &ProcessorRest,
    id: &str,
    by: &str,
) -> Result<Option<ComparisonView>, CliError> {
    let mut all: ComparisonView = sellers.read(id, "/comparison", &[("by", by)]).await?;
    let as_of = all.as_of.clone();
    for _ in 1..PAGES_MAX {
        let Some(after) = all.next.take() else { break };
        let query = next_query(by, &after, &as_of);
        let page: ComparisonView = match sellers.read(id, "/comparison", &query).await {
            // The last proposal of the page before was withdrawn, or the first page is too old.
            Err(failure) if matches!(failure.field(), Some("after" | "as_of")) => return Ok(None),
            read => read?,
        };
        if page.last_seq != all.last_seq || page.as_of != all.as_of {
            return Ok(None);
        }
        all.rows.extend(page.rows);
        (all.next, all.omitted) = (page.next, page.omitted);
    }
    Ok(Some(all))
}

/// Returns the query for a page after the first one, which is ranked by the time of the first.
fn next_query<'a>(by: &'a str, after: &'a str, as_of: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut query = vec![("by", by), ("after", after)];
    // An earlier processor gives no time, and takes none.
    if !as_of.is_empty() {
        query.push(("as_of", as_of));
    }
    query
}

/// Returns the locale of a spreadsheet: the one that is given, or that of the environment.
fn spreadsheet_locale(given: String, variable: impl Fn(&str) -> Option<String>) -> String {
    if !given.is_empty() {
        return given;
    }
    let names = ["LC_ALL", "LC_NUMERIC", "LANG"];
    let set = names.into_iter().filter_map(variable).find(|locale| !locale.is_empty());
    set.unwrap_or_default().chars().take(LOCALE_CHARS_MAX).collect()
}

/// Returns a variable of the environment, if it is set.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_pages_have_the_time_of_the_first() {
        let with_time = next_query("total", "p-1", "2026-12-01T12:00:00Z");
        assert_eq!(with_time[1..], [("after", "p-1"), ("as_of", "2026-12-01T12:00:00Z")]);
        assert_eq!(next_query("total", "p-1", ""), [("by", "total"), ("after", "p-1")]);
    }

    #[test]
    fn locales_come_from_the_flag_or_the_environment() {
        let locale = |given: &str, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(held, _)| *held == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            spreadsheet_locale(given.to_owned(), variable)
        };
        let all = [("LANG", "en_US.UTF-8"), ("LC_NUMERIC", "de_DE.UTF-8"), ("LC_ALL", "")];
        assert_eq!(locale("fr", &all), "fr");
        assert_eq!(locale("", &all), "de_DE.UTF-8");
        assert_eq!(locale("", &all[..1]), "en_US.UTF-8");
        assert_eq!(locale("", &[]), "");
        let long = "x".repeat(99);
        assert_eq!(locale("", &[("LANG", long.as_str())]).len(), LOCALE_CHARS_MAX);
    }
}
