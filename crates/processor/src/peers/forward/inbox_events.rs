//! The stream of a seller's inbox over all processors: the events of the one that is called, and
//! those that the others send. A peer that does not answer, or is met later, is asked again and
//! again; its stream begins with every open order.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, SelectAll};
use orderstream_rest_types::sse::SseSplitter;
use tokio::time::{Instant, sleep_until, timeout};

use super::ForwarderInner;
use super::inbox::{part_of, send};
use crate::peers::{GREETING_INTERVAL, OwnerEndpoint};

/// The time that a peer has to begin its stream.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest silence of a peer's stream: three of the comments that it sends when it has nothing
/// else. A connection that broke without a word is given up then, and made again.
const SILENCE_MAX: Duration = Duration::from_secs(3 * 15);
/// Bytes of one event of a peer: several times an entry with the longest title, ids and labels.
const EVENT_BYTES_MAX: usize = 256 * 1024;
/// The start of the event by which a peer says that it stops. The stream goes on without that peer.
const DRAINING: &[u8] = b"event: Draining";

/// Reports whether a request follows an inbox.
pub(super) fn is_stream(request: &Request) -> bool {
    request.method() == Method::GET && part_of(request.uri()) == Some("invitations/events")
}

/// Responds with the stream of an inbox, with the orders of all processors.
pub(super) async fn gather(inner: &Arc<ForwarderInner>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let local = next.run(request).await;
    if local.status() != StatusCode::OK {
        return local;
    }
    let (head, body) = local.into_parts();
    let gathered = GatheredEvents {
        inner: Arc::clone(inner),
        uri,
        own: events_of(body),
        peers: SelectAll::new(),
        connected: BTreeSet::new(),
        connect_at: Instant::now(),
    };
    let events = stream::unfold(gathered, |mut gathered| async move {
        let event = gathered.next().await?;
        Some((Ok::<_, Infallible>(event), gathered))
    });
    Response::from_parts(head, Body::from_stream(events))
}

/// An item of a peer's stream.
enum PeerItem {
    /// An event, or a comment, as it is sent.
    Event(Bytes),
    /// The peer's stream has ended.
    Ended(String),
}

/// The streams of all processors.
struct GatheredEvents {
    inner: Arc<ForwarderInner>,
    uri: Uri,
    own: BoxStream<'static, Bytes>,
    peers: SelectAll<BoxStream<'static, PeerItem>>,
    /// The peers whose streams are under way, by their URLs.
    connected: BTreeSet<String>,
    /// The time at which the other peers are asked.
    connect_at: Instant,
}

impl GatheredEvents {
    /// Returns the next event; `None` at the end of this processor's own stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                event = self.own.next() => return event,
                Some(item) = self.peers.next(), if !self.peers.is_empty() => match item {
                    PeerItem::Event(event) => return Some(event),
                    PeerItem::Ended(url) => {
                        self.connected.remove(&url);
                    }
                },
                () = sleep_until(self.connect_at) => self.connect(),
            }
        }
    }

    /// Begins the streams of all peers that have none.
    fn connect(&mut self) {
        self.connect_at = Instant::now() + GREETING_INTERVAL;
        for endpoint in self.inner.peers.endpoints() {
            if self.connected.insert(endpoint.url.clone()) {
                let (inner, uri) = (Arc::clone(&self.inner), self.uri.clone());
                self.peers.push(peer_events(inner, uri, endpoint));
            }
        }
    }
}

/// Returns the events of a peer, then the end of its stream.
fn peer_events(
    inner: Arc<ForwarderInner>,
    uri: Uri,
    endpoint: OwnerEndpoint,
) -> BoxStream<'static, PeerItem> {
    let end = PeerItem::Ended(endpoint.url.clone());
    let events = async move {
        match timeout(BEGIN_TIMEOUT, send(&inner, &uri, &endpoint)).await {
            Ok(Some(response)) => events_in(unsilent(response.into_body())),
            Ok(None) | Err(_) => stream::empty().boxed(),
        }
    };
    // This processor sends comments of its own.
    let is_event = |event: &Bytes| ready(!event.starts_with(b":") && !event.starts_with(DRAINING));
    let events = stream::once(events).flatten().filter(is_event).map(PeerItem::Event);
    events.chain(stream::once(ready(end))).boxed()
}

/// Returns the parts of a peer's body; it ends where the body breaks, and after [`SILENCE_MAX`]
/// without a byte.
fn unsilent(body: Body) -> BoxStream<'static, Bytes> {
    let parts = stream::unfold(body.into_data_stream(), |mut parts| async move {
        let part = timeout(SILENCE_MAX, parts.next()).await.ok()??.ok()?;
        Some((part, parts))
    });
    parts.boxed()
}

/// Returns the events in this processor's own body; it ends where the body breaks.
fn events_of(body: Body) -> BoxStream<'static, Bytes> {
    events_in(body.into_data_stream().scan((), |(), part| ready(part.ok())).boxed())
}

/// Returns the events in the parts of a body, each with its blank line; it ends before one that is
/// longer than [`EVENT_BYTES_MAX`].
fn events_in(parts: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
    let events = parts.scan(SseSplitter::default(), |splitter, part| {
        let events = splitter.push(&part).into_iter().map(Bytes::from);
        let is_bounded = splitter.incomplete_len() <= EVENT_BYTES_MAX;
        ready(is_bounded.then(|| stream::iter(events)))
    });
    events.flatten().boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::Stream;
    use tokio::time::sleep;

    use super::*;

    fn body(comments: u32, then: impl Stream<Item = Bytes> + Send + 'static) -> Body {
        let comments = stream::unfold(0, move |sent| async move {
            if sent == comments {
                return None;
            }
            sleep(Duration::from_secs(15)).await;
            Some((Bytes::from_static(b":\n\n"), sent + 1))
        });
        Body::from_stream(comments.chain(then).map(Ok::<_, Infallible>))
    }

    /// A peer whose machine lost its power sends nothing, not even an end.
    #[tokio::test(start_paused = true)]
    async fn silent_streams_end_after_three_comments() {
        let begun = Instant::now();
        let events: Vec<Bytes> = events_in(unsilent(body(9, stream::pending()))).collect().await;
        assert_eq!(events.len(), 9, "comments keep a stream alive");
        assert_eq!(begun.elapsed().as_secs(), 9 * 15 + 45);
    }

    #[tokio::test]
    async fn events_without_end_end_a_stream() {
        let comment = Bytes::from_static(b":\n\n");
        let endless = Bytes::from(vec![b'x'; EVENT_BYTES_MAX + 1]);
        let parts = stream::iter([comment.clone(), endless, comment.clone()]);
        assert_eq!(events_in(parts.boxed()).collect::<Vec<_>>().await, [comment]);
    }
}
