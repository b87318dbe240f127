//! The parts that all operations of an OpenAPI document share: the problems by status and reason,
//! and the headers that make a request safe to repeat. The services supply the reasons; the rest
//! follows from the table in `core::refusal`.

use std::collections::{BTreeMap, BTreeSet};

use orderstream_core::{Reason, Refusal};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
};
use utoipa::openapi::{HeaderBuilder, OpenApi};

use super::{CONTENT_TYPE, Problem};

/// A problem: the refusal of a request (RFC 9457).
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "it describes what `Problem` writes")]
struct ProblemBody {
    /// The URL of the reason's page.
    #[schema(example = "https://orderstream.dev/problems/INVALID_FIELD")]
    r#type: String,
    /// The HTTP status as text.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The reason, for programs; the spelling never changes.
    #[schema(example = "INVALID_FIELD")]
    reason: String,
    /// The fault, the limit and the fix, for a person.
    detail: String,
    /// The path of the wrong field; absent where no single field is wrong.
    #[schema(required = false, nullable = false)]
    field: Option<String>,
    /// Further facts, for programs.
    #[schema(required = false, nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
}

/// The problems of every operation: for its path, the server's state, and server faults.
const COMMON_PROBLEMS: [(u16, Reason); 6] = [
    (400, Reason::InvalidRequest),
    (408, Reason::InvalidRequest),
    (422, Reason::InvalidField),
    (429, Reason::Overloaded),
    (503, Reason::Draining),
    (500, Reason::Internal),
];
/// The additional problems of an operation with a body.
const BODY_PROBLEMS: [(u16, Reason); 2] =
    [(413, Reason::LimitReached), (415, Reason::InvalidRequest)];

/// Completes a document whose operations have their successful responses: adds problems, and the
/// headers `Idempotency-Key` and `If-Match` where they are used.
pub fn complete(document: &mut OpenApi, reasons: impl Fn(&str) -> Vec<Reason>) {
    let components = document.components.take().unwrap_or_default();
    let mut components = ComponentsBuilder::from(components).schema_from::<ProblemBody>().build();
    components.schemas.values_mut().for_each(without_defaults);
    let mut used = BTreeSet::new();
    for item in document.paths.paths.values_mut() {
        let is_changing = |method: &str| method != "get";
        for (method, operation) in operations(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            used.extend(add_problems(operation, &reasons(&id)));
            if is_changing(method) {
                add(operation, idempotency_key());
            }
        }
    }
    components.examples =
        used.into_iter().map(|(status, reason)| example(status, reason)).collect();
    document.components = Some(components);
}

/// Removes the defaults of fields. Bodies are parsed with every field optional, so that each
/// missing field can be named; the empty text that stands in for it is not a meaningful default.
fn without_defaults(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for property in object.properties.values_mut() {
        match property {
            RefOr::T(Schema::Object(property)) => property.default = None,
            RefOr::T(Schema::Array(property)) => property.default = None,
            RefOr::T(Schema::OneOf(property)) => property.default = None,
            RefOr::T(_) | RefOr::Ref(_) => {}
        }
    }
}

/// Returns a document as formatted JSON, with a line break at its end.
pub fn pretty_json(document: &OpenApi) -> String {
    // Plain data with string keys always serialises.
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    format!("{text}\n")
}

/// Returns the operations of a path, with their methods.
fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, found)| Some((method, found.as_mut()?))).collect()
}

/// Adds an operation's problems, and returns the examples that they refer to.
fn add_problems(operation: &mut Operation, reasons: &[Reason]) -> Vec<(u16, Reason)> {
    let of_bodies = BODY_PROBLEMS.into_iter().filter(|_| operation.request_body.is_some());
    let own = reasons.iter().map(|reason| (reason.http_status(), *reason));
    let mut by_status: BTreeMap<u16, Vec<Reason>> = BTreeMap::new();
    for (status, reason) in COMMON_PROBLEMS.into_iter().chain(of_bodies).chain(own) {
        let entry = by_status.entry(status).or_default();
        if !entry.contains(&reason) {
            entry.push(reason);
        }
    }
    let mut used = Vec::new();
    for (status, reasons) in by_status {
        let response = RefOr::T(problem_response(status, &reasons));
        operation.responses.responses.insert(status.to_string(), response);
        used.extend(reasons.into_iter().map(|reason| (status, reason)));
    }
    if reasons.contains(&Reason::Changed) {
        add(operation, if_match());
    }
    used
}

fn add(operation: &mut Operation, parameter: Parameter) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

/// Returns an example's name: a reason has more than one status where the transport has its own.
fn name_of(status: u16, reason: Reason) -> String {
    format!("{}-{status}", reason.as_str())
}

/// Returns the example of a problem, and its name.
fn example(status: u16, reason: Reason) -> (String, RefOr<Example>) {
    let refusal = Refusal::new(reason, "what is wrong, the limit, and the fix");
    let code = http::StatusCode::from_u16(status).unwrap_or_default();
    let problem = Problem::with_status(code, refusal);
    let body: Value = serde_json::from_str(&problem.to_json()).unwrap_or_default();
    let example = ExampleBuilder::new().value(Some(body)).build();
    (name_of(status, reason), RefOr::T(example))
}

fn problem_response(status: u16, reasons: &[Reason]) -> Response {
    let names: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
    let schema = RefOr::Ref(Ref::from_schema_name("ProblemBody"));
    let examples = reasons.iter().map(|reason| {
        let reference = format!("#/components/examples/{}", name_of(status, *reason));
        (reason.as_str().to_owned(), RefOr::<Example>::Ref(Ref::new(reference)))
    });
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    let mut response =
        ResponseBuilder::new().description(names.join(", ")).content(CONTENT_TYPE, content);
    if reasons.iter().any(|reason| reason.is_retriable()) {
        let retry = HeaderBuilder::new()
            .schema(Some(RefOr::<Schema>::T(string_type().into())))
            .description(Some("Seconds until it may succeed."))
            .build();
        response = response.header("retry-after", retry);
    }
    response.build()
}

fn string_type() -> utoipa::openapi::schema::Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn header(name: &str, description: &str, example: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(RefOr::<Schema>::T(string_type().into())))
        .example(Some(example))
        .build()
}

fn idempotency_key() -> Parameter {
    let text = "1 to 128 of letters, digits and `-_.:`. The same key of the same seller, or of the \
                buyer, has one effect and one answer for the order's whole life, also where \
                that is a refusal of the buyer's act. A seller's request that was refused took no key.";
    header("Idempotency-Key", text, json!("3f6b1c1e"))
}

fn if_match() -> Parameter {
    let text = "The ETag of what was read before, or `*`. Where it is another one by now, nothing is \
                done: 412, `CHANGED`.";
    header("If-Match", text, json!("*"))
}
