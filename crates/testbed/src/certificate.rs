//! Self-signed certificates of test servers.

use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a certificate of a host to `cert.pem` in a folder, and its key to `key.pem`. Who trusts it
/// as an authority trusts the host, and nobody else.
///
/// # Panics
/// When openssl is missing or fails.
pub fn make_certificate(host: &str, dir: &Path) {
    let (subject, name) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", &subject, "-addext", &name])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}
