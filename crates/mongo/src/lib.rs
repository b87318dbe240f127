//! Order status and follow-ups in MongoDB, as the original system stored them: a projection of the
//! lists of events. This crate has the driver and the documents; its caller decides what to project
//! and when.

mod authorities;
mod documents;
mod endpoint;
mod error;
mod store;

pub use endpoint::MongoEndpoint;
pub use error::Error;
pub use store::MongoProjection;
