//! The recorder as a test uses it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::control::{self, Fault};
use crate::scratch::scratch;
use crate::trace::{self, Trace, TraceError};

const SOURCE: &str = include_str!("recorder.c");

/// The trace's place, as a recorded process is told.
const TRACE: &str = "POWERCUT_TRACE";

/// Whether processes can be recorded on this machine.
pub const fn is_supported() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
}

/// Records what processes do to one folder.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    library: PathBuf,
    trace: PathBuf,
    notes: Notes,
    control: File,
    sync_us: u32,
    _dir: TempDir,
}

impl Recorder {
    /// Prepares to record a folder, which must be there.
    ///
    /// # Errors
    /// When the recorder cannot be built, or the machine is not one that it knows.
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

    /// Lets each sync take so long, in microseconds below a second; with 0, no time. While a disk takes
    /// its time, appends gather.
    #[must_use]
    pub const fn with_sync_us(mut self, sync_us: u32) -> Self {
        self.sync_us = sync_us;
        self
    }

    /// The folder, as processes must name it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The variables that a process is started with, to be recorded.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn variables(&self) -> io::Result<Vec<(&'static str, PathBuf)>> {
        self.heal()?;
        Ok(vec![
            ("LD_PRELOAD", self.library.clone()),
            ("POWERCUT_FOLDER", self.folder.clone()),
            (TRACE, self.trace.clone()),
            ("POWERCUT_CONTROL", self.trace.with_file_name("control")),
        ])
    }

    /// Writes a line into the trace. What the processes did before is before it in the trace.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn note(&self, text: &str) -> io::Result<()> {
        self.notes.note(text)
    }

    /// The trace, for others who note something.
    ///
    /// # Errors
    /// When the trace cannot be opened.
    pub fn notes(&self) -> io::Result<Notes> {
        Ok(Notes(File::options().append(true).open(&self.trace)?))
    }

    /// From now on operations fail, as the fault says; a former fault is forgotten.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn fail(&self, fault: &Fault<'_>) -> io::Result<()> {
        self.heal()?;
        let bytes = control::bytes(Some(fault), self.sync_us);
        // The word that turns it on comes last.
        let (on, rest) = bytes.split_at(4);
        self.control.write_all_at(rest, 4)?;
        self.control.write_all_at(on, 0)
    }

    /// From now on nothing fails.
    ///
    /// # Errors
    /// When the control file cannot be written.
    pub fn heal(&self) -> io::Result<()> {
        let bytes = control::bytes(None, self.sync_us);
        self.control.write_all_at(&bytes, 0)
    }

    /// The number of operations that failed by the present fault.
    ///
    /// # Errors
    /// When the control file cannot be read.
    pub fn hits(&self) -> io::Result<u32> {
        let mut hits = [0; 4];
        self.control.read_exact_at(&mut hits, control::HITS)?;
        Ok(u32::from_le_bytes(hits))
    }

    /// Everything up to now.
    ///
    /// # Errors
    /// As [`TraceError`] says.
    pub fn trace(&self) -> Result<Trace, TraceError> {
        Trace::read(&self.trace)
    }
}

/// The trace, for a recorded process that is a part of a test and has something to note itself.
#[derive(Debug)]
pub struct Notes(File);

impl Notes {
    /// The trace of this process; none when it is not recorded.
    ///
    /// # Errors
    /// When the trace cannot be opened.
    pub fn of_this_process() -> io::Result<Option<Self>> {
        let Some(trace) = std::env::var_os(TRACE) else { return Ok(None) };
        Ok(Some(Self(File::options().append(true).open(trace)?)))
    }

    /// Writes a line into the trace.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn note(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(&trace::note(text)?)
    }
}

/// Builds the library.
fn build(dir: &Path) -> io::Result<PathBuf> {
    if !is_supported() {
        return Err(io::Error::other("the recorder knows Linux on x86_64 only"));
    }
    let (source, library) = (dir.join("recorder.c"), dir.join("librecorder.so"));
    fs::write(&source, SOURCE)?;
    let flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
    let built = Command::new("cc").args(flags).arg(&library).arg(&source).output()?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        return Err(io::Error::other(format!("cc cannot build the recorder: {said}")));
    }
    Ok(library)
}
