//! A MongoDB server and its database, checked before anything connects.

use std::fmt;

use mongodb::options::ConnectionString;
use orderstream_core::StoreUrl;

use crate::error::Error;

/// The database for a URL that does not name one.
const DATABASE: &str = "orderstream";

/// A MongoDB server to connect to, and its database. Its debug output has no secrets.
#[derive(Clone)]
pub struct MongoEndpoint {
    url: StoreUrl,
    pub(crate) connection: ConnectionString,
    pub(crate) database: String,
}

impl MongoEndpoint {
    /// Parses a URL of the form `mongodb://[user:password@]host[:port][,…][/database][?options]`.
    ///
    /// # Errors
    /// The fault in the URL, without any part that may be secret.
    pub fn new(url: StoreUrl) -> Result<Self, Error> {
        let text = url.secret();
        if text.starts_with("mongodb+srv://") {
            return Err(Error(format!(
                "'{url}' needs a look-up in DNS that is not built in; name the hosts: \
                 mongodb://host1,host2/database?replicaSet=NAME"
            )));
        }
        let Some(rest) = text.strip_prefix("mongodb://") else {
            return Err(Error(format!("'{url}' is not a URL of the form mongodb://host/database")));
        };
        check_redacted(&url, rest)?;
        let wrong =
            || Error(format!("'{url}' has credentials that cannot be read; percent-encode them"));
        let connection = ConnectionString::parse(text).map_err(|_| wrong())?;
        let database = connection.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        Ok(Self { url, connection, database })
    }
}

/// Parses the URL with placeholder credentials, so that an error can be displayed.
fn check_redacted(url: &StoreUrl, rest: &str) -> Result<(), Error> {
    let redacted = match rest.rsplit_once('@') {
        Some((credentials, hosts)) if is_encoded(credentials) => {
            format!("mongodb://user:password@{hosts}")
        }
        Some(_) => {
            return Err(Error(format!(
                "'{url}' has a user or password with one of : / ? # [ ] @ in it; percent-encode it"
            )));
        }
        None => format!("mongodb://{rest}"),
    };
    match ConnectionString::parse(&redacted) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error(format!("'{url}' cannot be read: {error}"))),
    }
}

fn is_encoded(credentials: &str) -> bool {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let is_plain = |text: &str| !text.contains([':', '/', '?', '#', '[', ']', '@']);
    is_plain(user) && is_plain(password)
}

impl fmt::Display for MongoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for MongoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({}, database {})", self.url, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_defaults_to_orderstream() {
        let database = |url: &str| MongoEndpoint::new(StoreUrl::from(url)).unwrap().database;
        assert_eq!(database("mongodb://ann:secret@db:27017/shop?authSource=admin"), "shop");
        assert_eq!(database("mongodb://a,b:27018"), "orderstream");
    }

    #[test]
    fn wrong_urls_are_refused_without_secrets() {
        for (url, part) in [
            ("mysql://ann:secret@db", "not a URL of the form mongodb://host/database"),
            ("mongodb+srv://ann:secret@db", "name the hosts"),
            ("mongodb://", "cannot be read"),
            ("mongodb://ann:secret@", "cannot be read"),
            ("mongodb://ann:secret@db:99999", "cannot be read"),
            ("mongodb://ann:secret@db/x?maxPoolSize=many", "cannot be read"),
            ("mongodb://ann:se@cret-secret@db", "percent-encode"),
            ("mongodb://ann:secret/cret@db", "percent-encode"),
            ("mongodb://ann:secret%zz@db", "percent-encode"),
        ] {
            let error = MongoEndpoint::new(StoreUrl::from(url)).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("secret") && !error.contains("cret@"), "{url}: {error}");
        }
    }

    #[test]
    fn a_place_shows_no_secret() {
        let endpoint = MongoEndpoint::new(StoreUrl::from("mongodb://ann:secret@db/shop")).unwrap();
        assert_eq!(endpoint.to_string(), "mongodb://***@db/shop");
        assert!(!format!("{endpoint:?}").contains("secret"));
    }
}
