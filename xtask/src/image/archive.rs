//! The bytes of an image archive: one layer, an OCI layout, and the manifest that `docker load`
//! reads. The same input yields the same bytes.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::Architecture;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// A file or folder of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerEntry {
    /// The path from the image's root, without a leading slash.
    pub(super) path: String,
    content: Option<Vec<u8>>,
    mode: u32,
    owner: u64,
}

impl LayerEntry {
    /// Creates a file that everyone may read.
    pub(crate) fn file(path: &str, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), content: Some(content), mode: 0o644, owner: 0 }
    }

    /// Creates an empty folder that belongs to one user.
    pub(super) fn folder(path: &str, owner: u64) -> Self {
        Self { path: format!("{path}/"), content: None, mode: 0o755, owner }
    }

    /// Makes the file executable by everyone.
    pub(crate) fn executable(self) -> Self {
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
pub(crate) struct OciImage {
    /// The image's name and tag.
    pub(super) name: String,
    pub(super) architecture: Architecture,
    pub(super) entries: Vec<LayerEntry>,
    pub(super) entrypoint: Vec<String>,
    pub(super) user: String,
    pub(super) labels: Vec<(String, String)>,
}

/// The blobs of an image: its config, its manifest and its compressed layer.
#[derive(Debug)]
pub(crate) struct EncodedImage {
    name: String,
    architecture: Architecture,
    config: Vec<u8>,
    manifest: Vec<u8>,
    layer: Vec<u8>,
}

/// The archive of an image for several architectures.
#[derive(Debug)]
pub(crate) struct ImageIndex {
    /// The digest by which a registry serves the index.
    pub(crate) digest: String,
    pub(crate) archive: Vec<u8>,
}

impl OciImage {
    /// Returns the bytes of the archive.
    pub(super) fn archive(&self) -> io::Result<Vec<u8>> {
        self.encode()?.archive()
    }

    /// Encodes the image's blobs.
    pub(crate) fn encode(&self) -> io::Result<EncodedImage> {
        let layer = tar(&self.entries)?;
        let compressed = compress(&layer)?;
        let config = self.config(&digest(&layer)).to_string().into_bytes();
        let manifest = manifest(&config, &compressed).to_string().into_bytes();
        let (name, architecture) = (self.name.clone(), self.architecture);
        Ok(EncodedImage { name, architecture, config, manifest, layer: compressed })
    }

    /// Returns the image's config for the container runtime.
    pub(super) fn config(&self, layer: &str) -> Value {
        let labels: Map<String, Value> =
            self.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut config = self.architecture.platform();
        config["config"] = json!({
            "Entrypoint": self.entrypoint,
            "User": self.user,
            "WorkingDir": "/",
            "Env": [
                "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                "MIMALLOC_PURGE_DELAY=0",
            ],
            "ExposedPorts": {"8004/tcp": {}, "8005/tcp": {}, "9090/tcp": {}, "50051/tcp": {}},
            "Labels": labels,
        });
        config["rootfs"] = json!({"type": "layers", "diff_ids": [layer]});
        config
    }
}

impl EncodedImage {
    /// Returns the archive of this image alone.
    pub(crate) fn archive(&self) -> io::Result<Vec<u8>> {
        let index = layout_index(self.descriptor(), &self.name);
        let docker = json!([{
            "Config": blob(&self.config), "RepoTags": [self.name], "Layers": [blob(&self.layer)],
        }]);
        let docker = LayerEntry::file("manifest.json", docker.to_string().into_bytes());
        layout(&index, [docker].into_iter().chain(self.blobs()))
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": MANIFEST_TYPE,
            "digest": digest(&self.manifest),
            "size": self.manifest.len(),
            "platform": self.architecture.platform(),
        })
    }

    fn blobs(&self) -> impl Iterator<Item = LayerEntry> {
        [&self.config, &self.manifest, &self.layer]
            .into_iter()
            .map(|content| LayerEntry::file(&blob(content), content.clone()))
    }
}

/// Returns the archive of images that have one name and differ by architecture.
pub(crate) fn index(name: &str, images: &[EncodedImage]) -> io::Result<ImageIndex> {
    let manifests: Vec<_> = images.iter().map(EncodedImage::descriptor).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests});
    let index = index.to_string().into_bytes();
    let digest = digest(&index);
    let descriptor =
        json!({"mediaType": INDEX_TYPE, "digest": digest.clone(), "size": index.len()});
    let blobs = images.iter().flat_map(EncodedImage::blobs);
    let index = LayerEntry::file(&blob(&index), index);
    let archive = layout(&layout_index(descriptor, name), [index].into_iter().chain(blobs))?;
    Ok(ImageIndex { digest, archive })
}

/// Returns the `index.json` of a layout with one image.
fn layout_index(mut descriptor: Value, name: &str) -> Value {
    let tag = name.rsplit(':').next().unwrap_or_default();
    descriptor["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": tag,
    });
    json!({"schemaVersion": 2, "manifests": [descriptor]})
}

/// Returns an OCI layout as an archive.
fn layout(index: &Value, files: impl Iterator<Item = LayerEntry>) -> io::Result<Vec<u8>> {
    let mut entries = vec![
        LayerEntry::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        LayerEntry::file("index.json", index.to_string().into_bytes()),
    ];
    entries.extend(files);
    tar(&entries)
}

/// Returns the compressed archive of files and folders.
pub(crate) fn tar_gz(entries: &[LayerEntry]) -> io::Result<Vec<u8>> {
    compress(&tar(entries)?)
}

fn tar(entries: &[LayerEntry]) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    entries.iter().try_for_each(|entry| append(&mut archive, entry))?;
    archive.into_inner()
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
        "mediaType": MANIFEST_TYPE,
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
    format!("sha256:{}", sha256(bytes))
}

/// Returns the SHA-256 of the bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

    const NAME: &str = "registry.example/shop/orderstream:1.2.3";

    fn image() -> OciImage {
        image_for(Architecture::Amd64)
    }

    fn image_for(architecture: Architecture) -> OciImage {
        OciImage {
            name: NAME.to_owned(),
            architecture,
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

    /// Each architecture has its own manifest and config below one index.
    #[test]
    fn an_index_has_every_architecture() {
        let images = Architecture::ALL.map(|it| image_for(it).encode().unwrap());
        let ImageIndex { digest, archive } = index(NAME, &images).unwrap();
        let files = files(&archive);
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let find = |reference: &Value| {
            let digest = reference["digest"].as_str().unwrap();
            parsed(&files[&format!("blobs/{}", digest.replace(':', "/"))])
        };
        let layout = parsed(&files["index.json"]);
        let top = &layout["manifests"][0];
        assert_eq!(top["digest"], digest);
        assert_eq!(top["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
        let platforms: Vec<_> = find(top)["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|image| {
                let config = find(&find(image)["config"]);
                assert_eq!(config["architecture"], image["platform"]["architecture"]);
                image["platform"].clone()
            })
            .collect();
        let arm = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
        assert_eq!(platforms, [json!({"architecture": "amd64", "os": "linux"}), arm]);
        assert!(!files.contains_key("manifest.json"), "docker load would take one of two");
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
        assert_eq!(docker[0]["RepoTags"], json!([NAME]));

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
