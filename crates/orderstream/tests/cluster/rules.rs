//! The rules of the definitions on an API server: every case of the table that the controller's own
//! tests check without one.

use std::collections::BTreeMap;

use orderstream_testbed::{ApiServer, Rules, resource};
use serde_json::Value;

use super::bed::shared;

/// The limit of resources in one call: all at once need more memory than some machines give a
/// process.
const TOGETHER: usize = 40;

/// Kind and spec by the name of the resource.
type Specs = BTreeMap<String, (String, Value)>;

/// A namespace for the table's resources.
struct Place {
    server: &'static ApiServer,
    namespace: &'static str,
}

impl Place {
    fn make(namespace: &'static str) -> Option<Self> {
        let server = shared()?;
        server.kubectl(&["create", "namespace", namespace]);
        Some(Self { server, namespace })
    }

    /// Passes all of them to a verb of kubectl; returns the resources that were accepted, and the
    /// texts of those that were refused.
    fn hand(&self, verb: &[&str], specs: &Specs) -> (BTreeMap<String, Value>, Refusals) {
        let (mut kept, mut refusals) = (BTreeMap::new(), Refusals::default());
        let args = [&["-n", self.namespace], verb, &["-f", "-", "-o", "json"]].concat();
        for some in specs.iter().collect::<Vec<_>>().chunks(TOGETHER) {
            let manifests = some.iter().map(|(name, (kind, spec))| resource(kind, name, spec));
            let input: String = manifests.map(|it| format!("---\n{it}\n")).collect();
            let output = self.server.kubectl_with(&args, &input);
            refusals.read(&String::from_utf8_lossy(&output.stderr));
            let documents = serde_json::Deserializer::from_slice(&output.stdout);
            for document in documents.into_iter::<Value>().map(Result::unwrap) {
                let list = document["items"].as_array().cloned().unwrap_or_else(|| vec![document]);
                kept.extend(list.into_iter().map(|it| {
                    (it["metadata"]["name"].as_str().unwrap().to_owned(), it["spec"].clone())
                }));
            }
        }
        (kept, refusals)
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
            if let Some((head, said)) = head {
                name = head.rsplit('"').next().map(ToOwned::to_owned);
                self.0.insert(name.clone().unwrap(), said.to_owned());
            } else if let Some(said) = name.as_ref().and_then(|name| self.0.get_mut(name)) {
                said.push_str(line);
            }
        }
    }

    fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

#[test]
fn api_servers_judge_by_the_rules_table() {
    let Some(place) = Place::make("rules") else { return };
    let (mut before, mut made, mut edited) = (Specs::new(), Specs::new(), Specs::new());
    let mut expected = BTreeMap::new();
    for (rule_number, rule) in Rules::read().rules.into_iter().enumerate() {
        let accepts = rule.accepts.into_iter().map(|case| (case, None));
        let refusal = format!("{}: {}", rule.field, rule.message);
        let refuses = rule.refuses.into_iter().map(|case| (case, Some(refusal.clone())));
        for (number, (case, refusal)) in accepts.chain(refuses).enumerate() {
            let name = format!("rule-{rule_number}-{number}");
            let verb = if case.from.is_some() { &mut edited } else { &mut made };
            verb.insert(name.clone(), (rule.kind.clone(), case.to.clone()));
            if let Some(from) = &case.from {
                before.insert(name.clone(), (rule.kind.clone(), from.clone()));
            }
            expected.insert(name, (refusal, format!("{case:?}")));
        }
    }
    let (kept, refusals) = place.hand(&["create"], &before);
    assert_eq!(kept.len(), before.len(), "{refusals:?}");
    let (_, mut refusals) = place.hand(&["create", "--dry-run=server"], &made);
    refusals.0.append(&mut place.hand(&["replace", "--dry-run=server"], &edited).1.0);
    let mut wrong = Vec::new();
    for (name, (refusal, case)) in expected {
        let said = refusals.of(&name);
        let is_right = match &refusal {
            Some(refusal) => {
                let (field, message) = refusal.split_once(": ").unwrap();
                let alone = said.matches("Invalid value").count() == 1;
                alone && said.starts_with(&format!("{field}: ")) && said.contains(message)
            }
            None => said.is_empty(),
        };
        if !is_right {
            wrong.push(format!("{case}\n  wanted {refusal:?}\n  heard  {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn api_servers_enforce_every_bound() {
    let Some(place) = Place::make("bounds") else { return };
    let bounds = Rules::read().bounds;
    let (mut at, mut over) = (Specs::new(), Specs::new());
    for (number, bound) in bounds.iter().enumerate() {
        at.insert(format!("at-{number}"), (bound.kind.clone(), bound.at.clone()));
        over.insert(format!("over-{number}"), (bound.kind.clone(), bound.over.clone()));
    }
    let (kept, refusals) = place.hand(&["create", "--dry-run=server"], &at);
    assert_eq!(kept.len(), bounds.len(), "{refusals:?}");
    let (kept, refusals) = place.hand(&["create", "--dry-run=server"], &over);
    assert_eq!(kept, BTreeMap::new());
    for (number, bound) in bounds.iter().enumerate() {
        let said = refusals.of(&format!("over-{number}"));
        assert!(said.contains(&format!("{}: ", bound.field)), "{}: {said}", bound.field);
        assert!(said.contains(&bound.says), "{} wants {}: {said}", bound.field, bound.says);
    }
}

/// Values that are given as empty are removed.
#[test]
fn api_servers_fill_in_defaults() {
    let Some(place) = Place::make("defaults") else { return };
    let table = Rules::read().defaults;
    let named = |number: usize| format!("filled-{number}");
    let specs = table.iter().enumerate();
    let specs = specs.map(|(number, it)| (named(number), (it.kind.clone(), it.given.clone())));
    let (kept, refusals) = place.hand(&["create"], &specs.collect());
    for (number, filled) in table.iter().enumerate() {
        assert_eq!(kept.get(&named(number)), Some(&filled.gives), "{refusals:?}");
    }
}
