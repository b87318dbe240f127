//! `orderstream notify pending`, `notify dead` and `notify replay`: the notifications of orders that
//! wait, those that were given up, and sending these again.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use http::Method;
use orderstream_core::Reason;
use orderstream_rest_types::notification::{NotificationView, OutboxView};
use serde_json::json;

use super::market::{Market, MarketArgs};
use super::model::{HeldNotification, NotifyReport};
use super::order_commands::generate_key;
use super::rest::{IdempotentRequest, encoded};
use super::show::OutputFormat;
use super::table::{self, Column};
use super::{print, shell};
use crate::exit::CliError;
use crate::output;

/// The most outboxes that are read at one time.
const READS_AT_ONCE: usize = 8;
/// The most pages of dead letters that are read; each holds many.
const PAGES_MAX: usize = 1_000;
/// The state of a notification that was given up.
const DEAD: &str = "dead";
/// The state of a notification that is sent again.
const WAITING: &str = "waiting";

/// The arguments of a list of notifications.
#[derive(Debug, clap::Args)]
pub(crate) struct OutboxArgs {
    /// Only those of this order, by its order request or its id
    order: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

/// `orderstream notify replay`
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The notifications, as `notify dead` lists them
    #[arg(value_name = "ID", required_unless_present_any = ["order", "all"])]
    ids: Vec<String>,
    /// All that were given up of this order, by its order request or its id
    #[arg(long, value_name = "ORDER", conflicts_with = "ids")]
    order: Option<String>,
    /// All that were given up
    #[arg(long, conflicts_with_all = ["ids", "order"])]
    all: bool,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

/// Notifications by order, event and id.
type Outboxes = BTreeMap<(String, u64, String), HeldNotification>;

impl HeldNotification {
    /// Takes a notification as its processor shows it; its id begins with tenant and order.
    fn of(view: NotificationView) -> Self {
        let order = view.notification_id.split('~').nth(1).unwrap_or_default();
        Self {
            order_req_id: order.to_owned(),
            notification_id: view.notification_id,
            seq: view.seq,
            topic: view.topic,
            recipient: view.recipient,
            seller: view.seller,
            channel: view.channel,
            address: view.address,
            state: view.state,
            attempts: view.attempts,
            next_at: view.next_at,
            dead_at: view.dead_at,
            reason: view.reason,
        }
    }

    /// Makes an entry of which only the id is known.
    fn of_id(id: &str) -> Self {
        let view =
            NotificationView { notification_id: id.to_owned(), ..NotificationView::default() };
        Self::of(view)
    }

    fn recipient_name(&self) -> &str {
        self.seller.as_deref().unwrap_or(&self.recipient)
    }
}

fn add(outboxes: &mut Outboxes, views: Vec<NotificationView>) {
    for entry in views.into_iter().map(HeldNotification::of) {
        let key = (entry.order_req_id.clone(), entry.seq, entry.notification_id.clone());
        outboxes.insert(key, entry);
    }
}

/// Reads an order's outbox; an empty one where the order has not been opened.
async fn of_order(market: &Market, id: &str) -> Result<Vec<NotificationView>, CliError> {
    match market.sellers().read::<OutboxView>(id, "/notifications", &[]).await {
        Ok(outbox) => Ok(outbox.notifications),
        Err(failure) if failure.reason() == Some(Reason::OrderNotFound) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Reads the outboxes of one order, or of all that have an order request in the namespace.
async fn read(market: &Market, order: Option<&str>) -> Result<Outboxes, CliError> {
    let mut outboxes = Outboxes::new();
    if let Some(order) = order {
        let subject = market.subject_to_read(order).await?;
        let outbox = market.sellers().read::<OutboxView>(&subject.id, "/notifications", &[]).await;
        let outbox = outbox.map_err(|failure| subject.explained(failure))?;
        add(&mut outboxes, outbox.notifications);
        return Ok(outboxes);
    }
    let ids = stream::iter(market.order_ids().await?);
    let reads = ids.map(|id| async move { of_order(market, &id).await });
    let read: Vec<Result<Vec<NotificationView>, CliError>> =
        reads.buffered(READS_AT_ONCE).collect().await;
    for views in read {
        add(&mut outboxes, views?);
    }
    Ok(outboxes)
}

/// Reads the notifications that were given up: of one order, or of all orders of the buyer's server
/// and of the processor that is reached.
pub(super) async fn read_dead(
    market: &Market,
    order: Option<&str>,
) -> Result<Vec<HeldNotification>, CliError> {
    let mut outboxes = match read(market, order).await {
        // Its processor knows its dead letters without the buyer's server.
        Err(failure) if failure.is_not_reached() && order.is_none() => Outboxes::new(),
        result => result?,
    };
    if order.is_none() {
        add_dead_letters(market, &mut outboxes).await?;
    }
    Ok(outboxes.into_values().filter(|entry| entry.state == DEAD).collect())
}

/// Adds the dead letters of the processor that is reached, also of orders without an order request.
async fn add_dead_letters(market: &Market, outboxes: &mut Outboxes) -> Result<(), CliError> {
    let mut after = String::new();
    for _ in 0..PAGES_MAX {
        let page = market.sellers().dead_letters(&after).await?;
        add(outboxes, page.dead_letters);
        match page.next.filter(|next| !next.is_empty() && *next != after) {
            Some(next) => after = next,
            None => break,
        }
    }
    Ok(())
}

impl OutboxArgs {
    /// Prints the notifications that wait to be sent.
    pub(crate) async fn pending(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?;
        let outboxes = read(&market, self.order.as_deref()).await?;
        let waiting: Vec<_> = outboxes.into_values().filter(|one| one.state != DEAD).collect();
        if self.output != OutputFormat::Table {
            return print::structured(&NotifyReport { notifications: waiting }, self.output);
        }
        if waiting.is_empty() {
            output::line("no notification waits");
            return Ok(());
        }
        let columns = [
            Column::Text("ORDER"),
            Column::Text("TO"),
            Column::Text("BY"),
            Column::Extra("TOPIC"),
            Column::ExtraNumbers("ATTEMPTS"),
            Column::Extra("NEXT"),
            Column::Prose("REASON"),
        ];
        let row = |entry: &HeldNotification| {
            vec![
                entry.order_req_id.clone(),
                entry.recipient_name().to_owned(),
                entry.channel.clone(),
                entry.topic.clone(),
                entry.attempts.to_string(),
                entry.next_at.as_deref().map_or_else(|| "-".to_owned(), print::clock),
                print::or_dash(entry.reason.as_deref()),
            ]
        };
        table::print(&columns, waiting.iter().map(row).collect());
        Ok(())
    }

    /// Prints the notifications that were given up.
    pub(crate) async fn dead(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?;
        let dead = read_dead(&market, self.order.as_deref()).await?;
        if self.output != OutputFormat::Table {
            return print::structured(&NotifyReport { notifications: dead }, self.output);
        }
        if dead.is_empty() {
            output::line("no notification was given up");
            return Ok(());
        }
        let columns = [
            Column::Text("ID"),
            Column::Text("TO"),
            Column::Text("BY"),
            Column::Extra("TOPIC"),
            Column::Extra("SINCE"),
            Column::Prose("REASON"),
        ];
        let row = |entry: &HeldNotification| {
            vec![
                entry.notification_id.clone(),
                entry.recipient_name().to_owned(),
                entry.channel.clone(),
                entry.topic.clone(),
                entry.dead_at.as_deref().map_or_else(|| "-".to_owned(), print::clock),
                print::or_dash(entry.reason.as_deref()),
            ]
        };
        table::print(&columns, dead.iter().map(row).collect());
        output::line("");
        print::next(&match &self.order {
            Some(order) => shell::command(&["notify", "replay", "--order", order]),
            None => shell::command(&["notify", "replay", "--all"]),
        });
        Ok(())
    }
}

/// Names the command that lists the ids, where there is no such notification.
fn unknown(id: &str, failure: CliError) -> CliError {
    let reason = Reason::NotificationNotFound;
    if failure.reason() != Some(reason) {
        return failure;
    }
    let (list, code) = (shell::command(&["notify", "dead"]), reason.as_str());
    let text = format!("no notification {id} was given up; list them with `{list}` [{code}]");
    CliError::from_server(Some(reason), text)
}

impl ReplayArgs {
    /// Sends notifications that were given up again.
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let market = self.market_args.market().await?;
        let dead = if self.ids.is_empty() {
            read_dead(&market, self.order.as_deref().filter(|_| !self.all)).await?
        } else {
            self.ids.iter().map(|id| HeldNotification::of_id(id)).collect()
        };
        let mut replayed = Vec::new();
        for mut entry in dead {
            let path = format!("/api/v1/dead-letters/{}/replay", encoded(&entry.notification_id));
            let key = generate_key();
            let request = IdempotentRequest::command(Method::POST, path, json!({}), &key);
            match market.sellers().send_command(request).await {
                // Of a list, one may be on its way again by now.
                Err(failure)
                    if self.ids.is_empty()
                        && failure.reason() == Some(Reason::NotificationNotFound) =>
                {
                    continue;
                }
                reply => {
                    drop(reply.map_err(|failure| unknown(&entry.notification_id, failure))?);
                }
            }
            WAITING.clone_into(&mut entry.state);
            replayed.push(entry);
        }
        if self.output != OutputFormat::Table {
            return print::structured(&NotifyReport { notifications: replayed }, self.output);
        }
        let count = print::count(replayed.len(), "notification");
        output::line(&format!("{count} to be sent again"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_notifications_name_the_list() {
        let reason = Some(Reason::NotificationNotFound);
        let failure = unknown("n-1", CliError::from_server(reason, "at /api/v1".to_owned()));
        let expected = "no notification n-1 was given up; list them with `orderstream notify dead` \
                        [NOTIFICATION_NOT_FOUND]";
        assert_eq!((failure.code(), failure.to_string().as_str()), (4, expected));
        let other = unknown("n-1", CliError::refused("no".to_owned()));
        assert_eq!(other.to_string(), "no");
    }

    #[test]
    fn notifications_are_listed_once_by_order_and_event() {
        let view = |id: &str, seq: u64| NotificationView {
            notification_id: id.to_owned(),
            seq,
            ..NotificationView::default()
        };
        let mut outboxes = Outboxes::new();
        let ids = ["default~B~life~3~aa", "default~A~life~12~aa", "default~A~life~3~bb"];
        add(&mut outboxes, vec![view(ids[0], 3), view(ids[1], 12)]);
        add(&mut outboxes, vec![view(ids[0], 3), view(ids[2], 3)]);
        let listed: Vec<_> = outboxes.values().map(|entry| &entry.notification_id).collect();
        assert_eq!(listed, [ids[2], ids[1], ids[0]]);
        assert_eq!(HeldNotification::of_id(ids[1]).order_req_id, "A");
        assert_eq!(HeldNotification::of_id("nonsense").order_req_id, "");
    }
}
