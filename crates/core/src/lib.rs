//! The domain of orders: its types, and four pure state machines of one shape (`Book`, `Tracker`,
//! `plan`, `Outbox`).
//!
//! Nothing here awaits, reads a clock, draws a random number or does I/O, and every map iterates
//! in key order: the same inputs always give the same outputs.

pub mod backoff;
pub mod book;
pub mod buyer;
pub mod command;
pub mod comparison;
pub mod date;
pub mod display;
pub mod event;
#[cfg(test)]
mod golden;
pub mod hash;
pub mod id;
pub mod input;
pub mod limits;
mod line;
pub mod notification;
pub mod order;
pub mod outbox;
pub mod placement;
pub mod plan;
#[cfg(feature = "plant-bugs")]
pub mod plant;
pub mod port;
pub mod price;
pub mod processor_url;
pub mod refusal;
pub mod request_phase;
pub mod seal;
pub mod spec;
pub mod store_url;
pub mod stream_phase;
pub mod summary;
pub mod tenant_scope;
pub mod tracker;
pub mod visible;
pub mod withheld;

pub use book::Book;
pub use command::{Command, CommandKind, Reply};
pub use event::{Event, EventKind};
pub use id::{
    Epoch, FollowUpId, IdempotencyKey, Incarnation, OrderIncarnation, OrderKey, OrderReqId,
    ProposalId, SellerId, Seq, Tenant, Timestamp,
};
pub use order::{Order, Phase};
pub use outbox::Outbox;
pub use price::Price;
pub use refusal::{Reason, Refusal};
pub use request_phase::RequestPhase;
pub use spec::OrderSpec;
pub use store_url::StoreUrl;
pub use stream_phase::StreamPhase;
pub use summary::OrderSummary;
pub use tenant_scope::TenantScope;
pub use tracker::{Tracker, TrackerSnapshot};
pub use withheld::{Durable, Withheld};
