//! A seller's inbox over all processors: each has the orders that it holds, and the one that is
//! called asks the others. One that does not answer is named, and its orders are missing.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orderstream_core::{Reason, Refusal};
use orderstream_rest_types::inbox::{InboxEntryView, InboxPage};
use orderstream_rpc::problem::Problem;
use serde::Deserialize;
use tokio::time::timeout;

use super::{ForwarderInner, readdressed};
use crate::limits::{INBOX_BYTES_MAX, PAGE_INBOX};
use crate::peers::OwnerEndpoint;

/// The time that a peer has to send its page of an inbox: long enough for a busy disk, and short
/// enough for a person who waits.
const PAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// Reports whether a request reads a page of an inbox.
pub(super) fn is_page(request: &Request) -> bool {
    request.method() == Method::GET && part_of(request.uri()) == Some("invitations")
}

/// Returns the part of a path behind the seller's name.
pub(super) fn part_of(uri: &Uri) -> Option<&str> {
    let path = uri.path().strip_prefix("/api/v1/sellers/")?;
    path.split_once('/').map(|(_, part)| part)
}

/// Responds with a page of an inbox, with the orders of all processors.
pub(super) async fn page(inner: &ForwarderInner, request: Request, next: Next) -> Response {
    if !inner.peers.knows_peers() {
        let text = "the other processors are not met yet; repeat it";
        return Problem::from(Refusal::new(Reason::Unreachable, text)).into_response();
    }
    let uri = request.uri().clone();
    let local = next.run(request).await;
    if local.status() != StatusCode::OK {
        return local;
    }
    let Some(own) = read_page(local).await else {
        let text = "a page of the inbox cannot be read; the log has the cause";
        return Problem::from(Refusal::new(Reason::Internal, text)).into_response();
    };
    let asked = inner.peers.endpoints().into_iter().map(|endpoint| {
        let uri = &uri;
        async move {
            let page = peer_page(inner, uri, &endpoint).await;
            (endpoint.url, page)
        }
    });
    let replies: Vec<(String, Option<InboxPage>)> =
        asked.collect::<FuturesUnordered<_>>().collect().await;
    let (mut pages, mut unreached) = (vec![own], Vec::new());
    for (url, page) in replies {
        match page {
            Some(page) => pages.push(page),
            None => unreached.push(url),
        }
    }
    unreached.sort_unstable();
    let merged = merged(pages, limit_of(&uri));
    Json(InboxPage { unreached, ..merged }).into_response()
}

/// Reads a peer's own page; `None` where it does not send one in time.
async fn peer_page(
    inner: &ForwarderInner,
    uri: &Uri,
    endpoint: &OwnerEndpoint,
) -> Option<InboxPage> {
    let page = async { read_page(send(inner, uri, endpoint).await?).await };
    timeout(PAGE_TIMEOUT, page).await.ok().flatten()
}

/// Sends a request that reads to a peer; `None` where the peer does not accept it.
pub(super) async fn send(
    inner: &ForwarderInner,
    uri: &Uri,
    endpoint: &OwnerEndpoint,
) -> Option<Response> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri.clone();
    let request = readdressed(request, endpoint)?;
    let response = inner.client.request(request).await.ok()?.map(Body::new);
    Some(response).filter(|response| response.status() == StatusCode::OK)
}

async fn read_page(response: Response) -> Option<InboxPage> {
    let body = to_bytes(response.into_body(), INBOX_BYTES_MAX).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// The field of a query that limits a page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageLimit {
    limit: Option<usize>,
}

fn limit_of(uri: &Uri) -> usize {
    let given = Query::<PageLimit>::try_from_uri(uri).ok().and_then(|Query(query)| query.limit);
    given.unwrap_or(PAGE_INBOX).clamp(1, PAGE_INBOX)
}

/// Merges the pages of all processors into one, which is by id too. Of an order id with
/// incarnations at several processors it has the newest one.
fn merged(pages: Vec<InboxPage>, limit: usize) -> InboxPage {
    // A page that goes on says nothing of what is behind its end.
    let horizon = pages.iter().filter_map(|page| page.next.clone()).min();
    let mut all: Vec<InboxEntryView> =
        pages.into_iter().flat_map(|page| page.invitations).collect();
    all.retain(|entry| horizon.as_ref().is_none_or(|last| entry.order_req_id <= *last));
    all.sort_by(|a, b| {
        a.order_req_id.cmp(&b.order_req_id).then_with(|| b.opened_at.cmp(&a.opened_at))
    });
    all.dedup_by(|later, first| later.order_req_id == first.order_req_id);
    let next = if all.len() > limit {
        all.truncate(limit);
        all.last().map(|entry| entry.order_req_id.clone())
    } else {
        horizon
    };
    InboxPage { invitations: all, next, unreached: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(ids: &[&str], next: Option<&str>) -> InboxPage {
        let entry = |id: &&str| {
            let order_req_id = (*id).to_owned();
            InboxEntryView { order_req_id, ..InboxEntryView::default() }
        };
        InboxPage {
            invitations: ids.iter().map(entry).collect(),
            next: next.map(str::to_owned),
            unreached: Vec::new(),
        }
    }

    #[test]
    fn merged_pages_leave_no_order_out() {
        for (pages, limit, ids, next) in [
            (vec![inbox(&["b"], None), inbox(&["a", "c"], None)], 3, vec!["a", "b", "c"], None),
            // The first may have others before "e".
            (
                vec![inbox(&["a", "c"], Some("c")), inbox(&["b", "e"], Some("e"))],
                2,
                vec!["a", "b"],
                Some("b"),
            ),
            (
                vec![inbox(&["a", "d"], Some("d")), inbox(&["b"], None)],
                3,
                vec!["a", "b", "d"],
                Some("d"),
            ),
            (vec![inbox(&[], Some("c")), inbox(&["b", "d"], None)], 2, vec!["b"], Some("c")),
            (vec![inbox(&["a"], None), inbox(&["a"], None)], 2, vec!["a"], None),
        ] {
            let page = merged(pages, limit);
            let listed: Vec<_> =
                page.invitations.iter().map(|entry| entry.order_req_id.as_str()).collect();
            assert_eq!((listed, page.next.as_deref()), (ids, next));
        }
    }

    #[test]
    fn only_reads_of_inboxes_are_gathered() {
        for (method, path, expected) in [
            (Method::GET, "/api/v1/sellers/acme/invitations?limit=3", true),
            (Method::POST, "/api/v1/sellers/acme/invitations", false),
            (Method::GET, "/api/v1/sellers/acme/invitations/events", false),
            (Method::GET, "/api/v1/sellers/invitations", false),
            (Method::GET, "/api/v1/orders/acme/invitations", false),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            assert_eq!(is_page(&request), expected, "{path}");
        }
    }
}
