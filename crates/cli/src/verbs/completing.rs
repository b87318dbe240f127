//! The words of the servers with which arguments are completed: orders, proposals, sellers,
//! questions, follow-ups and notifications.

use clap::{ArgMatches, FromArgMatches as _};
use orderstream_core::seal::SEALED;
use orderstream_rest_types::conversation::{ConversationMessageKind, ConversationMessageView};
use orderstream_rest_types::proposal::ProposalView;
use serde_json::Value;

use super::market::{Market, MarketArgs, Subject};
use super::server::{ListScope, ServerArgs};
use super::{conversation, notifications, print, show, wait};
use crate::exit::CliError;

/// The most proposals that are offered.
const PROPOSALS_MAX: usize = 500;

/// A candidate, and a remark on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompletionWord {
    pub(crate) value: String,
    pub(crate) help: String,
}

/// The words of the servers that an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerWords {
    /// Orders, by the names of their order requests.
    Orders,
    /// Proposals that can still change or win.
    Proposals,
    /// Sellers: the invited ones of a named order, else all.
    Sellers,
    /// Questions that the buyer has not answered.
    Questions,
    /// The buyer's follow-ups.
    FollowUps,
    /// Notifications that were given up.
    DeadLetters,
}

impl CompletionWord {
    /// Makes a candidate without a remark.
    pub(crate) fn known(value: &str) -> Self {
        Self { value: value.to_owned(), help: String::new() }
    }

    fn of(value: &str, help: &str) -> Self {
        Self { value: value.to_owned(), help: print::one_line(help) }
    }
}

impl ServerWords {
    /// Returns the words that an argument of a verb takes; `None` where servers know none.
    pub(crate) fn of(verb: &str, argument: &str) -> Option<Self> {
        match (verb, argument) {
            (_, "order") | ("get" | "wait" | "delete", "name") => Some(Self::Orders),
            (_, "proposal") => Some(Self::Proposals),
            (_, "seller") | ("submit", "sellers" | "excluded") | ("ask", "to") => {
                Some(Self::Sellers)
            }
            ("ask", "answers") => Some(Self::Questions),
            ("answer", "follow_up") => Some(Self::FollowUps),
            ("replay", "ids") => Some(Self::DeadLetters),
            _ => None,
        }
    }
}

/// Reads the words, on a runtime of its own; none where a server fails.
pub(crate) fn read_blocking(words: ServerWords, typed: &ArgMatches) -> Vec<CompletionWord> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    runtime.block_on(read(words, typed)).unwrap_or_default()
}

async fn read(words: ServerWords, typed: &ArgMatches) -> Result<Vec<CompletionWord>, CliError> {
    match words {
        ServerWords::Orders => orders(typed).await,
        ServerWords::Proposals => {
            let (market, subject) = market_and_order(typed).await?;
            let proposals = market.sellers().proposals(&subject.id, PROPOSALS_MAX).await?;
            let seller = text(typed, "seller");
            let is_offered = |one: &&ProposalView| {
                let of = one.content.seller.as_str();
                let is_own = seller.as_deref().is_none_or(|name| of == name || of == SEALED);
                is_own && one.status == "Open"
            };
            Ok(proposals.iter().filter(is_offered).map(proposal_word).collect())
        }
        ServerWords::Sellers => sellers(typed).await,
        ServerWords::Questions => {
            let (market, subject) = market_and_order(typed).await?;
            let messages = market.conversation(&subject).await?;
            let open: Vec<&str> = conversation::open_questions(&messages).collect();
            Ok(messages_with(&messages, |id| open.contains(&id)))
        }
        ServerWords::FollowUps => {
            let (market, subject) = market_and_order(typed).await?;
            let mut messages = market.conversation(&subject).await?;
            let kind = ConversationMessageKind::FollowUp.as_str();
            messages.retain(|message| message.kind == kind);
            Ok(messages_with(&messages, |_| true))
        }
        ServerWords::DeadLetters => {
            let dead = notifications::read_dead(&market_args(typed)?.market().await?, None).await?;
            let word = |entry: &super::model::HeldNotification| {
                let help = entry.reason.as_deref().unwrap_or_default();
                CompletionWord::of(&entry.notification_id, help)
            };
            Ok(dead.iter().map(word).collect())
        }
    }
}

/// Reads the orders of the buyer's server; where it has none or is not reached, those of the
/// processors.
async fn orders(typed: &ArgMatches) -> Result<Vec<CompletionWord>, CliError> {
    let server = server_args(typed)?.connect().await?;
    let listed = server.list(ListScope::Namespace).await.unwrap_or(Value::Null);
    let items = listed.get("items").and_then(Value::as_array).into_iter().flatten();
    let word = |item: &Value| {
        let title = item.pointer("/spec/title").and_then(Value::as_str).unwrap_or_default();
        let help = format!("{}  {title}", show::phase(item));
        Some(CompletionWord::of(wait::name_of(item)?, &help))
    };
    let words: Vec<CompletionWord> = items.filter_map(word).collect();
    if !words.is_empty() {
        return Ok(words);
    }
    let page = market_args(typed)?.processor_rest().await?.orders().await?;
    let orders = page.orders.iter().map(|order| {
        let help = format!("{}  {}", order.phase, order.title.as_deref().unwrap_or_default());
        CompletionWord::of(&order.order_req_id, &help)
    });
    Ok(orders.collect())
}

async fn sellers(typed: &ArgMatches) -> Result<Vec<CompletionWord>, CliError> {
    if text(typed, "order").is_some() {
        let (market, subject) = market_and_order(typed).await?;
        let order = market.order(&subject).await?;
        let invited = order.sellers.iter().filter(|seller| seller.chosen);
        let words: Vec<_> =
            invited.map(|seller| CompletionWord::of(&seller.seller, "invited")).collect();
        if !words.is_empty() {
            return Ok(words);
        }
    }
    let listed = server_args(typed)?.connect().await?.sellers().await?;
    let items = listed.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.filter_map(wait::name_of).map(CompletionWord::known).collect())
}

fn proposal_word(proposal: &ProposalView) -> CompletionWord {
    let content = &proposal.content;
    let help = if content.seller == SEALED {
        SEALED.to_owned()
    } else {
        format!("{}  {} {}", content.seller, content.price, content.currency)
    };
    CompletionWord::of(&proposal.proposal_id, &help)
}

/// Returns the ids of messages that are wanted, each with its text.
fn messages_with(
    messages: &[ConversationMessageView],
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<CompletionWord> {
    let word = |message: &ConversationMessageView| {
        let id = message.id.as_deref().filter(|id| is_wanted(id))?;
        Some(CompletionWord::of(id, &message.message))
    };
    messages.iter().filter_map(word).collect()
}

/// Returns the order that was typed, where its verb has processors to read from.
async fn market_and_order(typed: &ArgMatches) -> Result<(Market, Subject), CliError> {
    let order = text(typed, "order").ok_or_else(|| CliError::input("no order".to_owned()))?;
    let market = market_args(typed)?.market().await?;
    let subject = market.subject_to_read(&order).await?;
    Ok((market, subject))
}

fn market_args(typed: &ArgMatches) -> Result<MarketArgs, CliError> {
    // A verb without these arguments has no processors to read from.
    let has_processors = typed.try_contains_id("processor_rest");
    has_processors.map_err(|error| CliError::input(error.to_string()))?;
    MarketArgs::from_arg_matches(typed).map_err(|error| CliError::input(error.to_string()))
}

fn server_args(typed: &ArgMatches) -> Result<ServerArgs, CliError> {
    ServerArgs::from_arg_matches(typed).map_err(|error| CliError::input(error.to_string()))
}

/// Returns the value of an argument that was typed; `None` too where the verb has no such argument.
fn text(typed: &ArgMatches, argument: &str) -> Option<String> {
    typed.try_get_one::<String>(argument).ok().flatten().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_words_of_their_kind() {
        for (verb, argument, expected) in [
            ("award", "order", Some(ServerWords::Orders)),
            ("get", "name", Some(ServerWords::Orders)),
            ("submit", "name", None),
            ("withdraw", "proposal", Some(ServerWords::Proposals)),
            ("propose", "seller", Some(ServerWords::Sellers)),
            ("submit", "excluded", Some(ServerWords::Sellers)),
            ("dev", "sellers", None),
            ("processor", "sellers", None),
            ("ask", "answers", Some(ServerWords::Questions)),
            ("answer", "follow_up", Some(ServerWords::FollowUps)),
            ("replay", "ids", Some(ServerWords::DeadLetters)),
        ] {
            assert_eq!(ServerWords::of(verb, argument), expected, "{verb} {argument}");
        }
    }
}
