//! The verbs of sellers, as the command line lists them, the arguments that they share, and those
//! that are not about a proposal.

use clap::Subcommand;
use http::Method;
use orderstream_rest_types::command::CommandReplyView;
use serde_json::json;

use super::market::{MarketArgs, ProcessorRest};
pub(super) use super::model::CommandReport;
use super::order_commands::generate_key;
use super::print;
use super::proposals::{AmendArgs, LockArgs, ProposeArgs, UnlockArgs, WithdrawArgs};
use super::rest::{IdempotentRequest, encoded};
use super::show::OutputFormat;
use crate::exit::CliError;
use crate::output;

/// The seller's verbs.
#[derive(Debug, Subcommand)]
pub enum SellerVerb {
    /// Seller: make a proposal
    Propose(Box<ProposeArgs>),
    /// Seller: change a proposal; fields that are not given stay
    Amend(Box<AmendArgs>),
    /// Seller: withdraw a proposal
    Withdraw(WithdrawArgs),
    /// Seller: decline to propose
    Decline(DeclineArgs),
    /// Seller: ask the buyer a question
    Question(QuestionArgs),
    /// Seller: answer the buyer's follow-up
    Answer(AnswerArgs),
    /// Seller: keep others from changing a proposal for a while
    Lock(LockArgs),
    /// Seller: release the edit lock
    Unlock(UnlockArgs),
    /// Seller: mark the invitation as seen
    Seen(SeenArgs),
}

impl SellerVerb {
    /// Runs the verb to its end.
    ///
    /// # Errors
    /// When the command line is wrong, or the server refuses the request or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Propose(verb) => verb.run().await,
            Self::Amend(verb) => verb.run().await,
            Self::Withdraw(verb) => verb.run().await,
            Self::Decline(verb) => verb.run().await,
            Self::Question(verb) => verb.run().await,
            Self::Answer(verb) => verb.run().await,
            Self::Lock(verb) => verb.run().await,
            Self::Unlock(verb) => verb.run().await,
            Self::Seen(verb) => verb.run().await,
        }
    }
}

/// The proposal id in the path of an answer that concerns no proposal.
const NO_PROPOSAL: &str = "none";

/// The arguments of a seller's command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SellerArgs {
    /// The seller's name
    #[arg(long = "seller", env = "ORDERSTREAM_SELLER", value_name = "NAME")]
    seller: String,
    #[command(flatten)]
    command_args: SellerCommandArgs,
}

/// The arguments of a seller's command that names no seller.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SellerCommandArgs {
    /// Idempotency key: a command repeated with the same key has one effect; generated when absent
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

impl SellerArgs {
    pub(super) fn name(&self) -> &str {
        &self.seller
    }

    pub(super) async fn processor_rest(&self) -> Result<ProcessorRest, CliError> {
        self.command_args.processor_rest().await
    }

    pub(super) fn key(&self) -> String {
        self.command_args.key()
    }

    pub(super) fn print_report(
        &self,
        report: &CommandReport,
        summary: &str,
    ) -> Result<(), CliError> {
        self.command_args.print_report(report, summary)
    }

    pub(super) fn is_for_people(&self) -> bool {
        self.command_args.output == OutputFormat::Table
    }
}

impl SellerCommandArgs {
    pub(super) async fn processor_rest(&self) -> Result<ProcessorRest, CliError> {
        self.market_args.processor_rest().await
    }

    pub(super) fn key(&self) -> String {
        self.key.clone().unwrap_or_else(generate_key)
    }

    pub(super) fn print_report(
        &self,
        report: &CommandReport,
        summary: &str,
    ) -> Result<(), CliError> {
        if self.output == OutputFormat::Table {
            output::line(summary);
            return Ok(());
        }
        print::structured(report, self.output)
    }
}

impl CommandReport {
    /// Makes the JSON output of a command from the processor's reply.
    pub(super) fn of(order: &str, verb: &str, reply: CommandReplyView, key: String) -> Self {
        Self {
            order_req_id: order.to_owned(),
            verb: verb.to_owned(),
            last_seq: reply.seq,
            phase: reply.phase,
            proposal_id: reply.proposal_id,
            follow_up_id: reply.follow_up_id,
            key,
        }
    }

    /// Sets the proposal that the command was about.
    pub(super) fn about(self, proposal_id: &str) -> Self {
        Self { proposal_id: Some(proposal_id.to_owned()), ..self }
    }
}

/// `orderstream decline ORDER`
#[derive(Debug, clap::Args)]
pub struct DeclineArgs {
    /// The order's id, as in the invitation
    order: String,
    /// The reason, for the buyer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream reply ORDER FOLLOW-UP MESSAGE`
#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    /// The order's id
    order: String,
    /// The id of the buyer's follow-up that is answered
    follow_up: String,
    /// The answer
    message: String,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream question ORDER MESSAGE`
#[derive(Debug, clap::Args)]
pub struct QuestionArgs {
    /// The order's id, as in the invitation
    order: String,
    /// The question
    message: String,
    /// Id of the question; generated when absent
    #[arg(long, value_name = "ID")]
    question_id: Option<String>,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream seen ORDER`
#[derive(Debug, clap::Args)]
pub struct SeenArgs {
    /// The order's id, as in the invitation
    order: String,
    #[command(flatten)]
    seller: SellerArgs,
}

fn path(order: &str, part: &str) -> String {
    format!("/api/v1/orders/{}/{part}", encoded(order))
}

impl DeclineArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, reason, seller } = self;
        let (sellers, key) = (seller.processor_rest().await?, seller.key());
        let body = json!({"tenant": sellers.tenant(), "seller": seller.name(), "reason": reason});
        let request = IdempotentRequest::command(Method::POST, path(&order, "decline"), body, &key);
        let report =
            CommandReport::of(&order, "decline", sellers.send_command(request).await?, key);
        seller.print_report(&report, &format!("{} declined order {order}", seller.name()))
    }
}

impl AnswerArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, follow_up, message, seller } = self;
        let (sellers, key) = (seller.processor_rest().await?, seller.key());
        let body = json!({
            "tenant": sellers.tenant(),
            "order_req_id": order,
            "seller": seller.name(),
            "follow_up_id": follow_up,
            "message": message,
        });
        let at = format!("/api/v1/proposals/{NO_PROPOSAL}/followup");
        let reply =
            sellers.send_command(IdempotentRequest::command(Method::POST, at, body, &key)).await?;
        let report = CommandReport::of(&order, "answer", reply, key);
        seller.print_report(&report, &format!("{} answered follow-up {follow_up}", seller.name()))
    }
}

impl QuestionArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, message, question_id, seller } = self;
        let (sellers, key) = (seller.processor_rest().await?, seller.key());
        let body = json!({
            "tenant": sellers.tenant(),
            "seller": seller.name(),
            "question_id": question_id,
            "message": message,
        });
        let request =
            IdempotentRequest::command(Method::POST, path(&order, "questions"), body, &key);
        let report =
            CommandReport::of(&order, "question", sellers.send_command(request).await?, key);
        let id = report.follow_up_id.clone().unwrap_or_default();
        seller
            .print_report(&report, &format!("question {id} of {} sent to the buyer", seller.name()))
    }
}

impl SeenArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, seller } = self;
        let (sellers, key) = (seller.processor_rest().await?, seller.key());
        let body = json!({"tenant": sellers.tenant(), "seller": seller.name()});
        let request = IdempotentRequest::command(Method::POST, path(&order, "seen"), body, &key);
        let report = CommandReport::of(&order, "seen", sellers.send_command(request).await?, key);
        seller.print_report(
            &report,
            &format!("the buyer sees that {} has seen order {order}", seller.name()),
        )
    }
}
