//! The operator's settings, validated before anything opens, and its client.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as KubeConfig};
use orderstream_api::controller_name::{self, CONTROLLER_NAME};
use orderstream_api::rbac::LEASE_NAME;
use orderstream_core::{StoreUrl, TenantScope, processor_url, tenant_scope};
use serde::{Deserialize, Serialize};
use tower::BoxError;
use tower::util::{MapErrLayer, MapRequestLayer};

use crate::lease::{Election, ElectionTimings};
use crate::metrics::Requests;
use crate::namespaces::{NamespaceFlag, namespace_scope};
use crate::reconcile::ProcessorSource;
use crate::watch::consistent;

/// The time limit for connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A fault of the configuration, or of the access to the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is invalid.
    #[error("{0}")]
    Setting(String),
    /// There is no usable kubeconfig, and this is not a pod.
    #[error("no way to the API server: {0}; give --kubeconfig, or run in a pod")]
    Kubeconfig(String),
}

/// A request that the API server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{url} is not reached: {cause}")]
struct ApiServerNotReached {
    url: String,
    cause: String,
}

/// The operator's settings.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "independent flags")]
pub struct Config {
    /// The kubeconfig; without it KUBECONFIG or ~/.kube/config, else the pod's own access
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A namespace to watch; repeatable. All are watched when none is given
    #[arg(long, env = "ORDERSTREAM_NAMESPACE", value_name = "NAME", value_delimiter = ',')]
    #[serde(deserialize_with = "tenant_scope::names")]
    pub namespace: Vec<String>,
    /// A namespace that is not watched, while all others are; repeatable
    #[arg(long, env = "ORDERSTREAM_EXCEPT_NAMESPACE", value_name = "NAME", value_delimiter = ',')]
    #[serde(deserialize_with = "tenant_scope::names")]
    pub except_namespace: Vec<String>,
    /// The name of this controller: it takes the order requests whose `controllerName` this is, and
    /// the one named `orderstream` also those that name none. Controllers over the same namespaces
    /// need a name, a Lease and processors of their own
    #[arg(long, env = "ORDERSTREAM_CONTROLLER_NAME", default_value = CONTROLLER_NAME, value_name = "NAME")]
    pub controller_name: String,
    /// Write the number of its open orders to each seller's status; of controllers over the same
    /// sellers, only one may
    #[arg(long, env = "ORDERSTREAM_SELLER_STATUSES", default_value_t = true, action = clap::ArgAction::Set)]
    pub seller_statuses: bool,
    /// A processor, such as `http://processor-0.processor:50051`; repeatable
    #[arg(long, env = "ORDERSTREAM_PROCESSOR", value_name = "URL", value_delimiter = ',')]
    pub processor: Vec<String>,
    /// The headless Service of the processors, in the controller's own namespace
    #[arg(long, env = "ORDERSTREAM_PROCESSOR_SERVICE", value_name = "NAME")]
    pub processor_service: Option<String>,
    /// The address of the buyers' REST; `[::]` is every address, of IPv6 and of IPv4
    #[arg(long, env = "ORDERSTREAM_REST_ADDR", default_value = "[::]:8004")]
    pub rest_addr: SocketAddr,
    /// The address of metrics and health
    #[arg(long, env = "ORDERSTREAM_METRICS_ADDR", default_value = "[::]:9090")]
    pub metrics_addr: SocketAddr,
    /// The store to which order status and follow-ups are projected: `mongodb://host/database`
    #[arg(long, env = "ORDERSTREAM_STORE", hide_env_values = true, value_name = "URL")]
    pub store: Option<StoreUrl>,
    /// The least number of connections to each processor for streams; every further thousand of
    /// streams gets one more
    #[arg(long, env = "ORDERSTREAM_CONNECTIONS", default_value_t = 4)]
    pub connections: usize,
    /// The most orders that may be followed at once
    #[arg(long, env = "ORDERSTREAM_MAX_ORDERS", default_value_t = 200_000)]
    pub max_orders: usize,
    /// Let several replicas elect one leader; if false, this one always leads
    #[arg(long, env = "ORDERSTREAM_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// The namespace of the Lease; the pod's own when absent
    #[arg(long, env = "ORDERSTREAM_LEASE_NAMESPACE", value_name = "NAME")]
    pub lease_namespace: Option<String>,
    /// The name of the Lease
    #[arg(long, env = "ORDERSTREAM_LEASE_NAME", default_value = LEASE_NAME)]
    pub lease_name: String,
    /// The pod's name, if a pod of this name runs one process at a time: then a new process need
    /// not wait for the lease of a killed one
    #[arg(long, env = "ORDERSTREAM_POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// Seconds after which a silent leader is replaced: 3 to 300
    #[arg(long, env = "ORDERSTREAM_LEASE_SECONDS", default_value_t = 15)]
    pub lease_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            namespace: Vec::new(),
            except_namespace: Vec::new(),
            controller_name: CONTROLLER_NAME.to_owned(),
            seller_statuses: true,
            processor: Vec::new(),
            processor_service: None,
            rest_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8004)),
            metrics_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9090)),
            store: None,
            connections: 4,
            max_orders: 200_000,
            leader_election: true,
            lease_namespace: None,
            lease_name: LEASE_NAME.to_owned(),
            pod_name: None,
            lease_seconds: 15,
        }
    }
}

impl Config {
    /// Validates the settings, as far as that is possible before anything opens.
    ///
    /// # Errors
    /// Names the setting, the fault, and the fix.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Setting(text));
        match (self.processor.is_empty(), &self.processor_service) {
            (true, None) => {
                return wrong(
                    "no processor is given; give --processor URL or --processor-service NAME"
                        .to_owned(),
                );
            }
            (false, Some(_)) => {
                return wrong(
                    "--processor and --processor-service exclude each other; give one of them"
                        .to_owned(),
                );
            }
            (true, Some(_)) | (false, None) => {}
        }
        for url in &self.processor {
            if let Err(fault) = processor_url::check(url) {
                return wrong(format!("--processor '{url}' {fault}"));
            }
        }
        if let Err(fault) = controller_name::check(&self.controller_name) {
            return wrong(format!("--controller-name {fault}"));
        }
        if !(3..=300).contains(&self.lease_seconds) {
            let given = self.lease_seconds;
            return wrong(format!("--lease-seconds is {given}; give 3 to 300"));
        }
        if self.connections == 0 || self.connections > 64 {
            return wrong(format!("--connections is {}; give 1 to 64", self.connections));
        }
        self.scope().map(drop)
    }

    /// Returns the namespaces that are watched.
    ///
    /// # Errors
    /// Names the flag, the fault, and the fix.
    pub fn scope(&self) -> Result<TenantScope, Error> {
        namespace_scope(
            NamespaceFlag { flag: "--namespace", names: &self.namespace },
            NamespaceFlag { flag: "--except-namespace", names: &self.except_namespace },
        )
    }

    /// Returns the source of the processors; `own` is this process's namespace.
    pub fn source(&self, own: &str) -> ProcessorSource {
        match &self.processor_service {
            Some(name) => {
                ProcessorSource::Service { namespace: own.to_owned(), name: name.clone() }
            }
            None => ProcessorSource::Urls(self.processor.clone()),
        }
    }

    /// Returns the election in which this process takes part; `own` is its namespace and `host` its
    /// machine's name.
    pub fn election(&self, own: &str, host: &str) -> Election {
        // A random part distinguishes this start from every other one of the same pod or host.
        let identity =
            format!("{}_{:08x}", self.pod_name.as_deref().unwrap_or(host), fastrand::u32(..));
        let lease = Duration::from_secs(self.lease_seconds);
        let times = ElectionTimings { lease, renew: lease / 4, margin: lease / 5 };
        Election {
            namespace: self.lease_namespace.clone().unwrap_or_else(|| own.to_owned()),
            name: self.lease_name.clone(),
            identity,
            identity_prefix: self.pod_name.as_ref().map(|name| format!("{name}_")),
            times,
            is_contested: self.leader_election,
        }
    }
}

/// Makes a client of the API server whose requests are counted, and returns it with its default
/// namespace.
///
/// # Errors
/// When no kubeconfig can be used and this is not a pod.
pub async fn connect(
    kubeconfig: Option<&std::path::Path>,
    requests: &Requests,
) -> Result<(Client, String), Error> {
    let unusable = |error: &dyn std::fmt::Display| Error::Kubeconfig(error.to_string());
    let mut config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
            KubeConfig::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|error| unusable(&error))?
        }
        None => KubeConfig::infer().await.map_err(|error| unusable(&error))?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The API server is reached directly. In a pod the client never has a proxy; for a kubeconfig it
    // reads HTTPS_PROXY, whatever NO_PROXY has, and ends with an error that shows the proxy's password.
    config.proxy_url = None;
    // Writers and watches here retry and slow down by themselves, each in its own way.
    config.default_retry = false;
    let (url, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
    let builder = ClientBuilder::try_from(config).map_err(|error| unusable(&error))?;
    let named = MapErrLayer::new(move |error: BoxError| named_error(&url, error));
    let consistent = MapRequestLayer::new(consistent);
    let builder = builder.with_layer(&named).with_layer(requests).with_layer(&consistent);
    Ok((builder.build(), namespace))
}

/// Adds the API server's address to the error of a request that it did not answer; errors of the
/// client itself, such as one of its credentials, stay as they are.
fn named_error(url: &str, error: BoxError) -> BoxError {
    match error.downcast::<kube::Error>() {
        Ok(known) => known,
        Err(error) => Box::new(ApiServerNotReached { url: url.to_owned(), cause: causes(&*error) }),
    }
}

/// Formats an error with its causes.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use orderstream_core::Tenant;

    use super::*;

    #[test]
    fn wrong_settings_are_named() {
        let of_processor =
            |url: &str| Config { processor: vec![url.to_owned()], ..Config::default() };
        let valid = || of_processor("http://[fd00::5]:50051");
        valid().validate().unwrap();
        for (config, part) in [
            (Config::default(), "no processor is given"),
            (of_processor("http://fd00::5:50051"), "--processor 'http://fd00::5:50051'"),
            (of_processor("http://fd00::5:50051"), "http://[fd00::5]:50051"),
            (of_processor("http://processor"), "give the port"),
            (of_processor("processor:50051"), "begin it with http://"),
            (Config { lease_seconds: 2, ..valid() }, "--lease-seconds is 2"),
            (Config { connections: 0, ..valid() }, "--connections is 0"),
            (Config { controller_name: "B".to_owned(), ..valid() }, "--controller-name 'B' is not"),
            (Config { controller_name: String::new(), ..valid() }, "--controller-name '' is not"),
            (Config { namespace: vec!["A".to_owned()], ..valid() }, "--namespace 'A' is not"),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }

    /// A file from before there could be several has one text.
    #[test]
    fn namespaces_are_read_from_flags_and_files() {
        use clap::FromArgMatches as _;
        let command = Config::augment_args(clap::Command::new("controller"));
        let args = ["controller", "--namespace", "a,b", "--namespace", "c"];
        let from_flags = Config::from_arg_matches(&command.get_matches_from(args)).unwrap();
        assert_eq!(from_flags.namespace, ["a", "b", "c"]);
        for (file, namespace) in [
            (serde_json::json!({}), vec![]),
            (serde_json::json!({ "namespace": "desks" }), vec!["desks"]),
            (serde_json::json!({ "namespace": ["a", "b"] }), vec!["a", "b"]),
        ] {
            let config: Config = serde_json::from_value(file).unwrap();
            assert_eq!(config.namespace, namespace);
            assert_eq!(config.except_namespace, [""; 0]);
        }
        let file = serde_json::json!({ "except-namespace": "a" });
        let config: Config = serde_json::from_value(file).unwrap();
        assert_eq!(config.scope().unwrap(), TenantScope::AllBut(vec![Tenant::new("a").unwrap()]));
    }

    #[test]
    fn unanswered_requests_name_the_api_server() {
        let inner = || std::io::Error::other("connection refused");
        let text = named_error("https://10.0.0.1/", Box::new(inner())).to_string();
        assert_eq!(text, "https://10.0.0.1/ is not reached: connection refused");
        let error = kube::Error::ReadEvents(inner());
        let own = error.to_string();
        assert_eq!(named_error("https://10.0.0.1/", Box::new(error)).to_string(), own);
    }

    #[test]
    fn ports_listen_on_every_address_by_default() {
        let Config { rest_addr, metrics_addr, .. } = Config::default();
        let addresses = [rest_addr, metrics_addr].map(|address| address.to_string());
        assert_eq!(addresses, ["[::]:8004", "[::]:9090"]);
    }
}
