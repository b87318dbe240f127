//! A power cut without cutting power: real processes run on a recorded disk, and each moment of the
//! record is turned into a folder as a disk might hold it after the power went.
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
//! One run gives as many cuts as wanted, after the fact. Process and test write into one trace, in
//! one order: what was acknowledged before the cut is what is noted before it, whatever the clocks
//! say.
//!
//! # The disk that is modelled
//! What a file held at its last sync is there. Of what came after, each page of 4 KiB may hold any of
//! its contents since then, or a mixture of two of them in sectors of 512 bytes, and the file may have
//! any of its lengths since then; pages that were never written read as zeros. A name that was made,
//! moved or removed is on disk when its folder was synced; syncing the file is not enough. Of other
//! changes of names any may be there and any may not, each of them whole. This is what POSIX lets a
//! file system do, and is more than ext4 or XFS do today: they keep the order of names, and a file's
//! sync brings the names that came before.
//!
//! A sync that failed may have dropped what it could not write: a later sync of the file brings back
//! only pages that are written again.
//!
//! # Limits
//! The recorder runs on Linux on `x86_64`, where `cc` is; elsewhere [`Recorder::new`] says so. The
//! recorded process must not start others.

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

pub use control::{Fault, Operation, Outcome};
pub use cut::{Cut, Image};
pub use disk::Disk;
pub use recorder::{Notes, Recorder, is_supported};
pub use scratch::scratch;
pub use trace::{Change, Record, Trace, TraceError};
