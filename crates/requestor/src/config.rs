//! The requestor's settings, checked before any port opens.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use orderstream_core::{Refusal, StoreUrl, processor_url};
use serde::{Deserialize, Serialize};

/// The most connections to one processor.
const CONNECTIONS_MAX: usize = 64;
/// The most orders that one requestor may be configured to follow.
const ORDERS_MAX: usize = 10_000_000;

/// The requestor's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The address on which the buyers' REST listens; `[::]` is every address, of IPv6 and of IPv4.
    #[arg(long, env = "ORDERSTREAM_REST_ADDR", default_value = "[::]:8004")]
    pub rest_addr: SocketAddr,
    /// The address of metrics and health.
    #[arg(long, env = "ORDERSTREAM_METRICS_ADDR", default_value = "[::]:9091")]
    pub metrics_addr: SocketAddr,
    /// A processor's URL, such as `http://127.0.0.1:50051`; repeatable.
    #[arg(
        long = "processor",
        env = "ORDERSTREAM_PROCESSOR",
        value_name = "URL",
        value_delimiter = ','
    )]
    #[serde(rename = "processor")]
    pub processors: Vec<String>,
    /// The order store: `embedded:DIR`; or `mongodb://host/database`, which keeps orders in
    /// --data-dir and projects their status and follow-ups to MongoDB.
    #[arg(
        long,
        env = "ORDERSTREAM_STORE",
        hide_env_values = true,
        default_value = "embedded:.orderstream/requestor"
    )]
    pub store: StoreUrl,
    /// The folder of the orders if --store is a MongoDB URL.
    #[arg(long, env = "ORDERSTREAM_DATA_DIR", default_value = ".orderstream/requestor")]
    pub data_dir: PathBuf,
    /// The least number of connections to each processor for streams; every further thousand of
    /// streams gets one more, and commands have one of their own.
    #[arg(long, env = "ORDERSTREAM_CONNECTIONS", default_value_t = 4)]
    pub connections: usize,
    /// The most orders that may be followed at once; beyond it new ones are refused with 429.
    #[arg(long, env = "ORDERSTREAM_MAX_ORDERS", default_value_t = 100_000)]
    pub max_orders: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rest_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8004)),
            metrics_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9091)),
            processors: Vec::new(),
            store: StoreUrl::from("embedded:.orderstream/requestor"),
            data_dir: PathBuf::from(".orderstream/requestor"),
            connections: 4,
            max_orders: 100_000,
        }
    }
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// When one is wrong; the refusal names the setting, the limit and the fix.
    pub fn validate(&self) -> Result<(), Refusal> {
        if self.processors.is_empty() {
            let text = "is missing; give a URL, such as --processor http://127.0.0.1:50051";
            return Err(Refusal::field("processor", text));
        }
        for url in &self.processors {
            processor_url::check(url)
                .map_err(|fault| Refusal::field("processor", format!("'{url}' {fault}")))?;
        }
        between("connections", self.connections, CONNECTIONS_MAX)?;
        between("max-orders", self.max_orders, ORDERS_MAX)?;
        self.store_dir().map(|_| ())
    }

    /// Returns the folder of the embedded store, which is used wherever orders are projected to.
    ///
    /// # Errors
    /// Refuses another kind of store, without the password that its URL may hold.
    pub fn store_dir(&self) -> Result<PathBuf, Refusal> {
        if self.store.is_mongodb() {
            return Ok(self.data_dir.clone());
        }
        self.store.embedded_dir().map(PathBuf::from).ok_or_else(|| {
            let store = &self.store;
            let text =
                format!("'{store}' is unknown; give embedded:DIR or mongodb://host/database");
            Refusal::field("store", text)
        })
    }
}

fn between(field: &str, value: usize, max: usize) -> Result<(), Refusal> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Refusal::field(field, format!("is {value}; give 1 to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the defaults with what has none.
    fn valid() -> Config {
        Config { processors: vec!["http://[::1]:50051".to_owned()], ..Config::default() }
    }

    #[test]
    fn ports_listen_on_every_address_by_default() {
        let Config { rest_addr, metrics_addr, .. } = Config::default();
        let addresses = [rest_addr, metrics_addr].map(|address| address.to_string());
        assert_eq!(addresses, ["[::]:8004", "[::]:9091"]);
    }

    #[test]
    fn flags_and_files_share_defaults() {
        use clap::{Args as _, FromArgMatches as _};
        let command = Config::augment_args(clap::Command::new("requestor"));
        command.clone().debug_assert();
        let from_flags = Config::from_arg_matches(&command.get_matches_from(["requestor"]));
        assert_eq!(from_flags.unwrap(), Config::default());
        let from_file: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(from_file, Config::default());
        assert!(serde_json::from_str::<Config>(r#"{"rest-adr": "[::]:1"}"#).is_err());
    }

    /// A requestor without a processor would wait for one that nobody named.
    #[test]
    fn wrong_settings_are_named() {
        valid().validate().unwrap();
        let without_brackets = vec!["http://fd00::5:50051".to_owned()];
        let wrong: [(&str, Config); 6] = [
            ("processor", Config::default()),
            ("processor", Config { processors: vec!["nonsense".to_owned()], ..valid() }),
            ("processor", Config { processors: without_brackets, ..valid() }),
            ("connections", Config { connections: 0, ..valid() }),
            ("max-orders", Config { max_orders: 0, ..valid() }),
            ("store", Config { store: StoreUrl::from("mysql:x"), ..valid() }),
        ];
        for (field, config) in wrong {
            assert_eq!(config.validate().unwrap_err().field.as_deref(), Some(field));
        }
    }

    #[test]
    fn mongodb_keeps_orders_in_data_dir() {
        let (store, data_dir) = (StoreUrl::from("mongodb://db/orders"), PathBuf::from("/data"));
        let config = Config { store, data_dir, ..valid() };
        config.validate().unwrap();
        assert_eq!(config.store_dir(), Ok(PathBuf::from("/data")));
    }

    #[test]
    fn refused_store_urls_hide_their_password() {
        for store in ["mongo://ann:secret@db", "mongodb:ann:secret@db"] {
            let config = Config { store: StoreUrl::from(store), ..valid() };
            let refusal = config.validate().unwrap_err().to_string();
            assert!(!refusal.contains("secret") && refusal.contains("mongodb://"), "{refusal}");
            assert!(!format!("{config:?}").contains("secret"));
        }
    }
}
