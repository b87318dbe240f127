//! Tests of the problems that callers receive.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::http::{Method, header};
use axum::routing::{get, post};
use orderstream_core::Reason;
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt as _;

use super::*;
use crate::status::{refusal_from_status, status_from_refusal};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    after: String,
    #[serde(deserialize_with = "position::<4_294_967_295, _, _>")]
    version: u32,
    #[serde(deserialize_with = "page_size::<500, _>")]
    limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Item {
    sku: String,
    quantity: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    #[serde(alias = "orderItems")]
    items: Vec<Item>,
    labels: BTreeMap<String, String>,
}

async fn page(
    CheckedPath(id): CheckedPath<String>,
    CheckedQuery(page): CheckedQuery<Page>,
) -> String {
    format!("{id} {} {} {}", page.after, page.version, page.limit.unwrap_or(500))
}

async fn order(uri: Uri, request: Request) -> Result<String, Problem> {
    no_query(&uri)?;
    let order: Order = read_json(request, 64).await?;
    Ok(order.items.iter().map(|item| format!("{}:{}", item.sku, item.quantity)).collect())
}

async fn plain() -> (StatusCode, &'static str) {
    (StatusCode::PRECONDITION_FAILED, "give If-Match")
}

async fn carried() -> Response {
    let refusal = Refusal::new(Reason::Draining, "stopping").with("floor", 7);
    (StatusCode::SERVICE_UNAVAILABLE, axum::Extension(refusal)).into_response()
}

fn router() -> Router {
    let router = Router::new()
        .route("/orders/{order_req_id}", get(page))
        .route("/orders", post(order))
        .route("/plain", get(plain))
        .route("/fault", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "secret")))
        .route("/carried", get(carried))
        .route("/own", get(async || (StatusCode::BAD_GATEWAY, axum::Json(json!({"own": 1})))));
    with_fallbacks(router, PortSide::Sellers)
}

async fn ask(method: Method, path: &str, body: &str) -> (Response<()>, String) {
    let request = http::Request::builder().method(method).uri(path);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router().oneshot(request).await.unwrap();
    let (head, body) = normalise_response(response).into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn one_table_serves_both_wires() {
    for reason in Reason::ALL {
        let refusal = Refusal::new(reason, "what, the limit, the fix").with("floor", 7);
        let refusal = Refusal { field: Some("price".to_owned()), ..refusal };
        let problem = Problem::from(refusal.clone());
        let status = status_from_refusal(&refusal);
        assert_eq!(problem.status().as_u16(), reason.http_status());
        assert_eq!(i32::from(status.code()), reason.grpc_code());
        assert_eq!(refusal_from_status(&status).as_ref(), Some(problem.refusal()));
        let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(body["reason"], reason.as_str());
        assert_eq!(body["type"], format!("https://orderstream.dev/problems/{}", reason.as_str()));
        assert_eq!(body["status"], reason.http_status());
        assert_eq!(body["detail"], "what, the limit, the fix");
        assert_eq!(body["field"], "price");
        assert_eq!(body["metadata"], json!({"floor": "7"}));
        let retry = problem.into_response().headers().get(header::RETRY_AFTER).cloned();
        assert_eq!(retry.is_some(), reason.is_retriable(), "{reason:?}");
    }
}

/// Method, path, body; status, reason, field, and a part of the detail.
type Row<'a> = (Method, &'a str, &'a str, u16, &'a str, Option<&'a str>, &'a str);

/// A caller that asks the wrong port reads which one it has reached, and where the other is.
#[test]
fn unknown_paths_name_the_port() {
    let uri = Uri::from_static("http://127.0.0.1:8005/apis/orders");
    for (side, parts) in [
        (PortSide::Buyers, ["the buyers' port (--server)", "/api/v1/openapi.json", "8005"]),
        (PortSide::Sellers, ["the sellers' port (--processor-rest)", "openapi.json", "8004"]),
        (PortSide::Operators, ["the operators' port", "/metrics", "8004"]),
    ] {
        let problem = no_such_path(&uri, side);
        assert_eq!(problem.status(), StatusCode::NOT_FOUND);
        let text = &problem.refusal().message;
        assert!(text.starts_with("nothing is at /apis/orders; "), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{side:?}: {text}");
    }
}

#[tokio::test]
async fn problems_name_the_fault() {
    let long = format!(r#"{{"items": "{}"}}"#, "x".repeat(64));
    let table: [Row<'_>; 17] = [
        (Method::GET, "/none", "", 404, "INVALID_REQUEST", None, "nothing is at /none"),
        (Method::PUT, "/orders", "", 405, "INVALID_REQUEST", None, "PUT"),
        (Method::GET, "/plain", "", 412, "INVALID_REQUEST", None, "give If-Match"),
        (Method::GET, "/fault", "", 500, "INTERNAL", None, "its log has the cause"),
        (Method::GET, "/carried", "", 503, "DRAINING", None, "stopping"),
        (Method::GET, "/orders/%FF", "", 422, "INVALID_FIELD", Some("order_req_id"), "UTF-8"),
        (Method::GET, "/orders/a?limt=1", "", 422, "INVALID_FIELD", Some("limt"), "`limit`"),
        (Method::GET, "/orders/a?limit=1&limit=2", "", 422, "INVALID_FIELD", Some("limit"), "once"),
        (Method::POST, "/orders?tenant=x", "{}", 422, "INVALID_FIELD", Some("tenant"), "no query"),
        (Method::POST, "/orders", "", 400, "INVALID_REQUEST", None, "not a JSON object"),
        (Method::POST, "/orders", "[1]", 400, "INVALID_REQUEST", None, "not a JSON object"),
        (Method::POST, "/orders", "{", 400, "INVALID_REQUEST", None, "line 1 column 1"),
        (Method::POST, "/orders", "{} {}", 400, "INVALID_REQUEST", None, "trailing"),
        (
            Method::POST,
            "/orders",
            "{\"items\": [\"\u{0}\"]}",
            400,
            "INVALID_REQUEST",
            None,
            "control",
        ),
        (
            Method::POST,
            "/orders",
            r#"{"items": 1}"#,
            422,
            "INVALID_FIELD",
            Some("items"),
            "integer",
        ),
        (
            Method::POST,
            "/orders",
            r#"{"items": [{}, {"quantity": "two"}]}"#,
            422,
            "INVALID_FIELD",
            Some("items[1].quantity"),
            "two",
        ),
        (Method::POST, "/orders", &long, 413, "LIMIT_REACHED", None, "64 bytes"),
    ];
    for (method, path, body, status, reason, field, part) in table {
        let (head, text) = ask(method, path, body).await;
        assert_eq!(head.status(), status, "{path} {text}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], CONTENT_TYPE, "{path}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], status, "{path} {text}");
        assert_eq!(problem["reason"], reason, "{path} {text}");
        assert_eq!(problem["field"].as_str(), field, "{path} {text}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{path} {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

/// The parser's own text ("invalid digit found in string") names neither the range nor the value.
#[tokio::test]
async fn wrong_numbers_name_their_range() {
    for (query, field, detail) in [
        ("limit=-1", "limit", "is a whole number from 1 to 500, and this is `-1`"),
        ("after=b&limit=x", "limit", "is a whole number from 1 to 500, and this is `x`"),
        ("limit=%2B5", "limit", "is a whole number from 1 to 500, and this is `+5`"),
        ("limit=1.5", "limit", "is a whole number from 1 to 500, and this is `1.5`"),
        ("limit=%1B%5B2J", "limit", "from 1 to 500, and this is `\\u{1b}[2J`"),
        ("version=-1", "version", "is a whole number from 0 to 4294967295, and this is `-1`"),
        ("version=4294967296", "version", "0 to 4294967295, and this is `4294967296`"),
        ("version=99999999999999999999", "version", "from 0 to 4294967295, and this is `9999"),
    ] {
        let (head, text) = ask(Method::GET, &format!("/orders/a?{query}"), "").await;
        assert_eq!(head.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query} {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["field"], field, "{query} {text}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{query} {text}");
    }
}

/// A field that is misspelt, and one that is a number where a text is wanted, are refused with what
/// to write.
#[tokio::test]
async fn unread_fields_are_refused_with_the_fix() {
    for (body, field, detail) in [
        (r#"{"itmes": []}"#, "itmes", "is not a known field; write items, or remove it"),
        (r#"{"itmes": null}"#, "itmes", "write items"),
        (r#"{"colour": 1}"#, "colour", "use one of items, labels, or remove it"),
        (r#"{"items": [{}, {"SKU": "s"}]}"#, "items[1].SKU", "write sku"),
        (r#"{"items": [{"a`b": 1}]}"#, "items[0].a`b", "use one of sku, quantity"),
        (r#"{"items": [{"sku": 7}]}"#, "items[0].sku", "is a number; give a text; put it in"),
        (r#"{"items": [{"sku": 0.5}]}"#, "items[0].sku", "is a number; give a text"),
        (r#"{"items": [{"sku": true}]}"#, "items[0].sku", "is a boolean; give a text"),
        (r#"{"items": [{"sku": []}]}"#, "items[0].sku", "cannot be read: invalid type: sequence"),
        (r#"{"labels": {"tier": 1}}"#, "labels.tier", "put it in quotes"),
    ] {
        let (head, text) = ask(Method::POST, "/orders", body).await;
        assert_eq!(head.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body} {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&problem["reason"], &problem["field"]),
            (&json!("INVALID_FIELD"), &json!(field))
        );
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{body} {text}");
    }
    for open in [r#"{"orderItems": []}"#, r#"{"labels": {"any": "thing"}}"#] {
        let (head, text) = ask(Method::POST, "/orders", open).await;
        assert_eq!(head.status(), StatusCode::OK, "{open} {text}");
    }
}

#[test]
fn parts_of_bodies_name_their_fields() {
    for (part, field, piece) in [
        (json!({"skuu": "s"}), "items.skuu", "write sku"),
        (json!({"sku": 7}), "items.sku", "put it in quotes"),
        (json!(7), "items", "expected struct Item"),
    ] {
        let refusal = parse_part::<Item>("items", part).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some(field), "{refusal}");
        assert!(refusal.message.contains(piece), "{refusal}");
    }
}

#[tokio::test]
async fn good_and_json_responses_stay_unchanged() {
    for (query, page) in [
        ("after=c&limit=3", "a b c 0 3"),
        ("version=7", "a b  7 500"),
        ("limit=&version=&after=", "a b  0 500"),
        ("limit=00501&version=4294967295", "a b  4294967295 501"),
    ] {
        let (head, text) = ask(Method::GET, &format!("/orders/a%20b?{query}"), "").await;
        assert_eq!((head.status(), text.as_str()), (StatusCode::OK, page), "{query}");
    }
    let body = r#"{"items": [{"sku": "s", "quantity": 2}]}"#;
    let (head, text) = ask(Method::POST, "/orders", body).await;
    assert_eq!((head.status(), text.as_str()), (StatusCode::OK, "s:2"));
    let (head, text) = ask(Method::GET, "/own", "").await;
    assert_eq!((head.status(), text.as_str()), (StatusCode::BAD_GATEWAY, r#"{"own":1}"#));
}

#[tokio::test]
async fn a_byte_order_mark_is_ignored() {
    let body = "\u{feff}{\"items\": [{\"sku\": \"s\", \"quantity\": 2}]}";
    let (head, text) = ask(Method::POST, "/orders", body).await;
    assert_eq!((head.status(), text.as_str()), (StatusCode::OK, "s:2"));
    for body in ["\u{feff}", "\u{feff}\u{feff}{}", "\u{feff}[]", "{}\u{feff}", " \u{feff}{}"] {
        let (head, text) = ask(Method::POST, "/orders", body).await;
        assert_eq!(head.status(), StatusCode::BAD_REQUEST, "{body:?} {text}");
    }
}

#[tokio::test]
async fn wrong_methods_get_an_allow_header() {
    let (head, _) = ask(Method::DELETE, "/orders", "").await;
    assert_eq!(head.headers()[header::ALLOW], "POST");
    let (head, _) = ask(Method::GET, "/carried", "").await;
    assert_eq!(head.headers()[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn encoded_bodies_are_refused_unread() {
    let request = http::Request::builder().method(Method::POST).uri("/orders");
    let request = request.header(header::CONTENT_ENCODING, "gzip").body(Body::empty()).unwrap();
    let response = router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["field"], "content-encoding");
}
