//! The sellers of a file, where there is no cluster: read at the start, and again when the file
//! changes. A new file with a mistake changes nothing and is reported once.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orderstream_api::manifest::load_sellers;
use orderstream_core::port::{SellerDirectory, SellerWatcher};
use orderstream_core::spec::Seller;
use orderstream_core::{Refusal, Tenant};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

/// The interval at which the file is checked for changes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The sellers of a file; the same for every tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileDirectory {
    sellers: Arc<RwLock<Arc<[Seller]>>>,
    watchers: Arc<RwLock<Vec<Arc<dyn SellerWatcher>>>>,
}

impl FileDirectory {
    /// Reads the file.
    ///
    /// # Errors
    /// As [`load_sellers`].
    pub fn load(path: &Path) -> Result<Self, Refusal> {
        load_sellers(path).map(Self::from)
    }

    /// Reads the file again whenever it changes, until shutdown. The sellers stay as they were
    /// while the file has a mistake or is missing.
    pub async fn follow(self, path: PathBuf, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first check always reads the file: it may have changed since the start.
        let mut known = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            let (this, file, last) = (self.clone(), path.clone(), known.clone());
            let poll = tokio::task::spawn_blocking(move || this.poll(&file, last.as_ref()));
            match poll.await {
                Ok(state) => known = Some(state),
                Err(error) => tracing::error!(%error, "the file of sellers was not read"),
            }
        }
    }

    /// Checks the file once, and reads it if it changed since the last check.
    fn poll(&self, path: &Path, last: Option<&SellerFileState>) -> SellerFileState {
        let state = SellerFileState::of(path);
        if last == Some(&state) {
            return state;
        }
        let file = path.display();
        match load_sellers(path) {
            Ok(sellers) => {
                let sellers: Arc<[Seller]> = sellers.into();
                let is_new = *self.sellers.read() != sellers;
                if is_new {
                    tracing::info!(%file, sellers = sellers.len(), "the sellers changed");
                    *self.sellers.write() = sellers;
                    self.watchers.read().iter().for_each(|watcher| watcher.sellers_changed());
                }
            }
            Err(refusal) => {
                tracing::error!(%file, %refusal, "the sellers stay as they were; correct the file");
            }
        }
        state
    }
}

/// The state of a file, by which a change is found without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SellerFileState {
    /// Device, inode, length, and the time of the last change in seconds and nanoseconds.
    Present(u64, u64, u64, i64, i64),
    Missing,
}

impl SellerFileState {
    fn of(path: &Path) -> Self {
        // Links are followed: a mounted ConfigMap is updated by changing a link.
        std::fs::metadata(path).map_or(Self::Missing, |file| {
            Self::Present(file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec())
        })
    }
}

impl From<Vec<Seller>> for FileDirectory {
    fn from(sellers: Vec<Seller>) -> Self {
        Self { sellers: Arc::new(RwLock::new(sellers.into())), watchers: Arc::default() }
    }
}

impl SellerDirectory for FileDirectory {
    fn sellers(&self, _: &Tenant) -> Arc<[Seller]> {
        Arc::clone(&self.sellers.read())
    }

    fn watch(&self, watcher: Arc<dyn SellerWatcher>) {
        self.watchers.write().push(watcher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seller(name: &str) -> String {
        format!(
            "---\napiVersion: orderstream.dev/v1alpha1\nkind: Seller\nmetadata: {{name: {name}}}\n\
             spec: {{}}\n"
        )
    }

    fn names(directory: &FileDirectory) -> Vec<String> {
        let sellers = directory.sellers(&Tenant::default());
        sellers.iter().map(|seller| seller.id.to_string()).collect()
    }

    /// Replaces the file by another one, as editors and mounted configuration do.
    fn replace(path: &Path, text: &str) {
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, path).unwrap();
    }

    /// A missing file keeps the sellers too; a changed one is read.
    #[test]
    fn broken_files_keep_the_sellers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sellers.yaml");
        std::fs::write(&path, seller("a")).unwrap();
        let directory = FileDirectory::load(&path).unwrap();
        let mut known = directory.poll(&path, None);
        assert_eq!(names(&directory), ["a"]);

        replace(&path, &(seller("b") + &seller("a")));
        known = directory.poll(&path, Some(&known));
        assert_eq!(names(&directory), ["a", "b"], "sorted by name");

        replace(&path, "kind: Seller\nspec: [");
        known = directory.poll(&path, Some(&known));
        assert_eq!(names(&directory), ["a", "b"]);
        assert_eq!(directory.poll(&path, Some(&known)), known, "it is read, and told, once");

        std::fs::remove_file(&path).unwrap();
        known = directory.poll(&path, Some(&known));
        assert_eq!(names(&directory), ["a", "b"]);

        replace(&path, &seller("c"));
        directory.poll(&path, Some(&known));
        assert_eq!(names(&directory), ["c"]);
    }

    #[tokio::test]
    async fn file_changes_are_read_until_shutdown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sellers.yaml");
        std::fs::write(&path, seller("a")).unwrap();
        let directory = FileDirectory::load(&path).unwrap();
        replace(&path, &seller("b"));
        let shutdown = CancellationToken::new();
        let until_read = async {
            while names(&directory) != ["b"] {
                tokio::task::yield_now().await;
            }
            shutdown.cancel();
        };
        tokio::join!(directory.clone().follow(path, shutdown.clone()), until_read);
    }
}
