//! The proxies of calls over HTTP, as the variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` have
//! them. They mean what they mean to programs in Go: capitals win over small letters, and this
//! machine itself is never called through a proxy.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::config::ConfigError;
use crate::guard::host_of;
use crate::no_proxy::NoProxy;

/// The proxies of calls over HTTP, and the targets that are called without them. Nothing that is
/// printed of it has a user or a password.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    http: Option<HttpProxy>,
    https: Option<HttpProxy>,
    exceptions: NoProxy,
}

impl ProxySettings {
    /// Reads the settings from variables; `variable` returns the value of the one with a name.
    ///
    /// # Errors
    /// When a proxy is not one that can be used; the error names the variable, and not its value.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let value = |name: &str| {
            let text = variable(name)?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let given = |name: &str| value(name).or_else(|| value(&name.to_lowercase()));
        let proxy = |name: &str| {
            let parsed = given(name).map(|text| HttpProxy::parse(&text)).transpose();
            parsed.map_err(|fault| ConfigError::field(name, fault))
        };
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            exceptions: NoProxy::parse(&given("NO_PROXY").unwrap_or_default()),
        })
    }

    /// Returns the proxy of a target; `None` if the target is called directly.
    pub(crate) fn of(&self, target: &Uri) -> Option<&HttpProxy> {
        let (proxy, usual_port) = match target.scheme_str() {
            Some("http") => (self.http.as_ref()?, 80),
            Some("https") => (self.https.as_ref()?, 443),
            Some(_) | None => return None,
        };
        let host = host_of(target)?;
        let port = target.port_u16().unwrap_or(usual_port);
        let is_direct = is_this_machine(&host) || self.exceptions.contains(&host, port);
        (!is_direct).then_some(proxy)
    }
}

impl fmt::Display for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.http, &self.https) {
            (None, None) => f.write_str("no proxy"),
            (Some(http), None) => write!(f, "proxy {http} for http"),
            (None, Some(https)) => write!(f, "proxy {https} for https"),
            (Some(http), Some(https)) => write!(f, "proxy {http} for http, {https} for https"),
        }
    }
}

/// Reports whether a host is this machine by its name or its address. A proxy would take it for its
/// own.
fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// A proxy, without the credentials in its URL.
#[derive(Clone, Debug)]
pub(crate) struct HttpProxy {
    url: Uri,
    /// Its host and port.
    address: String,
    /// The value of `Proxy-Authorization`, which is marked as sensitive.
    authorization: Option<HeaderValue>,
}

impl HttpProxy {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "is not the URL of an HTTP proxy; write http://host:port, and \
                             percent-encode what is special in a user or password";
        // In a URL a backslash is a slash, so that a user after it would be taken for a host.
        if text.contains('\\') {
            return Err(WRONG);
        }
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&whole).map_err(|_| WRONG)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("is not a proxy that speaks HTTP; write http://host:port");
        }
        // So do a slash, a question mark and a number sign end the host: what follows one may well
        // be a part of a password.
        let is_longer = url.query().is_some() || url.fragment().is_some();
        if is_longer || !matches!(url.path(), "" | "/") {
            return Err(WRONG);
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(WRONG);
        };
        let address = format!("{host}:{port}");
        let root = Uri::builder().scheme(url.scheme()).authority(address.as_str());
        let root = root.path_and_query("/").build().map_err(|_| WRONG)?;
        Ok(Self { url: root, address, authorization: authorization(&url).map_err(|()| WRONG)? })
    }

    /// Returns the URL by which the proxy itself is reached.
    pub(crate) const fn url(&self) -> &Uri {
        &self.url
    }

    /// Returns the value of `Proxy-Authorization`, if the proxy wants one.
    pub(crate) const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Returns the value of `Proxy-Authorization` (RFC 7617) for the user and the password of a URL.
fn authorization(url: &Url) -> Result<Option<HeaderValue>, ()> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let value = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(value).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<ProxySettings, ConfigError> {
        ProxySettings::from_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy_of(settings: &ProxySettings, target: &str) -> Option<String> {
        settings.of(&target.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn schemes_have_their_own_proxy() {
        let settings = settings(&[
            ("HTTP_PROXY", "plain.example:3128"),
            ("http_proxy", "other.example:3128"),
            ("https_proxy", "https://secure.example"),
            ("HTTPS_PROXY", " "),
            ("no_proxy", "direct.example"),
        ])
        .unwrap();
        for (target, expected) in [
            ("http://a.example/x", Some("plain.example:3128")),
            ("https://a.example/x", Some("secure.example:443")),
            ("https://direct.example:8443/", None),
            ("http://localhost/", None),
            ("http://a.LOCALHOST./", None),
            ("http://127.0.0.1:8080/", None),
            ("http://127.1/", None),
            ("https://[::1]/", None),
            ("https://[::ffff:127.0.0.1]/", None),
        ] {
            assert_eq!(proxy_of(&settings, target).as_deref(), expected, "{target}");
        }
        let text = settings.to_string();
        assert_eq!(text, "proxy plain.example:3128 for http, secure.example:443 for https");
    }

    #[test]
    fn without_variables_nothing_is_proxied() {
        let settings = settings(&[("NO_PROXY", "a.example")]).unwrap();
        assert_eq!(proxy_of(&settings, "https://b.example/"), None);
        assert_eq!(settings.to_string(), "no proxy");
    }

    #[test]
    fn credentials_become_one_hidden_header() {
        for (given, expected) in [
            ("http://ann:s%40cret@p.example:3128", Some("Basic YW5uOnNAY3JldA==")),
            ("ann:s%40cret@p.example:3128", Some("Basic YW5uOnNAY3JldA==")),
            ("http://ann@p.example:3128", Some("Basic YW5uOg==")),
            ("http://p.example:3128", None),
        ] {
            let settings = settings(&[("HTTPS_PROXY", given)]).unwrap();
            let proxy = settings.https.as_ref().unwrap();
            let value = proxy.authorization().map(|value| value.to_str().unwrap());
            assert_eq!(value, expected, "{given}");
            assert_eq!(proxy.url(), "http://p.example:3128/", "{given}");
            let printed = format!("{settings:?} {settings}");
            for secret in ["ann", "cret", "YW5u"] {
                assert!(!printed.contains(secret), "{printed}");
            }
        }
    }

    #[test]
    fn wrong_proxies_are_refused_without_secrets() {
        for (given, part) in [
            ("socks5://ann:secret@p.example:1080", "speaks HTTP"),
            ("http://ann:secret@", "is not the URL"),
            ("http://ann:sec/ret@p.example:3128", "is not the URL"),
            ("http://ann:secret@p.example:port", "is not the URL"),
        ] {
            let error = settings(&[("https_proxy", given)]).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY: ") && error.contains(part), "{error}");
            assert!(!error.contains("sec"), "{error}");
        }
    }

    /// Each value parses as the URL of another host, with a part of the credentials in it.
    #[test]
    fn unencoded_credentials_are_refused_unprinted() {
        for given in [
            r"http://CORP\ann:secret@p.example:3128",
            r"CORP\ann:secret@p.example:3128",
            r"http://ann:12\secret@p.example:3128",
            "http://CORP/ann:secret@p.example:3128",
            "http://CORP?ann:secret@p.example:3128",
            "http://CORP#ann:secret@p.example:3128",
            "http://ann:12/secret@p.example:3128",
            "http://ann:12?secret@p.example:3128",
            "http://ann:12#secret@p.example:3128",
        ] {
            let error = settings(&[("HTTPS_PROXY", given)]).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY: is not the URL"), "{given}: {error}");
            let lower = error.to_lowercase();
            for secret in ["corp", "ann", "12", "secret"] {
                assert!(!lower.contains(secret), "{given}: {error}");
            }
        }
        let encoded = settings(&[("HTTPS_PROXY", "http://CORP%5Cann:s%2Fe@p.example:3128/")]);
        assert_eq!(encoded.unwrap().to_string(), "proxy p.example:3128 for https");
    }
}
