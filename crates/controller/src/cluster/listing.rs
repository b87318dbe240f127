//! How a watch learns what is there before it shows what changes: the server streams it as the watch's
//! first events, or, where it cannot, gives it in pages.
//!
//! ```text
//!            began                    complete
//!   Streamed ─────▶ StreamedInPart ─────────────▶ Streamed
//!      │ refused          │ began anew: it ended before it was complete
//!      └────────▶ Paged ◀─┘
//! ```
//!
//! Ten thousand order requests are there in half the time of pages: the server writes while this
//! process reads, and neither holds more than one of them.

use http::{Request, Uri};
use kube::runtime::watcher::{self, Config, Event};

/// What a server says to a request that it does not understand.
const BAD_REQUEST: u16 = 400;
/// What it says of options that it does not take, as without the feature gate `WatchList`.
const INVALID: u16 = 422;

/// How the first list of a watch is asked for, and how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listing {
    /// As first events.
    #[default]
    Streamed,
    /// These come just now.
    StreamedInPart,
    /// In pages, from now on.
    Paged,
}

impl Listing {
    /// What a watcher is to be told.
    pub(super) fn config(self, config: Config) -> Config {
        match self {
            Self::Streamed | Self::StreamedInPart => config.streaming_lists(),
            Self::Paged => config,
        }
    }

    /// Notes what a watcher says. Gives true where its list does not come as a stream: then a new
    /// watcher is needed, and this is not for anybody else.
    pub(super) fn gives_up<K>(&mut self, said: &watcher::Result<Event<K>>) -> bool {
        let next = match (*self, said) {
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

/// Asks for a streamed list as it is now. kube asks for one of any age (`resourceVersion=0`), which a
/// server that lags behind may answer from its memory: what was made since would be missing there, and
/// an order whose resource is missing is cancelled.
pub(super) fn consistent<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = consistent_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn consistent_uri(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains("sendInitialEvents=true"))?;
    let kept: Vec<_> = query.split('&').filter(|pair| *pair != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{}", uri.path(), kept.join("&")).parse().ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::StatusSummary;

    use super::*;

    type Said = watcher::Result<Event<()>>;

    fn refused(code: u16) -> Said {
        let status = Status { code, status: Some(StatusSummary::Failure), ..Status::default() };
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed())))
    }

    #[test]
    fn a_list_is_read_in_pages_for_good_where_the_server_does_not_stream_it() {
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
    fn a_stream_that_ends_before_the_list_is_complete_is_given_up() {
        let mut listing = Listing::default();
        assert!(!listing.gives_up::<()>(&Ok(Event::Init)));
        assert!(!listing.gives_up(&Ok(Event::InitApply(()))));
        assert!(listing.gives_up::<()>(&Ok(Event::Init)));
    }

    #[test]
    fn a_server_that_is_down_or_busy_or_refuses_everybody_is_asked_for_a_stream_again() {
        for code in [401, 403, 410, 429, 500, 503] {
            let mut listing = Listing::default();
            assert!(!listing.gives_up(&refused(code)), "{code}");
        }
    }

    #[test]
    fn a_streamed_list_is_asked_for_as_it_is_now_and_nothing_else_is_changed() {
        let asked = |uri: &str| {
            let request = Request::get(uri).body(()).unwrap();
            consistent(request).uri().to_string()
        };
        let path = "/apis/orderstream.dev/v1alpha1/orderrequests";
        let streamed = "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let of_any_age = format!("{path}{streamed}&resourceVersion=0");
        assert_eq!(asked(&of_any_age), format!("{path}{streamed}"));
        for other in ["", "?limit=100", "?watch=true&resourceVersion=0"] {
            let other = format!("{path}{other}");
            assert_eq!(asked(&other), other);
        }
    }
}
