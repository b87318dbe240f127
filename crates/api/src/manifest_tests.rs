//! Tests of good and bad manifests, and of the examples.

use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use orderstream_core::spec::MessageType;

use super::*;
use crate::order_request::{ItemSpec, OrderRequestSpec};
use crate::order_status::{OrderRequestStatus, StreamStatus};
use orderstream_core::Incarnation;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Returns an order with these lines under `spec`.
fn order(spec: &str) -> String {
    let body: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let head = "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n";
    format!("{head}metadata:\n  name: chairs\nspec:\n  title: Chairs\n{body}")
}

fn refused(text: &str) -> Refusal {
    read("bad.yaml", text).expect_err("the manifest is wrong")
}

#[test]
fn refusals_name_path_limit_and_fix() {
    let long = "x".repeat(300);
    let many: String = (0..101).map(|i| format!("\n  - {{sku: S{i}, quantity: 1}}")).collect();
    let table: Vec<(String, &str, &str)> = vec![
        ("colour: red".into(), "spec.colour", "is not a known field; use one of award"),
        ("order_req_id: A".into(), "spec.order_req_id", "write orderReqId"),
        ("orderReqId: a b".into(), "spec.orderReqId", "use letters, digits"),
        ("orderReqId: ''".into(), "spec.orderReqId", "give at least 1"),
        (format!("category: {long}"), "spec.category", "at most 256"),
        ("category: 7".into(), "spec.category", "put it in quotes"),
        (
            "notificationType: Fax".into(),
            "spec.notificationType",
            "use GChat, Email, SMS or Webhook",
        ),
        ("items: [{sku: A, quantity: -1}]".into(), "spec.items[0].quantity", "is negative"),
        ("items: [{sku: A, quantity: 0}]".into(), "spec.items[0].quantity", "above 0"),
        ("items: [{sku: A, quantity: 2.5}]".into(), "spec.items[0].quantity", "write \"2.5\""),
        ("items: [{sku: A, quantity: '1e99'}]".into(), "spec.items[0].quantity", "decimal number"),
        ("items: [{sku: A, quantity: 9999999999}]".into(), "spec.items[0].quantity", "1000000000"),
        ("items: [{sku: A, quantity: lots}]".into(), "spec.items[0].quantity", "decimal number"),
        ("items: [{sku: A}]".into(), "spec.items[0].quantity", "is missing"),
        ("items: [{quantity: 1}]".into(), "spec.items[0].sku", "is missing"),
        ("items: [{sku: A, quantity: 1, size: 3}]".into(), "spec.items[0].size", "remove it"),
        (format!("items:{many}"), "spec.items", "at most 100"),
        (
            "items: [{sku: A, quantity: 1}, {sku: A, quantity: 2}]".into(),
            "spec.items[0].line",
            "2 items are 'A', give each a line of its own",
        ),
        (
            "items: [{sku: A, quantity: 1}, {sku: B, quantity: 2, line: A}]".into(),
            "spec.items[1].line",
            "'A' names another item too",
        ),
        ("delivery: {latitude: 91, longitude: 0}".into(), "spec.delivery.latitude", "-90 to 90"),
        ("delivery: {latitude: 1}".into(), "spec.delivery.longitude", "both or neither"),
        ("delivery: {by: soon}".into(), "spec.delivery.by", "write 2030-12-01, or a time such as"),
        ("sellers: {maxCount: 0}".into(), "spec.sellers.maxCount", "1 to 100"),
        ("sellers: {maxCount: -3}".into(), "spec.sellers.maxCount", "1 to 100"),
        ("sellers: {maxDistanceKm: 99999}".into(), "spec.sellers.maxDistanceKm", "20040"),
        ("sellers: {names: ['a b']}".into(), "spec.sellers.names[0]", "use letters, digits"),
        ("message: {type: rtf, message: x}".into(), "spec.message.type", "text, html or markdown"),
        ("message: {type: text}".into(), "spec.message.message", "is missing"),
    ];
    assert_refused(table);
}

#[test]
fn refusals_of_times_and_decisions_name_the_fix() {
    let follow_ups: String =
        (0..33).map(|i| format!("\n  - {{id: f{i}, message: {{message: hello}}}}")).collect();
    let table: Vec<(String, &str, &str)> = vec![
        ("expiresIn: 5s".into(), "spec.expiresIn", "give 10s to 180d"),
        ("expiresIn: 181d".into(), "spec.expiresIn", "give 10s to 180d"),
        ("currency: eur".into(), "spec.currency", "has small letters; write EUR"),
        ("currency: EURO".into(), "spec.currency", "at most 3"),
        ("currency: E1R".into(), "spec.currency", "is not an ISO 4217 code"),
        ("currency: EUX".into(), "spec.currency", "is not a currency of ISO 4217"),
        ("timeZone: Europe/Belrin".into(), "spec.timeZone", "write Europe/Berlin"),
        ("controllerName: Team_B".into(), "spec.controllerName", "use lower-case letters"),
        ("delivery: {by: 01.12.2036}".into(), "spec.delivery.by", "write 2030-12-01"),
        ("expiresIn: 30".into(), "spec.expiresIn", "put it in quotes"),
        ("expiresIn: tomorrow".into(), "spec.expiresIn", "such as 30m"),
        ("ttlAfterFinished: 31d".into(), "spec.ttlAfterFinished", "0s to 30d"),
        ("sealed: 'yes'".into(), "spec.sealed", "true or false"),
        ("award: {}".into(), "spec.award", "one decision"),
        ("award: {proposalId: p1}\ncancel: true".into(), "spec.award", "remove one"),
        ("award: {proposalId: 'p 1'}".into(), "spec.award.proposalId", "use letters, digits"),
        (
            "award: {proposalId: p1, lines: [{sku: A, proposalId: p2}]}".into(),
            "spec.award.lines",
            "give one of the two",
        ),
        (
            "followUps: [{id: a, message: {message: x}}, {id: a, message: {message: z}}]".into(),
            "spec.followUps[1].id",
            "used twice",
        ),
        (format!("followUps:{follow_ups}"), "spec.followUps", "at most 32"),
        (
            "followUps: [{id: a, audience: ['?'], message: {message: x}}]".into(),
            "spec.followUps[0].audience[0]",
            "use letters, digits",
        ),
    ];
    assert_refused(table);
}

/// Checks that each spec is refused, with its field and its fix.
fn assert_refused(table: Vec<(String, &str, &str)>) {
    for (spec, field, fix) in table {
        let refusal = refused(&order(&spec));
        assert_eq!(refusal.field.as_deref(), Some(field), "{spec}: {refusal}");
        assert!(refusal.message.contains(fix), "{spec}: {refusal}");
        assert!(refusal.message.ends_with("(bad.yaml, document 1)"), "{refusal}");
        assert_eq!(refusal.reason, Reason::InvalidField, "{refusal}");
    }
}

#[test]
fn quantities_are_exact_or_refused() {
    for quantity in ["1e-6", "'1e-6'", "'1_5'", "'+5'", "'.5'", "'5.'", "'1,5'", "'1 000'"] {
        let refusal = refused(&order(&format!("items: [{{sku: A, quantity: {quantity}}}]")));
        assert_eq!(refusal.field.as_deref(), Some("spec.items[0].quantity"), "{quantity}");
        assert!(refusal.message.contains("decimal"), "{quantity}: {refusal}");
    }
    for (quantity, expected) in [("12", "12"), ("'0.000001'", "0.000001"), ("'2.50'", "2.50")] {
        let text = order(&format!("items: [{{sku: A, quantity: {quantity}}}]"));
        let manifests = read("good.yaml", &text).unwrap();
        let [Manifest::OrderRequest(resource)] = manifests.as_slice() else {
            panic!("{manifests:?}");
        };
        let desired = convert::desired(resource, Incarnation::new("uid-1").unwrap()).unwrap();
        assert_eq!(desired.spec.items[0].quantity.value().to_string(), expected);
    }
}

/// An earlier version read looser decimals; its orders are steered on with the values that it read.
#[test]
fn placed_orders_keep_their_quantities() {
    for (quantity, expected) in [("1_5", "15"), ("+5", "5"), (".50", "0.50"), ("5.", "5")] {
        let mut resource = OrderRequest::new("chairs", OrderRequestSpec::default());
        resource.spec.items = vec![ItemSpec {
            sku: "A".to_owned(),
            description: None,
            quantity: IntOrString::String(quantity.to_owned()),
            unit: None,
            line: None,
        }];
        let desired = |resource: &OrderRequest| {
            convert::desired(resource, Incarnation::new("uid-1").unwrap())
        };
        assert!(desired(&resource).is_err(), "{quantity} of a new order");
        let processor = Some("http://p:50051".to_owned());
        let stream = Some(StreamStatus { processor, ..StreamStatus::default() });
        resource.status = Some(OrderRequestStatus { stream, ..OrderRequestStatus::default() });
        let placed = desired(&resource).unwrap();
        assert_eq!(placed.spec.items[0].quantity.value().to_string(), expected);
    }
}

#[test]
fn every_bad_envelope_is_refused() {
    let good = order("category: furniture");
    let table = [
        (good.replace("v1alpha1", "v9"), Some("apiVersion"), "use orderstream.dev/v1alpha1"),
        (good.replace("OrderRequest", "Pod"), Some("kind"), "use OrderRequest or Seller"),
        (good.replace("kind: OrderRequest\n", ""), Some("kind"), "is missing"),
        (good.replace("name: chairs", "name: My_Chairs"), Some("metadata.name"), "small letters"),
        (good.replace("name: chairs", "name: ../etc"), Some("metadata.name"), "small letters"),
        (good.replace("  name: chairs", "  naem: x"), Some("metadata.naem"), "not a known field"),
        (
            good.replace("name: chairs", "name: chairs\n  namespace: A.b"),
            Some("metadata.namespace"),
            "small letters",
        ),
        (
            good.replace("name: chairs", "name: 123"),
            Some("metadata.name"),
            "a text; put it in quotes",
        ),
        (
            good.replace("name: chairs", "name: chairs\n  namespace: 7"),
            Some("metadata.namespace"),
            "is a number; give a text; put it in quotes",
        ),
        (
            good.replace("name: chairs", "name: chairs\n  labels: {tier: 1}"),
            Some("metadata.labels.tier"),
            "put it in quotes",
        ),
        (good.replace("kind: OrderRequest", "kind: 7"), Some("kind"), "put it in quotes"),
        (good.replace("spec:", "specs:"), Some("specs"), "not a known field"),
        (order("delivery: {latitude: .nan, longitude: 0}"), None, "non-finite"),
        ("just a text".to_owned(), None, "begin with apiVersion"),
        ("a: [1".to_owned(), None, "is not YAML or JSON"),
        (String::new(), None, "give 1 to"),
    ];
    for (text, field, fix) in table {
        let refusal = refused(&text);
        assert_eq!(refusal.field.as_deref(), field, "{text}\n{refusal}");
        assert!(refusal.message.contains(fix), "{text}\n{refusal}");
    }
}

/// Nothing of a text with one wrong document is used.
#[test]
fn refusals_name_the_document() {
    let text = format!("{}---\n{}", order("sealed: true"), order("sealed: maybe"));
    let refusal = refused(&text);
    assert!(refusal.message.ends_with("(bad.yaml, document 2)"), "{refusal}");
    assert!(refusal.metadata.contains(&("document".to_owned(), "2".to_owned())));
}

fn seller_named(name: &str) -> String {
    let head = "apiVersion: orderstream.dev/v1alpha1\nkind: Seller\n";
    format!("{head}metadata: {{name: {name}}}\nspec: {{}}\n")
}

/// Returns texts as the items of a list of a kind.
fn list_of(head: &str, items: &[String]) -> String {
    let item = |text: &String| {
        let lines: String = text.lines().map(|line| format!("  {line}\n")).collect();
        format!("-{}", &lines[1..])
    };
    format!("{head}items:\n{}", items.iter().map(item).collect::<String>())
}

#[test]
fn lists_are_read_item_by_item() {
    const OURS: &str = "apiVersion: orderstream.dev/v1alpha1\n";
    let resources = [order("sealed: true"), seller_named("acme")];
    let kubectl =
        list_of("apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\n", &resources);
    let read_both = |text: &str| {
        let manifests = read("list.yaml", text).expect(text);
        let names = manifests.iter().map(|manifest| manifest.metadata().name.clone().unwrap());
        (manifests.len(), names.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(read_both(&kubectl), (2, "chairs acme".to_owned()));
    // Items may leave out what the list's kind says.
    let bare =
        |text: &str| text.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>();
    let orders = list_of(&format!("{OURS}kind: OrderRequestList\n"), &[bare(&resources[0])]);
    assert_eq!(read_both(&orders), (1, "chairs".to_owned()));
    let sellers = list_of(&format!("{OURS}kind: SellerList\n"), &[bare(&resources[1])]);
    assert_eq!(read_both(&format!("{sellers}---\n{kubectl}")), (3, "acme chairs acme".to_owned()));
    for empty in ["items: []\n", "items: null\n", ""] {
        assert_eq!(read_both(&format!("{OURS}kind: SellerList\n{empty}")).0, 0, "{empty}");
    }
}

#[test]
fn faults_of_lists_name_the_item() {
    const HEAD: &str = "apiVersion: v1\nkind: List\n";
    let wrong = list_of(HEAD, &[seller_named("acme"), order("sealed: maybe")]);
    let nested = list_of(HEAD, &[format!("{HEAD}items: []\n")]);
    let foreign = list_of(HEAD, &["apiVersion: v1\nkind: Namespace\n".to_owned()]);
    for (text, field, fix) in [
        (wrong, "items[1].spec.sealed", "true or false"),
        (nested, "items[0].kind", "documents of their own"),
        (foreign, "items[0].kind", "kubectl"),
        (format!("{HEAD}items: {{a: 1}}\n"), "items", "is not a list"),
        (format!("{HEAD}itmes: []\n"), "itmes", "write items"),
    ] {
        let refusal = refused(&text);
        assert_eq!(refusal.field.as_deref(), Some(field), "{text}\n{refusal}");
        assert!(refusal.message.contains(fix), "{text}\n{refusal}");
    }
}

/// A name that an API server draws is checked as it would be drawn.
#[test]
fn drawn_names_are_for_create_only() {
    let drawn = order("").replace("name: chairs", "generateName: chairs-");
    let refusal = refused(&drawn);
    assert_eq!(refusal.field.as_deref(), Some("metadata.name"));
    assert!(refusal.message.contains("kubectl create"), "{refusal}");
    let document = |text: &str| parsed(text).unwrap().remove(0);
    manifest(document(&drawn)).expect("it can be created");
    let wrong = drawn.replace("chairs-", "My chairs-");
    let refusal = manifest(document(&wrong)).expect_err("no name begins so");
    assert_eq!(refusal.field.as_deref(), Some("metadata.generateName"));
}

#[test]
fn folders_are_read_as_their_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("b.yaml"), order("sealed: true")).unwrap();
    std::fs::write(dir.path().join("a.yaml"), seller_named("acme")).unwrap();
    let read = read_documents(&[dir.path().to_owned()]).unwrap();
    let kinds: Vec<_> = read.iter().map(|one| text_at(&one.document, "/kind")).collect();
    assert_eq!(kinds, ["Seller", "OrderRequest"]);
    // A document has no defaults.
    assert_eq!(read[1].document["spec"], serde_json::json!({"title": "Chairs", "sealed": true}));
    std::fs::write(dir.path().join("c.yaml"), order("sealed: maybe")).unwrap();
    let refusal = read_documents(&[dir.path().to_owned()]).expect_err("one is wrong");
    assert!(refusal.message.contains("c.yaml, document 1"), "{refusal}");
}

#[test]
fn json_is_read_too() {
    let text = r#"{"apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
        "metadata": {"name": "a"}, "spec": {"items": [{"sku": "A", "quantity": "2.5"}]}}"#;
    let manifests = read("a.json", text).expect("a good manifest");
    assert_eq!(manifests.len(), 1);
}

#[test]
fn the_example_orders_convert() {
    for (file, id, category) in [
        ("office-chairs.yaml", "OR-2041", "furniture"),
        ("steel-coils.yaml", "steel-coils", "steel"),
        ("it-services.yaml", "TENDER-2027-007", "it-services"),
        ("sealed-tender.yaml", "TENDER-2027-012", "furniture"),
    ] {
        let manifests = read_file(&examples().join(file)).expect(file);
        let [Manifest::OrderRequest(resource)] = manifests.as_slice() else {
            panic!("{file} holds one OrderRequest");
        };
        let desired = convert::desired(resource, Incarnation::new("uid-1").unwrap()).expect(file);
        assert_eq!(desired.key, orderstream_core::OrderKey::new("default", id).unwrap());
        assert_eq!(desired.spec.category.as_deref(), Some(category));
        assert!(!desired.spec.items.is_empty());
        if file == "steel-coils.yaml" {
            assert_eq!(desired.spec.sellers.max_distance_m, Some(600_000));
            assert_eq!(desired.spec.expires_in_ms, 2 * 86_400_000);
        }
        if file == "sealed-tender.yaml" {
            assert!(desired.spec.sealed && desired.spec.buyer.is_some());
            assert_eq!(desired.spec.sellers.excluded.len(), 1);
        }
        if file == "it-services.yaml" {
            let message = desired.spec.message.as_ref().expect("a message");
            assert_eq!(message.kind, MessageType::Markdown);
            assert!(desired.spec.sealed);
            assert_eq!(desired.follow_ups.len(), 1);
        }
    }
}

#[test]
fn the_example_sellers_load() {
    let sellers = load_sellers(&examples().join("sellers.yaml")).expect("good sellers");
    assert_eq!(sellers.len(), 10);
    assert!(sellers.iter().any(|seller| seller.suspended));
    assert!(sellers.iter().any(|seller| seller.place.is_none()));
    assert!(sellers.windows(2).all(|pair| pair[0].id < pair[1].id));
}

#[test]
fn bad_sellers_are_refused() {
    let seller = |spec: &str| {
        format!(
            "apiVersion: orderstream.dev/v1alpha1\nkind: Seller\nmetadata: {{name: a}}\nspec: {spec}\n"
        )
    };
    for (spec, field, fix) in [
        ("{location: {latitude: 99, longitude: 0}}", "spec.location.latitude", "-90 to 90"),
        ("{location: {latitude: 9}}", "spec.location.longitude", "is missing"),
        ("{capacity: 0}", "spec.capacity", "1 to 1000000"),
        ("{channels: [{type: Fax, address: x}]}", "spec.channels[0].type", "use GChat"),
        ("{currency: eur}", "spec.currency", "write EUR"),
        ("{currency: '123'}", "spec.currency", "ISO 4217"),
        ("{categorys: []}", "spec.categorys", "write categories"),
    ] {
        let refusal = refused(&seller(spec));
        assert_eq!(refusal.field.as_deref(), Some(field), "{spec}: {refusal}");
        assert!(refusal.message.contains(fix), "{spec}: {refusal}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sellers.yaml");
    std::fs::write(&path, format!("{}---\n{}", seller("{}"), seller("{}"))).unwrap();
    let refusal = load_sellers(&path).expect_err("a name stands twice");
    assert_eq!(refusal.field.as_deref(), Some("metadata.name"));
    let missing = load_sellers(&dir.path().join("none.yaml")).expect_err("no such file");
    assert!(missing.message.contains("cannot be read"), "{missing}");
}

/// People would read them as the buyer, as the service or as hidden sellers.
#[test]
fn sellers_take_no_names_of_others() {
    for (name, spec, field) in [
        ("buyer", "{}", "metadata.name"),
        ("order-stream", "{}", "metadata.name"),
        ("acme", "{displayName: B U Y E R}", "spec.displayName"),
        ("acme", r#"{displayName: "sea\u00ADled"}"#, "spec.displayName"),
        ("acme", r#"{displayName: "\u2800"}"#, "spec.displayName"),
    ] {
        let head = "apiVersion: orderstream.dev/v1alpha1\nkind: Seller\n";
        let refusal = refused(&format!("{head}metadata: {{name: {name}}}\nspec: {spec}\n"));
        assert_eq!(refusal.field.as_deref(), Some(field), "{name} {spec}: {refusal}");
    }
}
