//! `OrderRequest` and `Seller`, the manifests in which people write them, and what keeps orders
//! as their resources want them. The only crate that names kube.

pub mod crd;
pub mod order_request;
pub mod order_status;
pub mod seller;
