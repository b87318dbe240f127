//! Order status and follow-ups in MongoDB, as the original system kept them: a copy that is made
//! from the lists of events. It knows the driver and the documents; its caller decides when to
//! project what.

mod documents;
mod endpoint;
mod error;
mod store;

pub use endpoint::MongoEndpoint;
pub use error::Error;
pub use store::MongoProjection;
