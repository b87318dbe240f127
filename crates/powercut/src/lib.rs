//! Power cuts by simulation: real processes run on a recorded disk, and each moment of the record
//! can be turned into a folder as a disk might hold it after a power cut.
//!
//! ```text
//!  process ── every write, sync, rename ──► trace ◄── notes ("sent 7", "acknowledged 7") ── test
//!                                             │
//!                  Disk: what was synced, and what was not ◄── replayed up to the cut
//!                                             │ a seed draws what of the rest had reached the disk
//!                                             ▼
//!                            a folder ──► the process starts on it ──► the test judges
//! ```
//!
//! One run gives any number of cuts, after the fact. Process and test write into one trace, in
//! one order: a note before the cut was acknowledged before the cut, whatever the clocks say.
//!
//! # The disk that is modelled
//! The content of a file at its last sync is there. After that, each page of 4 KiB may hold any
//! of its contents since then, or a mixture of two of them in sectors of 512 bytes, and the
//! file may have any of its lengths since then; pages that were never written read as zeros. A
//! name that was made, moved or removed is on disk once its folder was synced; a sync of the
//! file is not enough. Any other changes of names may be on disk or not, each of them as a
//! whole. POSIX allows a file system this, and it is more than ext4 or XFS do today: they keep
//! the order of names, and a file's sync also syncs earlier names.
//!
//! A failed sync may drop the pages that it could not write: a later sync of the file writes
//! only pages that were written again.
//!
//! # Limits
//! The recorder runs on Linux on `x86_64`, where `cc` is installed; elsewhere [`DiskRecorder::new`]
//! returns an error. The recorded process must not start others.

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
