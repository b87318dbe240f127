//! The recorder's interface for tests.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::control::{self, SyscallFault};
use crate::scratch::scratch;
use crate::trace::{self, Trace, TraceError};

const SOURCE: &str = include_str!("recorder.c");

/// The environment variable with the trace's path, for the recorded process.
const TRACE: &str = "POWERCUT_TRACE";

/// Reports whether processes can be recorded on this machine.
pub const fn is_supported() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
}

/// A recorder of the processes' changes to one folder.
#[derive(Debug)]
pub struct DiskRecorder {
    folder: PathBuf,
    library: PathBuf,
    trace: PathBuf,
    notes: Notes,
    control: File,
    sync_us: u32,
    _dir: TempDir,
}

impl DiskRecorder {
    /// Prepares to record a folder, which must exist.
    ///
    /// # Errors
    /// When the recorder cannot be built, or does not support the machine.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let dir = scratch()?;
        let (trace, control) = (dir.path().join("trace"), dir.path().join("control"));
        File::create_new(&trace)?;
        fs::write(&control, control::bytes(None, 0))?;
        Ok(Self {
            folder: folder.canonicalize()?,
            library: build(dir.path())?,
            notes: Notes(File::options().append(true).open(&trace)?),
            control: File::options().read(true).write(true).open(&control)?,
            trace,
            sync_us: 0,
            _dir: dir,
        })
    }

    /// Sets the duration of each sync, in microseconds, below a second; 0 for none. Appends are
    /// grouped while a sync runs.
    #[must_use]
    pub const fn with_sync_us(mut self, sync_us: u32) -> Self {
        self.sync_us = sync_us;
        self
    }

    /// Returns the folder's path as processes must use it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the environment variables with which a process is recorded.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn variables(&self) -> io::Result<Vec<(&'static str, PathBuf)>> {
        self.clear_fault()?;
        Ok(vec![
            ("LD_PRELOAD", self.library.clone()),
            ("POWERCUT_FOLDER", self.folder.clone()),
            (TRACE, self.trace.clone()),
            ("POWERCUT_CONTROL", self.trace.with_file_name("control")),
        ])
    }

    /// Writes a note to the trace, after all earlier changes of the processes.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn note(&self, text: &str) -> io::Result<()> {
        self.notes.note(text)
    }

    /// Returns a handle for writing notes from elsewhere.
    ///
    /// # Errors
    /// When the trace cannot be opened.
    pub fn notes(&self) -> io::Result<Notes> {
        Ok(Notes(File::options().append(true).open(&self.trace)?))
    }

    /// Injects a fault from now on; it replaces an earlier one.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn inject_fault(&self, fault: &SyscallFault<'_>) -> io::Result<()> {
        self.clear_fault()?;
        let bytes = control::bytes(Some(fault), self.sync_us);
        // The word that enables the fault is written last.
        let (on, rest) = bytes.split_at(4);
        self.control.write_all_at(rest, 4)?;
        self.control.write_all_at(on, 0)
    }

    /// Ends the fault.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn clear_fault(&self) -> io::Result<()> {
        let bytes = control::bytes(None, self.sync_us);
        self.control.write_all_at(&bytes, 0)
    }

    /// Returns the number of operations that failed because of the current fault.
    ///
    /// # Errors
    /// When the control file cannot be read.
    pub fn hits(&self) -> io::Result<u32> {
        let mut hits = [0; 4];
        self.control.read_exact_at(&mut hits, control::HITS)?;
        Ok(u32::from_le_bytes(hits))
    }

    /// Returns the trace so far.
    ///
    /// # Errors
    /// As [`TraceError`] lists.
    pub fn trace(&self) -> Result<Trace, TraceError> {
        Trace::read(&self.trace)
    }
}

/// A handle to the trace for writing notes; also for a recorded process that is part of a test.
#[derive(Debug)]
pub struct Notes(File);

impl Notes {
    /// Returns a handle to the trace of this process; `None` if it is not recorded.
    ///
    /// # Errors
    /// When the trace cannot be opened.
    pub fn of_this_process() -> io::Result<Option<Self>> {
        let Some(trace) = std::env::var_os(TRACE) else { return Ok(None) };
        Ok(Some(Self(File::options().append(true).open(trace)?)))
    }

    /// Writes a note to the trace.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn note(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(&trace::note(text)?)
    }
}

/// Builds the library that records a process.
fn build(dir: &Path) -> io::Result<PathBuf> {
    if !is_supported() {
        return Err(io::Error::other("the recorder knows Linux on x86_64 only"));
    }
    let (source, library) = (dir.join("recorder.c"), dir.join("librecorder.so"));
    fs::write(&source, SOURCE)?;
    let flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
    let built = Command::new("cc").args(flags).arg(&library).arg(&source).output()?;
    if !built.status.success() {
        let stderr = String::from_utf8_lossy(&built.stderr);
        return Err(io::Error::other(format!("cc cannot build the recorder: {stderr}")));
    }
    Ok(library)
}
