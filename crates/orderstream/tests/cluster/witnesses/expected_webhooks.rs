//! The webhooks that are due, from the list of events alone: implemented a second time for the
//! test, from the page that describes the notifications.

use std::collections::{BTreeMap, BTreeSet};

use super::list::{Entry, array, chosen, text};

/// Returns one message as a line: its recipient, its event, its topic, and its template.
pub(super) fn message(who: &str, seq: u64, topic: &str, template: &str) -> String {
    format!("{who} {seq:04} {topic} {template}")
}

/// The participants of an order, event by event.
#[derive(Default)]
struct Parties {
    taking_part: BTreeSet<String>,
    declined: BTreeSet<String>,
    /// Sellers by proposal, without withdrawn ones.
    proposed: BTreeMap<String, String>,
}

/// The seller whose server is gone.
pub(super) const GONE: &str = "gone";
/// The sink of the operator.
const OPERATOR: &str = "operator";
/// The topic of messages about messages that were not delivered.
pub(super) const FAILURES: &str = "REQ_failures";

/// Returns every message that is due.
pub(super) fn messages(entries: &[Entry]) -> BTreeSet<String> {
    let mut due = BTreeSet::new();
    let mut parties = Parties::default();
    for entry in entries {
        let mut operator = BTreeMap::new();
        for (who, topic, template) in parties.messages_of(entry) {
            // The operator is notified of each topic once.
            operator.entry(topic).or_insert(template);
            due.insert(message(&who, entry.seq, topic, template));
            if who == GONE {
                // This message is not delivered, of which the buyer and the operator are notified.
                for who in ["buyer", OPERATOR] {
                    due.insert(message(who, entry.seq, FAILURES, "seller-not-reached"));
                }
            }
        }
        for (topic, template) in operator {
            due.insert(message(OPERATOR, entry.seq, topic, template));
        }
    }
    due
}

type DueMessages = Vec<(String, &'static str, &'static str)>;

fn to_buyer(template: &'static str) -> DueMessages {
    vec![("buyer".to_owned(), "BUYER_NOTIFY", template)]
}

fn to_sellers<'a>(
    template: &'static str,
    sellers: impl IntoIterator<Item = &'a str>,
) -> DueMessages {
    let to_message = |seller: &str| (seller.to_owned(), "SELLER_NOTIFY", template);
    sellers.into_iter().map(to_message).collect()
}

impl Parties {
    fn messages_of(&mut self, entry: &Entry) -> DueMessages {
        let payload = entry.payload();
        let active = || self.taking_part.difference(&self.declined).map(String::as_str);
        match entry.event_type.as_str() {
            "OrderOpened" => {
                vec![("buyer".to_owned(), "BUYER_ACKNOWLEDGEMENTS", "acknowledgement")]
            }
            "SellersSelected" => {
                let invited = chosen(payload);
                self.taking_part = invited.iter().map(ToString::to_string).collect();
                to_sellers("invitation", invited)
            }
            "NewProposal" | "ProposalUpdate" => self.proposal_messages(entry),
            "FollowUpAdded" if array(&payload["audience"]).is_empty() => {
                to_sellers("follow-up", active())
            }
            "FollowUpAdded" => {
                to_sellers("follow-up", array(&payload["audience"]).iter().map(text))
            }
            "OrderPaused" if payload["decide_by"].is_number() => to_buyer("opening"),
            "OrderPaused" if payload["expired"] == true => {
                let mut due = to_buyer("end");
                due.extend(to_sellers("end", active()));
                due
            }
            "OrderPaused" => to_sellers("pause", active()),
            "OrderResumed" => to_sellers("resumption", active()),
            "OrderExtended" => to_sellers("extension", active()),
            "OrderFinalised" => self.end_messages(entry),
            "SellerNotified" | "EditLock" | "ProposalClosed" | "AwardPending" | "AwardUndone" => {
                Vec::new()
            }
            other => panic!("this tender has no {other}"),
        }
    }

    fn proposal_messages(&mut self, entry: &Entry) -> DueMessages {
        if let Some(content) = entry.content() {
            let seller = text(&content["seller"]).to_owned();
            self.taking_part.insert(seller.clone());
            self.proposed.insert(entry.proposal_id.clone().unwrap(), seller.clone());
            let is_new = entry.event_type == "NewProposal";
            let mut due = to_buyer(if is_new { "proposal" } else { "amendment" });
            due.push((seller, "SELLER_ACKNOWLEDGEMENTS", "receipt"));
            return due;
        }
        match entry.update() {
            ("Withdrawn", _) => {
                self.proposed.remove(entry.proposal_id.as_ref().unwrap());
                to_buyer("withdrawal")
            }
            ("Declined", payload) => {
                self.declined.insert(text(&payload["seller"]).to_owned());
                to_buyer("decline")
            }
            ("Answered", _) => to_buyer("answer"),
            ("Asked", payload) => {
                self.taking_part.insert(text(&payload["seller"]).to_owned());
                to_buyer("question")
            }
            (other, _) => panic!("unknown change {other}"),
        }
    }

    /// Returns the messages of the end: to winners, to other sellers with proposals, and to those
    /// without.
    fn end_messages(&self, entry: &Entry) -> DueMessages {
        let lines = array(&entry.payload()["award"]["Lines"]);
        let winners: BTreeSet<&str> =
            lines.iter().map(|line| self.proposed[text(&line[1])].as_str()).collect();
        let proposed: BTreeSet<&str> = self.proposed.values().map(String::as_str).collect();
        let mut due = to_buyer("end");
        for seller in self.taking_part.difference(&self.declined).map(String::as_str) {
            let template = match seller {
                seller if winners.contains(seller) => "awarded",
                seller if proposed.contains(seller) => "not-awarded",
                _ => "end",
            };
            due.extend(to_sellers(template, [seller]));
        }
        // The operator's first notification about sellers is the winners'.
        due.sort_by_key(|(_, _, template)| *template != "awarded");
        due
    }
}
