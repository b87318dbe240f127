//! The address check: a seller's webhook must not reach services that only this machine should
//! reach. The name is resolved here, the addresses are checked, and the connection uses a checked
//! address, so that a second resolution cannot return another one.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;
use url::Host;

/// The addresses of cloud metadata services outside the link-local blocks.
const METADATA: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)];

/// The addresses to which connections are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// All addresses except those that only this machine or its link should reach.
    Strict,
    /// All addresses.
    Open,
}

impl AddressPolicy {
    /// Returns the reason for which an address is refused; `None` if it is allowed.
    pub fn refusal(self, address: IpAddr) -> Option<&'static str> {
        match (self, address) {
            (Self::Open, _) => None,
            (Self::Strict, IpAddr::V4(address)) => refused_v4(address),
            (Self::Strict, IpAddr::V6(address)) => refused_v6(address),
        }
    }

    /// Returns the reason for which the host of a URL is refused; `None` if it is allowed, or a name
    /// that the resolver checks.
    pub(crate) fn refusal_of(self, host: &Host) -> Option<&'static str> {
        match host {
            Host::Ipv4(address) => self.refusal((*address).into()),
            Host::Ipv6(address) => self.refusal((*address).into()),
            // Such as `[fe80::1%25eth0]`: a proxy may take it for the address before the zone.
            Host::Domain(name) if name.starts_with('[') => {
                (self == Self::Strict).then_some("not a plain IPv6 address")
            }
            Host::Domain(_) => None,
        }
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("loopback");
    }
    if address.is_link_local() {
        return Some("link-local");
    }
    // 0.0.0.0/8 means this host on most systems.
    if address.octets()[0] == 0 {
        return Some("unspecified");
    }
    (address.is_multicast() || address.is_broadcast()).then_some("not one host")
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("loopback");
    }
    if address.is_unspecified() {
        return Some("unspecified");
    }
    if address.is_unicast_link_local() || METADATA.contains(&address) {
        return Some("link-local");
    }
    if address.is_multicast() {
        return Some("not one host");
    }
    embedded_v4(address).and_then(refused_v4)
}

/// Returns the IPv4 address that is embedded in an IPv6 address: mapped, compatible, NAT64 (RFC
/// 6052) or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Returns the host of a URL. Every notation of an address is one, such as `127.1`, `0x7f000001` and
/// `127.0.0.1.`: whoever resolves it takes it for the address.
pub(crate) fn host_of(url: &Uri) -> Option<Host> {
    let text = url.host()?;
    Some(Host::parse(text).unwrap_or_else(|_| Host::Domain(text.to_lowercase())))
}

/// Resolves names and omits addresses that are not allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardedResolver(pub(crate) AddressPolicy);

/// A name or an address for which no allowed address remains.
#[derive(Debug, thiserror::Error)]
#[error("the address is {0}; --webhook-allow-local lets it be asked")]
pub(crate) struct RefusedAddress(pub(crate) &'static str);

type ResolveFuture =
    Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = ResolveFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> ResolveFuture {
        let policy = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in found {
                match policy.refusal(address.ip()) {
                    None => allowed.push(address),
                    Some(cause) => refused = Some(cause),
                }
            }
            match refused {
                Some(cause) if allowed.is_empty() => Err(io::Error::other(RefusedAddress(cause))),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_many_notations() {
        for host in ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1."] {
            let url = format!("http://{host}:8080/x").parse().unwrap();
            assert_eq!(host_of(&url), Some(Host::Ipv4(Ipv4Addr::LOCALHOST)), "{host}");
        }
        let url = Uri::from_static("http://[::1]/");
        assert_eq!(host_of(&url), Some(Host::Ipv6(Ipv6Addr::LOCALHOST)));
        let url = Uri::from_static("http://A.example/");
        assert_eq!(host_of(&url), Some(Host::Domain("a.example".to_owned())));
    }

    #[test]
    fn brackets_hold_plain_addresses_only() {
        for (host, expected) in [
            ("[fe80::1%25eth0]", Some("not a plain IPv6 address")),
            ("[::1%25lo]", Some("not a plain IPv6 address")),
            ("[2606:4700::1111%25eth0]", Some("not a plain IPv6 address")),
            ("[v1.a]", Some("not a plain IPv6 address")),
            ("[localhost]", Some("not a plain IPv6 address")),
            ("[127.0.0.1]", Some("not a plain IPv6 address")),
            ("[fe80::1]", Some("link-local")),
            ("[::ffff:127.0.0.1]", Some("loopback")),
            ("127.1", Some("loopback")),
            ("[2606:4700::1111]", None),
            ("a.example", None),
        ] {
            let url = format!("https://{host}:8443/").parse().unwrap();
            let host = host_of(&url).unwrap();
            assert_eq!(AddressPolicy::Strict.refusal_of(&host), expected, "{host}");
            assert_eq!(AddressPolicy::Open.refusal_of(&host), None, "{host}");
        }
    }

    /// Link-local addresses and those of metadata services are refused too, in every form.
    #[test]
    fn local_addresses_are_refused() {
        for (address, expected) in [
            ("127.0.0.1", Some("loopback")),
            ("127.9.9.9", Some("loopback")),
            ("::1", Some("loopback")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("64:ff9b::7f00:1", Some("loopback")),
            ("2002:7f00:1::", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("fe80::1", Some("link-local")),
            ("fd00:ec2::254", Some("link-local")),
            ("0.0.0.0", Some("unspecified")),
            ("0.1.2.3", Some("unspecified")),
            ("::", Some("unspecified")),
            ("224.0.0.1", Some("not one host")),
            ("255.255.255.255", Some("not one host")),
            ("ff02::1", Some("not one host")),
            ("10.0.0.1", None),
            ("192.168.1.1", None),
            ("93.184.216.34", None),
            ("fd12::1", None),
            ("2606:4700::1111", None),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(AddressPolicy::Strict.refusal(address), expected, "{address}");
            assert_eq!(AddressPolicy::Open.refusal(address), None);
        }
    }
}
