//! The reports of a watch's outages: one that lasts for hours is a line a minute in the log.

use std::time::Duration;

use kube::runtime::watcher;
use tokio::time::Instant;

/// The HTTP status for a right that is missing.
const FORBIDDEN: u16 = 403;
/// The HTTP status for a definition that is missing.
const NOT_FOUND: u16 = 404;
/// The time between two reports of one outage.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Reports whether the API server refuses a watch: a right or a definition is missing, and only
/// people put it back.
pub(super) fn is_refused(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status)
            if matches!(status.code, FORBIDDEN | NOT_FOUND)
    )
}

/// The place of a failure in an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutageProgress {
    /// It is the first one: of an outage, of refusals, or of failures after refusals.
    Begins,
    /// The last report is a minute old.
    Lasts,
    /// It was reported within the last minute.
    Continues,
}

impl OutageProgress {
    /// Reports whether the failure is a warning in the log.
    pub(crate) const fn is_reported(self) -> bool {
        matches!(self, Self::Begins | Self::Lasts)
    }
}

/// The last report of a watch's outage; none while the watch works.
#[derive(Debug, Default)]
pub(crate) struct OutageReports(Option<OutageReport>);

#[derive(Clone, Copy, Debug)]
struct OutageReport {
    is_refusal: bool,
    at: Instant,
}

impl OutageReports {
    /// Records a failure, and returns its place in the outage.
    pub(crate) fn record_failure(
        &mut self,
        error: &watcher::Error,
        now: Instant,
    ) -> OutageProgress {
        let is_refusal = is_refused(error);
        let progress = match self.0 {
            Some(last) if last.is_refusal != is_refusal => OutageProgress::Begins,
            Some(last) if now.saturating_duration_since(last.at) >= REPORT_INTERVAL => {
                OutageProgress::Lasts
            }
            Some(_) => OutageProgress::Continues,
            None => OutageProgress::Begins,
        };
        if progress.is_reported() {
            self.0 = Some(OutageReport { is_refusal, at: now });
        }
        progress
    }

    /// Records an event of the watch. The beginning of a list does not prove that the server
    /// responds.
    pub(crate) fn record_event<K>(&mut self, event: &watcher::Event<K>) {
        if !matches!(event, watcher::Event::Init) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::runtime::watcher::Event;

    use super::*;

    fn failure(code: u16) -> watcher::Error {
        let status = Status { code, ..Status::default() };
        watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn only_missing_rights_and_definitions_are_refusals() {
        for (code, expected) in [(403, true), (404, true), (401, false), (410, false), (503, false)]
        {
            let api_error = || kube::Error::Api(Status { code, ..Status::default() }.boxed());
            let status = Status { code, ..Status::default() };
            for error in [
                watcher::Error::InitialListFailed(api_error()),
                watcher::Error::WatchStartFailed(api_error()),
                watcher::Error::WatchFailed(api_error()),
                watcher::Error::WatchError(status.boxed()),
            ] {
                assert_eq!(is_refused(&error), expected, "{error}");
            }
        }
        assert!(!is_refused(&watcher::Error::NoResourceVersion));
    }

    #[test]
    fn outages_are_reported_once_a_minute() {
        let (mut reports, began) = (OutageReports::default(), Instant::now());
        for (seconds, code, expected) in [
            (0, 503, OutageProgress::Begins),
            (1, 500, OutageProgress::Continues),
            (59, 503, OutageProgress::Continues),
            (60, 503, OutageProgress::Lasts),
            (61, 403, OutageProgress::Begins),
            (62, 404, OutageProgress::Continues),
            (63, 503, OutageProgress::Begins),
            (122, 503, OutageProgress::Continues),
            (123, 503, OutageProgress::Lasts),
        ] {
            let now = began + Duration::from_secs(seconds);
            assert_eq!(reports.record_failure(&failure(code), now), expected, "{seconds} s");
        }
    }

    /// Where lists come in pages, each one begins before the server is asked.
    #[test]
    fn the_beginning_of_a_list_ends_no_outage() {
        let (mut reports, now) = (OutageReports::default(), Instant::now());
        let fail = |reports: &mut OutageReports| reports.record_failure(&failure(403), now);
        assert_eq!(fail(&mut reports), OutageProgress::Begins);
        reports.record_event(&Event::<()>::Init);
        assert_eq!(fail(&mut reports), OutageProgress::Continues);
        reports.record_event(&Event::<()>::InitDone);
        assert_eq!(fail(&mut reports), OutageProgress::Begins);
    }
}
