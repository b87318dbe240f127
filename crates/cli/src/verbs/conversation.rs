//! `orderstream conversation`: shows the messages of buyer and sellers.

use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};

use super::ids::ShortIds;
use super::market::MarketArgs;
use super::model::{Conversation as Shown, ConversationItem};
use super::print;
use super::shell;
use super::show::OutputFormat;
use super::table::{self, Column};
use crate::exit::CliError;
use crate::output;

/// `orderstream conversation ORDER`
#[derive(Debug, clap::Args)]
pub struct ConversationArgs {
    /// Name of the order request, or the order's id
    order: String,
    /// Show only questions that no follow-up answers
    #[arg(long)]
    open: bool,
    /// A former incarnation of the order's id, as `status` lists them; the newest when absent
    #[arg(long, value_name = "NAME")]
    incarnation: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

impl ConversationArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?.of_incarnation(self.incarnation.clone());
        let subject = market.subject_to_read(&self.order).await?;
        let mut messages = market.conversation(&subject).await?;
        let open_ids: Vec<String> = open_questions(&messages).map(ToOwned::to_owned).collect();
        if self.open {
            messages.retain(|message| message.id.as_ref().is_some_and(|id| open_ids.contains(id)));
        }
        if self.output != OutputFormat::Table {
            let messages = messages.into_iter().map(ConversationItem::from).collect();
            let page = Shown { conversation: messages, next: None };
            return print::structured(&page, self.output);
        }
        if messages.is_empty() {
            let what = if self.open { "has no open question" } else { "has no conversation yet" };
            output::line(&format!("order {} {what}", self.order));
            return Ok(());
        }
        let columns = [
            Column::Text("WHEN"),
            Column::Text("WHO"),
            Column::Text("ID"),
            Column::Prose("MESSAGE"),
        ];
        let short = ShortIds::of(messages.iter().filter_map(|message| message.id.as_deref()));
        table::print(&columns, messages.iter().map(|message| row(message, &short)).collect());
        // The suggested verb would run on the newest incarnation, whichever was read.
        let next = open_ids.first().filter(|_| self.incarnation.is_none());
        if let Some(question) = next {
            output::line("");
            let (order, question) = (&self.order, short.short(question));
            let command = shell::command(&["ask", order, "--answers", question]);
            print::hint(&format!("{command} ANSWER"));
        }
        Ok(())
    }
}

/// Returns the questions that the buyer has not answered, the oldest first.
pub(super) fn open_questions(messages: &[ConversationMessageView]) -> impl Iterator<Item = &str> {
    let answered: Vec<&str> = messages
        .iter()
        .filter(|message| message.kind == ConversationMessageKind::FollowUp.as_str())
        .filter_map(|message| message.answers.as_deref())
        .collect();
    let question = ConversationMessageKind::Question.as_str();
    let questions = messages.iter().filter(move |message| message.kind == question);
    questions.filter_map(|message| message.id.as_deref()).filter(move |id| !answered.contains(id))
}

fn row(message: &ConversationMessageView, short: &ShortIds<'_>) -> Vec<String> {
    let to =
        if message.audience.is_empty() { "all".to_owned() } else { message.audience.join(", ") };
    let who = match message.seller.as_deref() {
        Some(seller) => seller.to_owned(),
        None => format!("buyer to {to}"),
    };
    let answered = message.answers.as_deref().map(|id| short.short(id));
    let answers = answered.map(|id| format!("[re {id}] ")).unwrap_or_default();
    vec![
        print::clock(&message.at),
        who,
        print::or_dash(message.id.as_deref().map(|id| short.short(id))),
        print::one_line(&format!("{answers}{}", message.message)),
    ]
}
