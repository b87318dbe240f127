//! The controllers that reconcile orders with their resources: the operator on a cluster, and a
//! laptop's replacement for it.

pub mod cluster;
pub mod local;
pub mod seller_file;
