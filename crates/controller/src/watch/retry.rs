//! A watch that recovers from every failure. One that broke is opened again: soon enough that the
//! cache is current within seconds after the API server is back, and with jitter, so that the
//! replicas do not all reconnect at once. A watch whose version the server has forgotten lists
//! again.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use kube::Api;
use kube::api::Resource;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, Event, watcher};
use serde::de::DeserializeOwned;

use super::listing::Listing;

/// The HTTP status for a version older than all that the API server retains.
const GONE: u16 = 410;
/// The message about a version that is still to come, after the API server's storage was reset.
const TOO_LARGE: &str = "Too large resource version";

/// The bound of the first back-off.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The bound that no back-off exceeds.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Watches until dropped; never ends by itself. `listing` is the mode of the first list.
///
/// The watcher of kube-runtime lists again when an event in the watch says that its version is
/// gone, but asks for the same version for ever when the request itself is refused so.
pub(crate) fn persistent_watch<K>(
    api: Api<K>,
    config: Config,
    listing: Listing,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    type Events<K> = BoxStream<'static, watcher::Result<Event<K>>>;
    let fresh = move |how: Listing| watcher(api.clone(), how.config(config.clone())).boxed();
    let events = stream::unfold((listing, None), move |(mut listing, events)| {
        let fresh = fresh.clone();
        async move {
            let mut events: Events<K> = events.unwrap_or_else(|| fresh(listing));
            let mut event = events.next().await?;
            if listing.gives_up(&event) {
                tracing::info!("the API server does not stream a list; it is read in pages");
                events = fresh(listing);
                event = events.next().await?;
            }
            let is_stuck = event.as_ref().is_err_and(is_version_refused);
            Some((event, (listing, (!is_stuck).then_some(events))))
        }
    });
    events.backoff(WatchBackoff::default())
}

fn is_version_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if status.code == GONE || status.message.contains(TOO_LARGE))
}

/// The back-off of one watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchBackoff(orderstream_support::Backoff);

impl Default for WatchBackoff {
    fn default() -> Self {
        Self(orderstream_support::Backoff::new(BACKOFF_MIN, BACKOFF_MAX))
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.next_long_wait())
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It grows to two seconds and no further.
    #[test]
    fn back_off_grows_until_success() {
        let mut backoff = WatchBackoff::default();
        for bound in [200, 400, 800, 1_600, 2_000, 2_000] {
            let (bound, wait) = (Duration::from_millis(bound), backoff.next().unwrap());
            assert!((bound / 2..=bound).contains(&wait), "{wait:?} of {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next().unwrap() <= BACKOFF_MIN);
        assert!(backoff.next().unwrap() <= BACKOFF_MAX);
    }
}
