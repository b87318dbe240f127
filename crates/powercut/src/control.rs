//! Faults that the recorder makes where the process asks the disk for something.

/// Which operations a fault is for.
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

/// What becomes of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The disk does not work (EIO). A sync that fails drops what it could not write.
    Broken,
    /// There is no room (ENOSPC). The first write takes half of its bytes.
    Full,
    /// The process is killed before the operation.
    Killed,
}

/// Lets operations of a process fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// Which operations.
    pub on: Operation,
    /// How many of them go well first.
    pub skip: u32,
    /// How many fail then; the disk is well again after them.
    pub times: u32,
    /// How they fail.
    pub outcome: Outcome,
    /// Only for paths that have this text in them, at most 99 bytes; for all when it is empty.
    pub place: &'a str,
}

/// Bytes of the control file.
pub(crate) const BYTES: usize = 128;
/// Where the number of operations that failed stands.
pub(crate) const HITS: u64 = 20;
/// Bytes of the place, a zero at its end.
const PLACE: usize = 100;

/// What stands in the control file: the layout is that of recorder.c.
pub(crate) fn bytes(fault: Option<&Fault<'_>>, sync_us: u32) -> Vec<u8> {
    const EIO: u32 = 5;
    const ENOSPC: u32 = 28;
    const KILL: u32 = u32::MAX;
    let mut words = [0; 7];
    if let Some(fault) = fault {
        let on = match fault.on {
            Operation::Write => 1,
            Operation::Sync => 2,
            Operation::Name => 4,
            Operation::Any => 7,
        };
        let (error, drops) = match fault.outcome {
            Outcome::Broken => (EIO, 1),
            Outcome::Full => (ENOSPC, 1),
            Outcome::Killed => (KILL, 0),
        };
        words = [on, fault.skip, fault.times, error, drops, 0, 0];
    }
    words[6] = sync_us;
    let mut bytes = words.map(u32::to_le_bytes).concat();
    let place = fault.map_or("", |fault| fault.place).as_bytes();
    bytes.extend(place.iter().take(PLACE - 1));
    bytes.resize(BYTES, 0);
    bytes
}
