//! Every verb with `-o json` prints JSON: its result on standard output, or its failure on standard
//! error.

use serde_json::Value;

use crate::market::{Market, split_args};

/// The verbs that print JSON, each with a command, in an order in which all of them are possible.
const COMMANDS: [(&str, &str); 33] = [
    ("explain", "explain LOCKED"),
    ("lint", "lint examples/office-chairs.yaml"),
    ("submit", "submit -f examples/office-chairs.yaml"),
    ("wait", "wait office-chairs --for phase=Open"),
    ("apply", "apply -f examples/it-services.yaml"),
    ("get", "get office-chairs"),
    ("list", "list"),
    ("why", "why office-chairs"),
    ("inbox", "inbox --seller chairs-rosenheim"),
    ("seen", "seen OR-2041 --seller chairs-rosenheim"),
    (
        "propose",
        "propose OR-2041 --proposal-id p-1 --seller chairs-rosenheim --price 5 --currency EUR",
    ),
    ("amend", "amend OR-2041 p-1 --seller chairs-rosenheim --price 4"),
    ("lock", "lock OR-2041 p-1 --seller chairs-rosenheim"),
    ("unlock", "unlock OR-2041 p-1 --seller chairs-rosenheim"),
    ("question", "question OR-2041 Oak? --question-id q-1 --seller chairs-rosenheim"),
    ("ask", "ask office-chairs Yes. --answers q-1 --key f-1"),
    ("answer", "answer OR-2041 f-1 Fine. --seller chairs-rosenheim"),
    ("decline", "decline OR-2041 --seller moebel-augsburg"),
    ("conversation", "conversation office-chairs"),
    ("status", "status office-chairs"),
    ("notify", "notify pending office-chairs"),
    ("compare", "compare office-chairs"),
    ("pause", "pause office-chairs"),
    ("resume", "resume office-chairs"),
    ("extend", "extend office-chairs --by 30m"),
    ("award", "award office-chairs p-1 --undo-within 10m"),
    ("undo-award", "undo-award office-chairs"),
    ("withdraw", "withdraw OR-2041 p-1 --seller chairs-rosenheim"),
    ("close", "close office-chairs"),
    ("watch", "watch office-chairs"),
    ("cancel", "cancel it-services"),
    ("delete", "delete it-services"),
    ("journal", "journal verify nowhere"),
];

/// There is no cluster here, so `check` fails, as `journal` does without a journal.
#[test]
fn every_verb_prints_json_where_it_is_asked_for() {
    let market = Market::start();
    for (verb, line) in COMMANDS.into_iter().chain([("check", "check --kubeconfig nowhere")]) {
        let mut args = split_args(line);
        args.extend(["-o", "json"]);
        let output = market.run(&args);
        let printed = if output.status.success() { &output.stdout } else { &output.stderr };
        let documents = serde_json::Deserializer::from_slice(printed).into_iter::<Value>();
        let documents: Vec<Value> =
            documents.collect::<Result<_, _>>().unwrap_or_else(|_| panic!("{verb}: {output:?}"));
        let is_document = |document: &Value| document.is_object() || document.is_array();
        assert!(documents.iter().all(is_document) && !documents.is_empty(), "{verb}: {output:?}");
        let fails = matches!(verb, "journal" | "check");
        assert_eq!(output.status.success(), !fails, "{verb}: {output:?}");
    }
    let mut verbs: Vec<&str> = COMMANDS.iter().map(|(verb, _)| *verb).collect();
    verbs.push("check");
    verbs.sort_unstable();
    let schemas = market.ok("schema");
    assert_eq!(verbs, schemas.lines().collect::<Vec<_>>(), "a verb has no command above");
}
