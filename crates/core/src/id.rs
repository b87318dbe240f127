//! The names and numbers of orders and their parts. Each is a type of its own, so that two of them
//! cannot be mixed up, and none can hold a value outside its rules. A name's text is shared by its
//! copies: it is in keys, indexes, events and replies at once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::StableHasher;
use crate::limits::{ID_CHARS_MAX, KEY_CHARS_MAX, TENANT_CHARS_MAX};
use crate::refusal::Refusal;

fn is_name_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
}

fn check_name(field: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::field(field, "is missing; give 1 to 128 characters"));
    }
    if text.len() > chars_max {
        let length = text.len();
        return Err(Refusal::field(
            field,
            format!("has {length} characters; at most {chars_max} are allowed"),
        ));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii() || !is_name_char(*c as u8)) {
        let bad = bad.escape_debug();
        return Err(Refusal::field(
            field,
            format!("contains '{bad}'; use letters, digits and - _ . : only"),
        ));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the rules and returns the name.
            ///
            /// # Errors
            /// A refusal that names the field, the rule and the fix.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Refusal> {
                let text = text.as_ref();
                check_name($field, text, $max)?;
                Ok(Self(text.into()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Reports whether another copy shares the text.
            pub fn is_shared(&self) -> bool {
                Arc::strong_count(&self.0) > 1
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refusal;
            fn try_from(text: String) -> Result<Self, Refusal> {
                Self::new(text)
            }
        }

        impl TryFrom<Arc<str>> for $name {
            type Error = Refusal;
            /// Checks the rules; the text is shared, not copied.
            fn try_from(text: Arc<str>) -> Result<Self, Refusal> {
                check_name($field, &text, $max)?;
                Ok(Self(text))
            }
        }

        impl From<&$name> for Arc<str> {
            /// Returns the text, shared and not copied.
            fn from(name: &$name) -> Self {
                Self::clone(&name.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("text for ", $field))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

name!(
    /// An order's id, chosen by the buyer: 1 to 128 letters, digits or `-_.:`.
    OrderReqId, "order_req_id", ID_CHARS_MAX
);
name!(
    /// The owner of ids: on Kubernetes the namespace, `default` elsewhere.
    Tenant, "tenant", TENANT_CHARS_MAX
);
name!(
    /// One use of an order's id: a resource's uid, or drawn at random. A resource that is deleted
    /// and created again is a new order.
    Incarnation, "incarnation", ID_CHARS_MAX
);
impl Incarnation {
    /// Returns the trace id of this incarnation, 32 hexadecimal digits as in W3C Trace Context. It
    /// follows from the incarnation alone; a UUID, such as a resource's uid, is its own trace id.
    pub fn trace_id(&self) -> String {
        let digits: String = self.0.chars().filter(|c| *c != '-').collect();
        let is_hex = digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit());
        if is_hex && digits.chars().any(|c| c != '0') {
            return digits.to_ascii_lowercase();
        }
        let half = |hasher: StableHasher| hasher.bytes(self.0.as_bytes()).finish();
        let high = half(StableHasher::default());
        let low = half(StableHasher::starting_at(0x8422_2325_cbf2_9ce4));
        format!("{high:016x}{low:016x}")
    }
}

name!(
    /// A seller's name.
    SellerId, "seller", ID_CHARS_MAX
);
name!(
    /// A proposal's id, unique in its order.
    ProposalId, "proposal_id", ID_CHARS_MAX
);
name!(
    /// A follow-up's id, unique in its order.
    FollowUpId, "follow_up_id", ID_CHARS_MAX
);
name!(
    /// The caller's name for a request: the same key has one effect and one reply.
    IdempotencyKey, "idempotency_key", KEY_CHARS_MAX
);

impl Default for Tenant {
    fn default() -> Self {
        Self("default".into())
    }
}

/// The tenant and the id of an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// The owner of the id.
    pub tenant: Tenant,
    /// The order's id, chosen by the buyer.
    pub order_req_id: OrderReqId,
}

impl OrderKey {
    /// Checks both parts; an empty tenant means `default`.
    ///
    /// # Errors
    /// A refusal that names the wrong part.
    pub fn new(tenant: &str, order_req_id: &str) -> Result<Self, Refusal> {
        let tenant = if tenant.is_empty() { Tenant::default() } else { Tenant::new(tenant)? };
        Ok(Self { tenant, order_req_id: OrderReqId::new(order_req_id)? })
    }
}

impl FromStr for OrderKey {
    type Err = Refusal;

    /// Parses the displayed form, `tenant/id`; an id alone belongs to the tenant `default`.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (tenant, id) = text.split_once('/').unwrap_or(("", text));
        Self::new(tenant, id)
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.order_req_id)
    }
}

/// One incarnation of an order, whose events are one list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderIncarnation {
    /// The order's tenant and id.
    pub key: OrderKey,
    /// The order's incarnation.
    pub incarnation: Incarnation,
}

impl OrderIncarnation {
    /// Returns this incarnation of this order.
    pub fn new(key: &OrderKey, incarnation: &Incarnation) -> Self {
        Self { key: key.clone(), incarnation: incarnation.clone() }
    }
}

/// The sequence number of an event in its order's list: 1, 2, 3, … without gaps; 0 is before the
/// first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Returns the next sequence number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a requestor's lead. It fences an order: only the highest granted epoch may act.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A point in time of the owner's wall clock: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns this time plus a number of milliseconds, at most the last time that fits.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms))
    }

    /// Returns the milliseconds from `earlier` to this time; 0 if `earlier` is not before it.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        let ms = self.0.saturating_sub(earlier.0);
        if ms > 0 { ms.unsigned_abs() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id alone belongs to the tenant `default`.
    #[test]
    fn order_keys_parse_as_displayed() {
        let key = OrderKey::new("acme", "SB1").unwrap();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!("SB1".parse(), OrderKey::new("default", "SB1"));
        for wrong in ["", "/", "acme/", "a/b/c"] {
            assert!(wrong.parse::<OrderKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_have_a_longest_length() {
        let id = |count: usize| OrderReqId::new("a".repeat(count));
        assert!(id(ID_CHARS_MAX).is_ok());
        let refusal = id(ID_CHARS_MAX + 1).unwrap_err();
        assert!(refusal.message.contains("129 characters; at most 128"), "{refusal}");
    }

    /// People see the letter that they typed; what they cannot see is escaped.
    #[test]
    fn refusals_show_the_wrong_letter() {
        for (text, shown) in [("möbel", "'ö'"), ("a b", "' '"), ("a\u{202e}b", "'\\u{202e}'")] {
            let refusal = SellerId::new(text).unwrap_err();
            assert!(refusal.message.starts_with(&format!("contains {shown};")), "{refusal}");
        }
    }

    #[test]
    fn backward_clocks_measure_no_time() {
        let at = Timestamp;
        assert_eq!(
            [at(5).ms_since(at(3)), at(3).ms_since(at(3)), at(3).ms_since(at(5))],
            [2, 0, 0]
        );
    }

    /// A uid is its own trace.
    #[test]
    fn every_incarnation_has_a_trace() {
        let trace = |text: &str| Incarnation::new(text).unwrap().trace_id();
        let uid = "6F1F9A3B-7c59-4c0e-9d5e-2f6a1c7b8d90";
        assert_eq!(trace(uid), "6f1f9a3b7c594c0e9d5e2f6a1c7b8d90");
        assert_ne!(trace("life-1"), trace("life-2"));
        for text in
            ["1", "00000000-0000-0000-0000-000000000000", "zz1f9a3b7c594c0e9d5e2f6a1c7b8d90"]
        {
            let trace = trace(text);
            assert!(trace.len() == 32 && trace.chars().all(|c| c.is_ascii_hexdigit()), "{trace}");
            assert!(trace.chars().any(|c| c != '0'), "{text}");
        }
    }
}
