//! The verbs of buyers and sellers: the buyer's run against `dev`, a requestor or a cluster, the
//! seller's against any processor.

mod addressees;
mod amendment;
pub(crate) mod apply;
mod award;
mod award_remarks;
mod compare;
mod comparison_table;
pub(crate) mod completing;
mod confirm;
mod conversation;
mod event_line;
mod execution;
pub(crate) mod flags;
mod ids;
mod inbox;
mod inbox_watch;
mod invited;
mod lines;
mod list;
mod list_watch;
mod lookup;
mod market;
pub(crate) mod model;
pub(crate) mod nearest;
pub(crate) mod notifications;
mod order_commands;
mod phase_commands;
pub(crate) mod plain;
pub(crate) mod print;
mod processor_rest;
mod proposals;
mod proposed_lines;
mod request_facts;
mod rest;
mod seller;
mod server;
mod shell;
pub(crate) mod show;
mod sse;
mod stalled;
mod status;
mod stream;
mod submit;
pub(crate) mod table;
mod timeline;
mod tracked;
mod verb;
mod wait;
mod watch;
mod why;
mod winners;

use std::collections::BTreeMap;
use std::time::Duration;

pub use apply::{ApplyArgs, DeleteArgs};
pub use event_line::event_name;
pub use list::{GetArgs, ListArgs};
pub use nearest::nearest;
pub use seller::SellerVerb;
pub use shell::quoted;
pub use verb::BuyerVerb;
pub use wait::WaitArgs;
pub(crate) use wait::states as wait_states;
pub use watch::WatchArgs;

/// The interval between two reads of a resource.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The status of each condition, by its type.
type Conditions<'a> = BTreeMap<&'a str, &'a str>;
