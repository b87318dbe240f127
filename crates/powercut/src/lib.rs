//! Simulated power cuts: real processes run on a recorded disk, and each point of the recording can
//! be turned into the folder that a disk might hold after a power cut at that point.
//!
//! ```text
//!  process ── every write, sync, rename ──► trace ◄── notes ("sent 7", "acknowledged 7") ── test
//!                                             │
//!                  Disk: synced and unsynced changes ◄── replayed up to the cut
//!                                             │ a seed draws which unsynced changes survive
//!                                             ▼
//!                            a folder ──► the process starts on it ──► the test checks it
//! ```
//!
//! One run yields any number of cuts afterwards. The process and the test write to one trace, in
//! one order: a note before the cut was written before the cut, whatever the clocks say.
//!
//! # The disk model
//! The content of a file at its last sync is on disk. Each page of 4 KiB that was changed since may
//! hold any of its contents since then, or a mixture of two of them in sectors of 512 bytes, and
//! the file may have any of its lengths since then; pages that were never written read as zeros.
//! The creation, renaming or removal of a name is on disk once its folder has been synced; a sync
//! of the file is not enough. Any other change of names may or may not be on disk, but never in
//! part. POSIX permits this, and it is harsher than ext4 or XFS today: these keep the order of
//! names, and a file's sync also syncs earlier names.
//!
//! A failed sync may drop the pages that it could not write: a later sync of the file writes
//! only pages that were written again.
//!
//! # Limits
//! The recorder runs on Linux on `x86_64`, where `cc` is installed; elsewhere [`DiskRecorder::new`]
//! returns an error. The recorded process must not start other processes.

mod control;
mod cut;
mod disk;
mod file;
mod names;
mod recorder;
mod scratch;
#[cfg(test)]
mod tests;
mod trace;

pub use control::{FaultEffect, Operation, SyscallFault};
pub use cut::{DiskImage, PowerCut};
pub use disk::RecordedDisk;
pub use recorder::{DiskRecorder, Notes, is_supported};
pub use scratch::scratch;
pub use trace::{DiskChange, Trace, TraceError, TraceRecord};
