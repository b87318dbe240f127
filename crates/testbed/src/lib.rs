//! Real servers for tests: a Kubernetes API server (etcd and kube-apiserver as child processes) with
//! an audit log of every request, a proxy that injects network faults, the table of cases for the
//! validation rules of the custom resource definitions, and that of manifests that all readers read
//! alike; and a mail server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test bed fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "a test bed's tasks end with its runtime")]
#![allow(clippy::print_stderr, reason = "tests tell people what they skip")]

mod api_server;
mod assets;
mod audit;
mod certificate;
mod manifests;
mod proxy;
mod rules;
mod smtp;

pub use api_server::{ApiServer, USERS};
pub use assets::Assets;
pub use audit::AuditedRequest;
pub use certificate::make_certificate;
pub use manifests::{ManifestCase, ManifestReading};
pub use proxy::{HookAction, HookPoint, ProxiedWrite, Proxy, ProxyFault, WatchExpiry};
pub use rules::{BoundCase, DefaultCase, Rule, RuleCase, Rules, resource};
pub use smtp::{SmtpExtensions, SmtpServer};
