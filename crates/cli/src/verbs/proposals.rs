//! The seller's verbs about a proposal: propose, amend, withdraw, lock, unlock.

use http::Method;
use orderstream_core::command::ProposalContent;
use orderstream_core::comparison::changes;
use orderstream_core::input::{ProposalInput, ProposalLineInput};
use orderstream_core::price::Decimal;
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::proposal::{ContentView, ProposalLineView, ProposalView};
use serde_json::{Value, json};

use super::market::ProcessorRest;
use super::order_commands::duration_ms;
use super::print;
use super::rest::{IdempotentRequest, encoded};
use super::seller::{CommandReport, SellerArgs};
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
    /// An article, its quantity, unit and total price; repeat for each line
    #[arg(help_heading = "What is proposed", long = "line", value_name = "SKU:QUANTITY[:UNIT]=PRICE", value_parser = line)]
    lines: Vec<LineFlag>,
    /// A note to the buyer
    #[arg(help_heading = "What is proposed", long, value_name = "TEXT")]
    note: Option<String>,
    /// The date of delivery: a date or RFC 3339
    #[arg(help_heading = "What is proposed", long, value_name = "DATE")]
    delivery_date: Option<String>,
    /// The end of its validity: a date or RFC 3339
    #[arg(help_heading = "What is proposed", long, value_name = "DATE")]
    valid_until: Option<String>,
    /// The URL of a document; repeat for each document
    #[arg(help_heading = "What is proposed", long = "attach", value_name = "URL")]
    attachments: Vec<String>,
}

#[derive(Clone, Debug)]
struct LineFlag {
    sku: String,
    quantity: String,
    unit: Option<String>,
    price: String,
}

fn line(text: &str) -> Result<LineFlag, String> {
    let wrong =
        || "give article, quantity, unit and price, such as CHAIR-01:40:pieces=5200.00".to_owned();
    let (what, price) = text.rsplit_once('=').ok_or_else(wrong)?;
    let mut parts = what.splitn(3, ':').map(str::to_owned);
    match (parts.next(), parts.next()) {
        (Some(sku), Some(quantity)) if !sku.is_empty() && !quantity.is_empty() => {
            let unit = parts.next().filter(|unit| !unit.is_empty());
            Ok(LineFlag { sku, quantity, unit, price: price.to_owned() })
        }
        _ => Err(wrong()),
    }
}

/// `orderstream propose ORDER`
#[derive(Debug, clap::Args)]
pub struct ProposeArgs {
    /// The order's id, as in the invitation
    order: String,
    /// Id of the proposal; generated when absent
    #[arg(long, value_name = "ID")]
    proposal_id: Option<String>,
    #[command(flatten)]
    content: ProposalArgs,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream amend ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct AmendArgs {
    /// The order's id
    order: String,
    /// The proposal's id
    proposal: String,
    /// The fields that change; those not given stay.
    #[command(flatten)]
    content: ProposalArgs,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream withdraw ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    /// The order's id
    order: String,
    /// The proposal's id
    proposal: String,
    /// The reason, for the buyer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    seller: super::seller::SellerCommandArgs,
}

/// `orderstream lock ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// The order's id
    order: String,
    /// The proposal's id
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
    /// The order's id
    order: String,
    /// The proposal's id
    proposal: String,
    #[command(flatten)]
    seller: SellerArgs,
}

impl ProposalArgs {
    /// Returns the proposal by these flags; a field that is not given stays as in `before`.
    fn merged_with(self, before: &ProposalView, seller: &str) -> Result<ProposalInput, CliError> {
        let ProposalView { proposal_id, content: before, .. } = before;
        let lines: Vec<ProposalLineInput> = if self.lines.is_empty() {
            before.lines.iter().map(line_before).collect()
        } else {
            self.lines.into_iter().map(line_input).collect()
        };
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
        })
    }
}

fn line_before(line: &ProposalLineView) -> ProposalLineInput {
    ProposalLineInput {
        sku: line.sku.clone(),
        quantity: line.quantity.clone(),
        unit: line.unit.clone(),
        price: line.price.clone(),
    }
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
    }
}

fn line_input(line: LineFlag) -> ProposalLineInput {
    let LineFlag { sku, quantity, unit, price } = line;
    ProposalLineInput { sku, quantity, unit, price }
}

fn sum(lines: &[ProposalLineInput]) -> Result<String, CliError> {
    let mut sum = Decimal::ZERO;
    for line in lines {
        let price: Decimal = line.price.parse().map_err(|_| {
            CliError::input(format!("--line {}: '{}' is not a decimal", line.sku, line.price))
        })?;
        sum = sum.checked_add(price).ok_or_else(|| {
            CliError::input("--line: the prices add up to more than a price may be".to_owned())
        })?;
    }
    Ok(sum.to_string())
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
        let Self { order, proposal_id, content, seller } = self;
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
        // Faults are reported here, with the same text as from the server.
        let proposed = ProposalContent::try_from(input.clone())?;
        let sellers = seller.processor_rest().await?;
        let key = seller.key();
        let body = body(&sellers, &order, &input)?;
        let request =
            IdempotentRequest::command(Method::POST, "/api/v1/proposals".to_owned(), body, &key);
        let report =
            CommandReport::of(&order, "propose", sellers.send_command(request).await?, key);
        let id = report.proposal_id.clone().unwrap_or_default();
        let name = seller.name();
        seller
            .print_report(&report, &format!("proposal {id} of {name} is in: {}", proposed.price))?;
        if seller.is_for_people() {
            print::next(&format!("orderstream amend {order} {id} --seller {name} --price …"));
        }
        Ok(())
    }
}

impl AmendArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, content, seller } = self;
        let sellers = seller.processor_rest().await?;
        let current: OrderView = sellers.read(&order, "", &[]).await?;
        let is_sealed = current.sealed && current.decide_until.is_none();
        let before = if is_sealed {
            if content.currency.is_none() || (content.price.is_none() && content.lines.is_empty()) {
                let text = "the order is sealed, so what was proposed cannot be read back; give all \
                            of it again, at least --currency and --price or --line";
                return Err(CliError::input(text.to_owned()));
            }
            ProposalView { proposal_id: proposal.clone(), ..ProposalView::default() }
        } else {
            sellers.proposal(&order, &proposal).await?
        };
        let input = content.merged_with(&before, seller.name())?;
        let proposed = ProposalContent::try_from(input.clone())?;
        let key = seller.key();
        let path = format!("/api/v1/proposals/{}", encoded(&proposal));
        let version = (!is_sealed).then_some(before.version);
        let request =
            IdempotentRequest::command(Method::PUT, path, body(&sellers, &order, &input)?, &key);
        let reply = sellers.send_command(request.if_version(version)).await?;
        let report = CommandReport::of(&order, "amend", reply, key);
        let summary = if is_sealed {
            format!("proposal {proposal} amended: {}", proposed.price)
        } else {
            amended(&proposal, &before, &proposed)
        };
        seller.print_report(&report, &summary)
    }
}

/// Describes the changes of an amendment, field by field.
fn amended(id: &str, before: &ProposalView, proposed: &ProposalContent) -> String {
    let former = ProposalContent::try_from(content_before(&before.content));
    let changes = former.map(|former| changes(&former, proposed));
    if changes.as_ref().is_ok_and(Vec::is_empty) {
        // This happens when the same command is repeated, which makes no version.
        return format!("proposal {id} is so already, version {}", before.version);
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
        let sellers = seller.processor_rest().await?;
        let key = seller.key();
        let path = format!("/api/v1/proposals/{}/withdraw", encoded(&proposal));
        let body = json!({"order_req_id": order, "tenant": sellers.tenant(), "reason": reason});
        let reply = sellers
            .send_command(IdempotentRequest::command(Method::POST, path, body, &key))
            .await?;
        let report = CommandReport::of(&order, "withdraw", reply, key).about(&proposal);
        seller.print_report(&report, &format!("proposal {proposal} withdrawn"))
    }
}

impl LockArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, lease, seller } = self;
        let lease_ms = duration_ms("--for", &lease)?;
        let sellers = seller.processor_rest().await?;
        let key = seller.key();
        let (path, mut body) = lock_request(&sellers, &order, &proposal, seller.name());
        body["lease_ms"] = json!(lease_ms);
        let reply = sellers
            .send_command(IdempotentRequest::command(Method::POST, path, body, &key))
            .await?;
        let report = CommandReport::of(&order, "lock", reply, key).about(&proposal);
        let (name, lease) = (seller.name(), print::length(lease_ms));
        seller.print_report(&report, &format!("proposal {proposal} locked by {name} for {lease}"))
    }
}

impl UnlockArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, proposal, seller } = self;
        let sellers = seller.processor_rest().await?;
        let key = seller.key();
        let (path, body) = lock_request(&sellers, &order, &proposal, seller.name());
        let reply = sellers
            .send_command(IdempotentRequest::command(Method::DELETE, path, body, &key))
            .await?;
        let report = CommandReport::of(&order, "unlock", reply, key).about(&proposal);
        seller.print_report(&report, &format!("proposal {proposal} unlocked"))
    }
}

fn lock_request(
    sellers: &ProcessorRest,
    order: &str,
    proposal: &str,
    holder: &str,
) -> (String, Value) {
    let path = format!("/api/v1/proposals/{}/edit-lock", encoded(proposal));
    let body = json!({"order_req_id": order, "tenant": sellers.tenant(), "holder": holder});
    (path, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_with_their_price() {
        let read = line("CHAIR-01:40:pieces=5200.00").unwrap();
        assert_eq!((read.sku.as_str(), read.quantity.as_str()), ("CHAIR-01", "40"));
        assert_eq!((read.unit.as_deref(), read.price.as_str()), (Some("pieces"), "5200.00"));
        assert!(line("CHAIR-01=5200").unwrap_err().contains("CHAIR-01:40:pieces=5200.00"));
    }
}
