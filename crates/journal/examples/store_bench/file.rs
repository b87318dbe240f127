//! The baseline: a file that is only appended to and synced. It supports replay but no look-ups.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use orderstream_journal::engine::{
    Engine, EngineError, EntryVisitor, OpenReason, StoreLocation, WriteOp,
};
use parking_lot::Mutex;

/// A file of length-prefixed keys and values.
#[derive(Debug)]
pub(crate) struct FileLocation {
    path: PathBuf,
}

impl FileLocation {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl StoreLocation for FileLocation {
    fn open(&self, _: OpenReason) -> Result<Box<dyn Engine>, EngineError> {
        let file = File::options().create(true).append(true).open(&self.path)?;
        Ok(Box::new(LogFile { path: self.path.clone(), file: Mutex::new(file) }))
    }

    fn probe(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl Engine for LogFile {
    fn commit(&self, ops: Vec<WriteOp>) -> Result<(), EngineError> {
        let mut bytes = Vec::new();
        for op in ops {
            let WriteOp::Put(key, value) = op else { continue };
            for part in [key, value] {
                bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
                bytes.extend_from_slice(&part);
            }
        }
        let mut file = self.file.lock();
        file.write_all(&bytes)?;
        Ok(file.sync_data()?)
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut EntryVisitor<'_>,
    ) -> Result<(), EngineError> {
        let bytes = fs::read(&self.path)?;
        let mut rest = &bytes[..];
        let mut pairs = Vec::new();
        while !rest.is_empty() {
            let (Some(key), Some(value)) = (part(&mut rest), part(&mut rest)) else { break };
            if (from..to).contains(&key) {
                pairs.push((key, value));
            }
        }
        pairs.sort_unstable();
        for (key, value) in pairs {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_key(&self, _: &[u8], _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Err(EngineError::Failed("the yardstick cannot look up".to_owned()))
    }
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    *rest = after;
    Some(part)
}
