//! The processor's settings, checked before any port opens.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// The processor's settings.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Config {
    /// Address on which gRPC listens
    #[arg(long, env = "ORDERSTREAM_GRPC_ADDR", default_value = "0.0.0.0:50051")]
    pub grpc_addr: SocketAddr,
    /// Address on which the sellers' REST listens
    #[arg(long, env = "ORDERSTREAM_REST_ADDR", default_value = "0.0.0.0:8005")]
    pub rest_addr: SocketAddr,
    /// Address on which metrics and health are served
    #[arg(long, env = "ORDERSTREAM_METRICS_ADDR", default_value = "0.0.0.0:9090")]
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
    /// With --sellers-from-cluster: the only namespace to read sellers from; all when not given
    #[arg(long, env = "ORDERSTREAM_SELLERS_NAMESPACE", value_name = "NAME")]
    pub sellers_namespace: Option<String>,
    /// With --sellers-from-cluster: the kubeconfig; without it KUBECONFIG or ~/.kube/config, else
    /// the pod's own access
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name under which other processors know this one; its gRPC address when not given
    #[arg(long, env = "ORDERSTREAM_NAME")]
    pub name: Option<String>,
    /// File with the gRPC URLs of all processors, one a line, read again when it changes: requests
    /// for an order of another processor are forwarded to it
    #[arg(long, env = "ORDERSTREAM_PEERS", value_name = "FILE")]
    pub peers: Option<PathBuf>,
    /// URL at which other processors reach the gRPC port, such as a pod's address; --name when not
    /// given
    #[arg(long, env = "ORDERSTREAM_GRPC_URL", value_name = "URL")]
    pub grpc_url: Option<String>,
    /// URL at which other processors reach the sellers' REST; --name's host with the REST's port
    /// when not given
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
        Self {
            grpc_addr: SocketAddr::from(([0, 0, 0, 0], 50051)),
            rest_addr: SocketAddr::from(([0, 0, 0, 0], 8005)),
            metrics_addr: SocketAddr::from(([0, 0, 0, 0], 9090)),
            data_dir: PathBuf::from("data"),
            sellers: None,
            sellers_from_cluster: false,
            sellers_namespace: None,
            kubeconfig: None,
            name: None,
            peers: None,
            grpc_url: None,
            rest_url: None,
            notify_config: None,
            webhook_allow_local: false,
            keep_ended: "31d".to_owned(),
        }
    }
}
