//! The processor's settings, checked before any port opens.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use orderstream_core::{Refusal, processor_url, tenant_scope};
use serde::{Deserialize, Serialize};

/// The processor's settings.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Config {
    /// Address on which gRPC listens; `[::]` is every address, of IPv6 and of IPv4
    #[arg(long, env = "ORDERSTREAM_GRPC_ADDR", default_value = "[::]:50051")]
    pub grpc_addr: SocketAddr,
    /// Address on which the sellers' REST listens
    #[arg(long, env = "ORDERSTREAM_REST_ADDR", default_value = "[::]:8005")]
    pub rest_addr: SocketAddr,
    /// Address on which metrics and health are served
    #[arg(long, env = "ORDERSTREAM_METRICS_ADDR", default_value = "[::]:9090")]
    pub metrics_addr: SocketAddr,
    /// Folder of the journal
    #[arg(long, env = "ORDERSTREAM_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// File of Seller manifests, read again when it changes; without any sellers none is selected,
    /// and any may propose
    #[arg(long, env = "ORDERSTREAM_SELLERS")]
    pub sellers: Option<PathBuf>,
    /// Take the sellers from the cluster's Seller resources; a tenant is a namespace
    #[arg(long, env = "ORDERSTREAM_SELLERS_FROM_CLUSTER")]
    pub sellers_from_cluster: bool,
    /// With --sellers-from-cluster: a namespace to read sellers from; repeatable. They are read from
    /// all when none is given
    #[arg(long, env = "ORDERSTREAM_SELLERS_NAMESPACE", value_name = "NAME", value_delimiter = ',')]
    #[serde(deserialize_with = "tenant_scope::names")]
    pub sellers_namespace: Vec<String>,
    /// With --sellers-from-cluster: a namespace to read no sellers from, while all others are read;
    /// repeatable
    #[arg(
        long,
        env = "ORDERSTREAM_SELLERS_EXCEPT_NAMESPACE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "tenant_scope::names")]
    pub sellers_except_namespace: Vec<String>,
    /// With --sellers-from-cluster: the kubeconfig; without it KUBECONFIG or ~/.kube/config, else
    /// the pod's own access
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// URL under which other processors know this one; its gRPC address when not given
    #[arg(long, env = "ORDERSTREAM_NAME")]
    pub name: Option<String>,
    /// File with the gRPC URLs of all processors, one a line, read again when it changes: requests
    /// for an order of another processor are forwarded to it
    #[arg(long, env = "ORDERSTREAM_PEERS", value_name = "FILE")]
    pub peers: Option<PathBuf>,
    /// IP address at which other processors reach this one now, such as a pod's: for --name,
    /// --grpc-url and --rest-url where they are not given
    #[arg(long, env = "ORDERSTREAM_ADVERTISE_ADDRESS", value_name = "ADDRESS")]
    pub advertise_address: Option<IpAddr>,
    /// URL at which other processors reach the gRPC port; that of --advertise-address, else --name,
    /// when not given
    #[arg(long, env = "ORDERSTREAM_GRPC_URL", value_name = "URL")]
    pub grpc_url: Option<String>,
    /// URL at which other processors reach the sellers' REST; that of --advertise-address, else
    /// --name's host with the REST's port, when not given
    #[arg(long, env = "ORDERSTREAM_REST_URL", value_name = "URL")]
    pub rest_url: Option<String>,
    /// File of the notification settings: mail server, provider of text messages, webhook
    /// signatures, sinks, templates; without it nobody is notified
    #[arg(long, env = "ORDERSTREAM_NOTIFY_CONFIG", value_name = "FILE")]
    pub notify_config: Option<PathBuf>,
    /// Allow webhooks to loopback and link-local addresses, for trials on one machine
    #[arg(long, env = "ORDERSTREAM_WEBHOOK_ALLOW_LOCAL")]
    pub webhook_allow_local: bool,
    /// Time for which an order is kept after its end, from 1m to 999d. Then its lists are removed;
    /// a requestor that still has the order refuses to open its id again
    #[arg(long, env = "ORDERSTREAM_KEEP_ENDED", default_value = "31d", value_name = "DURATION")]
    pub keep_ended: String,
}

impl Default for Config {
    fn default() -> Self {
        let every = |port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        Self {
            grpc_addr: every(50051),
            rest_addr: every(8005),
            metrics_addr: every(9090),
            data_dir: PathBuf::from("data"),
            sellers: None,
            sellers_from_cluster: false,
            sellers_namespace: Vec::new(),
            sellers_except_namespace: Vec::new(),
            kubeconfig: None,
            name: None,
            peers: None,
            advertise_address: None,
            grpc_url: None,
            rest_url: None,
            notify_config: None,
            webhook_allow_local: false,
            keep_ended: "31d".to_owned(),
        }
    }
}

impl Config {
    /// Checks the URLs at which this processor is reached.
    ///
    /// # Errors
    /// When one is wrong; the refusal names the setting, the fault and the fix.
    pub fn validate(&self) -> Result<(), Refusal> {
        let urls =
            [("name", &self.name), ("grpc-url", &self.grpc_url), ("rest-url", &self.rest_url)];
        for (field, url) in urls {
            if let Some(url) = url {
                processor_url::check(url)
                    .map_err(|fault| Refusal::field(field, format!("'{url}' {fault}")))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_files_share_defaults() {
        use clap::FromArgMatches as _;
        let command = Config::augment_args(clap::Command::new("processor"));
        command.clone().debug_assert();
        let from_flags = Config::from_arg_matches(&command.get_matches_from(["processor"]));
        assert_eq!(from_flags.unwrap(), Config::default());
        let from_file: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(from_file, Config::default());
    }

    #[test]
    fn ports_listen_on_every_address_by_default() {
        let Config { grpc_addr, rest_addr, metrics_addr, .. } = Config::default();
        let addresses = [grpc_addr, rest_addr, metrics_addr].map(|address| address.to_string());
        assert_eq!(addresses, ["[::]:50051", "[::]:8005", "[::]:9090"]);
    }

    #[test]
    fn wrong_urls_are_named() {
        let wrong = || Some("http://fd00::5:50051".to_owned());
        for (field, config) in [
            ("name", Config { name: wrong(), ..Config::default() }),
            ("grpc-url", Config { grpc_url: wrong(), ..Config::default() }),
            ("rest-url", Config { rest_url: wrong(), ..Config::default() }),
        ] {
            let refusal = config.validate().unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field));
            assert!(refusal.message.contains("http://[fd00::5]:50051"), "{refusal}");
        }
        let grpc_url = Some("http://[fd00::5]:50051".to_owned());
        Config { grpc_url, ..Config::default() }.validate().unwrap();
    }
}
