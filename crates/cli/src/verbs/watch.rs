//! `orderstream watch`: an order's events as they come, to its end.

use std::time::{Duration, Instant};

use orderstream_core::backoff::{bound_ms, equal_jitter_ms};
use orderstream_core::event::EventKind;
use orderstream_core::request_phase::is_end;
use orderstream_core::{Reason, RequestPhase};
use orderstream_rest_types::order::OrderView;
use serde::Deserialize;
use serde_json::Value;

use super::event_line::{EventLine, ProposalOwners};
use super::ids::all_alone;
use super::market::{Market, MarketArgs, Subject};
use super::model::WatchedEvent;
use super::show::OutputFormat;
use super::sse::{SseMessage, SseReader};
use super::{POLL_INTERVAL, plain, print, shell, table, timeline};
use crate::exit::CliError;
use crate::output::{self, Style, styled};
use crate::streamed::ResponseStream;

/// The longest silence of a stream; its server sends a comment every 15 s.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The longest time without a stream after which `watch` still connects again.
const RECONNECT_MAX: Duration = Duration::from_secs(60);
/// The first back-off between two connections, milliseconds; it doubles each time.
const WAIT_MS: u64 = 200;
/// The longest back-off before jitter, milliseconds.
const WAIT_MS_MAX: u64 = 5_000;
/// The column at which an event's content begins.
const WHAT_AT: usize = 76;
/// The fewest characters to which a proposal's terms are cut: id and price fit.
const WHAT_CHARS_MIN: usize = 40;
/// The most proposals that are read for the sellers of earlier events.
const PROPOSALS_MAX: usize = 1_000;

/// `orderstream watch ORDER`
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Name of the order request, or the order's id
    order: String,
    /// Begin after the event with this sequence number
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    after: u64,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format; in JSON each event is one line
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

impl WatchArgs {
    /// Prints every event as it comes, until the order's end: code 0 when it was finalised or
    /// closed, 3 when it expired, 4 when it was cancelled or failed, 130 when Ctrl-C ends it.
    ///
    /// # Errors
    /// As its exit code says, and when the processors cannot be reached any more.
    pub async fn run(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?;
        let subject = market.subject_to_read(&self.order).await?;
        let mut watch = OrderWatch {
            market: &market,
            subject,
            name: &self.order,
            format: self.output,
            last_seq: self.after,
            owners: ProposalOwners::default(),
            has_connected: false,
            heading: Some(["SEQ", "WHEN", "WHO", "EVENT", "WHAT"]),
        };
        let end = tokio::select! {
            end = watch.follow() => Some(end),
            _ = tokio::signal::ctrl_c() => None,
        };
        let last_seq = watch.last_seq;
        let interrupted =
            || Err(CliError::interrupted(format!("interrupted after event {last_seq}")));
        match end.unwrap_or_else(interrupted) {
            Ok(Some(phase)) => outcome(&self.order, &phase),
            // Nobody reads on.
            Ok(None) => Ok(()),
            Err(failure) if watch.can_resume(&failure) => {
                let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
                Err(failure.hinting(shell::resumed(args, last_seq)))
            }
            Err(failure) if failure.reason() == Some(Reason::AheadOfList) => {
                let text = failure.to_string().replace("after_seq", "--after");
                Err(CliError::from_server(failure.reason(), text))
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Converts the phase of an order's end to the result of the command.
fn outcome(name: &str, phase: &str) -> Result<(), CliError> {
    match RequestPhase::parse(phase) {
        Some(RequestPhase::Finalised | RequestPhase::Closed) => Ok(()),
        Some(RequestPhase::Expired) => Err(CliError::too_late(format!("{name} expired"))),
        _ => Err(CliError::refused(format!("{name} is {phase}"))),
    }
}

/// An order whose events are printed.
struct OrderWatch<'a> {
    market: &'a Market,
    subject: Subject,
    /// The order's name as the user gave it.
    name: &'a str,
    format: OutputFormat,
    /// The last event that was printed, or was not to be.
    last_seq: u64,
    owners: ProposalOwners,
    has_connected: bool,
    /// The headings, until they are printed.
    heading: Option<[&'static str; 5]>,
}

/// The end of one stream.
enum StreamResult {
    /// The server ended it: with the order, or because it stops.
    Ended,
    /// Standard output takes nothing more.
    Unread,
}

/// A time without a stream.
#[derive(Debug, Default)]
pub(super) struct Outage {
    began: Option<Instant>,
    failures: u32,
}

impl Outage {
    /// Ends it, if a stream of this age that brought these messages shows that the server is there
    /// again. A comment is enough; a refusal is not, unless it comes after the longest back-off.
    fn end_after(&mut self, age: Duration, brought: Option<&[SseMessage]>) {
        let is_refusal = |message: &SseMessage| message.event == "Error";
        let is_served = brought.is_some_and(|messages| !messages.iter().any(is_refusal));
        if is_served || age > Duration::from_millis(WAIT_MS_MAX) {
            *self = Self::default();
        }
    }

    /// Waits before the next connection; returns the failure where no other makes sense.
    #[allow(clippy::fn_params_excessive_bools, reason = "one fact of the caller")]
    pub(super) async fn wait_after(
        &mut self,
        failure: CliError,
        has_connected: bool,
    ) -> Result<(), CliError> {
        let is_passing =
            failure.retriable().is_some() || (failure.is_not_reached() && has_connected);
        let began = *self.began.get_or_insert_with(Instant::now);
        if !is_passing || began.elapsed() > RECONNECT_MAX {
            return Err(failure);
        }
        if self.failures == 0 {
            output::note(&format!("no events for now, connecting again: {failure}"));
        }
        self.failures = self.failures.saturating_add(1);
        let bound = bound_ms(WAIT_MS, WAIT_MS_MAX, self.failures);
        let wait_ms = equal_jitter_ms(bound, fastrand::u64(..=1_000));
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
    }
}

/// The messages of a stream that the server began.
pub(super) struct StreamMessages {
    response: ResponseStream,
    reader: SseReader,
    began: Instant,
}

impl StreamMessages {
    pub(super) fn new(response: ResponseStream) -> Self {
        Self { response, reader: SseReader::default(), began: Instant::now() }
    }

    /// Returns the messages of the next part, of which a comment has none; `None` at the end. Ends
    /// the outage before the stream, once that is over.
    pub(super) async fn next(
        &mut self,
        outage: &mut Outage,
    ) -> Result<Option<Vec<SseMessage>>, CliError> {
        let part = self.response.next_part(SILENCE_MAX).await.map_err(CliError::unanswered);
        let brought = match &part {
            Ok(Some(bytes)) => Some(self.reader.push(bytes)),
            Ok(None) | Err(_) => None,
        };
        outage.end_after(self.began.elapsed(), brought.as_deref());
        part.map(|_| brought)
    }
}

impl OrderWatch<'_> {
    /// Prints the events to the order's end; returns the phase of the end, or nothing where nobody
    /// reads on.
    async fn follow(&mut self) -> Result<Option<String>, CliError> {
        let mut outage = Outage::default();
        let incarnation = loop {
            match self.opened().await {
                Ok(order) => break order.incarnation,
                Err(failure) => {
                    // A server that was reached and did not answer is there.
                    self.has_connected |= failure.is_in_doubt();
                    outage.wait_after(failure, self.has_connected).await?;
                }
            }
        };
        (self.has_connected, outage) = (true, Outage::default());
        if self.last_seq > 0 {
            let proposals = self.market.sellers().proposals(&self.subject.id, PROPOSALS_MAX).await;
            self.owners = timeline::owners(&proposals.unwrap_or_default());
        }
        loop {
            let failure = match self.read_stream(&incarnation, &mut outage).await {
                Ok(StreamResult::Unread) => return Ok(None),
                Ok(StreamResult::Ended) => match self.market.order(&self.subject).await {
                    Ok(order) if is_end(&order.phase) && order.last_seq <= self.last_seq => {
                        return Ok(Some(order.phase));
                    }
                    Ok(_) => CliError::unanswered("the stream ended before the order".to_owned()),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            outage.wait_after(failure, self.has_connected).await?;
        }
    }

    /// Waits until the order is opened, and returns it.
    async fn opened(&self) -> Result<OrderView, CliError> {
        loop {
            let failure = match self.market.order(&self.subject).await {
                Ok(order) => return Ok(order),
                Err(failure) => failure,
            };
            if failure.reason() != Some(Reason::OrderNotFound) {
                return Err(failure);
            }
            match self.market.phase_of(self.name).await? {
                Some(phase) if phase == RequestPhase::Failed.as_str() => {
                    return Err(CliError::refused(format!("{} is {phase}", self.name)));
                }
                Some(phase) if !is_end(&phase) => tokio::time::sleep(POLL_INTERVAL).await,
                Some(_) | None => return Err(failure),
            }
        }
    }

    /// Prints the events of one stream, until it ends.
    async fn read_stream(
        &mut self,
        incarnation: &str,
        outage: &mut Outage,
    ) -> Result<StreamResult, CliError> {
        let after = self.last_seq.to_string();
        let query = [("after", after.as_str()), ("incarnation", incarnation)];
        let (market, id) = (self.market, &self.subject.id);
        let response = market.sellers().stream(id, "/events", &query).await?;
        if response.status != 200 {
            let whole = tokio::time::timeout(SILENCE_MAX, response.whole(&|_| false)).await;
            let whole = whole.map_err(|_| CliError::unanswered("the answer is cut".to_owned()))?;
            // 204 says that the last event was received.
            return plain::parse_reply(&whole.map_err(CliError::unanswered)?)
                .map(|_| StreamResult::Ended);
        }
        let mut stream = StreamMessages::new(response);
        while let Some(messages) = stream.next(outage).await? {
            for message in messages {
                match message.event.as_str() {
                    "Error" => return Err(refusal(&message.data)),
                    "Draining" => return Ok(StreamResult::Ended),
                    _ => self.print(&message.data)?,
                }
                if output::is_closed() {
                    return Ok(StreamResult::Unread);
                }
            }
        }
        Ok(StreamResult::Ended)
    }

    /// Prints an event, unless it was printed before.
    fn print(&mut self, data: &str) -> Result<(), CliError> {
        let unreadable = |error: serde_json::Error| {
            CliError::unexpected(format!("an event is not JSON: {error}"))
        };
        let event: WatchedEvent = serde_json::from_str(data).map_err(unreadable)?;
        if event.seq <= self.last_seq {
            return Ok(());
        }
        self.last_seq = event.seq;
        match self.format {
            OutputFormat::Table => self.print_line(event),
            OutputFormat::Json => {
                // As the processor sends it, with fields that this version does not know.
                let whole: Value = serde_json::from_str(data).map_err(unreadable)?;
                output::document(&whole.to_string());
            }
            OutputFormat::Yaml => {
                let whole: Value = serde_json::from_str(data).map_err(unreadable)?;
                output::document("---");
                print::structured(&whole, OutputFormat::Yaml)?;
            }
        }
        Ok(())
    }

    /// Prints an event for people; the widths are fixed, so that columns line up.
    fn print_line(&mut self, event: WatchedEvent) {
        let mut width = None;
        let line = match serde_json::from_value::<EventKind>(event.detail) {
            Ok(kind) => {
                self.owners.learn(&kind);
                width = kind.proposal_content().and_then(|_| table::terminal_width());
                EventLine::of(&kind, &self.owners)
            }
            // A newer server may know events that this binary does not.
            Err(_) => EventLine::unknown(&event.status),
        };
        if let Some(heading) = self.heading.take() {
            output::line(&styled(Style::Heading, &row(heading)));
        }
        let (seq, at) = (format!("#{}", event.seq), print::clock(&event.at));
        let what = clipped(&all_alone(self.owners.ids(), &line.what), width);
        let what = print::one_line(&what);
        output::line(&row([&seq, &at, &line.who, &line.event, &what]));
    }

    /// Reports whether the same command can go on after a failure.
    fn can_resume(&self, failure: &CliError) -> bool {
        failure.is_interruption() || (self.has_connected && failure.is_processor_unreachable())
    }
}

/// Cuts a proposal's terms to the rest of a line of this width; all of them are shown where there
/// is no width.
fn clipped(what: &str, width: Option<u16>) -> String {
    match width {
        Some(width) => {
            let rest = usize::from(width).saturating_sub(WHAT_AT);
            print::cut(what, rest.max(WHAT_CHARS_MIN))
        }
        None => what.to_owned(),
    }
}

/// Returns the cells of an event as one line.
fn row(cells: [&str; 5]) -> String {
    let [seq, when, who, event, what] = cells;
    let line = format!("{seq:<5}  {when:<25}  {who:<20}  {event:<18}  {what}");
    line.trim_end().to_owned()
}

/// The data of a stream's last message where the stream is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamRefusal {
    reason: String,
    detail: String,
}

/// Returns the failure that the last message of a stream names.
pub(super) fn refusal(data: &str) -> CliError {
    let StreamRefusal { reason, detail } = serde_json::from_str(data).unwrap_or_default();
    CliError::from_server(Reason::parse(&reason), format!("{detail} [{reason}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_their_exit_codes() {
        let code = |phase: &str| outcome("chairs", phase).map_or_else(|end| end.code(), |()| 0);
        let codes = ["Finalised", "Closed", "Expired", "Cancelled", "Failed"].map(code);
        assert_eq!(codes, [0, 0, 3, 4, 4]);
    }

    #[test]
    fn columns_of_events_line_up() {
        let cells = ["#7", "2026-12-01T12:00:00Z", "acme", "NewProposal", "p-1: 12.50 EUR"];
        let expected = "#7     2026-12-01T12:00:00Z       acme                  NewProposal         \
                        p-1: 12.50 EUR";
        assert_eq!(row(cells), expected);
        assert!(row(["#8", "", "buyer", "OrderResumed", ""]).ends_with(" OrderResumed"));
    }

    /// They begin with the price, and the rest is in `status`.
    #[test]
    fn terms_are_cut_to_the_terminal() {
        let what = format!("p-1: 12.50 EUR; note: {}", "x".repeat(80));
        assert_eq!(clipped(&what, None), what);
        assert_eq!(clipped(&what, Some(200)), what);
        let wide = row(["#7", "", "acme", "NewProposal", &clipped(&what, Some(120))]);
        assert!(wide.ends_with("xx…") && wide.chars().count() == 120, "{wide}");
        let narrow = clipped(&what, Some(80));
        assert!(narrow.starts_with("p-1: 12.50 EUR; note: xx"), "{narrow}");
        assert_eq!(narrow.chars().count(), WHAT_CHARS_MIN);
    }

    fn message(event: &str) -> SseMessage {
        SseMessage { event: event.to_owned(), data: "{}".to_owned() }
    }

    /// The next drop is retried for as long as the first one.
    #[test]
    fn streams_end_the_outage_before_them() {
        let (young, old) = (Duration::ZERO, Duration::from_millis(WAIT_MS_MAX + 1));
        for (age, brought, is_over) in [
            // A comment has no message.
            (young, Some(vec![]), true),
            (young, Some(vec![message("NewProposal")]), true),
            (young, Some(vec![message("Error")]), false),
            (young, None, false),
            (Duration::from_millis(WAIT_MS_MAX), None, false),
            (old, None, true),
            (old, Some(vec![message("Error")]), true),
        ] {
            let mut outage = Outage { began: Some(Instant::now()), failures: 3 };
            outage.end_after(age, brought.as_deref());
            let found = outage.began.is_none() && outage.failures == 0;
            assert_eq!(found, is_over, "{age:?} {brought:?}");
        }
    }

    #[test]
    fn refused_streams_have_their_reason() {
        let failure = refusal(r#"{"reason":"RECORDS_DAMAGED","detail":"3 records are lost"}"#);
        assert_eq!(failure.reason(), Some(Reason::RecordsDamaged));
        assert_eq!(failure.to_string(), "3 records are lost [RECORDS_DAMAGED]");
    }
}
