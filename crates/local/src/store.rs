//! Applied resources on the disk: one JSON file each, named after the uid, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use orderstream_api::order_request::OrderRequest;
use orderstream_core::{Reason, Refusal};

/// A folder of resources.
#[derive(Debug)]
pub(crate) struct ResourceFolder {
    dir: PathBuf,
}

impl ResourceFolder {
    /// Opens the folder, which is created if it is missing, and reads its resources. A file that
    /// cannot be read is logged and left as it is; the others are served.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<OrderRequest>), Refusal> {
        let store = Self { dir: dir.to_owned() };
        let resources = store.load().map_err(|error| store.refusal("cannot be read", &error))?;
        Ok((store, resources))
    }

    fn load(&self) -> io::Result<Vec<OrderRequest>> {
        fs::create_dir_all(&self.dir)?;
        let mut resources = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {}
                // Left by a crash in the middle of a write: the file that it was to replace is
                // still valid.
                Some("tmp") => {
                    fs::remove_file(&path)?;
                    continue;
                }
                _ => continue,
            }
            let read = fs::read(&path).map(|bytes| serde_json::from_slice(&bytes));
            match read {
                Ok(Ok(resource)) => resources.push(resource),
                Ok(Err(error)) => {
                    tracing::error!(path = %path.display(), %error, "a stored order request is damaged");
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a stored order request cannot be read");
                }
            }
        }
        // A probe, so that an unwritable folder is detected before anything is acknowledged.
        self.replace("probe", b"{}")?;
        fs::remove_file(self.path("probe"))?;
        Ok(resources)
    }

    /// Writes a resource; when this returns, it survives a crash.
    pub(crate) fn write(&self, resource: &OrderRequest) -> Result<(), Refusal> {
        let bytes = serde_json::to_vec_pretty(resource)
            .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
        self.replace(uid(resource), &bytes)
            .map_err(|error| self.refusal("does not take the order request", &error))
    }

    fn replace(&self, uid: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{uid}.tmp"));
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.path(uid))?;
        self.sync_dir()
    }

    /// Removes a resource. A missing one counts as removed.
    pub(crate) fn remove(&self, resource: &OrderRequest) -> Result<(), Refusal> {
        let removed = match fs::remove_file(self.path(uid(resource))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed
            .and_then(|()| self.sync_dir())
            .map_err(|error| self.refusal("does not remove the order request", &error))
    }

    fn path(&self, uid: &str) -> PathBuf {
        self.dir.join(format!("{uid}.json"))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn refusal(&self, what: &str, error: &io::Error) -> Refusal {
        let dir = self.dir.display();
        let message = format!("the folder {dir} {what}: {error}; check its rights and free space");
        Refusal::new(Reason::StorageUnavailable, message)
    }
}

fn uid(resource: &OrderRequest) -> &str {
    resource.metadata.uid.as_deref().unwrap_or_default()
}
