//! A journal's metrics, read on each scrape: the journal itself has no metrics.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use orderstream_journal::{Embedded, SYNC_BOUNDS, Stats};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts};

const SYNC: &str = "orderstream_journal_sync_seconds";
const SYNC_HELP: &str = "Time of one write and sync, which acknowledges all that waited for it.";

/// A collector of a journal's counters and of its file system's space.
pub(crate) struct JournalCollector {
    journal: Option<Embedded>,
    dir: PathBuf,
    sync: Desc,
    records: IntCounter,
    failed: IntCounter,
    refused: IntCounter,
    waiting: IntGauge,
    disk: IntGaugeVec,
    read_only: IntGauge,
    damaged: IntGaugeVec,
}

impl JournalCollector {
    /// Creates the collector of a journal in this folder.
    pub(crate) fn of(journal: Embedded, dir: &Path) -> Result<Self, prometheus::Error> {
        Self::new(Some(journal), dir)
    }

    /// Creates a collector without a journal: all values are 0, except those of the disk.
    pub(crate) fn of_none() -> Result<Self, prometheus::Error> {
        Self::new(None, Path::new("/"))
    }

    fn new(journal: Option<Embedded>, dir: &Path) -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str| IntCounter::new(format!("orderstream_journal_{name}"), help);
        Ok(Self {
            journal,
            dir: dir.to_path_buf(),
            sync: Desc::new(SYNC.to_owned(), SYNC_HELP.to_owned(), vec![], [].into())?,
            records: counter("records_total", "Records made durable since the start.")?,
            failed: counter(
                "append_failures_total",
                "Appends that the disk did not accept; their callers got an error.",
            )?,
            refused: counter(
                "appends_refused_total",
                "Appends refused because the queue was full or the store was closed.",
            )?,
            waiting: IntGauge::new(
                "orderstream_journal_waiting",
                "Appends in the queue for the next write.",
            )?,
            disk: IntGaugeVec::new(
                Opts::new(
                    "orderstream_journal_disk_bytes",
                    "Bytes of the file system that holds the journal, in total and free.",
                ),
                &["state"],
            )?,
            read_only: IntGauge::new(
                "orderstream_journal_read_only",
                "1 while the journal is damaged so that what is whole is read and nothing is taken.",
            )?,
            damaged: IntGaugeVec::new(
                Opts::new(
                    "orderstream_journal_damaged",
                    "What was found damaged when the journal was opened: files, lists that are \
                     refused, records that were acknowledged and are missing.",
                ),
                &["kind"],
            )?,
        })
    }

    fn read_damage(&self) {
        let counts = self.journal.as_ref().map(Embedded::damage_counts).unwrap_or_default();
        self.read_only.set(i64::from(counts.is_read_only));
        let kinds =
            [("file", counts.files), ("list", counts.lists), ("record", counts.missing_records)];
        for (kind, count) in kinds {
            self.damaged.with_label_values(&[kind]).set(signed(count));
        }
    }

    const fn others(&self) -> [&dyn Collector; 7] {
        [
            &self.records,
            &self.failed,
            &self.refused,
            &self.waiting,
            &self.disk,
            &self.read_only,
            &self.damaged,
        ]
    }

    fn read(&self, stats: &Stats) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // A concurrent scrape finds the same totals, or newer ones.
        let rise = |counter: &IntCounter, total: u64| {
            counter.inc_by(total.saturating_sub(counter.get()));
        };
        rise(&self.records, get(&stats.records));
        rise(&self.failed, get(&stats.failed_appends));
        rise(&self.refused, get(&stats.refused_appends));
        self.waiting.set(signed(get(&stats.queue_len)));
        if let Ok(disk) = rustix::fs::statvfs(&self.dir) {
            let bytes = |blocks: u64| signed(blocks.saturating_mul(disk.f_frsize));
            self.disk.with_label_values(&["total"]).set(bytes(disk.f_blocks));
            self.disk.with_label_values(&["free"]).set(bytes(disk.f_bavail));
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the histogram of syncs, from the journal's own buckets.
fn syncs(stats: &Stats) -> MetricFamily {
    let mut cumulative = 0_u64;
    let counts = stats.sync_buckets.iter().map(|count| count.load(Ordering::Relaxed));
    let mut histogram = Histogram::default();
    let mut buckets = Vec::new();
    for (index, count) in counts.enumerate() {
        cumulative = cumulative.saturating_add(count);
        if let Some(bound) = SYNC_BOUNDS.get(index) {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(cumulative);
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let seconds = stats.sync_nanos_total.load(Ordering::Relaxed) as f64 / 1e9;
    histogram.set_sample_sum(seconds);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    let mut family = MetricFamily::default();
    family.set_name(SYNC.to_owned());
    family.set_help(SYNC_HELP.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(vec![metric]);
    family
}

impl Collector for JournalCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.others().into_iter().flat_map(Collector::desc).chain([&self.sync]).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let none = Stats::default();
        let stats = self.journal.as_ref().map_or(&none, Embedded::stats);
        self.read(stats);
        self.read_damage();
        self.others().into_iter().flat_map(Collector::collect).chain([syncs(stats)]).collect()
    }
}
