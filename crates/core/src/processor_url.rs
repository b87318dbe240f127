//! The URL of a processor's port, as settings give it: `http://host:port`, where an IPv6 address has
//! brackets. A wrong one is refused before anything connects to it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The largest length of the URL of a processor, bytes.
pub const PROCESSOR_URL_BYTES_MAX: usize = 300;

const BRACKETS: &str = "write an IPv6 address in brackets, as in http://[fd00::5]:50051";
const IPV4: &str = "an IPv4 address has four numbers from 0 to 255";
const NAME: &str = "the host is not a name or an address";
const PORT: &str = "give the port, a number from 1 to 65535";

/// Checks the URL of a processor.
///
/// # Errors
/// The fault and its fix, as the end of a sentence that begins with the URL.
pub fn check(url: &str) -> Result<(), String> {
    let bytes = url.len();
    if bytes > PROCESSOR_URL_BYTES_MAX {
        return Err(format!("has {bytes} bytes; at most {PROCESSOR_URL_BYTES_MAX} are allowed"));
    }
    check_parts(url).map_err(|fault| format!("is not a URL of the form http://host:port: {fault}"))
}

fn check_parts(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("http://").ok_or("begin it with http://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        return Err("leave out all but the host and the port");
    }
    let port = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']').ok_or(BRACKETS)?;
            address.parse::<Ipv6Addr>().map_err(|_| BRACKETS)?;
            port.strip_prefix(':').ok_or(PORT)?
        }
        None => {
            let (host, port) = authority.rsplit_once(':').ok_or(PORT)?;
            check_host(host)?;
            port
        }
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if is_number => Ok(()),
        Ok(_) | Err(_) => Err(PORT),
    }
}

/// Checks the name of a host, or its IPv4 address: a name whose last label is a number is one.
fn check_host(host: &str) -> Result<(), &'static str> {
    if host.contains(':') {
        return Err(BRACKETS);
    }
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    let name = host.strip_suffix('.').unwrap_or(host);
    if !name.chars().all(is_letter) || name.split('.').any(str::is_empty) {
        return Err(NAME);
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_err() {
        return Err(IPV4);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_with_ports_are_urls() {
        for url in [
            "http://127.0.0.1:50051",
            "http://processor:1",
            "http://processor-0.processor.shop.svc:50051",
            "http://processor.shop.svc.:50051/",
            "http://my_host.example:65535",
            "http://[fd00::5]:50051",
            "http://[::1]:8005/",
            "http://[::ffff:10.0.0.7]:50051",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn wrong_urls_name_their_fault() {
        for (url, fault) in [
            ("", "begin it with http://"),
            ("localhost:50051", "begin it with http://"),
            ("https://processor:50051", "begin it with http://"),
            ("http://", PORT),
            ("http://processor", PORT),
            ("http://processor:", PORT),
            ("http://processor:0", PORT),
            ("http://processor:+80", PORT),
            ("http://processor:70000", PORT),
            ("http://[fd00::5]", PORT),
            ("http://[fd00::5]50051", PORT),
            ("http://fd00::5:50051", BRACKETS),
            ("http://fd00::5", BRACKETS),
            ("http://::1:50051", BRACKETS),
            ("http://[fd00::5:50051", BRACKETS),
            ("http://[processor]:50051", BRACKETS),
            ("http://[fd00::zz]:50051", BRACKETS),
            ("http://[fe80::1%25eth0]:50051", BRACKETS),
            ("http://10.0.0.300:50051", IPV4),
            ("http://10.0.0:50051", IPV4),
            ("http://:50051", NAME),
            ("http://a b:50051", NAME),
            ("http://a..b:50051", NAME),
            ("http://bücher:50051", NAME),
            ("http://$(POD_ADDRESS):50051", NAME),
            ("http://user@processor:50051", "leave out all but the host and the port"),
            ("http://processor:50051/api", "leave out all but the host and the port"),
        ] {
            let message = check(url).unwrap_err();
            assert!(message.ends_with(&format!(": {fault}")), "{url}: {message}");
            assert!(message.contains("http://host:port"), "{url}: {message}");
        }
        let long = format!("http://{}:1", "x".repeat(PROCESSOR_URL_BYTES_MAX));
        assert!(check(&long).unwrap_err().contains("at most 300"));
    }
}
