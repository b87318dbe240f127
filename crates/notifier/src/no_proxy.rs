//! The targets that are called without a proxy: the entries of `NO_PROXY`, with the meaning that
//! they have to programs in Go.

use std::net::IpAddr;

use url::Host;

/// The entries of `NO_PROXY`.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoProxy(Vec<NoProxyEntry>);

impl NoProxy {
    /// Parses a list that commas or spaces separate. An entry that names nothing matches nothing: the
    /// variable is also read by other programs, which may know more forms.
    pub(crate) fn parse(text: &str) -> Self {
        let entries = text.split([',', ' ', '\t']).map(str::trim).filter(|text| !text.is_empty());
        Self(entries.filter_map(NoProxyEntry::parse).collect())
    }

    /// Reports whether an entry names this target.
    pub(crate) fn contains(&self, host: &Host, port: u16) -> bool {
        self.0.iter().any(|entry| entry.matches(host, port))
    }
}

/// One entry; without a port it is for every port.
#[derive(Clone, Debug)]
enum NoProxyEntry {
    /// `*`: every target.
    All,
    /// `10.0.0.0/8`: the addresses whose first bits are those of this one.
    Network { address: IpAddr, bits: u32 },
    /// `10.0.0.1`, `[::1]:8443`.
    Address { address: IpAddr, port: Option<u16> },
    /// `example.com`: the name and all below it; `.example.com` or `*.example.com`: those below it.
    Name { name: String, subdomains: Subdomains, port: Option<u16> },
}

/// The part of a domain that an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subdomains {
    /// Those below the name, and the name.
    Included,
    /// Only those below the name.
    Alone,
}

impl NoProxyEntry {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(network) = network(text) {
            return Some(network);
        }
        if let Some(address) = address(text) {
            return Some(Self::Address { address, port: None });
        }
        let (host, port) = split_port(text);
        if let Some(address) = address(host) {
            return Some(Self::Address { address, port });
        }
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        let (name, subdomains) = match below {
            Some(name) => (name, Subdomains::Alone),
            None => (host, Subdomains::Included),
        };
        let name = name.trim_end_matches('.');
        if name.is_empty() {
            return None;
        }
        let name = idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_lowercase());
        Some(Self::Name { name, subdomains, port })
    }

    fn matches(&self, host: &Host, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network { address, bits } => {
                address_of(host).is_some_and(|host| common_bits(*address, host) >= Some(*bits))
            }
            Self::Address { address, port } => is_port(port) && address_of(host) == Some(*address),
            Self::Name { name, subdomains, port } => {
                let Host::Domain(host) = host else { return false };
                let above = host.trim_end_matches('.').strip_suffix(name.as_str());
                let is_named = match above {
                    Some("") => *subdomains == Subdomains::Included,
                    Some(above) => above.ends_with('.'),
                    None => false,
                };
                is_named && is_port(port)
            }
        }
    }
}

fn address_of(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
        Host::Domain(_) => None,
    }
}

/// Returns the number of first bits that two addresses have in common; `None` if they are of two
/// families.
fn common_bits(one: IpAddr, other: IpAddr) -> Option<u32> {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            Some((one.to_bits() ^ other.to_bits()).leading_zeros())
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            Some((one.to_bits() ^ other.to_bits()).leading_zeros())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn network(text: &str) -> Option<NoProxyEntry> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    (bits <= bits_max).then_some(NoProxyEntry::Network { address, bits })
}

/// Parses an address, which may have the brackets of IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.ok().map(|address| address.to_canonical())
}

fn split_port(text: &str) -> (&str, Option<u16>) {
    let split = text.rsplit_once(':');
    let split = split.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    split.map_or((text, None), |(host, port)| (host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, targets: &[(&str, u16, bool)]) {
        let no_proxy = NoProxy::parse(list);
        for (host, port, expected) in targets {
            let found = no_proxy.contains(&Host::parse(host).unwrap(), *port);
            assert_eq!(found, *expected, "{list}: {host}:{port}");
        }
    }

    #[test]
    fn names_match_themselves_and_subdomains() {
        check(
            "Corp.example, .only.example *.star.example,bücher.example,",
            &[
                ("corp.example", 443, true),
                ("corp.example.", 443, true),
                ("a.b.CORP.example", 80, true),
                ("notcorp.example", 443, false),
                ("corp.example.com", 443, false),
                ("only.example", 443, false),
                ("a.only.example", 443, true),
                ("star.example", 443, false),
                ("a.star.example", 443, true),
                ("xn--bcher-kva.example", 443, true),
                ("10.0.0.1", 443, false),
            ],
        );
    }

    #[test]
    fn addresses_match_alone_and_in_networks() {
        check(
            "10.0.0.0/8,192.168.1.7,fd00::/8,[2001:db8::1],0.0.0.0/99",
            &[
                ("10.255.0.1", 443, true),
                ("11.0.0.1", 443, false),
                ("[::ffff:10.0.0.1]", 443, true),
                ("192.168.1.7", 80, true),
                ("192.168.1.8", 80, false),
                ("[fd12::1]", 443, true),
                ("[fe80::1]", 443, false),
                ("[2001:db8::1]", 443, true),
                ("10.example", 443, false),
            ],
        );
        check("0.0.0.0/0", &[("9.9.9.9", 443, true), ("[2001:db8::1]", 443, false)]);
    }

    #[test]
    fn ports_narrow_an_entry() {
        check(
            "a.example:8443,10.0.0.1:80,[::2]:81,::3",
            &[
                ("a.example", 8443, true),
                ("b.a.example", 8443, true),
                ("a.example", 443, false),
                ("10.0.0.1", 80, true),
                ("10.0.0.1", 443, false),
                ("[::2]", 81, true),
                ("[::2]", 82, false),
                ("[::3]", 82, true),
            ],
        );
    }

    #[test]
    fn a_star_matches_everything() {
        check("a.example,*", &[("b.example", 443, true), ("[2001:db8::1]", 80, true)]);
        check("", &[("b.example", 443, false)]);
        check(". , :80", &[("b.example", 80, false)]);
    }
}
