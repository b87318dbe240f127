//! Power cuts of the whole product: buyers, sellers and a server for notifications, a recorded
//! process with its journal, its order store and its outbox, and power cuts at drawn moments. The
//! process that starts on the disk's content has everything that was acknowledged before, under the
//! same sequence numbers and with the same content, and nothing that was not requested.

mod bed;
mod faults;
mod history;
mod judge;
mod load;

use std::path::Path;

use fastrand::Rng;
use orderstream_powercut::{DiskRecorder, PowerCut, RecordedDisk, Trace, scratch};

use self::bed::Bed;
use self::history::{History, draw_index};

/// The variable with the number of cuts.
const CUTS_VARIABLE: &str = "POWERCUT_CUTS";
/// The variable with the first seed.
const SEED_VARIABLE: &str = "POWERCUT_SEED";
/// The duration of a sync, microseconds, so that appends are grouped.
const SYNC_US: u32 = 300;

/// Returns a number that the environment may set.
fn setting(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Reports whether this machine can record processes; prints it when it cannot.
fn is_supported() -> bool {
    let is_supported = orderstream_powercut::is_supported();
    if !is_supported {
        println!("skipped: processes cannot be recorded on this machine");
    }
    is_supported
}

/// Describes a cut, with the records around it and the command that repeats it.
fn describe_cut(trace: &Trace, index: usize, cut: PowerCut, seed: u64) -> String {
    let around = trace.records.iter().enumerate().skip(index.saturating_sub(3)).take(5);
    let around: String = around.map(|(index, record)| format!("\n  {index}: {record:?}")).collect();
    format!(
        "power cut at record {index}, drawn with {}; again: {SEED_VARIABLE}={seed} {CUTS_VARIABLE}=1 \
         cargo test -p orderstream --test main powercut{around}",
        cut.seed
    )
}

/// Records a folder from its start, when it is empty or as a cut left it.
fn new_recorder(folder: &Path) -> (RecordedDisk, DiskRecorder) {
    let recorder = DiskRecorder::new(folder).unwrap().with_sync_us(SYNC_US);
    (RecordedDisk::synced(folder).unwrap(), recorder)
}

#[test]
fn power_cuts_lose_nothing_acknowledged() {
    if !is_supported() {
        return;
    }
    let (folder, bed) = (scratch().unwrap(), Bed::new());
    let (start, recorder) = new_recorder(folder.path());
    bed.sink.listen(Some(&recorder));
    let dev = bed.start(recorder.folder(), recorder.variables().unwrap());
    load::run(&dev, &recorder, &bed.sink);
    drop(dev);
    bed.sink.listen(None);
    let trace = recorder.trace().unwrap();
    let first = setting(SEED_VARIABLE, 1);
    for seed in first..first + setting(CUTS_VARIABLE, 40) {
        let mut rng = Rng::with_seed(seed);
        let index = draw_index(&trace, &mut rng);
        let drawn =
            if rng.u8(..3) == 0 { PowerCut::WORST } else { PowerCut { seed: rng.u64(1..) } };
        let mut disk = start.clone();
        disk.replay(&trace, 0, index);
        let folder = scratch().unwrap();
        disk.after_cut(drawn).write(folder.path()).unwrap();
        let history = History::before(&trace, index);
        let description = describe_cut(&trace, index, drawn, seed);
        if seed % 5 == 0 {
            cut_again(&bed, folder.path(), &mut rng, &history, &description);
        } else {
            judge::judge(&bed, folder.path(), &history, &description);
        }
    }
}

/// Starts on the disk of a first cut, cuts the power during that start, and checks the next start.
fn cut_again(bed: &Bed, folder: &Path, rng: &mut Rng, history: &History, description: &str) {
    let (start, recorder) = new_recorder(folder);
    bed.sink.listen(Some(&recorder));
    drop(bed.start(recorder.folder(), recorder.variables().unwrap()));
    bed.sink.listen(None);
    let trace = recorder.trace().unwrap();
    let mut disk = start;
    let index = rng.usize(..=trace.records.len());
    disk.replay(&trace, 0, index);
    let folder = scratch().unwrap();
    disk.after_cut(PowerCut { seed: rng.u64(1..) }).write(folder.path()).unwrap();
    let mut history = history.clone();
    history.notified.extend(History::before(&trace, index).notified);
    judge::judge(bed, folder.path(), &history, &format!("{description}\nand again at {index}"));
}
