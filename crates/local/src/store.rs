//! Applied resources on the disk: one JSON file each, named after the uid, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_core::{Reason, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A folder of resources of one kind.
#[derive(Debug)]
pub(crate) struct ResourceFolder {
    dir: PathBuf,
    /// The kind in words, for messages.
    kind: &'static str,
}

impl ResourceFolder {
    /// Opens the folder, which is created if it is missing, and reads its resources. A file that
    /// cannot be read is logged and left as it is; the others are served.
    pub(crate) fn open<T: DeserializeOwned>(
        dir: &Path,
        kind: &'static str,
    ) -> Result<(Self, Vec<T>), Refusal> {
        let store = Self { dir: dir.to_owned(), kind };
        let resources = store.load().map_err(|error| store.refusal("cannot be read", &error))?;
        Ok((store, resources))
    }

    fn load<T: DeserializeOwned>(&self) -> io::Result<Vec<T>> {
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
                    let (path, kind) = (path.display(), self.kind);
                    tracing::error!(%path, kind, %error, "a stored resource is damaged");
                }
                Err(error) => {
                    let (path, kind) = (path.display(), self.kind);
                    tracing::error!(%path, kind, %error, "a stored resource cannot be read");
                }
            }
        }
        // A probe, so that an unwritable folder is detected before anything is acknowledged.
        self.replace("probe", b"{}")?;
        fs::remove_file(self.path("probe"))?;
        Ok(resources)
    }

    /// Writes a resource; when this returns, it survives a crash.
    pub(crate) fn write<T: Serialize>(
        &self,
        metadata: &ObjectMeta,
        resource: &T,
    ) -> Result<(), Refusal> {
        let bytes = serde_json::to_vec_pretty(resource)
            .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
        self.replace(uid(metadata), &bytes)
            .map_err(|error| self.refusal(&format!("does not take the {}", self.kind), &error))
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
    pub(crate) fn remove(&self, metadata: &ObjectMeta) -> Result<(), Refusal> {
        let removed = match fs::remove_file(self.path(uid(metadata))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed
            .and_then(|()| self.sync_dir())
            .map_err(|error| self.refusal(&format!("does not remove the {}", self.kind), &error))
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

fn uid(metadata: &ObjectMeta) -> &str {
    metadata.uid.as_deref().unwrap_or_default()
}
