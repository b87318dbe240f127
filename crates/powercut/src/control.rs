//! Faults that the recorder injects into the process's disk operations.

/// The operations that a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writing, and changing a file's length.
    Write,
    /// Syncing a file or a folder.
    Sync,
    /// Making, moving or removing a file or a folder.
    Name,
    /// Any of them.
    Any,
}

/// The effect of a fault on an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEffect {
    /// The disk does not work (EIO). A sync that fails drops what it could not write.
    IoError,
    /// There is no room (ENOSPC). The first write takes half of its bytes.
    Full,
    /// The process is killed before the operation.
    Killed,
}

/// A fault of some of a process's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallFault<'a> {
    /// The operations that fail.
    pub operation: Operation,
    /// The number of them that succeed first.
    pub skip: u32,
    /// The number that fail then; later ones succeed again.
    pub times: u32,
    /// The effect on them.
    pub effect: FaultEffect,
    /// A text in the paths that fail, at most 99 bytes; empty for all paths.
    pub path_filter: &'a str,
}

/// The length of the control file, bytes.
pub(crate) const BYTES: usize = 128;
/// The offset of the number of operations that failed.
pub(crate) const HITS: u64 = 20;
/// The length of the place, bytes, with a zero at its end.
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
