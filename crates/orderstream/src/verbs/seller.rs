//! The seller's verbs that are not about a proposal, and the arguments that all seller's verbs
//! share.

use http::Method;
use serde_json::{Value, json};

use super::acts::made_up_key;
use super::market::{Place, SellersSide};
pub(super) use super::model::Done;
use super::print;
use super::rest::{Ask, encoded};
use super::show::Format;
use crate::exit::Failure;
use crate::output;

/// The proposal id in the path of an answer that concerns no proposal.
const NO_PROPOSAL: &str = "none";

/// The arguments of a seller's command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Seller {
    /// The seller's name
    #[arg(long = "seller", env = "ORDERSTREAM_SELLER", value_name = "NAME")]
    seller: String,
    #[command(flatten)]
    anybody: Anybody,
}

/// The arguments of a seller's command that names no seller.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Anybody {
    /// Idempotency key: a command repeated with the same key has one effect; generated when absent
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: Format,
}

impl Seller {
    pub(super) fn name(&self) -> &str {
        &self.seller
    }

    pub(super) async fn side(&self) -> Result<SellersSide, Failure> {
        self.anybody.side().await
    }

    pub(super) fn key(&self) -> String {
        self.anybody.key()
    }

    pub(super) fn tell(&self, done: &Done, said: &str) -> Result<(), Failure> {
        self.anybody.tell(done, said)
    }

    pub(super) fn is_for_people(&self) -> bool {
        self.anybody.output == Format::Table
    }
}

impl Anybody {
    pub(super) async fn side(&self) -> Result<SellersSide, Failure> {
        self.place.sellers_side().await
    }

    pub(super) fn key(&self) -> String {
        self.key.clone().unwrap_or_else(made_up_key)
    }

    pub(super) fn tell(&self, done: &Done, said: &str) -> Result<(), Failure> {
        if self.output == Format::Table {
            output::line(said);
            return Ok(());
        }
        print::structured(done, self.output)
    }
}

impl Done {
    /// Makes the JSON output of a command from the processor's reply.
    pub(super) fn of(order: &str, act: &str, answer: &Value, key: String) -> Self {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        Self {
            order_req_id: order.to_owned(),
            act: act.to_owned(),
            last_seq: answer.get("seq").and_then(Value::as_u64).unwrap_or(0),
            phase: text("phase").unwrap_or_default(),
            proposal_id: text("proposal_id"),
            follow_up_id: text("follow_up_id"),
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
pub(crate) struct Decline {
    /// The order's id, as in the invitation
    order: String,
    /// The reason, for the buyer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    seller: Seller,
}

/// `orderstream answer ORDER FOLLOW-UP MESSAGE`
#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    /// The order's id
    order: String,
    /// The id of the buyer's follow-up that is answered
    follow_up: String,
    /// The answer
    message: String,
    #[command(flatten)]
    seller: Seller,
}

/// `orderstream question ORDER MESSAGE`
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The order's id, as in the invitation
    order: String,
    /// The question
    message: String,
    /// Id of the question; generated when absent
    #[arg(long, value_name = "ID")]
    question_id: Option<String>,
    #[command(flatten)]
    seller: Seller,
}

/// `orderstream seen ORDER`
#[derive(Debug, clap::Args)]
pub(crate) struct Seen {
    /// The order's id, as in the invitation
    order: String,
    #[command(flatten)]
    seller: Seller,
}

fn path(order: &str, part: &str) -> String {
    format!("/api/v1/orders/{}/{part}", encoded(order))
}

impl Decline {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { order, reason, seller } = self;
        let (sellers, key) = (seller.side().await?, seller.key());
        let body = json!({"tenant": sellers.tenant(), "seller": seller.name(), "reason": reason});
        let ask = Ask::act(Method::POST, path(&order, "decline"), body, &key);
        let done = Done::of(&order, "decline", &sellers.act(ask).await?, key);
        seller.tell(&done, &format!("{} declined order {order}", seller.name()))
    }
}

impl Answer {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { order, follow_up, message, seller } = self;
        let (sellers, key) = (seller.side().await?, seller.key());
        let body = json!({
            "tenant": sellers.tenant(),
            "order_req_id": order,
            "seller": seller.name(),
            "follow_up_id": follow_up,
            "message": message,
        });
        let at = format!("/api/v1/proposals/{NO_PROPOSAL}/followup");
        let answer = sellers.act(Ask::act(Method::POST, at, body, &key)).await?;
        let done = Done::of(&order, "answer", &answer, key);
        seller.tell(&done, &format!("{} answered follow-up {follow_up}", seller.name()))
    }
}

impl Question {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { order, message, question_id, seller } = self;
        let (sellers, key) = (seller.side().await?, seller.key());
        let body = json!({
            "tenant": sellers.tenant(),
            "seller": seller.name(),
            "question_id": question_id,
            "message": message,
        });
        let ask = Ask::act(Method::POST, path(&order, "questions"), body, &key);
        let done = Done::of(&order, "question", &sellers.act(ask).await?, key);
        let id = done.follow_up_id.clone().unwrap_or_default();
        seller.tell(&done, &format!("question {id} of {} sent to the buyer", seller.name()))
    }
}

impl Seen {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { order, seller } = self;
        let (sellers, key) = (seller.side().await?, seller.key());
        let body = json!({"tenant": sellers.tenant(), "seller": seller.name()});
        let ask = Ask::act(Method::POST, path(&order, "seen"), body, &key);
        let done = Done::of(&order, "seen", &sellers.act(ask).await?, key);
        seller.tell(&done, &format!("the buyer sees that {} has seen order {order}", seller.name()))
    }
}
