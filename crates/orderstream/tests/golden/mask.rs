//! Masks for the parts that differ between two runs of the same script: times, drawn ids,
//! addresses, hashes of those. A drawn id is replaced by its number, in the order in which ids
//! appear.

/// The first year of times that the script gave; earlier ones are a clock's.
const FIRST_SCRIPT_YEAR: &str = "2090";
/// The time that help and error texts give as an example.
const EXAMPLE: &str = "2026-12-01T12:00:00Z";

/// The masks of one run.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// Known texts, each with its mask.
    names: Vec<(String, String)>,
    /// Drawn ids, in the order of their appearance.
    ids: Vec<String>,
}

/// A masked part of a text.
struct MaskedPart {
    len: usize,
    mask: String,
}

impl Masks {
    /// Masks a known text, such as an address, by a name.
    pub(super) fn name(&mut self, text: String, name: &str) {
        self.names.push((text, format!("<{name}>")));
    }

    /// Returns the JSON text with its masks. A number that is masked becomes a text.
    pub(super) fn json(&mut self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let (mut rest, mut before) = (text, ' ');
        let mut in_text = false;
        while let Some(first) = rest.chars().next() {
            if let Some(MaskedPart { len, mask }) = self.find(before, rest) {
                let quote = if in_text { "" } else { "\"" };
                masked.extend([quote, &mask, quote]);
                (before, rest) = ('>', &rest[len..]);
                continue;
            }
            let is_escaped = before == '\\';
            in_text ^= first == '"' && !is_escaped;
            masked.push(first);
            // An escaped character is not part of a word.
            before = if is_escaped { ' ' } else { first };
            rest = &rest[first.len_utf8()..];
        }
        masked
    }

    fn find(&mut self, before: char, rest: &str) -> Option<MaskedPart> {
        let known = self.names.iter().find(|(text, _)| rest.starts_with(text.as_str()));
        if let Some((text, mask)) = known.filter(|(text, _)| ends(rest, text.len())) {
            return Some(MaskedPart { len: text.len(), mask: mask.clone() });
        }
        if let Some(hash) = hash(before, rest) {
            return Some(hash);
        }
        if before.is_ascii_alphanumeric() {
            return None;
        }
        let found = |len, mask: &str| MaskedPart { len, mask: mask.to_owned() };
        if let Some(len) = moment(rest) {
            return Some(found(len, "<time>"));
        }
        if let Some(len) = address(rest) {
            return Some(found(len, "<address>"));
        }
        if let Some(len) = shaped(rest, "cli-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            .or_else(|| shaped(rest, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
        {
            return Some(MaskedPart { len, mask: self.id(&rest[..len]) });
        }
        None
    }

    fn id(&mut self, id: &str) -> String {
        let known = self.ids.iter().position(|known_id| known_id == id);
        let index = known.unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        format!("<id-{}>", index + 1)
    }
}

/// Reports whether a word ends at this place.
fn ends(text: &str, at: usize) -> bool {
    !text[at..].starts_with(|next: char| next.is_ascii_alphanumeric())
}

/// Returns the length of the start of a text, if it has this shape: `x` is a hexadecimal digit, `0`
/// is a decimal one, and any other character is itself.
fn shaped(text: &str, shape: &str) -> Option<usize> {
    let fits = |(byte, expected): (u8, u8)| match expected {
        b'x' => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
        b'0' => byte.is_ascii_digit(),
        expected => byte == expected,
    };
    let is_whole = text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(fits);
    (is_whole && ends(text, shape.len())).then_some(shape.len())
}

/// Matches a time: RFC 3339 in UTC, or milliseconds since 1970.
fn moment(text: &str) -> Option<usize> {
    if let Some(len) = shaped(text, "0000000000000").filter(|_| text.starts_with('1')) {
        return Some(len);
    }
    if text.starts_with(EXAMPLE) {
        return None;
    }
    const TO_SECONDS: usize = "0000-00-00T00:00:00".len();
    let head = text.get(..TO_SECONDS)?;
    shaped(head, "0000-00-00T00:00:00").filter(|_| head < FIRST_SCRIPT_YEAR)?;
    let rest = &text[TO_SECONDS..];
    let fraction = rest
        .strip_prefix('.')
        .map_or(0, |digits| 1 + digits.bytes().take_while(u8::is_ascii_digit).count());
    rest[fraction..].starts_with('Z').then_some(TO_SECONDS + fraction + 1)
}

/// Matches an address of this machine with a port.
fn address(text: &str) -> Option<usize> {
    let host = ["127.0.0.1:", "127.0.0.2:"].into_iter().find(|host| text.starts_with(host))?;
    let port = text[host.len()..].bytes().take_while(u8::is_ascii_digit).count();
    (port > 0).then_some(host.len() + port)
}

/// Matches the last part of a notification's id, which is a hash of an address, or a webhook's
/// signature.
fn hash(before: char, text: &str) -> Option<MaskedPart> {
    const SIGNATURE: &str = "v1,";
    if before == '~' {
        let len = shaped(text, "xxxxxxxxxxxxxxxx")?;
        return Some(MaskedPart { len, mask: "<hash>".to_owned() });
    }
    let signature = text.strip_prefix(SIGNATURE).filter(|_| before == '"')?;
    let len = SIGNATURE.len() + signature.find('"')?;
    Some(MaskedPart { len, mask: "v1,<signature>".to_owned() })
}

#[test]
fn masks_hide_varying_parts_only() {
    let mut masks = Masks::default();
    masks.name("127.0.0.1:4001".to_owned(), "buyers");
    let id = "01a22a68-727c-766d-b46e-a236ddb7c9d8";
    let text = format!(
        r#"{{"a":1796007817866,"b":"at 1796007817866, \"{id}\"","c":"2026-11-30T03:03:37.87Z",
        "d":"2099-01-01T00:00:00Z","e":"http://127.0.0.1:4001/x","f":"http://127.0.0.1:40019",
        "g":"t~o~{id}~2~6024bb087ee4cd97","h":12960078178660,"i":"\\","j":1796007817866,
        "k":"\n{id}"}}"#
    );
    let masked = r#"{"a":"<time>","b":"at <time>, \"<id-1>\"","c":"<time>",
        "d":"2099-01-01T00:00:00Z","e":"http://<buyers>/x","f":"http://<address>",
        "g":"t~o~<id-1>~2~<hash>","h":12960078178660,"i":"\\","j":"<time>",
        "k":"\n<id-1>"}"#;
    assert_eq!(masks.json(&text), masked);
}
