//! `orderstream inbox --watch`: the orders that a seller is invited to, and each change of them.

use std::collections::BTreeMap;

use orderstream_rest_types::inbox::InboxEntryView;
use serde_json::Value;

use super::inbox::cells;
use super::market::ProcessorRest;
use super::show::OutputFormat;
use super::watch::{Outage, SILENCE_MAX, StreamMessages, refusal};
use super::{plain, print};
use crate::exit::CliError;
use crate::output::{self, Style, styled};

/// An inbox whose orders are printed as they open and change.
pub(super) struct InboxWatch<'a> {
    sellers: &'a ProcessorRest,
    seller: &'a str,
    format: OutputFormat,
    /// The orders as they were printed.
    printed: BTreeMap<String, InboxEntryView>,
    has_connected: bool,
    /// The headings, until they are printed.
    heading: Option<[&'static str; 6]>,
}

impl<'a> InboxWatch<'a> {
    pub(super) const fn new(
        sellers: &'a ProcessorRest,
        seller: &'a str,
        format: OutputFormat,
    ) -> Self {
        let heading = Some(["ORDER", "PHASE", "STATE", "DEADLINE", "PROPOSAL", "PRICE"]);
        Self { sellers, seller, format, printed: BTreeMap::new(), has_connected: false, heading }
    }

    /// Prints until Ctrl-C, or until nobody reads on.
    pub(super) async fn run(mut self) -> Result<(), CliError> {
        tokio::select! {
            end = self.follow() => end,
            _ = tokio::signal::ctrl_c() => Err(CliError::interrupted("interrupted".to_owned())),
        }
    }

    async fn follow(&mut self) -> Result<(), CliError> {
        let mut outage = Outage::default();
        loop {
            let failure = match self.read_stream(&mut outage).await {
                Ok(()) if output::is_closed() => return Ok(()),
                Ok(()) => CliError::unanswered("the stream of the inbox ended".to_owned()),
                Err(failure) => failure,
            };
            outage.wait_after(failure, self.has_connected).await?;
        }
    }

    /// Prints the orders of one stream, until it ends or nobody reads on.
    async fn read_stream(&mut self, outage: &mut Outage) -> Result<(), CliError> {
        let response = self.sellers.inbox_events(self.seller).await?;
        if response.status != 200 {
            let whole = tokio::time::timeout(SILENCE_MAX, response.whole(&|_| false)).await;
            let whole = whole.map_err(|_| CliError::unanswered("the answer is cut".to_owned()))?;
            return plain::parse_reply(&whole.map_err(CliError::unanswered)?).map(drop);
        }
        self.has_connected = true;
        let mut stream = StreamMessages::new(response);
        while let Some(messages) = stream.next(outage).await? {
            for message in messages {
                match message.event.as_str() {
                    "Invitation" => self.print(&message.data)?,
                    "Error" => output::note(&format!("warning: {}", refusal(&message.data))),
                    "Draining" => return Ok(()),
                    // A newer server may send others.
                    _ => {}
                }
                if output::is_closed() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Prints an order, unless it is as it was printed before.
    fn print(&mut self, data: &str) -> Result<(), CliError> {
        let unreadable = |error: serde_json::Error| {
            CliError::unexpected(format!("an order of the inbox is not JSON: {error}"))
        };
        // As the processor sends it, with fields that this version does not know.
        let whole: Value = serde_json::from_str(data).map_err(unreadable)?;
        let entry: InboxEntryView = serde_json::from_str(data).map_err(unreadable)?;
        let entry = InboxEntryView { last_seq: 0, ..entry };
        let id = entry.order_req_id.clone();
        if self.printed.get(&id) == Some(&entry) {
            return Ok(());
        }
        match self.format {
            OutputFormat::Table => self.print_line(&entry),
            OutputFormat::Json => output::document(&whole.to_string()),
            OutputFormat::Yaml => {
                output::document("---");
                print::structured(&whole, OutputFormat::Yaml)?;
            }
        }
        // A stream that begins again has no order that has ended.
        if entry.ended_at.is_some() {
            self.printed.remove(&id);
        } else {
            self.printed.insert(id, entry);
        }
        Ok(())
    }

    /// Prints an order for people; the widths are fixed, so that columns line up.
    fn print_line(&mut self, entry: &InboxEntryView) {
        if let Some(heading) = self.heading.take() {
            output::line(&styled(Style::Heading, &row(heading)));
        }
        let cells = cells(entry);
        output::line(&row(cells.each_ref().map(String::as_str)));
    }
}

/// The width of an order's id.
const ORDER_CHARS: usize = 20;
/// The width of a proposal with its version and state.
const PROPOSAL_CHARS: usize = 26;

/// Returns the cells of an order as one line; longer ids are cut, so that the columns behind them
/// line up.
fn row(cells: [&str; 6]) -> String {
    let [order, phase, state, deadline, proposal, price] = cells;
    let (order, proposal) = (print::cut(order, ORDER_CHARS), print::cut(proposal, PROPOSAL_CHARS));
    let line = format!(
        "{order:<ORDER_CHARS$}  {phase:<10}  {state:<10}  {deadline:<46}  \
         {proposal:<PROPOSAL_CHARS$}  {price}"
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_inboxes_line_up() {
        let one = row(["OR-1", "Open", "Seen", "2026-12-01T12:00:00Z (in 5m)", "-", "-"]);
        let two = row(["OR-2041", "Deciding", "Proposed", "soon", "p-1 v2", "9.50 EUR"]);
        let column = |line: &str, word: &str| line.find(word).unwrap();
        assert_eq!(column(&one, "Seen"), column(&two, "Proposed"));
        assert_eq!(column(&one, "2026"), column(&two, "soon"));
        assert!(one.ends_with("  -") && two.ends_with("  9.50 EUR"), "{one} {two}");
        let id = "proposal-of-the-chairs-of-rosenheim v1 (not awarded)";
        let long = row(["OR-2042", "Finalised", "Proposed", "soon", id, "9.50 EUR"]);
        assert_eq!(column(&two, "9.50"), long.replace('…', ".").find("9.50").unwrap(), "{long}");
    }
}
