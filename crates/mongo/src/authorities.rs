//! Certificate authorities for the driver, which takes them from a file only, and then trusts no
//! others. The file is in memory: the folders of a pod may be read-only, and nothing has to be
//! removed.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use mongodb::options::{ClientOptions, Tls};

/// A PEM file that is there as long as this value. The driver reads it for each server that it finds.
#[derive(Debug)]
pub(crate) struct AuthoritiesFile(File);

#[cfg(target_os = "linux")]
impl AuthoritiesFile {
    fn create(pem: &str) -> io::Result<Self> {
        use std::io::Write as _;

        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::memfd_create("orderstream-authorities", flags)?);
        file.write_all(pem.as_bytes())?;
        Ok(Self(file))
    }

    fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;

        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(not(target_os = "linux"))]
impl AuthoritiesFile {
    fn create(_pem: &str) -> io::Result<Self> {
        let text = "only Linux has such files; give tlsCAFile in the URL";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    fn path(&self) -> PathBuf {
        debug_assert!(self.0.metadata().is_ok(), "no other value is ever made");
        PathBuf::new()
    }
}

/// Lets the driver trust the authorities of a PEM text, if its URL asks for TLS and names no
/// authorities itself. The file must outlive the client.
///
/// # Errors
/// When the file cannot be made.
pub(crate) fn trust(options: &mut ClientOptions, pem: &str) -> io::Result<Option<AuthoritiesFile>> {
    let Some(Tls::Enabled(tls)) = &mut options.tls else { return Ok(None) };
    if tls.ca_file_path.is_some() {
        return Ok(None);
    }
    let file = AuthoritiesFile::create(pem)?;
    tls.ca_file_path = Some(file.path());
    Ok(Some(file))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    async fn options(url: &str) -> ClientOptions {
        ClientOptions::parse(url).await.unwrap()
    }

    fn path_of(options: &ClientOptions) -> Option<PathBuf> {
        match &options.tls {
            Some(Tls::Enabled(tls)) => tls.ca_file_path.clone(),
            Some(Tls::Disabled) | None => None,
        }
    }

    #[tokio::test]
    async fn urls_with_tls_trust_the_bundle() {
        let mut options = options("mongodb://db/?tls=true").await;
        let file = trust(&mut options, "the bundle").unwrap().unwrap();
        let path = path_of(&options).unwrap();
        // It is read more than once.
        for _ in 0..2 {
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "the bundle");
        }
        drop(file);
    }

    #[tokio::test]
    async fn urls_keep_their_own_authorities() {
        for (url, expected) in [
            ("mongodb://db/", None),
            ("mongodb://db/?tls=false", None),
            ("mongodb://db/?tls=true&tlsCAFile=/own.pem", Some(PathBuf::from("/own.pem"))),
        ] {
            let mut options = options(url).await;
            assert!(trust(&mut options, "the bundle").unwrap().is_none(), "{url}");
            assert_eq!(path_of(&options), expected, "{url}");
        }
    }
}
