//! `orderstream conversation`: shows the messages of buyer and sellers.

use super::market::Place;
use super::model::{Conversation as Shown, Said};
use super::print::{self, Column};
use super::show::Format;
use crate::exit::Failure;
use crate::output;

/// `orderstream conversation ORDER`
#[derive(Debug, clap::Args)]
pub(crate) struct Conversation {
    /// Name of the order request, or the order's id
    order: String,
    /// Show only questions that no follow-up answers
    #[arg(long)]
    open: bool,
    /// A former incarnation of the order's id, as `status` lists them; the newest when absent
    #[arg(long, value_name = "NAME")]
    incarnation: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: Format,
}

impl Conversation {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let market = self.place.market().await?.of_incarnation(self.incarnation.clone());
        let subject = market.subject_to_read(&self.order).await?;
        let mut said = market.sellers().conversation(&subject.id).await?;
        let open: Vec<String> = open(&said).map(ToOwned::to_owned).collect();
        if self.open {
            said.retain(|said| said.id.as_ref().is_some_and(|id| open.contains(id)));
        }
        if self.output != Format::Table {
            let shown = Shown { conversation: said, next: None };
            return print::structured(&shown, self.output);
        }
        if said.is_empty() {
            let what = if self.open { "has no open question" } else { "has no conversation yet" };
            output::line(&format!("order {} {what}", self.order));
            return Ok(());
        }
        print::table(
            &["WHEN", "WHO", "ID", "SAID"].map(Column::Words),
            said.iter().map(row).collect(),
        );
        // The suggested verb would run on the newest incarnation, whichever was read.
        let next = open.first().filter(|_| self.incarnation.is_none());
        if let Some(question) = next {
            output::line("");
            let order = &self.order;
            print::next(&format!("orderstream ask {order} --answers {question} \"…\""));
        }
        Ok(())
    }
}

/// Returns the questions that the buyer has not answered, the oldest first.
fn open(said: &[Said]) -> impl Iterator<Item = &str> {
    let answered: Vec<&str> = said
        .iter()
        .filter(|said| said.kind == "follow_up")
        .filter_map(|said| said.answers.as_deref())
        .collect();
    let questions = said.iter().filter(|said| said.kind == "question");
    questions.filter_map(|said| said.id.as_deref()).filter(move |id| !answered.contains(id))
}

fn row(said: &Said) -> Vec<String> {
    let to = if said.audience.is_empty() { "all".to_owned() } else { said.audience.join(", ") };
    let who = match said.seller.as_deref() {
        Some(seller) => seller.to_owned(),
        None => format!("buyer to {to}"),
    };
    let answers = said.answers.as_deref().map(|id| format!("[re {id}] ")).unwrap_or_default();
    vec![
        print::clock(&said.at),
        who,
        print::or_dash(said.id.as_deref()),
        print::one_line(&format!("{answers}{}", said.message)),
    ]
}
