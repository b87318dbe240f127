//! The controller that reconciles orders with their resources on a cluster.

pub mod cluster;
