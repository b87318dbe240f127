//! The progress of work that takes longer than a second: one line on standard error, where that is a
//! terminal. The line is removed when the work is done.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::display::displayed;

/// The time without a line.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// The interval between two pictures of the mark that turns.
const TICK: Duration = Duration::from_millis(120);
/// The line: a mark that turns, the elapsed time, and the text, cut at the terminal's width.
const TEMPLATE: &str = "{spinner} {elapsed} {wide_msg}";

/// The line of one piece of work.
pub(crate) struct Progress(ProgressBar);

/// A visible line, which is removed when this is dropped, also where the work is abandoned.
struct VisibleLine<'a>(&'a ProgressBar);

impl Progress {
    /// Makes the line with its first text; it is not visible yet.
    pub(crate) fn new(text: &str) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let progress = Self(bar);
        progress.set(text);
        progress
    }

    /// Replaces the text.
    pub(crate) fn set(&self, text: &str) {
        self.0.set_message(displayed(text));
    }

    /// Awaits the work. The line is visible from the second second to the end.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        // On the heap, so that the future of the caller does not grow by it.
        let mut work = Box::pin(work);
        if let Ok(done) = tokio::time::timeout(SHOWN_AFTER, work.as_mut()).await {
            return done;
        }
        let _line = VisibleLine::show(&self.0);
        work.await
    }
}

impl<'a> VisibleLine<'a> {
    fn show(bar: &'a ProgressBar) -> Self {
        // It stays hidden where standard error is not a terminal.
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }
}

impl Drop for VisibleLine<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_beside_its_line() {
        let progress = Progress::new("award of\norder chairs");
        assert_eq!(progress.0.message(), "award of order chairs");
        assert_eq!(progress.during(async { 7 }).await, 7);
        progress.set("it is Open");
        assert_eq!(progress.0.message(), "it is Open");
        assert!(progress.0.is_hidden() && !progress.0.is_finished());
    }

    #[test]
    fn a_removed_line_is_finished() {
        let progress = Progress::new("waiting");
        drop(VisibleLine(&progress.0));
        assert!(progress.0.is_finished());
    }
}
