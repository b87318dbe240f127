//! The first list of a watch, before its changes: the server streams it as the watch's first
//! events, or, where it cannot, returns it in pages.
//!
//! ```text
//!            began                    complete
//!   Streamed ─────▶ StreamedInPart ─────────────▶ Streamed
//!      │ refused          │ began anew: it ended before it was complete
//!      └────────▶ Paged ◀─┘
//! ```
//!
//! A stream of ten thousand order requests takes half the time of pages: the server writes while
//! this process reads, and neither holds more than one of them.

use http::{Request, Uri};
use kube::runtime::watcher::{self, Config, Event};

/// The HTTP status for a request that the server does not understand.
const BAD_REQUEST: u16 = 400;
/// The HTTP status for options that the server does not accept, as without the feature gate
/// `WatchList`.
const INVALID: u16 = 422;

/// The mode of a watch's first list, and its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listing {
    /// As the watch's first events.
    #[default]
    Streamed,
    /// As first events, of which some have come.
    StreamedInPart,
    /// In pages, from now on.
    Paged,
}

impl Listing {
    /// Returns the configuration of a watcher that lists in this way.
    pub(super) fn config(self, config: Config) -> Config {
        match self {
            Self::Streamed | Self::StreamedInPart => config.streaming_lists(),
            Self::Paged => config,
        }
    }

    /// Records a watcher's event. Returns true if its list does not come as a stream: then a new
    /// watcher is needed, and the event is not passed on.
    pub(super) fn gives_up<K>(&mut self, event: &watcher::Result<Event<K>>) -> bool {
        let next = match (*self, event) {
            (Self::Streamed, Ok(Event::Init)) => Self::StreamedInPart,
            (Self::StreamedInPart, Ok(Event::InitDone)) => Self::Streamed,
            (Self::StreamedInPart, Ok(Event::Init)) => Self::Paged,
            (Self::Streamed | Self::StreamedInPart, Err(error)) if is_refused(error) => Self::Paged,
            (held, _) => held,
        };
        let gives_up = next == Self::Paged && *self != Self::Paged;
        *self = next;
        gives_up
    }
}

fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if matches!(status.code, BAD_REQUEST | INVALID))
}

/// Makes a request for a streamed list ask for the current one. kube asks for one of any age
/// (`resourceVersion=0`), which a server that lags behind may serve from memory: what was created
/// since would be missing there, and an order whose resource is missing is cancelled.
pub(crate) fn consistent<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = consistent_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn consistent_uri(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains("sendInitialEvents=true"))?;
    let pairs: Vec<_> = query.split('&').filter(|pair| *pair != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{}", uri.path(), pairs.join("&")).parse().ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::StatusSummary;

    use super::*;

    type ListingEvent = watcher::Result<Event<()>>;

    fn refused(code: u16) -> ListingEvent {
        let status = Status { code, status: Some(StatusSummary::Failure), ..Status::default() };
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed())))
    }

    /// The watch stays with pages for good.
    #[test]
    fn refused_streams_fall_back_to_pages() {
        let mut listing = Listing::default();
        for complete in [Ok(Event::Init), Ok(Event::InitApply(())), Ok(Event::InitDone)] {
            assert!(!listing.gives_up(&complete));
        }
        assert_eq!(listing, Listing::Streamed);
        for code in [400, 422] {
            let mut listing = Listing::default();
            assert!(listing.gives_up(&refused(code)));
            assert_eq!(listing, Listing::Paged);
            for other in [Ok(Event::Init), Ok(Event::Init), refused(code)] {
                assert!(!listing.gives_up(&other), "nothing else is left to try");
            }
        }
    }

    #[test]
    fn incomplete_streams_fall_back_to_pages() {
        let mut listing = Listing::default();
        assert!(!listing.gives_up::<()>(&Ok(Event::Init)));
        assert!(!listing.gives_up(&Ok(Event::InitApply(()))));
        assert!(listing.gives_up::<()>(&Ok(Event::Init)));
    }

    /// A server that is down or busy, or that refuses everybody, is asked for a stream again.
    #[test]
    fn other_failures_keep_streamed_lists() {
        for code in [401, 403, 410, 429, 500, 503] {
            let mut listing = Listing::default();
            assert!(!listing.gives_up(&refused(code)), "{code}");
        }
    }

    /// All other requests stay as they are.
    #[test]
    fn streamed_lists_are_requested_as_current() {
        let requested = |uri: &str| {
            let request = Request::get(uri).body(()).unwrap();
            consistent(request).uri().to_string()
        };
        let path = "/apis/orderstream.dev/v1alpha1/orderrequests";
        let streamed = "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let of_any_age = format!("{path}{streamed}&resourceVersion=0");
        assert_eq!(requested(&of_any_age), format!("{path}{streamed}"));
        for other in ["", "?limit=100", "?watch=true&resourceVersion=0"] {
            let other = format!("{path}{other}");
            assert_eq!(requested(&other), other);
        }
    }
}
