//! Sellers: those that a processor chooses from, and the statuses that the leader writes to them.

mod directory;
mod invitation_counts;
mod seller_watch;
mod statuses;

pub use self::directory::ClusterSellers;
pub(crate) use self::statuses::SellerStatuses;
