//! The watch of order requests into memory: the cache of what was observed and last applied, compressed
//! while nothing happens to it. Also what every
//! watch here needs: the loop from one list to the next, and ways through outages and to the first
//! list.

mod cache;
mod change_notifiers;
mod compressed;
mod follow;
mod guarded_request;
mod last_applied;
mod listing;
mod outage;
mod ownership;
mod phase_gauges;
mod request_snapshot;
mod retry;
mod scope_watches;
mod watcher;

pub use self::cache::Cache;
pub(crate) use self::cache::{CacheChange, CachedRequest, DeletedRequest};
pub(crate) use self::follow::{
    CompleteList, ResourceChange, ResourceStore, UnreadableVersions, WatchSettings, follow,
};
#[cfg(test)]
pub(crate) use self::guarded_request::ObservedRequest;
pub(crate) use self::last_applied::{AppliedStatus, is_applied};
pub(crate) use self::listing::{Listing, consistent};
pub(crate) use self::outage::{OutageProgress, OutageReports};
pub(crate) use self::ownership::FIELD_MANAGER;
pub(crate) use self::phase_gauges::PhaseGauges;
pub(crate) use self::request_snapshot::{AppliedWrite, RequestSnapshot, snapshot};
pub(crate) use self::retry::persistent_watch;
pub(crate) use self::watcher::{WatchParts, WatchSink, run};
