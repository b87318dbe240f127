//! The bytes of an image archive: one layer, an OCI layout, and the manifest that `docker load`
//! reads. The same input yields the same bytes.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// A file or folder of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LayerEntry {
    /// The path from the image's root, without a leading slash.
    pub(super) path: String,
    content: Option<Vec<u8>>,
    mode: u32,
    owner: u64,
}

impl LayerEntry {
    /// Creates a file that everyone may read.
    pub(super) fn file(path: &str, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), content: Some(content), mode: 0o644, owner: 0 }
    }

    /// Creates an empty folder that belongs to one user.
    pub(super) fn folder(path: &str, owner: u64) -> Self {
        Self { path: format!("{path}/"), content: None, mode: 0o755, owner }
    }

    /// Makes the file executable by everyone.
    pub(super) fn executable(self) -> Self {
        Self { mode: 0o755, ..self }
    }

    /// Returns the file's content; `None` for a folder.
    pub(super) fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// Returns the permission bits.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

    /// Returns the id of the owning user and group.
    pub(super) fn owner(&self) -> u64 {
        self.owner
    }
}

/// The content of an image archive.
#[derive(Debug)]
pub(super) struct OciImage {
    /// The image's name and tag.
    pub(super) name: String,
    pub(super) entries: Vec<LayerEntry>,
    pub(super) entrypoint: Vec<String>,
    pub(super) user: String,
    pub(super) labels: Vec<(String, String)>,
}

impl OciImage {
    /// Returns the bytes of the archive.
    pub(super) fn archive(&self) -> io::Result<Vec<u8>> {
        let layer = self.layer()?;
        let compressed = compress(&layer)?;
        let config = self.config(&digest(&layer)).to_string().into_bytes();
        let manifest = manifest(&config, &compressed).to_string().into_bytes();
        let index = self.index(&manifest).to_string().into_bytes();
        let docker = json!([{
            "Config": blob(&config), "RepoTags": [self.name], "Layers": [blob(&compressed)],
        }]);
        let mut archive = Builder::new(Vec::new());
        let mut put = |path: &str, content: &[u8]| {
            append(&mut archive, &LayerEntry::file(path, content.to_vec()))
        };
        put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        put("index.json", &index)?;
        put("manifest.json", docker.to_string().as_bytes())?;
        for content in [&config, &manifest, &compressed] {
            put(&blob(content), content)?;
        }
        archive.into_inner()
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        self.entries.iter().try_for_each(|entry| append(&mut layer, entry))?;
        layer.into_inner()
    }

    /// Returns the image's config for the container runtime.
    pub(super) fn config(&self, layer: &str) -> Value {
        let labels: Map<String, Value> =
            self.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": self.user,
                "WorkingDir": "/",
                "Env": [
                    "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                    "MIMALLOC_PURGE_DELAY=0",
                ],
                "ExposedPorts": {"8004/tcp": {}, "8005/tcp": {}, "9090/tcp": {}, "50051/tcp": {}},
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        })
    }

    fn index(&self, manifest: &[u8]) -> Value {
        let tag = self.name.rsplit(':').next().unwrap_or_default();
        json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(manifest),
                "size": manifest.len(),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": self.name,
                    "org.opencontainers.image.ref.name": tag,
                },
            }],
        })
    }
}

fn manifest(config: &[u8], layer: &[u8]) -> Value {
    let part = |kind: &str, content: &[u8]| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": digest(content),
            "size": content.len(),
        })
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part("config.v1+json", config),
        "layers": [part("layer.v1.tar+gzip", layer)],
    })
}

fn append(archive: &mut Builder<Vec<u8>>, entry: &LayerEntry) -> io::Result<()> {
    let content = entry.content.as_deref().unwrap_or_default();
    let mut header = Header::new_gnu();
    header.set_entry_type(match entry.content {
        Some(_) => EntryType::Regular,
        None => EntryType::Directory,
    });
    header.set_mode(entry.mode);
    header.set_uid(entry.owner);
    header.set_gid(entry.owner);
    header.set_mtime(0);
    header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
    archive.append_data(&mut header, &entry.path, content)
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn digest(bytes: &[u8]) -> String {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{sum}")
}

/// Returns the path of a blob in the layout.
fn blob(bytes: &[u8]) -> String {
    format!("blobs/{}", digest(bytes).replace(':', "/"))
}

/// Reports whether a 64-bit ELF file names a dynamic loader (a program header of type `PT_INTERP`,
/// 3; System V ABI, chapter 5).
pub(super) fn needs_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(bytes)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((first, size, count)) = headers() else { return false };
    (0..count).any(|place| number(first + place * size, 4) == Some(3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn image() -> OciImage {
        OciImage {
            name: "registry.example/shop/orderstream:1.2.3".to_owned(),
            entries: vec![
                LayerEntry::folder("data", 65_532),
                LayerEntry::file("orderstream", b"binary".to_vec()).executable(),
            ],
            entrypoint: vec!["/orderstream".to_owned()],
            user: "65532:65532".to_owned(),
            labels: vec![("a".to_owned(), "b".to_owned())],
        }
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn archive_references_match_their_digests() {
        let files = files(&image().archive().unwrap());
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let find = |reference: &Value| {
            let path = format!("blobs/{}", reference["digest"].as_str().unwrap().replace(':', "/"));
            let bytes = &files[&path];
            assert_eq!(reference["size"], bytes.len());
            assert_eq!(reference["digest"], digest(bytes));
            bytes.clone()
        };
        let manifest = parsed(&find(&parsed(&files["index.json"])["manifests"][0]));
        let config = parsed(&find(&manifest["config"]));
        let compressed = find(&manifest["layers"][0]);
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest(&layer)]));
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Labels"]["a"], "b");
        let docker = parsed(&files["manifest.json"]);
        assert!(files.contains_key(docker[0]["Config"].as_str().unwrap()));
        assert!(files.contains_key(docker[0]["Layers"][0].as_str().unwrap()));
        assert_eq!(docker[0]["RepoTags"], json!(["registry.example/shop/orderstream:1.2.3"]));

        let mut layer = tar::Archive::new(&layer[..]);
        let heads: Vec<_> = layer
            .entries()
            .unwrap()
            .map(|entry| {
                let head = entry.unwrap().header().clone();
                (
                    head.path().unwrap().display().to_string(),
                    head.mode().unwrap(),
                    head.uid().unwrap(),
                )
            })
            .collect();
        let expected = [("data/".to_owned(), 0o755, 65_532), ("orderstream".to_owned(), 0o755, 0)];
        assert_eq!(heads, expected);
    }

    #[test]
    fn equal_images_give_equal_bytes() {
        assert_eq!(image().archive().unwrap(), image().archive().unwrap());
    }

    #[test]
    fn dynamic_binaries_are_detected() {
        let here = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(needs_interpreter(&here), !cfg!(target_feature = "crt-static"));
        assert!(!needs_interpreter(b"\x7fELF"));
        assert!(!needs_interpreter(b""));
    }
}
