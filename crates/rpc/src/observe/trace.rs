//! A call's position in a trace, according to W3C Trace Context:
//! <https://www.w3.org/TR/trace-context/#traceparent-header>.

use std::fmt;

use http::HeaderValue;

/// The length of version 00, and of the known part of a later version, characters.
const CHARS: usize = 55;

/// A `traceparent`. A call holds it until its end, and a stream lasts for days: it takes 25 bytes,
/// and the header would take four times as much.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// Parses a header; `None` if it is malformed, or if an id is all zeros, which means no trace.
    pub fn from_header(header: &HeaderValue) -> Option<Self> {
        let bytes = header.as_bytes();
        let (known, later) = bytes.split_at_checked(CHARS)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let [version] = hex(parts.next()?)?;
        let (trace, parent, [flags]) =
            (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        let is_whole = match version {
            0 => later.is_empty(),
            1..=0xfe => later.is_empty() || later.starts_with(b"-"),
            0xff => false,
        };
        let is_named = trace != [0; 16] && parent != [0; 8];
        (is_whole && is_named && parts.next().is_none()).then_some(Self { trace, parent, flags })
    }

    /// Returns the header, in version 00.
    pub fn to_header(self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.to_string()).ok()
    }
}

/// Decodes lower-case hexadecimal digits, exactly as many as fill the bytes.
fn hex<const BYTES: usize>(digits: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != BYTES || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, parent) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.parent));
        write!(f, "00-{trace:032x}-{parent:016x}-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(text: &str) -> Option<String> {
        let parent = TraceParent::from_header(&HeaderValue::from_str(text).unwrap())?;
        assert_eq!(parent.to_header().unwrap(), parent.to_string());
        Some(parent.to_string())
    }

    /// Only the known part of a later version is passed on.
    #[test]
    fn traceparents_are_passed_on() {
        assert_eq!(read(GIVEN).as_deref(), Some(GIVEN));
        let later = GIVEN.replacen("00", "cc", 1);
        for text in [later.clone(), format!("{later}-what-comes-later")] {
            assert_eq!(read(&text).as_deref(), Some(GIVEN), "{text}");
        }
    }

    #[test]
    fn malformed_traceparents_are_ignored() {
        let zeros = |digits: &str| GIVEN.replacen(digits, &"0".repeat(digits.len()), 1);
        let wrong = [
            String::new(),
            "1".to_owned(),
            GIVEN[..54].to_owned(),
            format!("{GIVEN}-more"),
            format!("{}x", GIVEN.replacen("00", "cc", 1)),
            GIVEN.replacen("00", "ff", 1),
            GIVEN.to_uppercase(),
            GIVEN.replace('-', "_"),
            GIVEN.replacen("0af7", "0-f7", 1),
            GIVEN.replacen("0af7", "0xf7", 1),
            zeros("0af7651916cd43dd8448eb211c80319c"),
            zeros("b7ad6b7169203331"),
        ];
        for text in wrong {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
