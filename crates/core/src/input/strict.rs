//! Checks of new orders and new proposals. Stored ones were taken by earlier rules and are read as
//! they are, so the conversions check none of this.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{ProposalContent, ProposalLine};
use crate::date::{DateOrTime, Zone};
use crate::id::{FollowUpId, OrderReqId, ProposalId, SellerId, Timestamp};
use crate::price::Price;
use crate::refusal::Refusal;
use crate::seal::SEALED;
use crate::spec::{Item, OrderSpec};
use crate::visible::{folded, is_blank};

/// Articles or lines of an order that one refusal names.
const NAMED_MAX: usize = 5;
/// The words that are no ids, because clients of HTTP take them out of a path.
const PATH_WORDS: [&str; 2] = [".", ".."];
/// The word that stands in a route of the buyers' REST where another order's id stands.
const ORDER_WORD: &str = "status";
/// The word that stands in a path for no proposal.
const PROPOSAL_WORD: &str = "none";
/// The names that stand for others wherever people read who did something, and those others. They
/// are folded.
const SPEAKERS: [(&str, &str); 3] =
    [(SEALED, "hidden sellers"), ("buyer", "the buyer"), ("orderstream", "this service")];

/// Reports whether a text cannot be the id of anything new.
pub fn is_reserved_id(text: &str) -> bool {
    PATH_WORDS.contains(&text)
}

/// Refuses an id that a path cannot name, or that would name something else there.
fn check_new_id(field: &str, id: &str, word: Option<&str>) -> Result<(), Refusal> {
    if is_reserved_id(id) || word == Some(id) {
        let text = format!("is '{id}', which has another meaning in paths; use another one");
        return Err(Refusal::field(field, text));
    }
    Ok(())
}

/// Checks the names of a new proposal.
///
/// # Errors
/// Refuses an id or a seller whose name has another meaning in paths or in sealed orders.
pub fn check_new_proposal_id(id: &ProposalId, seller: &SellerId) -> Result<(), Refusal> {
    check_new_id("proposal_id", id.as_str(), Some(PROPOSAL_WORD))?;
    check_new_seller(seller)
}

/// Checks the name of a seller that proposes or asks.
///
/// # Errors
/// Refuses a name that has another meaning in paths or in sealed orders, and those of the others
/// that speak in an order, however they are written.
pub fn check_new_seller(seller: &SellerId) -> Result<(), Refusal> {
    check_name("seller", seller.as_str())?;
    check_new_id("seller", seller.as_str(), None)
}

/// Refuses a name that reads as one of those that stand for others.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let letters: String = folded(name).chars().filter(|c| c.is_alphanumeric()).collect();
    let Some((_, meaning)) = SPEAKERS.iter().find(|(name, _)| letters == *name) else {
        return Ok(());
    };
    let name = escaped(name);
    let text = format!("is '{name}', which stands for {meaning}; use another name");
    Err(Refusal::field(field, text))
}

/// Checks that people can see something of a text, in whichever field; an empty one is absent.
///
/// # Errors
/// Refuses a text of blanks and invisible characters only.
pub fn check_visible(field: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() || !is_blank(text) {
        return Ok(());
    }
    Err(Refusal::field(field, "has no visible character; write what people can read"))
}

/// Checks texts of several fields with [`check_visible`].
fn check_all_visible(texts: &[(&str, Option<&str>)]) -> Result<(), Refusal> {
    texts.iter().try_for_each(|(field, text)| check_visible(field, text.unwrap_or_default()))
}

/// Checks the id of a new follow-up or question, which is in this field.
///
/// # Errors
/// Refuses one that has another meaning in paths.
pub fn check_new_message_id(field: &str, id: &FollowUpId) -> Result<(), Refusal> {
    check_new_id(field, id.as_str(), None)
}

/// Checks an order that is to be opened.
///
/// # Errors
/// Refuses an id that has another meaning in paths, a currency that ISO 4217 does not list, a time
/// zone that is not known, a delivery date that is none, texts without a visible character, and items
/// that cannot be told apart; names the field.
pub fn check_new_order(id: &OrderReqId, spec: &OrderSpec) -> Result<(), Refusal> {
    check_new_id("order_req_id", id.as_str(), Some(ORDER_WORD))?;
    spec.currency.map_or(Ok(()), |currency| currency.check_listed())?;
    spec.time_zone.as_deref().map_or(Ok(()), check_zone)?;
    let by = spec.delivery.as_ref().and_then(|delivery| delivery.by.as_deref());
    by.map_or(Ok(()), |by| check_date("delivery.by", by).map(drop))?;
    check_texts(spec)?;
    check_items(&spec.items)
}

/// Checks that people can see each text of an order.
fn check_texts(spec: &OrderSpec) -> Result<(), Refusal> {
    let address = spec.delivery.as_ref().and_then(|delivery| delivery.address.as_deref());
    check_all_visible(&[
        ("title", spec.title.as_deref()),
        ("category", spec.category.as_deref()),
        ("delivery.address", address),
    ])?;
    if let Some(message) = &spec.message {
        check_visible("message.message", &message.message)?;
        for (index, url) in message.urls.iter().enumerate() {
            check_visible(&format!("message.urls[{index}]"), url)?;
        }
    }
    for (index, item) in spec.items.iter().enumerate() {
        let in_item = |refusal: Refusal| refusal.under(&format!("items[{index}]"));
        let texts = [
            ("sku", Some(item.sku.as_str())),
            ("description", item.description.as_deref()),
            ("unit", item.unit.as_deref()),
            ("line", item.line.as_deref()),
        ];
        check_all_visible(&texts).map_err(in_item)?;
    }
    Ok(())
}

/// Checks that proposals and awards can refer to each item: by a line of its own, or by an article
/// number that no other item has.
fn check_items(items: &[Item]) -> Result<(), Refusal> {
    let mut keys = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let field = || format!("items[{index}].line");
        let same = items.iter().filter(|other| other.sku == item.sku).count();
        if item.line.is_none() && same > 1 {
            let sku = escaped(&item.sku);
            let text = format!("is missing; {same} items are '{sku}', give each a line of its own");
            return Err(Refusal::field(field(), text));
        }
        if !keys.insert(item.line_key()) {
            let key = escaped(item.line_key());
            let text = format!("'{key}' names another item too; give this one a line of its own");
            return Err(Refusal::field(field(), text));
        }
    }
    Ok(())
}

fn check_zone(name: &str) -> Result<(), Refusal> {
    if Zone::find(name).is_some() {
        return Ok(());
    }
    let fix = match Zone::nearest(name) {
        Some(nearest) => format!("write {nearest}"),
        None => "write the name of one, such as Europe/Berlin".to_owned(),
    };
    let text = format!("'{}' is not a time zone of the IANA database; {fix}", escaped(name));
    Err(Refusal::field("time_zone", text))
}

/// Checks a new date or time, which is in this field.
///
/// # Errors
/// Refuses what is neither a date nor an RFC 3339 time, and names the form to write.
pub fn check_date(field: &str, text: &str) -> Result<DateOrTime, Refusal> {
    DateOrTime::parse(text).ok_or_else(|| {
        let fix = DateOrTime::fix(text);
        Refusal::field(field, format!("'{}' is not a date; {fix}", escaped(text)))
    })
}

/// Shortens and escapes a value for a message, so that it cannot break a line.
fn escaped(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// Checks a proposal, or a new version of one, for an order with this content.
///
/// # Errors
/// Refuses prices in another currency than the order's, in none that ISO 4217 lists, and in
/// fractions of its smallest unit; lines for articles that the order does not list, or that it
/// lists more than once; texts without a visible character; and dates that are past. Names the field.
pub fn check_new_proposal(
    spec: &OrderSpec,
    proposed: &ProposalContent,
    now: Timestamp,
) -> Result<(), Refusal> {
    check_currency(spec, &proposed.price)?;
    proposed.price.check_minor_units()?;
    check_all_visible(&[
        ("note", proposed.note.as_deref()),
        ("your_reference", proposed.your_reference.as_deref()),
    ])?;
    let items = &spec.items;
    let mut offered = BTreeMap::new();
    for (index, line) in proposed.lines.iter().enumerate() {
        let in_line = |refusal: Refusal| refusal.under(&format!("lines[{index}]"));
        line.price.check_minor_units().map_err(in_line)?;
        let texts = [
            ("sku", Some(line.sku.as_str())),
            ("unit", line.unit.as_deref()),
            ("line", line.line.as_deref()),
            ("substitutes", line.substitutes.as_deref()),
        ];
        check_all_visible(&texts).map_err(in_line)?;
        check_line(items, line).map_err(in_line)?;
        let key = line.line_key(items);
        // An earlier order may have several items of one article without lines of their own.
        let most = items.iter().filter(|item| item.line_key() == key).count().max(1);
        let count = offered.entry((key, &line.sku)).or_insert(0_usize);
        *count = count.saturating_add(1);
        if *count > most {
            let text = format!("'{}' is offered twice; give it one line", escaped(&line.sku));
            return Err(in_line(Refusal::field("sku", text)));
        }
    }
    check_future("delivery_date", proposed.delivery_date.as_deref(), spec, now)?;
    check_future("valid_until", proposed.valid_until.as_deref(), spec, now)
}

/// Checks that a line is for one item of the order, where the order lists its items.
fn check_line(items: &[Item], line: &ProposalLine) -> Result<(), Refusal> {
    let wanted = line.wanted_sku();
    if line.substitutes.as_ref() == Some(&line.sku) {
        let text = "is the article itself; leave it out, or give the other article as sku";
        return Err(Refusal::field("substitutes", text));
    }
    let same: Vec<&Item> = items.iter().filter(|item| item.sku == wanted).collect();
    let must_be_named = same.len() > 1 && same.iter().any(|item| item.line.is_some());
    match &line.line {
        _ if items.is_empty() => Ok(()),
        None if same.is_empty() => {
            let field = if line.substitutes.is_some() { "substitutes" } else { "sku" };
            let skus: BTreeSet<&str> = items.iter().map(|item| &*item.sku).collect();
            let (wanted, skus) = (escaped(wanted), listed(skus.into_iter()));
            let text = format!(
                "'{wanted}' is not an article of the order, which lists {skus}; for another one, \
                 say which article it substitutes"
            );
            Err(Refusal::field(field, text))
        }
        None if must_be_named => {
            let lines = listed(same.into_iter().map(Item::line_key));
            let wanted = escaped(wanted);
            let text =
                format!("is missing; the order has '{wanted}' in the lines {lines}, name one");
            Err(Refusal::field("line", text))
        }
        None => Ok(()),
        Some(name) => match items.iter().find(|item| item.line_key() == name) {
            Some(item) if item.sku == wanted => Ok(()),
            Some(item) => {
                let (name, sku) = (escaped(name), escaped(&item.sku));
                let text =
                    format!("'{name}' is a line of '{sku}'; offer it, or say it substitutes it");
                Err(Refusal::field("line", text))
            }
            None => {
                let (name, lines) = (escaped(name), listed(items.iter().map(Item::line_key)));
                let text = format!("'{name}' is not a line of the order, which has {lines}");
                Err(Refusal::field("line", text))
            }
        },
    }
}

/// Names the first few of an order's articles or lines.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.map(|name| format!("'{}'", escaped(name)));
    let first: Vec<String> = names.by_ref().take(NAMED_MAX).collect();
    let others = names.count();
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// Checks that a date, if there is one, has not ended in the order's time zone.
fn check_future(
    field: &str,
    text: Option<&str>,
    spec: &OrderSpec,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(text) = text else { return Ok(()) };
    if check_date(field, text)?.end(&spec.zone()) >= now {
        return Ok(());
    }
    let zone = spec.time_zone.as_deref().unwrap_or("UTC");
    let text = escaped(text);
    let text = format!("'{text}' is past; give today or later, in the order's time zone ({zone})");
    Err(Refusal::field(field, text))
}

fn check_currency(spec: &OrderSpec, price: &Price) -> Result<(), Refusal> {
    let currency = price.currency();
    currency.check_listed()?;
    match spec.currency {
        Some(wanted) if wanted != currency => {
            let (code, wanted) = (currency.as_str(), wanted.as_str());
            let text = format!("is {code}, but the order takes {wanted} only; propose in {wanted}");
            Err(Refusal::field("currency", text))
        }
        Some(_) | None => Ok(()),
    }
}
