//! Faults that the recorder injects into the process's disk operations.

/// The operations that a fault affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writing, and changing a file's length.
    Write,
    /// Syncing a file or a folder.
    Sync,
    /// Creating, renaming or removing a file or a folder.
    Name,
    /// Any of them.
    Any,
}

/// The effect of a fault on an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEffect {
    /// An I/O error (EIO). A sync that fails drops the pages that it could not write.
    IoError,
    /// The disk is full (ENOSPC). The first write writes half of its bytes.
    Full,
    /// The process is killed before the operation.
    Killed,
}

/// A fault that is injected into some of a process's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallFault<'a> {
    /// The operations that fail.
    pub operation: Operation,
    /// The number of operations that succeed first.
    pub skip: u32,
    /// The number of operations that then fail; later ones succeed again.
    pub times: u32,
    /// The effect on the operations that fail.
    pub effect: FaultEffect,
    /// A substring of the affected paths, at most 99 bytes; empty for all paths.
    pub path_filter: &'a str,
}

/// The length of the control file, bytes.
pub(crate) const BYTES: usize = 128;
/// The offset of the number of operations that failed.
pub(crate) const HITS: u64 = 20;
/// The length of the path filter, bytes, with its terminating zero.
const PATH_FILTER_BYTES: usize = 100;

/// Returns the content of the control file, in the layout of recorder.c.
pub(crate) fn bytes(fault: Option<&SyscallFault<'_>>, sync_us: u32) -> Vec<u8> {
    const EIO: u32 = 5;
    const ENOSPC: u32 = 28;
    const KILL: u32 = u32::MAX;
    let mut words = [0; 7];
    if let Some(fault) = fault {
        let mask = match fault.operation {
            Operation::Write => 1,
            Operation::Sync => 2,
            Operation::Name => 4,
            Operation::Any => 7,
        };
        let (error, drops) = match fault.effect {
            FaultEffect::IoError => (EIO, 1),
            FaultEffect::Full => (ENOSPC, 1),
            FaultEffect::Killed => (KILL, 0),
        };
        words = [mask, fault.skip, fault.times, error, drops, 0, 0];
    }
    words[6] = sync_us;
    let mut bytes = words.map(u32::to_le_bytes).concat();
    let filter = fault.map_or("", |fault| fault.path_filter).as_bytes();
    bytes.extend(filter.iter().take(PATH_FILTER_BYTES - 1));
    bytes.resize(BYTES, 0);
    bytes
}
