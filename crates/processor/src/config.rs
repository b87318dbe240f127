//! The processor's settings, checked before any port opens.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// The processor's settings.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where gRPC listens
    #[arg(long, env = "ORDERSTREAM_GRPC_ADDR", default_value = "0.0.0.0:50051")]
    pub grpc_addr: SocketAddr,
    /// Where the sellers' REST listens
    #[arg(long, env = "ORDERSTREAM_REST_ADDR", default_value = "0.0.0.0:8005")]
    pub rest_addr: SocketAddr,
    /// Folder of the journal
    #[arg(long, env = "ORDERSTREAM_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// File of Seller manifests; without it no seller is selected, and any may propose
    #[arg(long, env = "ORDERSTREAM_SELLERS")]
    pub sellers: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc_addr: SocketAddr::from(([0, 0, 0, 0], 50051)),
            rest_addr: SocketAddr::from(([0, 0, 0, 0], 8005)),
            data_dir: PathBuf::from("data"),
            sellers: None,
        }
    }
}
