//! The comparison of an order's proposals: in pages as JSON, and as a whole as CSV.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use orderstream_core::comparison::{Criterion, CsvFormat, Ranking};
use orderstream_core::date::{parse_rfc3339, rfc3339};
use orderstream_core::limits::{COMPARED_MAX, COMPARISON_CSV_BYTES_MAX, LANGUAGE_CHARS_MAX};
use orderstream_core::{Order, OrderKey, ProposalId, Reason, Refusal, Timestamp};
use orderstream_rest_types::comparison::ComparisonView;
use orderstream_rpc::problem::{CheckedPath, CheckedQuery, Problem, page_size};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::{parse_incarnation, with_field};
use super::view;
use super::{OrderPath, SellerRestState};

/// The time for which a comparison waits for a permit.
const COMPARISON_WAIT: Duration = Duration::from_secs(2);
/// The longest time from the first page to the last one, milliseconds (1 h): long enough for a
/// person who reads them.
const PAGING_MS_MAX: u64 = 3_600_000;
/// The header with the time by which a CSV comparison is ranked.
const AS_OF: &str = "orderstream-as-of";
/// The header with the number of proposals that a CSV comparison leaves out.
const OMITTED: &str = "orderstream-omitted";
/// The header that reports whether a CSV comparison is empty because the order is sealed.
const SEALED: &str = "orderstream-sealed";

/// Returns the operation of this file.
pub(super) fn operations() -> OpenApiRouter<SellerRestState> {
    OpenApiRouter::default().routes(routes!(compare))
}

/// The query for a comparison.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ComparisonQuery {
    /// The order's tenant; `default` when left out.
    tenant: String,
    /// The incarnation of the order id; the newest when left out.
    incarnation: String,
    /// The criterion that sorts the rows: `total` (the default), `delivery` or `distance`.
    #[param(example = "total")]
    by: String,
    /// The format: `json` (the default), `csv`, or `csv-excel`, which spreadsheets open by
    /// themselves.
    #[param(example = "json")]
    format: String,
    /// The locale of the spreadsheet, for `csv-excel`: it decides on the separators of cells and of
    /// decimal places. English when left out.
    #[param(example = "de-AT", max_length = 35)]
    locale: String,
    /// The `next` of the page before, for `json`; CSV has all rows.
    after: String,
    /// The size of the page, at most 500, which is also the default; for `json`.
    #[param(maximum = 500, minimum = 1)]
    #[serde(deserialize_with = "page_size::<COMPARED_MAX, _>")]
    limit: Option<usize>,
    /// The `as_of` of the first page, by which the others are ranked too; at most one hour old. Now
    /// when left out.
    #[param(example = "2026-12-01T12:00:00Z")]
    as_of: String,
}

/// The form of a comparison, and its extent.
#[derive(Debug)]
enum ComparisonForm {
    /// One page as JSON.
    Page { after: Option<ProposalId>, limit: usize },
    /// All rows as CSV.
    Csv(CsvFormat),
}

/// A comparison in its form.
#[derive(Debug)]
enum MadeComparison {
    Page(ComparisonView),
    Csv { text: String, is_sealed: bool, as_of: Timestamp },
}

impl ComparisonQuery {
    fn criterion(&self) -> Result<Criterion, Refusal> {
        match self.by.as_str() {
            "" => Ok(Criterion::default()),
            name => Criterion::parse(name)
                .ok_or_else(|| Refusal::field("by", "is unknown; use total, delivery or distance")),
        }
    }

    fn form(&self) -> Result<ComparisonForm, Refusal> {
        let is_for = |field: &str, format: &str| {
            Err(Refusal::field(field, format!("is for format={format} only; leave it out")))
        };
        if !self.locale.is_empty() && self.format != "csv-excel" {
            return is_for("locale", "csv-excel");
        }
        let format = match self.format.as_str() {
            "" | "json" => return self.page(),
            "csv" => CsvFormat::default(),
            "csv-excel" => CsvFormat::of_spreadsheet(self.checked_locale()?),
            _ => {
                let text = "is unknown; use json, csv or csv-excel";
                return Err(Refusal::field("format", text));
            }
        };
        if !self.after.is_empty() {
            return is_for("after", "json");
        }
        if self.limit.is_some() {
            return is_for("limit", "json");
        }
        Ok(ComparisonForm::Csv(format))
    }

    fn page(&self) -> Result<ComparisonForm, Refusal> {
        let after = Some(self.after.as_str()).filter(|after| !after.is_empty());
        let after = after.map(ProposalId::new).transpose();
        let after = after.map_err(|refusal| with_field("after", refusal))?;
        let limit = self.limit.unwrap_or(COMPARED_MAX).clamp(1, COMPARED_MAX);
        Ok(ComparisonForm::Page { after, limit })
    }

    /// Returns the time of the first page, where it is given.
    fn first_page_time(&self) -> Result<Option<Timestamp>, Refusal> {
        if self.as_of.is_empty() {
            return Ok(None);
        }
        let time = parse_rfc3339(&self.as_of);
        time.map(Some).ok_or_else(|| {
            let text = "is not a time; give the as_of of the first page, or 2026-12-01T12:00:00Z";
            Refusal::field("as_of", text)
        })
    }

    fn checked_locale(&self) -> Result<&str, Refusal> {
        let length = self.locale.chars().count();
        if length > LANGUAGE_CHARS_MAX {
            let text = format!("has {length} characters, at most {LANGUAGE_CHARS_MAX}");
            return Err(Refusal::field("locale", format!("{text}; write one such as de-AT")));
        }
        Ok(&self.locale)
    }
}

/// Compare an order's proposals side by side.
///
/// Those that compete come first, the best one at the top: they are complete in quantity and unit,
/// of an invited seller, in the order's currency, valid and in time. The others follow, each with
/// its `reasons`. What is valid and in time depends on the time: the first page has it in `as_of`,
/// and a request for a later page gives it back, with `after`. Pages with the same `last_seq` and
/// `as_of` are of one comparison; where `last_seq` has changed, read again from the first page.
///
/// CSV (RFC 4180) has a header line and all proposals; a cell that a spreadsheet would take for a
/// formula begins with an apostrophe. A comparison of more than 64 MiB as CSV is refused with
/// `LIMIT_REACHED`. While an order is sealed there are no rows.
#[utoipa::path(get, path = "/api/v1/orders/{order_req_id}/comparison", tag = "orders",
    operation_id = "comparison", params(OrderPath, ComparisonQuery),
    responses((status = 200, description = "The comparison.", headers(
            ("orderstream-as-of" = String, description = "CSV: the time by which it is ranked."),
            ("orderstream-omitted" = u64, description = "CSV: proposals that are left out; always 0."),
            ("orderstream-sealed" = bool, description = "CSV: whether the order is sealed.")),
        content((ComparisonView = "application/json"), (String = "text/csv")))))]
pub(super) async fn compare(
    State(rest): State<SellerRestState>,
    CheckedPath(order_req_id): CheckedPath<String>,
    CheckedQuery(query): CheckedQuery<ComparisonQuery>,
) -> Result<Response, Problem> {
    let key = OrderKey::new(&query.tenant, &order_req_id)?;
    let (by, form, given) = (query.criterion()?, query.form()?, query.first_page_time()?);
    let permit = timeout(COMPARISON_WAIT, rest.comparisons.acquire()).await;
    let _permit = permit.map_err(|_| {
        Refusal::new(Reason::Overloaded, "others are comparing; try again in a moment")
    })?;
    let now = rest.orders.now();
    let named = parse_incarnation(query.incarnation)?;
    let order = rest.orders.read_one(&key, named.as_ref(), |order, _| order.clone()).await?;
    let time = ranking_time(given, &order, now)?;
    // Thousands of proposals with many lines take a while: neither under the order's lock nor on a
    // thread that serves others.
    let made = tokio::task::spawn_blocking(move || made_in(&form, &order, by, time)).await;
    let made = made.map_err(|_| Refusal::new(Reason::Internal, "the comparison failed"))??;
    Ok(match made {
        MadeComparison::Page(view) => Json(view).into_response(),
        MadeComparison::Csv { text, is_sealed, as_of } => {
            csv_response(text, if is_sealed { "true" } else { "false" }, as_of)
        }
    })
}

/// Returns the time by which proposals are ranked: the one that is given, or else now.
fn ranking_time(
    given: Option<Timestamp>,
    order: &Order,
    now: Timestamp,
) -> Result<Timestamp, Refusal> {
    let Some(given) = given else { return Ok(now) };
    if given > now {
        let text = "is in the future; give the as_of of the first page, or leave it out";
        return Err(Refusal::field("as_of", text));
    }
    // An order that has ended is compared as it was then.
    let latest = order.ended_at.map_or(now, |ended_at| ended_at.min(now));
    if latest.ms_since(given) > PAGING_MS_MAX {
        let text = "is more than one hour ago; read the comparison again from its first page";
        return Err(Refusal::field("as_of", text));
    }
    Ok(given)
}

fn made_in(
    form: &ComparisonForm,
    order: &Order,
    by: Criterion,
    now: Timestamp,
) -> Result<MadeComparison, Refusal> {
    let ranking = Ranking::of(order, by, now);
    match form {
        ComparisonForm::Page { after, limit } => {
            let page = ranking.page(after.as_ref(), *limit).ok_or_else(|| {
                let text = "is not a proposal that is compared; leave it out";
                Refusal::field("after", text)
            })?;
            Ok(MadeComparison::Page(view::comparison(page)))
        }
        ComparisonForm::Csv(format) => {
            let text = ranking.csv(*format, COMPARISON_CSV_BYTES_MAX).ok_or_else(|| {
                let text = "the comparison takes more than 64 MiB as CSV; read its pages as JSON";
                Refusal::new(Reason::LimitReached, text)
            })?;
            let as_of = ranking.as_of();
            Ok(MadeComparison::Csv { text, is_sealed: order.is_sealed(), as_of })
        }
    }
}

fn csv_response(text: String, sealed: &'static str, as_of: Timestamp) -> Response {
    // A time has no character that a header must not have.
    let as_of = HeaderValue::try_from(rfc3339(as_of));
    let as_of = as_of.unwrap_or_else(|_| HeaderValue::from_static(""));
    let headers = [
        (
            header::CONTENT_TYPE.as_str(),
            HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
        ),
        (AS_OF, as_of),
        (OMITTED, HeaderValue::from_static("0")),
        (SEALED, HeaderValue::from_static(sealed)),
    ];
    (headers, text).into_response()
}
