//! Order status and follow-ups in MongoDB, as the original system kept them: a copy that is made from
//! the lists of events. It knows the driver and the documents; when what is projected is decided by
//! its caller.

mod documents;
mod error;
mod place;
mod store;

pub use error::Error;
pub use place::Place;
pub use store::MongoProjection;
