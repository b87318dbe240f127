//! Binding ports: an occupied port is an error that names the port, the flag and, if known, the
//! process. Every bound address is logged.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use orderstream_cli::exit::CliError;
use orderstream_rpc::limits::ACCEPT_BACKLOG;
use tokio::net::{TcpListener, TcpSocket};

/// The number of ports that are tried after the wanted one.
const TRIES: u16 = 50;

/// The reaction to an occupied port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OccupiedPortPolicy {
    /// Return an error.
    Fail,
    /// Take the next free port, and log that.
    TakeNext,
}

/// The bound addresses, by name.
#[derive(Debug)]
pub(crate) struct ListenAddresses {
    bound: BTreeMap<&'static str, SocketAddr>,
    when_occupied: OccupiedPortPolicy,
}

impl ListenAddresses {
    pub(crate) const fn new(when_occupied: OccupiedPortPolicy) -> Self {
        Self { bound: BTreeMap::new(), when_occupied }
    }

    /// Binds a port and records its address; `flag` is named in errors.
    pub(crate) fn bind(
        &mut self,
        name: &'static str,
        flag: &str,
        requested: SocketAddr,
    ) -> Result<TcpListener, CliError> {
        let listener = match listen(requested) {
            Ok(listener) => listener,
            Err(error) if self.may_take_next(&error) => next_free(requested, flag)?,
            Err(error) => return Err(cannot_bind(requested, flag, &error)),
        };
        let bound = listener.local_addr().map_err(|error| cannot_bind(requested, flag, &error))?;
        tracing::info!(address = %bound, "{name} listens");
        self.bound.insert(name, bound);
        Ok(listener)
    }

    fn may_take_next(&self, error: &io::Error) -> bool {
        self.when_occupied == OccupiedPortPolicy::TakeNext
            && error.kind() == io::ErrorKind::AddrInUse
    }

    /// Writes all addresses as one JSON object, for scripts that let the system choose ports. Does
    /// nothing without a file.
    pub(crate) fn write(&self, file: Option<&Path>) -> Result<(), CliError> {
        let Some(file) = file else { return Ok(()) };
        let bound: BTreeMap<_, _> =
            self.bound.iter().map(|(name, address)| (name, address.to_string())).collect();
        let text = serde_json::to_string(&bound).unwrap_or_default();
        // Written to another file and renamed, so that a reader sees all of it or nothing.
        let aside = file.with_extension("part");
        std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, file)).map_err(|error| {
            CliError::unexpected(format!("cannot write --addr-file {}: {error}", file.display()))
        })
    }
}

/// Returns the address under which this process reaches a port that it bound.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if bound.ip().is_unspecified() {
        address.set_ip(std::net::IpAddr::from([127, 0, 0, 1]));
    }
    address
}

/// Listens with a backlog of [`ACCEPT_BACKLOG`].
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose last connections still linger may be bound again, as after a restart.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

fn next_free(requested: SocketAddr, flag: &str) -> Result<TcpListener, CliError> {
    for step in 1..=TRIES {
        let Some(port) = requested.port().checked_add(step) else { break };
        let address = SocketAddr::new(requested.ip(), port);
        if let Ok(listener) = listen(address) {
            let occupied = requested.port();
            tracing::warn!(occupied, port, flag, "the port is in use; took the next free one");
            return Ok(listener);
        }
    }
    let port = requested.port();
    Err(CliError::unexpected(format!("{port} and the {TRIES} ports after it are in use ({flag})")))
}

fn cannot_bind(requested: SocketAddr, flag: &str, error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::AddrInUse {
        let owner = owner_of(requested.port()).map(|who| format!(" by {who}")).unwrap_or_default();
        let port = requested.port();
        return CliError::unexpected(format!(
            "port {port} is in use{owner}; stop it, or give another address with {flag}"
        ));
    }
    CliError::unexpected(format!("cannot listen on {requested} ({flag}): {error}"))
}

/// Returns the process that listens on a port, as far as this one may see.
fn owner_of(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().find_map(|line| listening_inode(line, port))
    })?;
    let socket_link = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let id = process.file_name().to_string_lossy().into_owned();
        if id.parse::<u32>().is_err() {
            continue;
        }
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has_socket = |file: &std::fs::DirEntry| {
            std::fs::read_link(file.path())
                .is_ok_and(|link| link.as_os_str() == socket_link.as_str())
        };
        if files.flatten().any(|file| has_socket(&file)) {
            let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// Returns the inode in a line of `/proc/net/tcp`, if its socket listens on this port.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let (_, hex) = local.rsplit_once(':')?;
    let is_match = state == LISTEN && u16::from_str_radix(hex, 16) == Ok(port);
    is_match.then(|| inode.to_owned())
}

#[cfg(test)]
mod tests {
    //! Tests of the errors for an occupied port.

    use super::*;

    #[test]
    fn a_listening_line_gives_its_inode() {
        let line = "  3: 0100007F:1F44 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                     0 0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_inode(line, 8004).as_deref(), Some("4711"));
        assert_eq!(listening_inode(line, 8005), None);
        assert_eq!(listening_inode("nonsense", 8004), None);
    }

    #[tokio::test]
    async fn occupied_ports_name_flag_and_process() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut addresses = ListenAddresses::new(OccupiedPortPolicy::Fail);
        let error = addresses.bind("rest", "--rest-addr", address).unwrap_err().to_string();
        let own = std::process::id().to_string();
        for part in [address.port().to_string().as_str(), "--rest-addr", own.as_str()] {
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}
