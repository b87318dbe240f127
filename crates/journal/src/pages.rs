//! Reads partly unreadable files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::damage::FileDamage;
use crate::limits;

/// The kernel's errors for an existing file that cannot be read: EIO, EISDIR, ENODATA, EBADMSG,
/// EUCLEAN and EREMOTEIO.
const DISK_ERRNOS: [i32; 6] = [5, 21, 61, 74, 117, 121];

/// The readable pages of a file.
#[derive(Debug, Default)]
pub(crate) struct ReadablePages {
    /// The bytes of the file, with zeros for the pages that cannot be read.
    pub(crate) bytes: Vec<u8>,
    /// The first page that cannot be read; absent if all can be read.
    pub(crate) damage: Option<FileDamage>,
}

/// Reads a file in one piece, or page by page if a part of it cannot be read.
///
/// # Errors
/// When it is missing, or cannot be read for another reason.
pub(crate) fn read(path: &Path) -> io::Result<ReadablePages> {
    let error = match fs::read(path) {
        Ok(bytes) => return Ok(ReadablePages { bytes, damage: None }),
        Err(error) => error,
    };
    if !error.raw_os_error().is_some_and(|code| DISK_ERRNOS.contains(&code)) {
        return Err(error);
    }
    // A folder, or a file that cannot be opened, has no readable page.
    let file = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let file = file.ok().filter(|(about, _)| about.is_file());
    let (bytes, unreadable) = match file {
        Some((about, file)) => {
            read_by_page(about.len(), error, |page, at| file.read_exact_at(page, at))
        }
        None => (Vec::new(), Some((0, error))),
    };
    let damage = unreadable.map(|(at, error)| {
        let what = format!("it cannot be read: {error}");
        FileDamage { file: path.to_owned(), offset: Some(at), reason: what }
    });
    Ok(ReadablePages { bytes, damage })
}

/// Copies a file, with zeros for the pages that cannot be read.
///
/// # Errors
/// As [`read`], and when the copy cannot be written.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to).map(drop).or_else(|_| fs::write(to, read(from)?.bytes))
}

/// Reads a file of this length page by page, after it could not be read in one piece; returns its
/// bytes, and the offset of the first page that cannot be read. A file without a length has none
/// that can.
fn read_by_page(
    len: u64,
    error: io::Error,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> (Vec<u8>, Option<(u64, io::Error)>) {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let (mut at, mut unreadable) = (0, (len == 0).then_some((0, error)));
    for page in bytes.chunks_mut(limits::PAGE_BYTES) {
        if let Err(error) = read(page, at) {
            page.fill(0);
            unreadable = unreadable.or(Some((at, error)));
        }
        at += page.len() as u64;
    }
    (bytes, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of ones, some of whose pages cannot be read.
    fn read_without(pages: &[u64], len: u64) -> (Vec<u8>, Option<u64>) {
        let error = || io::Error::from_raw_os_error(5);
        let (bytes, unreadable) = read_by_page(len, error(), |page, at| {
            page.fill(1);
            if pages.contains(&(at / limits::PAGE_BYTES as u64)) {
                return Err(error());
            }
            Ok(())
        });
        (bytes, unreadable.map(|(at, _)| at))
    }

    /// The readable pages keep their content.
    #[test]
    fn unreadable_pages_are_zeros() {
        let page = limits::PAGE_BYTES;
        let len = 3 * page + 10;
        for (broken, from, to) in [(0, 0, page), (1, page, 2 * page), (3, 3 * page, len)] {
            let (bytes, at) = read_without(&[broken], len as u64);
            let mut expected = vec![1; len];
            expected[from..to].fill(0);
            assert!(bytes == expected, "page {broken}");
            assert_eq!(at, Some(from as u64));
        }
        assert_eq!(read_without(&[], 10), (vec![1; 10], None));
        assert_eq!(read_without(&[], 0), (Vec::new(), Some(0)));
        assert_eq!(read_without(&[2, 1], len as u64).1, Some(page as u64), "the first is told");
    }
}
