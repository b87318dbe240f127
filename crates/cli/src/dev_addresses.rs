//! The addresses of a `dev`, which it leaves in its data folder, so that commands beside it reach it
//! whatever ports it has.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The file with the addresses, in the data folder.
pub const FILE: &str = "addresses.json";
/// The variable that names the data folder, for `dev` and for the commands beside it.
pub const DATA_DIR_VARIABLE: &str = "ORDERSTREAM_DATA_DIR";
/// The data folder where none is named.
pub const DATA_DIR: &str = ".orderstream";

/// The address of a server of a `dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DevAddress {
    pub(crate) url: String,
    /// The file that has it.
    pub(crate) file: PathBuf,
}

/// Finds the server with this name of the `dev` in this folder.
pub(crate) fn find(name: &str) -> Option<DevAddress> {
    let dir = std::env::var_os(DATA_DIR_VARIABLE).filter(|dir| !dir.is_empty());
    let dir = dir.map_or_else(|| PathBuf::from(DATA_DIR), PathBuf::from);
    find_in(&dir, name)
}

fn find_in(dir: &Path, name: &str) -> Option<DevAddress> {
    let file = dir.join(FILE);
    let text = std::fs::read_to_string(&file).ok()?;
    let addresses: BTreeMap<String, SocketAddr> = serde_json::from_str(&text).ok()?;
    let mut address = *addresses.get(name)?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    // A folder from somebody else leads to no other machine.
    address.ip().is_loopback().then(|| DevAddress { url: format!("http://{address}"), file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let find = |name: &str| find_in(dir.path(), name).map(|found| found.url);
        assert_eq!(find("rest"), None);
        let text = r#"{"rest": "127.0.0.1:8006", "requestor": "[::1]:8007", "grpc": "[::]:50052",
                       "metrics": "192.0.2.7:9090"}"#;
        std::fs::write(dir.path().join(FILE), text).unwrap();
        for (name, expected) in [
            ("rest", Some("http://127.0.0.1:8006")),
            ("requestor", Some("http://[::1]:8007")),
            ("grpc", Some("http://127.0.0.1:50052")),
            ("metrics", None),
            ("other", None),
        ] {
            assert_eq!(find(name).as_deref(), expected, "{name}");
        }
        std::fs::write(dir.path().join(FILE), "nonsense").unwrap();
        assert_eq!(find("rest"), None);
    }
}
