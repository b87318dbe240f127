//! The verbs of sellers, as the command line lists them, the arguments that they share, and those
//! that are not about a proposal.

use clap::Subcommand;
use http::Method;
use orderstream_core::Reason;
use orderstream_core::seal::SEALED;
use orderstream_rest_types::command::CommandReplyView;
use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::proposal::ProposalView;
use serde_json::json;

use super::flags;
use super::inbox::InboxArgs;
use super::lookup::{self, OrderLookup};
use super::market::{MarketArgs, ProcessorRest};
pub(super) use super::model::CommandReport;
use super::order_commands::generate_key;
use super::proposals::{AmendArgs, LockArgs, ProposeArgs, UnlockArgs, WithdrawArgs};
use super::rest::{IdempotentRequest, encoded};
use super::show::OutputFormat;
use super::{invited, print, shell};
use crate::cluster::edit;
use crate::exit::CliError;

/// The seller's verbs.
#[derive(Debug, Subcommand)]
pub enum SellerVerb {
    /// Seller: list the orders that the seller is invited to
    Inbox(InboxArgs),
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
        // Only `propose` takes the id of a proposal by a flag.
        let is_propose = matches!(self, Self::Propose(_));
        let result = match self {
            Self::Inbox(verb) => verb.run().await,
            Self::Propose(verb) => verb.run().await,
            Self::Amend(verb) => verb.run().await,
            Self::Withdraw(verb) => verb.run().await,
            Self::Decline(verb) => verb.run().await,
            Self::Question(verb) => verb.run().await,
            Self::Answer(verb) => verb.run().await,
            Self::Lock(verb) => verb.run().await,
            Self::Unlock(verb) => verb.run().await,
            Self::Seen(verb) => verb.run().await,
        };
        result.map_err(|failure| {
            let failure = if is_propose {
                failure.in_flags(&[("proposal_id", "--proposal-id")])
            } else {
                failure
            };
            failure.in_flags(flags::OF_SELLERS)
        })
    }
}

/// The most proposals that a name is looked up in.
const PROPOSALS_MAX: usize = 10_000;
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

/// The arguments of a seller's command, besides the seller's name.
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

/// The target of a seller's command, and the key that it is sent under.
struct SellerTarget<'a> {
    tenant: &'a str,
    /// The order's id.
    order: &'a str,
    key: &'a str,
}

/// The sellers whose command is sent. The processor refuses that of a seller that takes no part; here
/// the name is compared with the invited ones, for it may be mistyped.
#[derive(Clone, Copy, Debug)]
enum Takers {
    /// The sellers that may take part.
    MayTakePart,
    /// The invited sellers.
    Invited,
}

impl Takers {
    fn check(self, order: &OrderView, seller: &str) -> Result<(), CliError> {
        let is_open = order.open_to_all || !order.sellers.iter().any(|one| one.chosen);
        match self {
            Self::MayTakePart if is_open => Ok(()),
            Self::MayTakePart | Self::Invited => invited::must_be_invited(order, seller),
        }
    }
}

impl SellerArgs {
    pub(super) fn name(&self) -> &str {
        &self.seller
    }

    pub(super) fn key(&self) -> String {
        self.command_args.key()
    }

    /// Reports whether the user gave an idempotency key.
    pub(super) const fn has_key(&self) -> bool {
        self.command_args.key.is_some()
    }

    pub(super) async fn on_order<T>(
        &self,
        order: &str,
        attempt: impl AsyncFn(&ProcessorRest, &str) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        self.command_args.on_order(order, attempt).await
    }

    pub(super) async fn on_proposal<T>(
        &self,
        order: &str,
        proposal: &str,
        attempt: impl AsyncFn(&ProcessorRest, &str, &str) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        self.command_args.on_proposal(order, proposal, &self.seller, attempt).await
    }

    /// Sends a command on an order, and reports it.
    async fn send(
        &self,
        order: &str,
        verb: &str,
        takers: Takers,
        request: impl Fn(&SellerTarget<'_>) -> IdempotentRequest,
    ) -> Result<CommandReport, CliError> {
        let key = self.key();
        let send =
            async |sellers: &ProcessorRest, order: &str| -> Result<CommandReport, CliError> {
                // A key of its own may be of a command that was taken before; the processor knows.
                if !self.has_key() {
                    let current: OrderView = sellers.read(order, "", &[]).await?;
                    takers.check(&current, self.name())?;
                }
                let target = SellerTarget { tenant: sellers.tenant(), order, key: &key };
                let reply = sellers.send_command(request(&target)).await?;
                Ok(CommandReport::of(order, verb, reply, key.clone()))
            };
        self.on_order(order, send).await
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
    pub(super) fn key(&self) -> String {
        self.key.clone().unwrap_or_else(generate_key)
    }

    /// Makes an attempt on the order with this id. Where there is none, makes it on the order whose
    /// order request has this name.
    pub(super) async fn on_order<T>(
        &self,
        order: &str,
        attempt: impl AsyncFn(&ProcessorRest, &str) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let sellers = self.market_args.processor_rest().await?;
        let failure = match attempt(&sellers, order).await {
            Err(failure) if failure.reason() == Some(Reason::OrderNotFound) => failure,
            result => return result,
        };
        let id = self.id_of(order, failure).await?;
        attempt(&sellers, &id).await
    }

    /// Returns the id of the order whose order request has this name, or the failure. Sellers need
    /// not reach the buyer's server: without it, ids alone are known.
    async fn id_of(&self, name: &str, failure: CliError) -> Result<String, CliError> {
        let found = match self.market_args.buyer_server().await {
            Ok(server) => server.find(name).await.unwrap_or_default(),
            Err(_) => OrderLookup::default(),
        };
        let key = found.resource.as_ref().and_then(|resource| edit::key_of(resource).ok());
        match key.map(|key| key.order_req_id.to_string()).filter(|id| id != name) {
            Some(id) => Ok(id),
            None => Err(failure.meaning(found.meant.as_deref())),
        }
    }

    /// Makes an attempt on the proposal with this id. Where the order has none, makes it on the one
    /// of this seller whose id begins so, or on the seller's own where the text is its name.
    pub(super) async fn on_proposal<T>(
        &self,
        order: &str,
        proposal: &str,
        seller: &str,
        attempt: impl AsyncFn(&ProcessorRest, &str, &str) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        self.on_order(order, async |sellers: &ProcessorRest, order: &str| {
            match attempt(sellers, order, proposal).await {
                Err(failure) if failure.reason() == Some(Reason::ProposalNotFound) => {}
                result => return result,
            }
            let proposals = sellers.proposals(order, PROPOSALS_MAX).await?;
            let is_own = |one: &&ProposalView| {
                let of = one.content.seller.as_str();
                of == seller || of == SEALED
            };
            let named = lookup::proposal(proposals.iter().filter(is_own), proposal)?;
            attempt(sellers, order, &named.proposal_id).await
        })
        .await
    }

    pub(super) fn print_report(
        &self,
        report: &CommandReport,
        summary: &str,
    ) -> Result<(), CliError> {
        if self.output == OutputFormat::Table {
            print::lines(summary);
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
            pending_until: None,
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
    /// The order's id, as in the invitation, or the name of its order request
    order: String,
    /// The reason, for the buyer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream answer ORDER FOLLOW-UP MESSAGE`
#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    /// The order's id, or the name of its order request
    order: String,
    /// The buyer's follow-up that is answered: its id, or the first letters of it
    follow_up: String,
    /// The answer
    message: String,
    #[command(flatten)]
    seller: SellerArgs,
}

/// `orderstream question ORDER MESSAGE`
#[derive(Debug, clap::Args)]
pub struct QuestionArgs {
    /// The order's id, as in the invitation, or the name of its order request
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
    /// The order's id, as in the invitation, or the name of its order request
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
        let request = |target: &SellerTarget<'_>| {
            let body = json!({"tenant": target.tenant, "seller": seller.name(), "reason": reason});
            let path = path(target.order, "decline");
            IdempotentRequest::command(Method::POST, path, body, target.key)
        };
        let report = seller.send(&order, "decline", Takers::MayTakePart, request).await?;
        let (name, id) = (seller.name(), &report.order_req_id);
        let open = if seller.is_for_people() {
            let read = async |sellers: &ProcessorRest, order: &str| {
                sellers.proposals(order, PROPOSALS_MAX).await
            };
            // It is declined, whether its proposals are read or not.
            seller.on_order(id, read).await.unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut lines = vec![format!("{name} declined order {id}")];
        lines.extend(binding(&open, name).map(|proposal| {
            let withdraw = shell::command(&["withdraw", &order, proposal, "--seller", name]);
            format!("warning: proposal {proposal} still binds; to take it back: {withdraw}")
        }));
        seller.print_report(&report, &lines.join("\n"))
    }
}

/// Returns the ids of a seller's open proposals, which it is bound to.
fn binding<'a>(proposals: &'a [ProposalView], seller: &str) -> impl Iterator<Item = &'a str> {
    let is_open = |one: &&ProposalView| one.content.seller == seller && one.status == "Open";
    let open: Vec<&ProposalView> = proposals.iter().filter(is_open).collect();
    open.into_iter().map(|one| one.proposal_id.as_str())
}

impl AnswerArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let (key, named) = (self.seller.key(), self.follow_up.as_str());
        let answer = async |sellers: &ProcessorRest, order: &str| {
            let failure = match self.send(sellers, order, named, &key).await {
                Err(failure) if failure.field() == Some("follow_up_id") => failure,
                result => return result.map(|report| (report, named.to_owned())),
            };
            let messages = sellers.conversation(order).await?;
            match lookup::id(follow_ups(&messages), named, "follow-up")? {
                Some(id) if id != named => {
                    let report = self.send(sellers, order, id, &key).await?;
                    Ok((report, id.to_owned()))
                }
                Some(_) | None => Err(failure),
            }
        };
        let (report, id) = self.seller.on_order(&self.order, answer).await?;
        let name = self.seller.name();
        self.seller.print_report(&report, &format!("{name} answered follow-up {id}"))
    }

    /// Sends the answer to the follow-up with this id.
    async fn send(
        &self,
        sellers: &ProcessorRest,
        order: &str,
        follow_up: &str,
        key: &str,
    ) -> Result<CommandReport, CliError> {
        let body = json!({
            "tenant": sellers.tenant(),
            "order_req_id": order,
            "seller": self.seller.name(),
            "follow_up_id": follow_up,
            "message": self.message,
        });
        let at = format!("/api/v1/proposals/{NO_PROPOSAL}/followup");
        let request = IdempotentRequest::command(Method::POST, at, body, key);
        let reply = sellers.send_command(request).await?;
        Ok(CommandReport::of(order, "answer", reply, key.to_owned()))
    }
}

/// Returns the ids of the buyer's messages.
fn follow_ups(messages: &[ConversationMessageView]) -> impl Iterator<Item = &str> {
    let kind = ConversationMessageKind::FollowUp.as_str();
    let of_buyer = messages.iter().filter(move |message| message.kind == kind);
    of_buyer.filter_map(|message| message.id.as_deref())
}

impl QuestionArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, message, question_id, seller } = self;
        let request = |target: &SellerTarget<'_>| {
            let body = json!({
                "tenant": target.tenant,
                "seller": seller.name(),
                "question_id": question_id,
                "message": message,
            });
            let path = path(target.order, "questions");
            IdempotentRequest::command(Method::POST, path, body, target.key)
        };
        let report = seller.send(&order, "question", Takers::MayTakePart, request).await?;
        let id = report.follow_up_id.clone().unwrap_or_default();
        seller
            .print_report(&report, &format!("question {id} of {} sent to the buyer", seller.name()))
    }
}

impl SeenArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { order, seller } = self;
        let request = |target: &SellerTarget<'_>| {
            let body = json!({"tenant": target.tenant, "seller": seller.name()});
            let path = path(target.order, "seen");
            IdempotentRequest::command(Method::POST, path, body, target.key)
        };
        let report = seller.send(&order, "seen", Takers::Invited, request).await?;
        let (name, order) = (seller.name(), &report.order_req_id);
        seller.print_report(&report, &format!("the buyer sees that {name} has seen order {order}"))
    }
}
