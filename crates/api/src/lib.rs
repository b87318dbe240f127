//! `OrderRequest` and `Seller`: the resources, their definitions and rights, the manifests in which
//! people write them and all that may be wrong in those, and the statuses that are made from orders.
//! Pure but for reading files: it has kube's derives, and no client.

pub mod apply_merge;
mod buyer_view;
mod check;
pub mod conditions;
pub mod controller_name;
pub mod convert;
pub mod crd;
pub mod duration;
pub mod edits;
pub mod lint;
pub mod manifest;
#[cfg(test)]
mod manifest_table_tests;
mod new_order;
pub mod order_request;
pub mod order_status;
pub mod rbac;
#[cfg(test)]
mod rules_tests;
mod schema;
pub mod seller;
pub mod seller_status;
pub mod status;
pub mod update;
mod yaml;

pub use buyer_view::{buyer_view, deadline, phase_of};
pub use check::escaped;
