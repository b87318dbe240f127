//! A watch that recovers from every failure. One that broke is opened again: soon enough that the
//! cache is current within seconds after the API server is back, and with jitter, so that the
//! replicas do not all reconnect at once. One that is refused waits longer, for people put rights
//! and definitions back. A watch whose version the server has forgotten lists again.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use kube::Api;
use kube::api::Resource;
use kube::runtime::watcher::{self, Config, Event, watcher};
use orderstream_support::Backoff;
use serde::de::DeserializeOwned;

use super::listing::Listing;
use super::outage::is_refused;

/// The HTTP status for a version older than all that the API server retains.
const GONE: u16 = 410;
/// The message about a version that is still to come, after the API server's storage was reset.
const TOO_LARGE: &str = "Too large resource version";

/// The bound of the first back-off.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The bound that no back-off from a server that fails exceeds.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The bound that no back-off from a server that refuses exceeds: the time that a right or a
/// definition that is put back may go unused.
const REFUSED_BACKOFF_MAX: Duration = Duration::from_secs(30);

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
    let state = (listing, None, WatchBackoff::default(), None);
    stream::unfold(state, move |(mut listing, events, mut backoff, wait)| {
        let fresh = fresh.clone();
        async move {
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            let mut events: Events<K> = events.unwrap_or_else(|| fresh(listing));
            let mut event = events.next().await?;
            if listing.gives_up(&event) {
                tracing::info!("the API server does not stream a list; it is read in pages");
                events = fresh(listing);
                event = events.next().await?;
            }
            let is_stuck = event.as_ref().is_err_and(is_version_refused);
            let wait = backoff.wait_after(&event);
            Some((event, (listing, (!is_stuck).then_some(events), backoff, wait)))
        }
    })
}

fn is_version_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if status.code == GONE || status.message.contains(TOO_LARGE))
}

/// The back-off of one watch.
#[derive(Clone, Copy, Debug)]
struct WatchBackoff {
    failed: Backoff,
    refused: Backoff,
}

impl Default for WatchBackoff {
    fn default() -> Self {
        Self {
            failed: Backoff::new(BACKOFF_MIN, BACKOFF_MAX),
            refused: Backoff::new(BACKOFF_MIN, REFUSED_BACKOFF_MAX),
        }
    }
}

impl WatchBackoff {
    /// Returns the wait after an event; `None` after one that is not a failure.
    fn wait_after<K>(&mut self, event: &watcher::Result<Event<K>>) -> Option<Duration> {
        match event {
            Err(error) if is_refused(error) => Some(self.refused.next_long_wait()),
            Err(_) => Some(self.failed.next_long_wait()),
            // The beginning of a list does not prove that the server responds.
            Ok(Event::Init) => None,
            Ok(_) => {
                self.failed.reset();
                self.refused.reset();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    type BackoffEvent = watcher::Result<Event<()>>;

    fn failure(code: u16) -> BackoffEvent {
        let status = Status { code, ..Status::default() };
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
    }

    fn check_waits(code: u16, bounds: &[u64]) {
        let mut backoff = WatchBackoff::default();
        for bound in bounds {
            assert_eq!(backoff.wait_after::<()>(&Ok(Event::Init)), None);
            let bound = Duration::from_millis(*bound);
            let wait = backoff.wait_after(&failure(code)).unwrap();
            assert!((bound / 2..=bound).contains(&wait), "{code}: {wait:?} of {bound:?}");
        }
        assert_eq!(backoff.wait_after::<()>(&Ok(Event::InitDone)), None);
        assert!(backoff.wait_after(&failure(code)).unwrap() <= BACKOFF_MIN);
    }

    /// It grows to two seconds and no further, also where each list begins before it fails.
    #[test]
    fn back_off_grows_until_success() {
        check_waits(503, &[200, 400, 800, 1_600, 2_000, 2_000]);
    }

    #[test]
    fn refused_watches_back_off_to_half_a_minute() {
        for code in [403, 404] {
            check_waits(
                code,
                &[200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000],
            );
        }
    }
}
