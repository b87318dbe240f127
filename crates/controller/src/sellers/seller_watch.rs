//! The watch of sellers, the same for those who choose from them and for those who write to them.

use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use orderstream_api::seller::Seller;

use crate::watch::{Listing, OutageProgress, WatchSettings};

/// Sellers that are held at most, in all namespaces.
pub(super) const SELLERS_MAX: usize = 100_000;
/// The settings of the watch.
pub(super) const SETTINGS: WatchSettings =
    WatchSettings { seconds: 60, page: 500, listing: Listing::Paged };

/// A seller, or the fault of one that cannot be read.
pub(super) type GuardedSeller = DeserializeGuard<Seller>;

/// Reports a failure of the watch; an outage is a warning once a minute.
pub(super) fn report_failure(error: &watcher::Error, outage: OutageProgress) {
    if outage.is_reported() {
        tracing::warn!(%error, "the watch of sellers failed; the known ones stay");
    } else {
        tracing::debug!(%error, "the watch of sellers fails still");
    }
}
