//! Comparisons of every witness with one list of events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::expected_webhooks::{FAILURES, GONE, message, messages};
use super::list::{Entry, FoldedOrder, array, millis, status_part, text};
use super::readers::{page, paged};
use super::sellers;
use super::stage::{INVITED, LEFT_OUT, ORDER, SellerEndpoints, Stage};
use super::webhook_servers::ReceivedWebhook;
use crate::http::get;
use crate::mongo::expected;
use crate::process::until;

/// Checks that a witness has this list, event by event.
pub(super) fn same(who: &str, observed: &[Entry], list: &[Entry]) {
    for (entry, listed) in observed.iter().zip(list) {
        assert_eq!(entry, listed, "{who} saw another event");
    }
    assert_eq!(observed.len(), list.len(), "{who} saw another number of events");
}

/// Checks that the sequence numbers are 1, 2, 3 and so on, and that time never runs back.
pub(super) fn numbers(list: &[Entry]) {
    let seqs: Vec<_> = list.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (1..=list.len() as u64).collect::<Vec<_>>());
    assert!(list.is_sorted_by_key(|entry| entry.at_ms));
}

/// Checks that the list has every command once, and each participant's in their order.
pub(super) fn script(list: &[Entry]) {
    let mut commands: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in list {
        let (who, what) = entry.fact();
        commands.entry(who).or_default().push(what);
    }
    let invited = INVITED.map(|(name, _)| name).join(" ");
    let losers = ["asker", "batch-a", "batch-b", "locks", "repeats", "session", "steel"];
    let closed = losers.map(|name| format!("closed p-{name}: not awarded"));
    let before = [
        format!("opened {ORDER}"),
        format!("invited {invited}"),
        "said f-to-all to all: With assembly.".to_owned(),
        "said f-to-one to asker: Oak, yes.".to_owned(),
        "OrderPaused".to_owned(),
        "OrderResumed".to_owned(),
        "OrderExtended".to_owned(),
        r#"AwardPending {"Whole":"p-session"}"#.to_owned(),
        "AwardUndone".to_owned(),
    ];
    let award = r#"OrderFinalised {"Lines":[["CHAIR","p-rest"],["TABLE","p-typist"]]}"#;
    let buyer = before.into_iter().chain(closed).chain([award.to_owned()]).collect();
    let scripts = sellers::script().into_iter().filter(|(_, acts)| !acts.is_empty());
    let mut expected: BTreeMap<_, _> = scripts.map(|(who, acts)| (who.to_owned(), acts)).collect();
    expected.insert("buyer".to_owned(), buyer);
    assert_eq!(commands, expected);
}

/// Checks REST: the list from every sequence number on, the order, and its parts page by page.
pub(super) fn rest(endpoints: &SellerEndpoints, list: &[Entry]) {
    for after in 0..list.len() {
        same(&format!("REST, after {after}"), &page(endpoints, after), &list[after..]);
    }
    let (order, folded) = (endpoints.read("", "").unwrap(), FoldedOrder::of(list));
    let expected = json!({
        "phase": folded.phase, "last_seq": folded.last_seq, "proposals": folded.counts(),
        "follow_ups": folded.follow_ups.len(), "questions": folded.questions,
        "award": folded.award, "pending_award": null,
    });
    for (field, expected) in expected.as_object().unwrap() {
        assert_eq!(&order[field], expected, "{field}");
    }
    let times = ["opened_at", "expires_at", "ended_at"].map(|field| millis(text(&order[field])));
    let [opened, end] = [0, list.len() - 1].map(|index| list[index].at_ms);
    assert_eq!(times, [opened, folded.expires_ms, end]);
    assert_eq!(folded.expires_ms - opened, 2 * 3_600_000, "it was extended to two hours");
    invitations(&order["invitations"], &folded);
    verdicts(&order["sellers"]);
    let listed: Vec<_> = paged(endpoints, "/proposals", "proposals");
    assert_eq!(proposals(&listed), proposals_of(&folded));
    for (id, proposal) in &folded.proposals {
        let path = format!("/api/v1/proposals/{id}/versions?order_req_id={ORDER}");
        let response =
            get(endpoints.rest, &format!("{path}&tenant={}", endpoints.tenant)).unwrap().json();
        let numbers: Vec<_> =
            array(&response["versions"]).iter().map(|it| &it["version"]).collect();
        assert_eq!(json!(numbers), json!((1..=proposal.version).collect::<Vec<_>>()), "{id}");
    }
    conversation(&paged(endpoints, "/conversation", "conversation"), list);
}

fn invitations(actual: &Value, folded: &FoldedOrder) {
    let seller_state =
        |held: &Value| (text(&held["seller"]).to_owned(), text(&held["state"]).to_owned());
    let actual: BTreeMap<_, _> = array(actual).iter().map(seller_state).collect();
    let folded = folded.invited.iter().map(|(name, state)| (name.clone(), (*state).to_owned()));
    assert_eq!(actual, folded.collect());
}

fn verdicts(actual: &Value) {
    let verdict =
        |seller: &Value| (text(&seller["seller"]).to_owned(), text(&seller["reason"]).to_owned());
    let actual: BTreeMap<_, _> = array(actual).iter().map(verdict).collect();
    let invited = INVITED.iter().map(|(name, _)| (*name, "Chosen"));
    let expected = invited.chain(LEFT_OUT).map(|(name, why)| (name.to_owned(), why.to_owned()));
    assert_eq!(actual, expected.collect());
    assert_eq!(actual.len(), 20);
}

type ProposalRows = BTreeMap<String, [String; 4]>;

fn proposals(values: &[Value]) -> ProposalRows {
    let row = |proposal: &Value| {
        let version = proposal["version"].to_string();
        let [seller, status, price] =
            ["seller", "status", "price"].map(|field| text(&proposal[field]).to_owned());
        (text(&proposal["proposal_id"]).to_owned(), [seller, status, version, price])
    };
    let rows: ProposalRows = values.iter().map(row).collect();
    assert_eq!(rows.len(), values.len(), "each once: {values:?}");
    rows
}

fn proposals_of(folded: &FoldedOrder) -> ProposalRows {
    let row = |(id, proposal): (&String, &super::list::ProposalState)| {
        let [seller, price] = [&proposal.content["seller"], &proposal.content["price"]["amount"]];
        let [seller, price] = [seller, price].map(|value| text(value).to_owned());
        (id.clone(), [seller, proposal.status.to_owned(), proposal.version.to_string(), price])
    };
    folded.proposals.iter().map(row).collect()
}

/// Checks that the conversation has all messages of the list, and no others.
fn conversation(messages: &[Value], list: &[Entry]) {
    let is_message = |entry: &&Entry| {
        let is_update = |words: &[&str]| words.contains(&entry.update().0);
        entry.event_type == "FollowUpAdded"
            || entry.event_type == "ProposalUpdate" && is_update(&["Answered", "Asked"])
    };
    let expected: Vec<_> =
        list.iter().filter(is_message).map(|entry| (entry.seq, entry.at_ms)).collect();
    let position =
        |message: &Value| (message["seq"].as_u64().unwrap(), millis(text(&message["at"])));
    assert_eq!(messages.iter().map(position).collect::<Vec<_>>(), expected);
    for message in messages {
        let index = usize::try_from(message["seq"].as_u64().unwrap()).unwrap() - 1;
        let (entry, id) =
            (&list[index], if message["kind"] == "answer" { "answers" } else { "id" });
        assert_eq!(message[id].as_str(), entry.follow_up_id.as_deref(), "{message}");
        assert!(entry.fact().1.ends_with(text(&message["message"])), "{message}");
    }
}

/// Checks that a seller's session received the events that concern the seller.
pub(super) fn session(received: &[u64], list: &[Entry]) {
    let concerns = |entry: &&Entry| match entry.event_type.as_str() {
        "SellersSelected" | "AwardPending" | "AwardUndone" => false,
        "ProposalClosed" => entry.proposal_id.as_deref() == Some("p-session"),
        "FollowUpAdded" => array(&entry.payload()["audience"]).is_empty(),
        _ => ["buyer", "session"].contains(&entry.fact().0.as_str()),
    };
    let expected: Vec<_> = list.iter().filter(concerns).map(|entry| entry.seq).collect();
    assert_eq!(received, expected);
}

/// Checks the JSON of `status`, `why`, `compare` and `conversation`.
pub(super) fn commands(stage: &Stage, list: &[Entry]) {
    let folded = FoldedOrder::of(list);
    let status = stage.command(&["status", ORDER, "--events", "1000"]);
    let timeline = array(&status["timeline"]);
    let to_entry = |event: &Value| {
        (
            event["seq"].as_u64().unwrap(),
            millis(text(&event["at"])),
            text(&event["event"]).to_owned(),
        )
    };
    let expected = list.iter().map(|entry| (entry.seq, entry.at_ms, entry.event_type.clone()));
    assert_eq!(timeline.iter().map(to_entry).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for (row, entry) in timeline.iter().zip(list) {
        let (who, id) = (entry.fact().0, entry.follow_up_id.as_deref().unwrap_or_default());
        let part = if who == "buyer" { id } else { &who };
        assert!(text(&row["text"]).contains(part), "{row}");
    }
    assert_eq!(status["phase"], folded.phase);
    assert_eq!(status["award"], "won: CHAIR by p-rest, TABLE by p-typist");
    assert_eq!(status["proposal_counts"], folded.counts());
    assert_eq!(proposals(array(&status["proposals"])), proposals_of(&folded));
    assert_eq!(status["stream"]["last_seq"], folded.last_seq);
    invitations(&status["sellers"], &folded);
    verdicts(&stage.command(&["why", ORDER])["sellers"]);
    comparison(&stage.command(&["compare", ORDER]), list);
    conversation(array(&stage.command(&["conversation", ORDER])["conversation"]), list);
}

/// Returns the list up to the award.
pub(super) fn before_award(list: &[Entry]) -> &[Entry] {
    let award = list.iter().position(|entry| entry.event_type == "AwardPending").unwrap();
    &list[..award]
}

/// Checks that a comparison has the proposals of these events.
pub(super) fn comparison(compared: &Value, list: &[Entry]) {
    let row = |row: &Value| {
        let version = row["version"].as_u64().unwrap();
        (text(&row["proposal_id"]).to_owned(), (version, text(&row["total"]).to_owned()))
    };
    let rows: BTreeMap<_, _> = array(&compared["rows"]).iter().map(row).collect();
    assert_eq!(rows, FoldedOrder::of(list).compared());
}

/// Checks that every observed status is the list up to its last event, and none is older than the
/// one before.
pub(super) fn statuses(stage: &Stage, observed: &[Value], list: &[Entry]) {
    assert!(observed.len() > 1, "the reader saw the tender go on, and not only its end");
    let mut last = 0;
    for resource in observed {
        let status = &resource["status"];
        let seq = usize::try_from(status["tracker"]["lastSeq"].as_u64().unwrap()).unwrap();
        assert!(last <= seq, "a status went back from {last} to {seq}");
        assert_eq!(status_part(status), FoldedOrder::of(&list[..seq]).status(), "{status}");
        last = seq;
    }
    let resource = stage.bed.get("tender").unwrap();
    let (status, folded) = (&resource["status"], FoldedOrder::of(list));
    assert_eq!(status_part(status), folded.status());
    assert_eq!((&status["phase"], last), (&json!(folded.phase), list.len()));
    assert_eq!(status["proposals"]["received"], 10, "{status}");
}

/// Checks the buyer's REST beside the controller.
pub(super) fn tracking(stage: &Stage, list: &[Entry]) {
    let (address, namespace) = (stage.controller.address("requestor"), &stage.bed.namespace);
    let path = format!("/api/v1/orders/tracking/{namespace}%2F{ORDER}");
    let (tracked, folded) = (get(address, &path).unwrap().json(), FoldedOrder::of(list));
    let counts = folded.counts();
    for (field, expected) in [
        ("phase", &json!(folded.phase)),
        ("last_seq", &json!(folded.last_seq)),
        ("last_event", &json!("OrderFinalised")),
        ("notes_count", &json!(folded.follow_ups.len())),
        ("proposals_received", &counts["received"]),
        ("proposals_open", &counts["open"]),
        ("proposals_withdrawn", &counts["withdrawn"]),
        ("proposals_closed", &counts["closed"]),
        ("sellers_selected", &json!(folded.invited.len())),
        ("sellers_declined", &json!(folded.declined)),
    ] {
        assert_eq!(&tracked[field], expected, "{field}: {tracked}");
    }
}

/// Checks that everyone received the webhooks that were due, each under one id, signed, and in
/// order; those that could not be delivered are dead letters.
pub(super) fn webhooks(stage: &Stage, list: &[Entry]) {
    let outbox = stage.until_all_is_notified();
    let due = messages(list);
    let (mut accepted, mut ids) = (BTreeSet::new(), BTreeMap::<_, BTreeSet<_>>::new());
    for (who, requests) in stage.webhook_servers.requests(ORDER) {
        let (mut known, mut seqs) = (BTreeSet::new(), Vec::new());
        for request in requests {
            assert!(request.is_signed, "{request:?}");
            let body = &request.body;
            let seq: u64 = text(&body["sequence"]).parse().unwrap();
            let topic = text(&body["type"]).trim_start_matches("dev.orderstream.");
            let line = message(&who, seq, topic, text(&body["template"]));
            assert!(due.contains(&line), "{line} is not due");
            assert_eq!(body["id"], request.id.as_str());
            ids.entry(line.clone()).or_default().insert(request.id.clone());
            let (event, listed) =
                (&body["data"]["event"], &list[usize::try_from(seq).unwrap() - 1]);
            assert_eq!((&event["kind"], &event["seq"]), (&json!(listed.event_type), &json!(seq)));
            assert_eq!(millis(text(&event["at"])), listed.at_ms);
            let is_accepted = request.status.is_success();
            let is_first = is_accepted && known.insert(request.id);
            // A failure is reported when it is known, whenever the event was.
            if is_first && topic != FAILURES {
                seqs.push(seq);
            }
            if is_accepted {
                accepted.insert(line);
            }
        }
        assert!(seqs.is_sorted(), "{who} heard {seqs:?}");
    }
    for (line, ids) in &ids {
        assert_eq!(ids.len(), 1, "{line}: {ids:?}");
    }
    let refused = |request: &&ReceivedWebhook| !request.status.is_success();
    assert_eq!(stage.webhook_servers.requests(ORDER)["stutters"].iter().filter(refused).count(), 2);
    let is_gone = |line: &&String| line.starts_with(GONE);
    let (lost, deliverable): (BTreeSet<_>, BTreeSet<_>) = due.iter().partition(is_gone);
    let undelivered: Vec<_> =
        deliverable.into_iter().filter(|line| !accepted.contains(*line)).collect();
    assert_eq!(undelivered, Vec::<&String>::new(), "nobody was told");
    assert!(lost.iter().all(|line| ids.contains_key(*line)), "each was tried: {lost:?}");
    let dead = array(&outbox["notifications"]).iter().map(|dead| {
        assert_eq!((&dead["seller"], &dead["state"]), (&json!(GONE), &json!("dead")));
        let seq = dead["seq"].as_u64().unwrap();
        message(GONE, seq, text(&dead["topic"]), text(&dead["template"]))
    });
    assert_eq!(dead.collect::<BTreeSet<_>>().iter().collect::<BTreeSet<_>>(), lost);
}

/// Checks that the collections are what follows from the list.
pub(super) fn mongo(stage: &Stage, list: &[Entry]) {
    let events: Vec<_> = list.iter().map(Entry::data).collect();
    let expected = expected::documents(&events);
    let found = || {
        let all = stage.mongo.all()?.into_iter();
        let of_order = all
            .filter(|(_, document)| document.get_str("order_req_id").is_ok_and(|id| id == ORDER));
        Some(of_order.collect::<expected::Documents>())
    };
    until("MongoDB has the last event", || {
        let is_last = |document: &mongodb::bson::Document| {
            document.get_i64("last_seq").is_ok_and(|seq| seq.unsigned_abs() == list.len() as u64)
        };
        found()?.values().any(is_last).then_some(())
    });
    let found = found().unwrap();
    for (id, document) in &expected {
        assert_eq!(found.get(id), Some(document), "{id:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
    assert_eq!(expected.len(), 1 + 2 + 1 + 1, "status, follow-ups, pause, end");
    stage.mongo.drop_database();
}
