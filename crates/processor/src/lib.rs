//! The owner of orders: it decides (core), appends (journal), and only then replies. Sellers reach
//! it over REST and gRPC; trackers and observers follow an order's events at their own pace.

mod audience;
pub mod config;
pub mod grpc;
pub mod limits;
pub mod metrics;
pub mod notifications;
pub mod orders;
mod page;
mod peers;
pub mod rest;
pub mod selection;
pub mod service;

pub use config::Config;
pub use notifications::Notifications;
pub use orders::OwnedOrders;
pub use peers::PeersConfig;
pub use service::{Error, Parts, Processor};
