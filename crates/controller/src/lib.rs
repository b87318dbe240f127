//! `OrderRequest` and `Seller`, their manifests, and the controllers that reconcile orders with
//! their resources. The only crate that depends on kube.

mod check;
pub mod cluster;
pub mod conditions;
pub mod convert;
pub mod crd;
pub mod duration;
pub mod lint;
pub mod local;
pub mod manifest;
pub mod order_request;
pub mod order_status;
pub mod rbac;
#[cfg(test)]
mod rules_tests;
pub mod seller;
pub mod seller_file;
mod seller_status;
pub mod status;
pub mod update;
