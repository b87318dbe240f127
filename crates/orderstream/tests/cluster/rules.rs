//! The rules of the definitions on an API server: every case of the table that the controller's own
//! tests check without one. And the manifests that it reads as lint, `dev` and REST do.

use std::collections::BTreeMap;

use orderstream_testbed::{ApiServer, ManifestCase, ManifestReading, Rules, resource};
use serde_json::{Value, json};

use super::bed::shared;

/// The limit of resources in one call: all at once need more memory than some machines give a
/// process.
const TOGETHER: usize = 40;

/// Kind and spec by the name of the resource.
type Specs = BTreeMap<String, (String, Value)>;

/// A namespace for the table's resources.
struct RulesNamespace {
    server: &'static ApiServer,
    namespace: &'static str,
}

impl RulesNamespace {
    fn make(namespace: &'static str) -> Option<Self> {
        let server = shared()?;
        server.kubectl(&["create", "namespace", namespace]);
        Some(Self { server, namespace })
    }

    /// Passes all of them to a verb of kubectl; returns the resources that were accepted, and the
    /// texts of those that were refused.
    fn run_verb(&self, verb: &[&str], specs: &Specs) -> (BTreeMap<String, Value>, Refusals) {
        let (mut accepted, mut refusals) = (BTreeMap::new(), Refusals::default());
        let args = [&["-n", self.namespace], verb, &["-f", "-", "-o", "json"]].concat();
        for some in specs.iter().collect::<Vec<_>>().chunks(TOGETHER) {
            let manifests = some.iter().map(|(name, (kind, spec))| resource(kind, name, spec));
            let input: String = manifests.map(|it| format!("---\n{it}\n")).collect();
            let output = self.server.kubectl_with(&args, &input);
            refusals.read(&String::from_utf8_lossy(&output.stderr));
            let documents = serde_json::Deserializer::from_slice(&output.stdout);
            for document in documents.into_iter::<Value>().map(Result::unwrap) {
                let list = document["items"].as_array().cloned().unwrap_or_else(|| vec![document]);
                accepted.extend(list.into_iter().map(|it| {
                    (it["metadata"]["name"].as_str().unwrap().to_owned(), it["spec"].clone())
                }));
            }
        }
        (accepted, refusals)
    }
}

/// The text of each refusal, by the resource's name.
#[derive(Debug, Default)]
struct Refusals(BTreeMap<String, String>);

impl Refusals {
    /// Reads `The OrderRequest "name" is invalid: …` and `… "name" is invalid: …`, whose text
    /// continues on lines that begin with a star.
    fn read(&mut self, text: &str) {
        let mut name = None;
        for line in text.lines() {
            let head = line.split_once("\" is invalid: ");
            if let Some((head, message)) = head {
                name = head.rsplit('"').next().map(ToOwned::to_owned);
                self.0.insert(name.clone().unwrap(), message.to_owned());
            } else if let Some(message) = name.as_ref().and_then(|name| self.0.get_mut(name)) {
                message.push_str(line);
            }
        }
    }

    fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

#[test]
fn api_servers_judge_by_the_rules_table() {
    let Some(namespace) = RulesNamespace::make("rules") else { return };
    let (mut before, mut created, mut edited) = (Specs::new(), Specs::new(), Specs::new());
    let (mut statuses, mut expected) = (BTreeMap::new(), BTreeMap::new());
    for (rule_number, rule) in Rules::read().rules.into_iter().enumerate() {
        let accepts = rule.accepts.into_iter().map(|case| (case, None));
        let refusal = format!("{}: {}", rule.field, rule.message);
        let refuses = rule.refuses.into_iter().map(|case| (case, Some(refusal.clone())));
        for (number, (case, refusal)) in accepts.chain(refuses).enumerate() {
            let own = format!("rule-{rule_number}-{number}");
            let name = case.name.clone().unwrap_or(own);
            let verb = if case.from.is_some() { &mut edited } else { &mut created };
            verb.insert(name.clone(), (rule.kind.clone(), case.to.clone()));
            if let Some(from) = &case.from {
                before.insert(name.clone(), (rule.kind.clone(), from.clone()));
            }
            if let Some(status) = &case.status {
                statuses.insert(name.clone(), json!({ "status": status }).to_string());
            }
            expected.insert(name, (refusal, format!("{case:?}")));
        }
    }
    let (accepted, refusals) = namespace.run_verb(&["create"], &before);
    assert_eq!(accepted.len(), before.len(), "{refusals:?}");
    for (name, status) in &statuses {
        let patch = ["patch", "oreq", name, "--subresource=status", "--type=merge", "-p", status];
        namespace.server.kubectl(&[&["-n", namespace.namespace], &patch[..]].concat());
    }
    let (_, mut refusals) = namespace.run_verb(&["create", "--dry-run=server"], &created);
    refusals.0.append(&mut namespace.run_verb(&["replace", "--dry-run=server"], &edited).1.0);
    let mut wrong = Vec::new();
    for (name, (refusal, case)) in expected {
        let text = refusals.of(&name);
        let is_right = match &refusal {
            Some(refusal) => {
                let (field, message) = refusal.split_once(": ").unwrap();
                let alone = text.matches("Invalid value").count() == 1;
                alone && text.starts_with(&format!("{field}: ")) && text.contains(message)
            }
            None => text.is_empty(),
        };
        if !is_right {
            wrong.push(format!("{case}\n  wanted {refusal:?}\n  heard  {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn api_servers_enforce_every_bound() {
    let Some(namespace) = RulesNamespace::make("bounds") else { return };
    let bounds = Rules::read().bounds;
    let (mut at, mut over) = (Specs::new(), Specs::new());
    for (number, bound) in bounds.iter().enumerate() {
        at.insert(format!("at-{number}"), (bound.kind.clone(), bound.at.clone()));
        over.insert(format!("over-{number}"), (bound.kind.clone(), bound.over.clone()));
    }
    let (accepted, refusals) = namespace.run_verb(&["create", "--dry-run=server"], &at);
    assert_eq!(accepted.len(), bounds.len(), "{refusals:?}");
    let (accepted, refusals) = namespace.run_verb(&["create", "--dry-run=server"], &over);
    assert_eq!(accepted, BTreeMap::new());
    for (number, bound) in bounds.iter().enumerate() {
        let text = refusals.of(&format!("over-{number}"));
        assert!(text.contains(&format!("{}: ", bound.field)), "{}: {text}", bound.field);
        assert!(text.contains(&bound.message), "{} wants {}: {text}", bound.field, bound.message);
    }
}

/// Values that are given as empty are removed.
#[test]
fn api_servers_fill_in_defaults() {
    let Some(namespace) = RulesNamespace::make("defaults") else { return };
    let table = Rules::read().defaults;
    let named = |number: usize| format!("filled-{number}");
    let specs = table.iter().enumerate();
    let specs = specs.map(|(number, it)| (named(number), (it.kind.clone(), it.input.clone())));
    let (accepted, refusals) = namespace.run_verb(&["create"], &specs.collect());
    for (number, filled) in table.iter().enumerate() {
        assert_eq!(accepted.get(&named(number)), Some(&filled.defaulted), "{refusals:?}");
    }
}

#[test]
fn api_servers_read_manifests_as_the_table_says() {
    let Some(namespace) = RulesNamespace::make("manifests") else { return };
    let args = ["-n", namespace.namespace, "create", "--dry-run=server", "-f", "-", "-o", "json"];
    let mut wrong = Vec::new();
    for case in ManifestCase::all() {
        let output = namespace.server.kubectl_with(&args, &case.text);
        if output.status.success() == (case.reading == ManifestReading::Refused) {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push(format!("{}\n  is not {:?}: {stderr}", case.text, case.reading));
        } else if output.status.success() {
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let created = document["items"].get(0).unwrap_or(&document);
            let differences = case.differences(&created["spec"]);
            wrong.extend(differences.into_iter().map(|it| format!("{}\n  {it}", case.text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
