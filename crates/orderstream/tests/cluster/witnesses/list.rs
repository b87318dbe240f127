//! An order's list of events as any witness has it, and the state that follows from it: implemented
//! a second time for the test, from the events alone.

use std::collections::BTreeMap;

use mongodb::bson::DateTime;
use serde_json::{Value, json};

/// One event, with the parts that every witness has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) at_ms: i64,
    pub(super) event_type: String,
    pub(super) proposal_id: Option<String>,
    pub(super) follow_up_id: Option<String>,
    pub(super) detail: Value,
}

impl Entry {
    /// Reads it from the data of a server-sent event.
    pub(super) fn of_data(data: &Value) -> Self {
        let text = |name: &str| data[name].as_str().map(ToOwned::to_owned);
        Self {
            seq: data["seq"].as_u64().unwrap(),
            at_ms: millis(data["at"].as_str().unwrap()),
            event_type: text("status").unwrap(),
            proposal_id: text("proposal_id"),
            follow_up_id: text("follow_up_id"),
            detail: data["detail"].clone(),
        }
    }

    /// Reads it from an event of a gRPC stream.
    pub(super) fn of_event(event: &orderstream_client::Event) -> Self {
        Self {
            seq: event.seq.0,
            at_ms: event.at.0,
            event_type: event.kind.as_str().to_owned(),
            proposal_id: event.kind.proposal_id().map(ToString::to_string),
            follow_up_id: event.kind.follow_up_id().map(ToString::to_string),
            detail: serde_json::to_value(&event.kind).unwrap(),
        }
    }

    /// Returns it as the data of a server-sent event.
    pub(super) fn data(&self) -> Value {
        let at = DateTime::from_millis(self.at_ms).try_to_rfc3339_string().unwrap();
        json!({ "seq": self.seq, "at": at, "status": self.event_type, "detail": self.detail })
    }

    /// Returns the content of its detail.
    pub(super) fn payload(&self) -> &Value {
        &self.detail[self.event_type.as_str()]
    }

    /// Returns a proposal update's kind and content.
    pub(super) fn update(&self) -> (&str, &Value) {
        let updates = self.payload().as_object().unwrap();
        let (change, payload) = updates.iter().next().unwrap();
        (change, payload)
    }

    /// Returns the content that the event gives to a proposal; absent for other events.
    pub(super) fn content(&self) -> Option<&Value> {
        match self.event_type.as_str() {
            "NewProposal" => Some(self.payload()),
            "ProposalUpdate" => self.payload().get("Amended").map(|amended| &amended["proposal"]),
            _ => None,
        }
    }

    /// Returns the participant whose command or notification it is, and a description of it.
    pub(super) fn fact(&self) -> (String, String) {
        let payload = self.payload();
        let of = |seller: &Value, description: String| (text(seller).to_owned(), description);
        let buyer = |description: String| ("buyer".to_owned(), description);
        match self.event_type.as_str() {
            "OrderOpened" => buyer(format!("opened {}", text(&payload["key"]["order_req_id"]))),
            "SellersSelected" => buyer(format!("invited {}", chosen(payload).join(" "))),
            "SellerNotified" => of(
                &payload["seller"],
                format!("{} by {}", text(&payload["result"]), text(&payload["channel"])),
            ),
            "NewProposal" => {
                let (id, price) = (text(&payload["proposal_id"]), price(payload));
                of(&payload["seller"], format!("proposed {id} {price}"))
            }
            "ProposalUpdate" => self.updated(),
            "ProposalClosed" => buyer(format!(
                "closed {}: {}",
                text(&payload["proposal_id"]),
                text(&payload["reason"])
            )),
            "EditLock" => {
                let how = if payload["until"].is_null() { "unlocked" } else { "locked" };
                of(&payload["holder"], format!("{how} {}", text(&payload["proposal_id"])))
            }
            "FollowUpAdded" => buyer(follow_up(payload)),
            "AwardPending" | "OrderFinalised" => {
                buyer(format!("{} {}", self.event_type, payload["award"]))
            }
            _ => buyer(self.event_type.clone()),
        }
    }

    fn updated(&self) -> (String, String) {
        let (change, payload) = self.update();
        match change {
            "Amended" => {
                let (content, version) = (&payload["proposal"], &payload["version"]);
                let (id, price) = (text(&content["proposal_id"]), price(content));
                (text(&content["seller"]).to_owned(), format!("amended {id} v{version} {price}"))
            }
            "Withdrawn" => {
                let id = text(&payload["proposal_id"]);
                let description = format!("withdrew {id}: {}", text(&payload["reason"]));
                // Each seller of this tender makes one proposal, which has its name.
                (id.trim_start_matches("p-").to_owned(), description)
            }
            "Declined" => {
                let description = format!("declined: {}", text(&payload["reason"]));
                (text(&payload["seller"]).to_owned(), description)
            }
            "Answered" => {
                let (id, message) = (text(&payload["follow_up_id"]), text(&payload["message"]));
                (text(&payload["seller"]).to_owned(), format!("answered {id}: {message}"))
            }
            "Asked" => {
                let description = format!("asked: {}", text(&payload["message"]));
                (text(&payload["seller"]).to_owned(), description)
            }
            other => panic!("unknown change {other}"),
        }
    }
}

fn follow_up(payload: &Value) -> String {
    let audience: Vec<_> = array(&payload["audience"]).iter().map(text).collect();
    let to = if audience.is_empty() { "all".to_owned() } else { audience.join(" ") };
    let message = text(&payload["message"]["message"]);
    format!("said {} to {to}: {message}", text(&payload["id"]))
}

fn price(content: &Value) -> String {
    let price = &content["price"];
    format!("{} {}", text(&price["amount"]), text(&price["currency"]))
}

/// Returns a text, or an empty one.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns a list, or an empty one.
pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns the names of the invited sellers of a choice, sorted.
pub(super) fn chosen(choices: &Value) -> Vec<&str> {
    let is_chosen = |choice: &&Value| choice["verdict"] == "Chosen";
    let mut names: Vec<_> =
        array(choices).iter().filter(is_chosen).map(|choice| text(&choice["seller"])).collect();
    names.sort_unstable();
    names
}

/// Parses RFC 3339 into milliseconds since 1970.
pub(super) fn millis(at: &str) -> i64 {
    DateTime::parse_rfc3339_str(at).unwrap().timestamp_millis()
}

/// Formats a time to the second, as statuses have it.
fn second(at_ms: i64) -> String {
    let second = DateTime::from_millis(at_ms.div_euclid(1_000) * 1_000);
    second.try_to_rfc3339_string().unwrap()
}

/// A proposal after its events.
#[derive(Clone, Debug)]
pub(super) struct ProposalState {
    pub(super) content: Value,
    pub(super) version: u64,
    pub(super) status: &'static str,
}

impl ProposalState {
    fn cents(&self) -> u64 {
        text(&self.content["price"]["amount"]).replace('.', "").parse().unwrap()
    }
}

/// An order after its events.
#[derive(Clone, Debug, Default)]
pub(super) struct FoldedOrder {
    pub(super) last_seq: u64,
    pub(super) phase: &'static str,
    pub(super) proposals: BTreeMap<String, ProposalState>,
    /// The invited sellers, each with its state.
    pub(super) invited: BTreeMap<String, &'static str>,
    pub(super) declined: u64,
    pub(super) questions: u64,
    pub(super) follow_ups: Vec<String>,
    pub(super) award: Value,
    pending: Option<i64>,
    last_event: Value,
    opened_ms: i64,
    pub(super) expires_ms: i64,
    pub(super) decide_by_ms: Option<i64>,
    ended_ms: Option<i64>,
}

/// The number of items of the order.
const ITEMS: usize = 2;
/// The states of an invited seller, each later than the ones before.
const STATES: [&str; 6] = ["Invited", "Bounced", "Notified", "Seen", "Declined", "Proposed"];

impl FoldedOrder {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut folded = Self { phase: "Open", ..Self::default() };
        entries.iter().for_each(|entry| folded.apply(entry));
        folded
    }

    fn apply(&mut self, entry: &Entry) {
        let payload = entry.payload();
        match entry.event_type.as_str() {
            "OrderOpened" => {
                self.opened_ms = entry.at_ms;
                self.expires_ms = payload["expires_at"].as_i64().unwrap();
            }
            "SellersSelected" => {
                let chosen = chosen(payload).into_iter();
                self.invited = chosen.map(|name| (name.to_owned(), "Invited")).collect();
            }
            "SellerNotified" => {
                let states = [("delivered", "Notified"), ("bounced", "Bounced"), ("seen", "Seen")];
                let found = states.iter().find(|(result, _)| payload["result"] == *result);
                self.advance(&payload["seller"], found.unwrap().1);
            }
            "ProposalUpdate" | "NewProposal" | "ProposalClosed" => self.proposal(entry),
            "FollowUpAdded" => self.follow_ups.push(text(&payload["id"]).to_owned()),
            "OrderPaused" if payload["decide_by"].is_number() => {
                self.phase = "Deciding";
                self.decide_by_ms = payload["decide_by"].as_i64();
            }
            "OrderPaused" if payload["expired"] == true => {
                (self.phase, self.pending, self.ended_ms) = ("Expired", None, Some(entry.at_ms));
            }
            "OrderPaused" => self.phase = "Paused",
            "OrderResumed" => self.phase = "Open",
            "OrderExtended" => self.expires_ms = payload["expires_at"].as_i64().unwrap(),
            "AwardPending" => self.pending = payload["effective_at"].as_i64(),
            // The time to decide lasts at least until the award would have counted.
            "AwardUndone" => {
                let undone = self.pending.take();
                self.decide_by_ms = self.decide_by_ms.map(|at| at.max(undone.unwrap_or(at)));
            }
            "OrderFinalised" => {
                (self.phase, self.pending, self.ended_ms) = ("Finalised", None, Some(entry.at_ms));
                self.award = payload["award"].clone();
            }
            "EditLock" => {}
            other => panic!("this tender has no {other}"),
        }
        self.last_seq = entry.seq;
        self.last_event = json!({ "type": entry.event_type, "time": second(entry.at_ms) });
    }

    fn proposal(&mut self, entry: &Entry) {
        let id = entry.proposal_id.clone();
        if let Some(content) = entry.content() {
            self.advance(&content["seller"], "Proposed");
            let version = entry.payload()["Amended"]["version"].as_u64().unwrap_or(1);
            let proposal = ProposalState { content: content.clone(), version, status: "Open" };
            self.proposals.insert(id.unwrap(), proposal);
            return;
        }
        let change = if entry.event_type == "ProposalClosed" { "Closed" } else { entry.update().0 };
        match change {
            "Withdrawn" | "Closed" => {
                let status = if change == "Closed" { "Closed" } else { "Withdrawn" };
                self.proposals.get_mut(&id.unwrap()).unwrap().status = status;
            }
            "Declined" => {
                self.declined += 1;
                self.advance(&entry.update().1["seller"], "Declined");
            }
            "Asked" => self.questions += 1,
            _ => {}
        }
    }

    fn advance(&mut self, seller: &Value, state: &'static str) {
        let rank = |state: &str| STATES.iter().position(|held| *held == state);
        let current = self.invited.get_mut(text(seller));
        if let Some(current) = current.filter(|held| rank(state) > rank(held)) {
            *current = state;
        }
    }

    fn with_status(&self, status: &str) -> usize {
        self.proposals.values().filter(|proposal| proposal.status == status).count()
    }

    /// Returns the number of proposals by their state.
    pub(super) fn counts(&self) -> Value {
        json!({
            "received": self.proposals.len(),
            "open": self.with_status("Open"),
            "withdrawn": self.with_status("Withdrawn"),
            "closed": self.with_status("Closed"),
        })
    }

    /// Returns the proposals of a comparison, also after the end: all that were not withdrawn, each
    /// with its version and its price.
    pub(super) fn compared(&self) -> BTreeMap<String, (u64, String)> {
        let left = self.proposals.iter().filter(|(_, proposal)| proposal.status != "Withdrawn");
        let amount =
            |proposal: &ProposalState| text(&proposal.content["price"]["amount"]).to_owned();
        left.map(|(id, proposal)| (id.clone(), (proposal.version, amount(proposal)))).collect()
    }

    /// Returns the part of a resource's status that follows from its events.
    pub(super) fn status(&self) -> Value {
        let mut proposals = self.counts();
        let open = self.proposals.iter().filter(|(_, proposal)| proposal.status == "Open");
        // Alternatives are never the best, nor what lacks a line of the order.
        let open = open.filter(|(_, proposal)| {
            let lines = proposal.content["lines"].as_array().map_or(0, Vec::len);
            proposal.content["alternative"].is_null() && (lines == 0 || lines == ITEMS)
        });
        if let Some((id, proposal)) = open.min_by_key(|(_, held)| held.cents()) {
            proposals["best"] = json!({ "proposalId": id, "price": price(&proposal.content) });
        }
        let count =
            |states: &[&str]| self.invited.values().filter(|state| states.contains(*state)).count();
        let mut status = json!({
            "lastSeq": self.last_seq,
            "lastEvent": self.last_event,
            "proposals": proposals,
            "sellers": {
                "selected": self.invited.len(),
                "notified": count(&["Notified", "Seen", "Declined", "Proposed"]),
                "failed": count(&["Bounced"]),
                "seen": count(&["Seen", "Declined", "Proposed"]),
                "declined": self.declined,
                "proposed": count(&["Proposed"]),
            },
            "followUps": { "sent": self.follow_ups.len() },
            "startTime": second(self.opened_ms),
            // The time that runs out next.
            "expiresAt": second(self.decide_by_ms.unwrap_or(self.expires_ms)),
            "decideBy": self.decide_by_ms.map(second),
            "award": self.pending.map(|until| json!({ "pendingUntil": second(until) })),
            "completionTime": self.ended_ms.map(second),
        });
        if let Some(last) = self.follow_ups.last() {
            status["followUps"]["lastId"] = json!(last);
        }
        status
    }
}

/// Returns the same part of an observed status.
pub(super) fn status_part(status: &Value) -> Value {
    let mut part = json!({
        "lastSeq": status["tracker"]["lastSeq"],
        "lastEvent": status["tracker"]["lastEvent"],
    });
    for field in [
        "proposals",
        "sellers",
        "followUps",
        "startTime",
        "expiresAt",
        "decideBy",
        "award",
        "completionTime",
    ] {
        part[field] = status[field].clone();
    }
    part
}
