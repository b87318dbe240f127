//! Binding ports: an occupied port is an error that names the port, the flag and, if known, the
//! process. Every bound address is logged.
//!
//! `[::]` is every address of this machine, of IPv6 and of IPv4, whatever the system's own setting
//! is. On a machine without IPv6 it is every address of IPv4.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use orderstream_cli::exit::CliError;
use orderstream_rpc::limits::ACCEPT_BACKLOG;
use socket2::SockRef;
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

    /// Binds a port as [`bind`](Self::bind) does. If its address is the loopback of IPv4, also binds
    /// the port of the same number on that of IPv6, where this is possible.
    pub(crate) fn bind_loopbacks(
        &mut self,
        name: &'static str,
        flag: &str,
        requested: SocketAddr,
    ) -> Result<Vec<TcpListener>, CliError> {
        let mut listeners = vec![self.bind(name, flag, requested)?];
        let bound = self.bound.get(name).filter(|bound| bound.ip() == Ipv4Addr::LOCALHOST);
        if let Some(port) = bound.map(SocketAddr::port) {
            let also = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
            match listen(also) {
                Ok(listener) => listeners.push(listener),
                Err(error) => tracing::info!(address = %also, %error, "{name} has IPv4 only"),
            }
        }
        Ok(listeners)
    }

    /// Returns all bound addresses, by name.
    pub(crate) const fn all(&self) -> &BTreeMap<&'static str, SocketAddr> {
        &self.bound
    }

    /// Returns the bound address of a port.
    pub(crate) fn address(&self, name: &str) -> Result<SocketAddr, CliError> {
        let bound = self.bound.get(name).copied();
        bound.ok_or_else(|| CliError::unexpected(format!("{name} is not bound")))
    }

    fn may_take_next(&self, error: &io::Error) -> bool {
        self.when_occupied == OccupiedPortPolicy::TakeNext
            && error.kind() == io::ErrorKind::AddrInUse
    }

    /// Writes all addresses to the file of `--addr-file`, for scripts that let the system choose
    /// ports. Does nothing without a file.
    pub(crate) fn write(&self, file: Option<&Path>) -> Result<(), CliError> {
        file.map_or(Ok(()), |file| self.write_to("--addr-file", file))
    }

    /// Writes all addresses as one JSON object; `flag` is named in errors.
    pub(crate) fn write_to(&self, flag: &str, file: &Path) -> Result<(), CliError> {
        let bound: BTreeMap<_, _> =
            self.bound.iter().map(|(name, address)| (name, address.to_string())).collect();
        let text = serde_json::to_string(&bound).unwrap_or_default();
        // Written to another file and renamed, so that a reader sees all of it or nothing.
        let aside = file.with_extension("part");
        std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, file)).map_err(|error| {
            CliError::unexpected(format!("cannot write {flag} {}: {error}", file.display()))
        })
    }
}

/// Returns the address under which this process reaches a port that it bound: `[::]` takes IPv4
/// too.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if bound.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Listens on an address; on every address of IPv4 if it is `[::]` and there is no IPv6.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    with_fallback(address, open)
}

/// Opens an address. If it is `[::]` and cannot be opened, for another reason than that its port is
/// not available, opens every address of IPv4.
fn with_fallback<T>(
    address: SocketAddr,
    open: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let is_of_port = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    };
    match open(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && !is_of_port(&error) => {
            let every = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            let opened = open(every)?;
            tracing::info!(%address, %error, "there is no IPv6 here; listening on IPv4 only");
            Ok(opened)
        }
        result => result,
    }
}

/// Opens an address with a backlog of [`ACCEPT_BACKLOG`].
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        SockRef::from(&socket).set_only_v6(false)?;
    }
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
    //! Tests of the errors for an occupied port, and of machines without IPv6.

    use super::*;

    /// The wildcard of IPv6 is replaced, and a single address is not.
    #[test]
    fn machines_without_ipv6_listen_on_ipv4() {
        // EAFNOSUPPORT, of Linux with `ipv6.disable=1`.
        let without = |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok(address),
            SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(97)),
        };
        let opened = |address: &str| with_fallback(address.parse().unwrap(), without).ok();
        assert_eq!(opened("[::]:8005"), Some("0.0.0.0:8005".parse().unwrap()));
        assert_eq!(opened("127.0.0.1:8005"), Some("127.0.0.1:8005".parse().unwrap()));
        assert_eq!(opened("[::1]:8005"), None);
    }

    #[test]
    fn occupied_ports_are_no_lack_of_ipv6() {
        let occupied = |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok(()),
            SocketAddr::V6(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        };
        let error = with_fallback("[::]:8005".parse().unwrap(), occupied).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

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
