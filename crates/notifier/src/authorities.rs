//! The certificate authorities that are trusted besides those of the system.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::ConfigError;
use crate::limits::{BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX};

/// The length of a line of PEM, characters (RFC 7468, section 2).
const PEM_LINE_CHARS: usize = 64;

/// Certificate authorities that are trusted besides those of the system.
#[derive(Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads the certificates of a PEM file, or of every file in a folder.
    ///
    /// # Errors
    /// When the file or a file of the folder cannot be read or has a wrong certificate, and when
    /// there is no certificate at all.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |error: std::io::Error| ConfigError::file(path, error);
        let is_folder = std::fs::metadata(path).map_err(wrong)?.is_dir();
        let files = if is_folder { files_in(path)? } else { vec![path.to_owned()] };
        let mut certificates = Vec::new();
        for file in &files {
            certificates.extend(certificates_in(file)?);
        }
        if certificates.is_empty() {
            return Err(ConfigError::file(path, "has no certificate; give a PEM file"));
        }
        Ok(Self(certificates))
    }

    /// Returns these authorities and those of the system as the text of one PEM file, for a library
    /// that trusts the content of a file and nothing else; `None` if there are only the system's.
    pub fn pem_with_system(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let system = system();
        Some(self.0.iter().chain(&system).map(pem).collect())
    }

    /// Returns these authorities and those of the system.
    pub(crate) fn with_system(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let certificates = system().into_iter().chain(self.0.iter().cloned());
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            tracing::warn!("no trusted certificates found; notifications over https will fail");
        }
        roots
    }

    /// Returns the certificates, without those of the system.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

fn system() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Returns the files of a folder. A mounted `ConfigMap` has folders beside them, and links.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let wrong = |error: std::io::Error| ConfigError::file(folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if std::fs::metadata(&path).map_err(|error| ConfigError::file(&path, error))?.is_file() {
            files.push(path);
        }
        if files.len() > BUNDLE_FILES_MAX {
            let text = format!("has more than {BUNDLE_FILES_MAX} files");
            return Err(ConfigError::file(folder, text));
        }
    }
    files.sort();
    Ok(files)
}

fn certificates_in(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let wrong = |cause: &dyn fmt::Display| {
        ConfigError::file(file, format!("has a certificate that cannot be used: {cause}"))
    };
    let bytes = read(file)?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        RootCertStore::empty().add(certificate.clone()).map_err(|error| wrong(&error))?;
        certificates.push(certificate);
    }
    Ok(certificates)
}

fn read(file: &Path) -> Result<Vec<u8>, ConfigError> {
    let wrong = |error: std::io::Error| ConfigError::file(file, error);
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(wrong)?;
    let read = opened.take(BUNDLE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes);
    match read.map_err(wrong)? as u64 {
        0..=BUNDLE_BYTES_MAX => Ok(bytes),
        _ => Err(ConfigError::file(file, format!("has more than {BUNDLE_BYTES_MAX} bytes"))),
    }
}

fn pem(certificate: &CertificateDer<'static>) -> String {
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(PEM_LINE_CHARS) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate of `receiver.example`.
    const CERTIFICATE: &str = include_str!("authorities/receiver.pem");

    #[test]
    fn bundles_are_files_or_folders() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, format!("A comment.\n{CERTIFICATE}{CERTIFICATE}")).unwrap();
        assert_eq!(Authorities::read(&file).unwrap().0.len(), 2);
        std::fs::create_dir(dir.path().join("..data")).unwrap();
        std::fs::write(dir.path().join("another.crt"), CERTIFICATE).unwrap();
        std::fs::write(dir.path().join("README"), "Our own authorities.\n").unwrap();
        assert_eq!(Authorities::read(dir.path()).unwrap().0.len(), 3);
    }

    #[test]
    fn bundles_without_certificates_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = CERTIFICATE.replacen("MII", "AAA", 1);
        for (name, text, part) in [
            ("empty", "", "has no certificate"),
            ("text", "no PEM", "has no certificate"),
            ("wrong", wrong.as_str(), "has a certificate that cannot be used"),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            let error = Authorities::read(&file).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(part), "{error}");
        }
        let error = Authorities::read(&dir.path().join("missing")).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }

    #[test]
    fn pem_keeps_every_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, CERTIFICATE).unwrap();
        let authorities = Authorities::read(&file).unwrap();
        let text = authorities.pem_with_system().unwrap();
        let all = CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap);
        let all: Vec<_> = all.collect();
        assert_eq!(all.first(), authorities.0.first());
        assert_eq!(all.len(), 1 + system().len());
        assert_eq!(Authorities::default().pem_with_system(), None);
    }
}
