//! The URL of the store or projection of orders, as an operator gives it. It may hold a password,
//! so it is only ever shown in part.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `embedded:DIR`, or a URL such as `mongodb://user:password@host/database`. It is shown without
/// the password, the user and the options.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Returns the text as it was given, with its secrets.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Returns the folder of `embedded:DIR`.
    pub fn embedded_dir(&self) -> Option<&str> {
        self.0.strip_prefix("embedded:").filter(|dir| !dir.is_empty())
    }

    /// Reports whether it names a MongoDB server.
    pub fn is_mongodb(&self) -> bool {
        self.0.starts_with("mongodb://") || self.0.starts_with("mongodb+srv://")
    }
}

impl From<String> for StoreUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for StoreUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            // A folder, or a mistyped URL that may hold a password.
            return match self.embedded_dir() {
                Some(_) => f.write_str(&self.0),
                None => f.write_str("***"),
            };
        };
        // The last `@`: a password with one of its own must not be cut in two.
        let (credentials, location) = match rest.rsplit_once('@') {
            Some((_, location)) => ("***@", location),
            None => ("", rest),
        };
        let location = location.split(['?', '&']).next().unwrap_or_default();
        write!(f, "{scheme}://{credentials}{location}")
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (given, displayed) in [
            ("mongodb://db:27017/orders", "mongodb://db:27017/orders"),
            ("mongodb://ann:secret@a,b:1/orders?w=majority", "mongodb://***@a,b:1/orders"),
            ("mongodb://ann:se@cret@db/orders", "mongodb://***@db/orders"),
            ("mongodb://ann:se/cr?et@db", "mongodb://***@db"),
            ("mongodb://db/?tlsCertificateKeyFilePassword=secret", "mongodb://db/"),
            ("mongodb:ann:secret@db", "***"),
            ("embedded:/var/lib/orders", "embedded:/var/lib/orders"),
        ] {
            let url = StoreUrl::from(given);
            assert_eq!(url.to_string(), displayed);
            assert_eq!(format!("{url:?}"), format!("StoreUrl({displayed})"));
            assert_eq!(url.secret(), given);
        }
    }

    #[test]
    fn folders_and_servers_are_distinguished() {
        assert_eq!(StoreUrl::from("embedded:x").embedded_dir(), Some("x"));
        assert_eq!(StoreUrl::from("embedded:").embedded_dir(), None);
        assert!(StoreUrl::from("mongodb://db").is_mongodb());
        assert!(!StoreUrl::from("mysql://db").is_mongodb());
    }
}
