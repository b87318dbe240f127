//! The seller's verbs about a proposal: propose, amend, withdraw, lock, unlock.

use http::Method;
use orderstream_core::command::ProposalContent;
use orderstream_core::comparison::changes;
use orderstream_core::input::ProposalInput;
use orderstream_core::limits::LEASE_MS_MAX;
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::proposal::{ContentView, ProposalView};
use serde_json::{Value, json};

use super::amendment;
use super::flags::duration_within;
use super::market::ProcessorRest;
use super::proposed_lines::{LineFlag, line, line_before, merged, substitute, sum};
use super::rest::{IdempotentRequest, encoded};
use super::seller::{CommandReport, SellerArgs};
use super::{print, shell};
use crate::exit::CliError;

/// The content of a proposal.
#[derive(Clone, Debug, clap::Args)]
struct ProposalArgs {
    /// The total price; the sum of the lines when absent
    #[arg(
        help_heading = "What is proposed",
        long,
        value_name = "DECIMAL",
        allow_hyphen_values = true
    )]
    price: Option<String>,
    /// The currency, ISO 4217
    #[arg(help_heading = "What is proposed", long, value_name = "CODE")]
    currency: Option<String>,
    /// An article, its quantity, unit and total price; repeat for each line. `amend` replaces only
    /// the lines that are given
    #[arg(help_heading = "What is proposed", long = "line", value_name = "[LINE@]SKU:QUANTITY[:UNIT]=PRICE", value_parser = line)]
    lines: Vec<LineFlag>,
    /// A line's article, and the order's article that it stands for; repeat for each substitute
    #[arg(help_heading = "What is proposed", long, value_name = "SKU=ARTICLE", value_parser = substitute)]
    substitutes: Vec<(String, String)>,
    /// A note to the buyer
    #[arg(help_heading = "What is proposed", long, value_name = "TEXT")]
    note: Option<String>,
    /// The date of delivery: RFC 3339, or a date, which counts to its end
    #[arg(help_heading = "What is proposed", long, value_name = "DATE")]
    delivery_date: Option<String>,
    /// The end of its validity: RFC 3339, or a date, which counts to its end
    #[arg(help_heading = "What is proposed", long, value_name = "DATE")]
    valid_until: Option<String>,
    /// The URL of a document; repeat for each document
    #[arg(help_heading = "What is proposed", long = "attach", value_name = "URL")]
    attachments: Vec<String>,
    /// Your own number for the proposal
    #[arg(help_heading = "What is proposed", long, value_name = "TEXT")]
    reference: Option<String>,
}

/// `orderstream propose ORDER`
#[derive(Debug, clap::Args)]
pub struct ProposeArgs {
    /// The order's id, as in the invitation, or the name of its order request
    order: String,
    /// Id of the proposal; generated when absent
    #[arg(long, value_name = "ID")]
    proposal_id: Option<String>,
    /// The label of an alternative, which stands beside your main proposal
    #[arg(help_heading = "What is proposed", long, value_name = "LABEL")]
    alternative: Option<String>,
    #[command(flatten)]
    content: ProposalArgs,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream amend ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct AmendArgs {
    /// The order's id, or the name of its order request
    order: String,
    /// The proposal: its id, the first letters of it, or its seller
    proposal: String,
    /// Drop the lines: the proposal has one price for all then
    #[arg(help_heading = "What is proposed", long, conflicts_with_all = ["lines", "substitutes"])]
    no_lines: bool,
    /// The fields that change; those not given stay.
    #[command(flatten)]
    content: ProposalArgs,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream withdraw ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    /// The order's id, or the name of its order request
    order: String,
    /// The proposal: its id, the first letters of it, or its seller
    proposal: String,
    /// The reason, for the buyer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream lock ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// The order's id, or the name of its order request
    order: String,
    /// The proposal: its id, the first letters of it, or its seller
    proposal: String,
    /// The time until it expires by itself, at most 1h
    #[arg(long = "for", default_value = "5m", value_name = "DURATION")]
    lease: String,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream unlock ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct UnlockArgs {
    /// The order's id, or the name of its order request
    order: String,
    /// The proposal: its id, the first letters of it, or its seller
    proposal: String,
    #[command(flatten)]
    seller: SellerArgs,
}

impl ProposalArgs {
    /// Checks that nothing of the former version is needed, which cannot be read while the order is
    /// sealed.
    fn check_complete(&self) -> Result<(), CliError> {
        if self.currency.is_some() && (self.price.is_some() || !self.lines.is_empty()) {
            return Ok(());
        }
        let text = "the order is sealed, so what was proposed cannot be read back; give all of it \
                    again, at least --currency and --price or --line";
        Err(CliError::input(text.to_owned()))
    }

    /// Returns the proposal by these flags; a field that is not given stays as in `before`.
    fn merged_with(self, before: &ProposalView, seller: &str) -> Result<ProposalInput, CliError> {
        let ProposalView { proposal_id, content: before, .. } = before;
        let lines = merged(&before.lines, self.lines, &self.substitutes)?;
        let price = match self.price {
            Some(price) => price,
            None if lines.is_empty() => before.price.clone(),
            None => sum(&lines)?,
        };
        let attachments =
            if self.attachments.is_empty() { before.attachments.clone() } else { self.attachments };
        Ok(ProposalInput {
            proposal_id: Some(proposal_id.clone()).filter(|id| !id.is_empty()),
            seller: seller.to_owned(),
            price,
            currency: self.currency.unwrap_or_else(|| before.currency.clone()),
            lines,
            note: self.note.or_else(|| before.note.clone()),
            delivery_date: self.delivery_date.or_else(|| before.delivery_date.clone()),
            valid_until: self.valid_until.or_else(|| before.valid_until.clone()),
            attachments,
            your_reference: self.reference.or_else(|| before.your_reference.clone()),
            alternative: before.alternative.clone(),
        })
    }
}

/// Returns a proposal without its lines.
fn without_lines(mut proposal: ProposalView) -> ProposalView {
    proposal.content.lines.clear();
    proposal
}

fn content_before(content: &ContentView) -> ProposalInput {
    ProposalInput {
        proposal_id: None,
        seller: content.seller.clone(),
        price: content.price.clone(),
        currency: content.currency.clone(),
        lines: content.lines.iter().map(line_before).collect(),
        note: content.note.clone(),
        delivery_date: content.delivery_date.clone(),
        valid_until: content.valid_until.clone(),
        attachments: content.attachments.clone(),
        your_reference: content.your_reference.clone(),
        alternative: content.alternative.clone(),
    }
}

/// Returns the request body of a proposal.
fn body(sellers: &ProcessorRest, order: &str, input: &ProposalInput) -> Result<Value, CliError> {
    let mut body =
        serde_json::to_value(input).map_err(|error| CliError::unexpected(error.to_string()))?;
    body["order_req_id"] = json!(order);
    body["tenant"] = json!(sellers.tenant());
    Ok(body)
}

impl ProposeArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal_id, alternative, content, seller } = self;
        if content.price.is_none() && content.lines.is_empty() {
            return Err(CliError::input("give --price, or --line for each line".to_owned()));
        }
        if content.currency.is_none() {
            return Err(CliError::input("give --currency, such as EUR".to_owned()));
        }
        let before = ProposalView {
            proposal_id: proposal_id.unwrap_or_default(),
            ..ProposalView::default()
        };
        let input = content.merged_with(&before, seller.name())?;
        let input = ProposalInput { alternative, ..input };
        // Faults are reported here, with the same text as from the server.
        let proposed = ProposalContent::try_from(input.clone())?;
        let (key, has_lines) = (seller.key(), !input.lines.is_empty());
        let has_names = input.lines.iter().any(|line| line.line.is_some());
        let propose =
            async |sellers: &ProcessorRest, order: &str| -> Result<CommandReport, CliError> {
                let (path, body) = ("/api/v1/proposals".to_owned(), body(sellers, order, &input)?);
                let request = IdempotentRequest::command(Method::POST, path, body, &key);
                let reply = sellers.send_command(request).await?;
                Ok(CommandReport::of(order, "propose", reply, key.clone()))
            };
        let report = seller.on_order(&order, propose).await?;
        let id = report.proposal_id.clone().unwrap_or_default();
        let (name, price) = (seller.name(), proposed.price);
        let what = match &proposed.alternative {
            Some(label) => format!("alternative {id} ({})", print::one_line(label)),
            None => format!("proposal {id}"),
        };
        seller.print_report(&report, &format!("{what} of {name} submitted: {price}"))?;
        if seller.is_for_people() {
            let command = shell::command(&["amend", &order, &id, "--seller", name]);
            let change = change_hint(has_lines, has_names);
            print::hint(&format!("{command} {change}"));
        }
        Ok(())
    }
}

/// Returns the flag that changes a proposal's price.
#[allow(clippy::fn_params_excessive_bools, reason = "two facts of the lines")]
const fn change_hint(has_lines: bool, has_names: bool) -> &'static str {
    match (has_lines, has_names) {
        (true, true) => "--line LINE@SKU:QUANTITY=PRICE",
        (true, false) => "--line SKU:QUANTITY=PRICE",
        (false, _) => "--price PRICE",
    }
}

impl AmendArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, content, no_lines, seller } = self;
        let key = seller.key();
        let amend = async |sellers: &ProcessorRest,
                           order: &str,
                           proposal: &str|
               -> Result<(CommandReport, String), CliError> {
            let current: OrderView = sellers.read(order, "", &[]).await?;
            let is_sealed = current.sealed && current.decide_until.is_none();
            let before = if is_sealed {
                content.check_complete()?;
                ProposalView { proposal_id: proposal.to_owned(), ..ProposalView::default() }
            } else {
                sellers.proposal(order, proposal).await?
            };
            if !is_sealed {
                amendment::must_be_own(&before, seller.name())?;
            }
            let kept = if no_lines { without_lines(before.clone()) } else { before.clone() };
            let has_kept_lines = content.lines.is_empty() && !kept.content.lines.is_empty();
            let input = content.clone().merged_with(&kept, seller.name())?;
            let proposed = amendment::checked(input.clone(), has_kept_lines)?;
            let former = ProposalContent::try_from(content_before(&before.content)).ok();
            let repeated = amendment::repetition(&current, &before, former.as_ref(), &proposed);
            // With a key of its own the processor has to know the command.
            if let Some(report) = repeated.filter(|_| !is_sealed && !seller.has_key()) {
                let report = CommandReport { key: key.clone(), ..report };
                return Ok((report, amended(proposal, &before, &proposed)));
            }
            let path = format!("/api/v1/proposals/{}", encoded(proposal));
            let version = (!is_sealed).then_some(before.version);
            let body = body(sellers, order, &input)?;
            let request = IdempotentRequest::command(Method::PUT, path, body, &key);
            let reply = sellers.send_command(request.if_version(version)).await?;
            let report = CommandReport::of(order, "amend", reply, key.clone());
            let summary = if is_sealed {
                format!("proposal {proposal} amended: {}", proposed.price)
            } else {
                amended(proposal, &before, &proposed)
            };
            Ok((report, summary))
        };
        let (report, summary) = seller.on_proposal(&order, &proposal, amend).await?;
        seller.print_report(&report, &summary)
    }
}

/// Describes the changes of an amendment, field by field.
fn amended(id: &str, before: &ProposalView, proposed: &ProposalContent) -> String {
    let former = ProposalContent::try_from(content_before(&before.content));
    let changes = former.map(|former| changes(&former, proposed));
    if changes.as_ref().is_ok_and(Vec::is_empty) {
        // A repetition makes no version.
        return format!("proposal {id} already has this content, version {}", before.version);
    }
    let version = before.version.saturating_add(1);
    let mut summary = format!("proposal {id} amended, version {version}");
    let none = || "-".to_owned();
    for change in changes.unwrap_or_default() {
        let (from, to) = (change.from.unwrap_or_else(none), change.to.unwrap_or_else(none));
        let (from, to) = (print::one_line(&from), print::one_line(&to));
        summary.push_str(&format!("\n  {}: {from} -> {to}", change.field));
    }
    summary
}

impl WithdrawArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, reason, seller } = self;
        let key = seller.key();
        let withdraw = async |sellers: &ProcessorRest,
                              order: &str,
                              proposal: &str|
               -> Result<CommandReport, CliError> {
            let path = format!("/api/v1/proposals/{}/withdraw", encoded(proposal));
            let body = json!({
                "order_req_id": order,
                "tenant": sellers.tenant(),
                "seller": seller.name(),
                "reason": reason,
            });
            let request = IdempotentRequest::command(Method::POST, path, body, &key);
            let reply = sellers.send_command(request).await?;
            let report = CommandReport::of(order, "withdraw", reply, key.clone());
            Ok(report.about(proposal))
        };
        let report = seller.on_proposal(&order, &proposal, withdraw).await?;
        let id = report.proposal_id.as_deref().unwrap_or(&proposal);
        seller.print_report(&report, &format!("proposal {id} withdrawn"))
    }
}

impl LockArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, lease, seller } = self;
        let lease_ms = duration_within("--for", &lease, 1_000..=LEASE_MS_MAX)?;
        let report = send_lock(&seller, &order, &proposal, Some(lease_ms)).await?;
        let id = report.proposal_id.as_deref().unwrap_or(&proposal);
        let (name, lease) = (seller.name(), print::length(lease_ms));
        seller.print_report(&report, &format!("proposal {id} locked by {name} for {lease}"))
    }
}

impl UnlockArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, seller } = self;
        let report = send_lock(&seller, &order, &proposal, None).await?;
        let id = report.proposal_id.as_deref().unwrap_or(&proposal);
        seller.print_report(&report, &format!("proposal {id} unlocked"))
    }
}

/// Locks a proposal for a time, or unlocks it where no time is given.
async fn send_lock(
    seller: &SellerArgs,
    order: &str,
    proposal: &str,
    lease_ms: Option<u64>,
) -> Result<CommandReport, CliError> {
    let key = seller.key();
    let send = async |sellers: &ProcessorRest,
                      order: &str,
                      proposal: &str|
           -> Result<CommandReport, CliError> {
        let path = format!("/api/v1/proposals/{}/edit-lock", encoded(proposal));
        let (tenant, holder) = (sellers.tenant(), seller.name());
        let mut body = json!({"order_req_id": order, "tenant": tenant, "holder": holder});
        let (verb, method) = match lease_ms {
            Some(lease_ms) => {
                body["lease_ms"] = json!(lease_ms);
                ("lock", Method::POST)
            }
            None => ("unlock", Method::DELETE),
        };
        let request = IdempotentRequest::command(method, path, body, &key);
        let reply = sellers.send_command(request).await?;
        Ok(CommandReport::of(order, verb, reply, key.clone()).about(proposal))
    };
    seller.on_proposal(order, proposal, send).await
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn substitutes_belong_to_an_offered_line() {
        let args = |substitutes: &str| ProposalArgs {
            price: None,
            currency: Some("EUR".to_owned()),
            lines: vec![line("STOOL:40=900").unwrap()],
            substitutes: vec![substitute(substitutes).unwrap()],
            note: None,
            delivery_date: None,
            valid_until: None,
            attachments: Vec::new(),
            reference: Some("A-7".to_owned()),
        };
        let before = ProposalView::default();
        let input = args("STOOL=CHAIR").merged_with(&before, "acme").unwrap();
        assert_eq!(input.lines[0].substitutes.as_deref(), Some("CHAIR"));
        assert_eq!((input.price.as_str(), input.your_reference.as_deref()), ("900", Some("A-7")));
        assert!(args("TABLE=CHAIR").merged_with(&before, "acme").is_err());
    }

    #[test]
    fn hints_name_lines_where_they_have_names() {
        assert_eq!(change_hint(true, true), "--line LINE@SKU:QUANTITY=PRICE");
        assert_eq!(change_hint(true, false), "--line SKU:QUANTITY=PRICE");
        assert_eq!(change_hint(false, false), "--price PRICE");
    }
}
